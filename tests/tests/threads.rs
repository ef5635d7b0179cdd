//! Many threads on one arena, while another looks at all of it all the time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use strongroom_core::{AllocateError, Arena, Buffer, Enclave, Sealed};
use strongroom_tests::noise::Noise;
use strongroom_tests::raw::Lent;

#[test]
fn eight_threads_and_one_that_verifies_find_no_fault() {
    churn(1 << 18, 4_000, |noise| match noise.below(8) {
        0 => Layout::from_size_align(1 + noise.below(3000), 1 << noise.below(13)).unwrap(),
        1 => Layout::array::<u8>(1 + noise.below(9000)).unwrap(),
        _ => Layout::from_size_align(1 + noise.below(300), 1 << noise.below(7)).unwrap(),
    });
}

#[test]
fn eight_threads_in_an_arena_that_is_always_full() {
    churn(1 << 14, 4_000, |noise| {
        Layout::from_size_align(1 + noise.below(700), 1 << noise.below(5)).unwrap()
    });
}

#[test]
fn eight_threads_with_secrets_of_one_size() {
    churn(1 << 15, 6_000, |_| Layout::array::<u8>(64).unwrap());
}

/// Eight threads allocate, write, check and release; a ninth calls `verify`, `stats` and `map`.
fn churn(region: usize, steps: usize, layout: impl Fn(&mut Noise) -> Layout + Sync) {
    let mut region = vec![MaybeUninit::uninit(); region];
    let arena = Arena::new(&mut region[..], &mut Noise(9)).unwrap();
    let (running, served) = (AtomicUsize::new(THREADS), AtomicUsize::new(0));
    let unseen = AtomicBool::new(true);
    std::thread::scope(|scope| {
        // On fast machines the steps are over before anybody looks.
        let goes_on = |step| step < steps || unseen.load(Relaxed);
        for thread in 0..THREADS {
            let (arena, running, served, layout) = (&arena, &running, &served, &layout);
            scope.spawn(move || {
                let _ended = Ended(running);
                let held = work(arena, thread, goes_on, layout);
                served.fetch_add(held, Relaxed);
            });
        }
        {
            let _seen = Stopped(&unseen);
            (0..3).for_each(|_| look(&arena));
        }
        while running.load(Relaxed) > 0 {
            look(&arena);
        }
    });
    assert!(served.load(Relaxed) > steps, "hardly anything was served");
    let stats = arena.stats();
    assert_eq!((stats.live, stats.faults, stats.quarantined), (0, 0, 0));
    assert_eq!(arena.verify(), Ok(()));
    assert_all_returned(&arena);
}

/// Keeps up to 20 secrets with content of their own; says how many it was given.
fn work(
    arena: &Arena<'_>,
    thread: usize,
    goes_on: impl Fn(usize) -> bool,
    layout: impl Fn(&mut Noise) -> Layout,
) -> usize {
    let mut noise = Noise(thread as u64);
    let mut held: Vec<(Lent<'_>, u8)> = Vec::new();
    let mut served = 0;
    for step in (0..).take_while(|&step| goes_on(step)) {
        if held.len() < 20 && noise.below(2) == 0 {
            match Lent::new(arena, layout(&mut noise)) {
                Ok(mut lent) => {
                    let byte = (step ^ (thread << 5)).to_le_bytes()[0];
                    lent.bytes().fill(byte);
                    held.push((lent, byte));
                    served += 1;
                }
                Err(AllocateError::Full { .. } | AllocateError::TooLarge { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        } else if !held.is_empty() {
            let (mut lent, byte) = held.swap_remove(noise.below(held.len()));
            assert!(lent.bytes().iter().all(|&b| b == byte), "another's bytes");
        }
    }
    served
}

/// Looks at an arena while it is used.
fn look(arena: &Arena<'_>) {
    assert_eq!(arena.verify(), Ok(()));
    let stats = arena.stats();
    // A secret may be released behind the walk and its owner's next one be allocated before it.
    assert!(stats.live <= 2 * THREADS * 21 && stats.used <= stats.capacity, "{stats:?}");
    assert!(stats.used <= stats.peak && stats.peak <= stats.capacity, "{stats:?}");
    assert!(arena.map().map(|span| span.len).sum::<usize>() <= arena.region_len());
}

/// An arena with nothing in it serves one secret as long as all its leaves.
fn assert_all_returned(arena: &Arena<'_>) {
    let whole = Buffer::new(arena, arena.capacity() - 16);
    assert!(whole.is_ok(), "lost: {:?} in {:?}", whole, arena.map().collect::<Vec<_>>());
}

#[test]
fn an_empty_run_is_not_forgotten_because_somebody_looked_at_it() {
    let mut region = vec![MaybeUninit::uninit(); 2048];
    let arena = Arena::new(&mut region[..], &mut Noise(9)).unwrap();
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = Stopped(&running);
            for _ in 0..ROUNDS {
                let [first, second] = [(); 2].map(|()| Buffer::new(&arena, 64).unwrap());
                drop((first, second));
                assert_all_returned(&arena);
            }
        });
        while running.load(Relaxed) {
            assert_eq!(arena.verify(), Ok(()));
        }
    });
}

#[test]
fn an_empty_run_is_not_forgotten_because_its_cells_were_in_demand() {
    let mut region = vec![MaybeUninit::uninit(); 2048];
    let arena = Arena::new(&mut region[..], &mut Noise(9)).unwrap();
    for _ in 0..ROUNDS / 100 {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..30).for_each(|_| drop(Buffer::new(&arena, 200).unwrap())));
            }
        });
        assert_all_returned(&arena);
    }
}

#[test]
fn runs_that_are_cut_and_taken_apart_all_the_time_mix_nothing_up() {
    let mut region = vec![MaybeUninit::uninit(); 1024];
    let arena = Arena::new(&mut region[..], &mut Noise(9)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let arena = &arena;
            scope.spawn(move || {
                let mut noise = Noise(thread);
                for _ in 0..ROUNDS {
                    let layout = Layout::array::<u8>([8, 16, 24, 40][noise.below(4)]).unwrap();
                    let Ok(mut lent) = Lent::new(arena, layout) else { continue };
                    let byte = 1 + noise.below(255).to_le_bytes()[0];
                    lent.bytes().fill(byte);
                    assert!(lent.bytes().iter().all(|&b| b == byte), "another's bytes");
                }
            });
        }
    });
    let stats = arena.stats();
    assert_eq!((stats.live, stats.faults, stats.quarantined), (0, 0, 0));
    assert_eq!(arena.verify(), Ok(()));
    assert_all_returned(&arena);
}

#[test]
fn an_enclave_serves_many_threads_while_its_key_is_refreshed() {
    let mut region = vec![MaybeUninit::uninit(); 1 << 15];
    let arena = Arena::new(&mut region[..], &mut Noise(9)).unwrap();
    let enclave = Enclave::new(&arena).unwrap();
    let running = AtomicUsize::new(THREADS);
    let numbers: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (enclave, running) = (&enclave, &running);
                scope.spawn(move || {
                    let _ended = Ended(running);
                    seal_and_open(enclave, thread)
                })
            })
            .collect();
        while running.load(Relaxed) > 0 {
            enclave.refresh();
        }
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), numbers.len(), "a nonce was used twice");
    assert_eq!(arena.stats().live, 2);
}

/// Seals and opens, and says which numbers the records had.
fn seal_and_open(enclave: &Enclave<'_>, thread: usize) -> Vec<[u8; 8]> {
    let mut noise = Noise(thread as u64);
    (0..300)
        .map(|_| {
            let len = noise.below(300);
            let secret = noise.bytes(len);
            let storage = vec![0; Enclave::record_len(len)];
            let sealed = enclave.seal(&secret, b"thread", storage).unwrap();
            let mut changed = sealed.record().to_vec();
            changed[noise.below(len + 24)] ^= 1;
            assert!(enclave.open(&Sealed::from_record(changed), b"thread").is_err());
            assert_eq!(enclave.open(&sealed, b"thread").unwrap().expose_secret(), secret);
            *sealed.record().first_chunk().unwrap()
        })
        .collect()
}

/// Says that a thread has ended, even by a panic.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Says so too.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

const THREADS: usize = 8;
const ROUNDS: usize = 20_000;
