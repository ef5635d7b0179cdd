//! Three threads on one tiny arena, in stories that are short enough for an interpreter.
//!
//! Runs are cut, emptied, taken apart and cut anew all the time. Miri (`scripts/miri.sh threads`)
//! interleaves the threads in another way for each seed, shows them old values where the processor
//! could, and finds what no operation orders; natively there are more steps instead.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::alloc::Layout;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::thread::scope;

use strongroom_core::{AllocateError, Arena, Buffer, Enclave, OpenError, SealError};
use strongroom_tests::noise::Noise;
use strongroom_tests::raw::Lent;

#[test]
fn cells_only() {
    story(700, |arena, noise| {
        scope(|scope| {
            for mut noise in noise {
                scope.spawn(move || churn(arena, &mut noise, small));
            }
        });
    });
}

#[test]
fn cells_and_blocks() {
    story(1600, |arena, [first, second, third]| {
        scope(|scope| {
            for mut noise in [first, second] {
                scope.spawn(move || churn(arena, &mut noise, any));
            }
            scope.spawn(move || churn(arena, &mut { third }, large));
        });
    });
}

#[test]
fn a_look_at_all_beside_releases() {
    story(700, |arena, [mut first, mut second, mut third]| {
        scope(|scope| {
            scope.spawn(move || churn(arena, &mut first, small));
            scope.spawn(move || churn(arena, &mut second, any));
            (0..LOOKS).for_each(|_| look(arena, &mut third));
        });
    });
}

#[test]
fn refreshed_beside_opens() {
    story(1600, |arena, [mut first, mut second, mut third]| {
        let enclave = &Enclave::new(arena).unwrap();
        scope(|scope| {
            scope.spawn(move || (0..RECORDS).for_each(|_| seal_and_open(enclave, &mut first)));
            scope.spawn(move || open_in_place(arena, enclave, &mut second));
            for _ in 0..RECORDS {
                enclave.refresh();
                drop(Buffer::random(arena, third.below(100)));
            }
        });
    });
}

#[test]
fn destroyed_beside_opens() {
    story(1600, |arena, [mut first, mut second, mut third]| {
        let enclave = &Enclave::new(arena).unwrap();
        scope(|scope| {
            scope.spawn(move || (0..RECORDS).for_each(|_| seal_and_open(enclave, &mut first)));
            scope.spawn(move || open_in_place(arena, enclave, &mut second));
            let looks = third.below(LOOKS);
            (0..looks).for_each(|_| look(arena, &mut third));
            enclave.destroy();
        });
        assert!(enclave.is_destroyed());
        assert_eq!(enclave.seal(b"", b"", [0; 24]).unwrap_err(), SealError::Destroyed);
    });
}

/// Plays with regions of `shortest` to 3,300 bytes, and finds all of the arena given back.
fn story(shortest: usize, play: impl Fn(&Arena<'_>, [Noise; 3])) {
    for seed in seeds() {
        let mut noise = Noise(seed);
        let mut region = vec![MaybeUninit::uninit(); shortest + noise.below(3_300 - shortest)];
        let arena = Arena::new(&mut region[..], &mut noise).unwrap();
        play(&arena, [(); 3].map(|()| Noise(noise.word())));
        let stats = arena.stats();
        assert_eq!((stats.live, stats.faults, stats.quarantined), (0, 0, 0), "seed {seed}");
        assert_eq!(arena.verify(), Ok(()), "seed {seed}");
        let whole = Buffer::new(&arena, arena.capacity() - 16);
        assert!(whole.is_ok(), "seed {seed} lost: {:?}", arena.map().collect::<Vec<_>>());
    }
}

/// In Miri one, which follows from Miri's own.
fn seeds() -> impl Iterator<Item = u64> {
    let first = if cfg!(miri) { RandomState::new().hash_one(0) } else { 0 };
    (0..STORIES).map(move |number| first.wrapping_add(number))
}

/// Allocates, fills, checks byte by byte and releases.
fn churn(arena: &Arena<'_>, noise: &mut Noise, layout: fn(&mut Noise) -> Layout) {
    let mut held: Vec<(Lent<'_>, u8)> = Vec::new();
    for _ in 0..STEPS {
        if held.len() < 3 && noise.below(3) > 0 {
            match Lent::new(arena, layout(noise)) {
                Ok(mut lent) => {
                    let byte = noise.word().to_le_bytes()[0];
                    lent.bytes().fill(byte);
                    held.push((lent, byte));
                }
                Err(AllocateError::Full { .. } | AllocateError::TooLarge { .. }) => {
                    held.pop().into_iter().for_each(check);
                }
                Err(error) => panic!("{error}"),
            }
        } else if !held.is_empty() {
            check(held.swap_remove(noise.below(held.len())));
        }
    }
    held.into_iter().for_each(check);
}

fn check((mut lent, byte): (Lent<'_>, u8)) {
    assert!(lent.bytes().iter().all(|&b| b == byte), "another's bytes");
}

/// Lengths of cells, of which a leaf has several.
fn small(noise: &mut Noise) -> Layout {
    Layout::array::<u8>([8, 13, 24, 40, 57, 100][noise.below(6)]).unwrap()
}

/// What takes most of a leaf, several, or is aligned to more than one, which makes it a block.
fn large(noise: &mut Noise) -> Layout {
    let (size, align) = [(200, 1), (300, 8), (500, 1), (40, 512), (260, 512)][noise.below(5)];
    Layout::from_size_align(size, align).unwrap()
}

fn any(noise: &mut Noise) -> Layout {
    if noise.below(3) == 0 { large(noise) } else { small(noise) }
}

/// Asks for everything that can be asked of an arena while others use it.
fn look(arena: &Arena<'_>, noise: &mut Noise) {
    match noise.below(3) {
        0 => assert_eq!(arena.verify(), Ok(())),
        1 => {
            let stats = arena.stats();
            assert!(stats.used <= stats.peak && stats.peak <= stats.capacity, "{stats:?}");
            assert_eq!((stats.faults, stats.quarantined), (0, 0));
        }
        _ => assert!(arena.map().map(|span| span.len).sum::<usize>() <= arena.region_len()),
    }
}

/// Seals a secret and opens it, as long as the enclave is not destroyed.
fn seal_and_open(enclave: &Enclave<'_>, noise: &mut Noise) {
    let len = noise.below(60);
    let secret = noise.bytes(len);
    match enclave.seal(&secret, b"thread", vec![0; Enclave::record_len(len)]) {
        Ok(sealed) => match enclave.open(&sealed, b"thread") {
            Ok(opened) => assert_eq!(opened.expose_secret(), secret),
            Err(OpenError::Destroyed) => assert!(enclave.is_destroyed()),
            Err(error) => assert!(matches!(error, OpenError::Allocate(_)), "{error}"),
        },
        Err(error) => assert_eq!((error, enclave.is_destroyed()), (SealError::Destroyed, true)),
    }
}

/// Opens one secret in its place again and again, as long as the enclave is not destroyed.
fn open_in_place<'a>(arena: &'a Arena<'_>, enclave: &Enclave<'a>, noise: &mut Noise) {
    let Ok(mut secret) = Buffer::new(arena, 1 + noise.below(60)) else { return };
    secret.expose_secret_mut().fill(1);
    let Ok(mut sealed) = enclave.seal_in_place(secret, b"place") else {
        assert!(enclave.is_destroyed());
        return;
    };
    for byte in 1..=RECORDS.to_le_bytes()[0] {
        let mut opened = match sealed.open(enclave, b"place") {
            Ok(opened) => opened,
            Err(error) => {
                assert_eq!((error, enclave.is_destroyed()), (OpenError::Destroyed, true));
                return;
            }
        };
        assert!(opened.expose_secret().iter().all(|&b| b == byte), "another's bytes");
        opened.expose_secret_mut().fill(byte + 1);
    }
}

const STORIES: u64 = if cfg!(miri) { 1 } else { 100 };
const STEPS: usize = if cfg!(miri) { 8 } else { 400 };
const LOOKS: usize = if cfg!(miri) { 4 } else { 60 };
const RECORDS: usize = if cfg!(miri) { 2 } else { 40 };
