//! Eight threads on one arena with everything that can be done to it, each byte checked; region after
//! region, from the smallest to a mebibyte.
//!
//! A second in an ordinary run, or as many as `STRONGROOM_STRESS_SECONDS` says.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::env;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use strongroom_core::{AllocateError, Arena, Buffer, Enclave, OpenError, Sealed, Spin};
use strongroom_tests::noise::Noise;

#[test]
fn mixed_operations_in_regions_of_every_size() {
    let seconds = env::var("STRONGROOM_STRESS_SECONDS").map_or(1, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut operations, mut regions) = (0, 0);
    let mut noise = Noise(77);
    while Instant::now() < end {
        for size in [700, 1000, 1500, 2600, 4096, 9000, 1 << 16, 1 << 20] {
            let size = size + noise.below(size / 8);
            operations += if regions % 2 == 0 {
                in_region(size, Spin::<16>, noise.below(1 << 30) as u64)
            } else {
                in_region(size, Spin::<1>, noise.below(1 << 30) as u64)
            };
            regions += 1;
        }
    }
    println!("{operations} operations in {regions} regions");
    assert!(operations > 0);
}

/// Says how much was done.
fn in_region<O: strongroom_core::Owner>(size: usize, owner: O, seed: u64) -> usize {
    let mut region = vec![MaybeUninit::uninit(); size];
    // Aligned like a leaf, so that the smallest are large enough.
    let start = region.as_ptr().addr().wrapping_neg() % 256 % size;
    let Ok(arena) = Arena::with_owner(&mut region[start..], &mut Noise(seed), owner) else {
        return 0;
    };
    let enclave = Enclave::new(&arena).ok();
    let (running, done) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arena, enclave, running, done) = (&arena, enclave.as_ref(), &running, &done);
            scope.spawn(move || {
                let mut noise = Noise(seed ^ thread << 32);
                let mut steps = 0;
                let mut work = Work { arena, enclave, held: Vec::new(), sealed: Vec::new() };
                while running.load(Relaxed) {
                    work.step(&mut noise);
                    steps += 1;
                }
                done.fetch_add(steps, Relaxed);
            });
        }
        std::thread::sleep(Duration::from_millis(100));
        running.store(false, Relaxed);
    });
    drop(enclave);
    let stats = arena.stats();
    assert_eq!((stats.live, stats.faults, stats.quarantined), (0, 0, 0), "{size} bytes");
    assert_eq!(arena.verify(), Ok(()), "{size} bytes");
    let whole = Buffer::new(&arena, arena.capacity() - 16);
    assert!(whole.is_ok(), "{whole:?} of {size} bytes: {:?}", arena.map().collect::<Vec<_>>());
    done.into_inner()
}

/// What one thread holds.
struct Work<'a, O: strongroom_core::Owner> {
    arena: &'a Arena<'a, O>,
    enclave: Option<&'a Enclave<'a, O>>,
    held: Vec<(Buffer<'a, O>, u8)>,
    sealed: Vec<(Sealed<Vec<u8>>, u8)>,
}

impl<O: strongroom_core::Owner> Work<'_, O> {
    fn step(&mut self, noise: &mut Noise) {
        match noise.below(100) {
            0 => assert_eq!(self.arena.verify(), Ok(())),
            1 => assert!(self.arena.stats().used <= self.arena.capacity()),
            2 => assert!(self.arena.map().count() > 0),
            3 => self.enclave.into_iter().for_each(Enclave::refresh),
            4..20 => self.seal(noise),
            20..40 => self.open(noise),
            40..70 => self.allocate(noise),
            _ => self.release(noise),
        }
    }

    fn allocate(&mut self, noise: &mut Noise) {
        let most = [40, 300, 3000, 9000][noise.below(4)];
        if self.held.len() < 24 {
            match Buffer::new(self.arena, 1 + noise.below(most)) {
                Ok(mut buffer) => {
                    assert!(buffer.expose_secret().iter().all(|&byte| byte == 0), "not zero");
                    let byte = noise.below(256).to_le_bytes()[0];
                    buffer.expose_secret_mut().fill(byte);
                    self.held.push((buffer, byte));
                }
                Err(AllocateError::Full { .. } | AllocateError::TooLarge { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn release(&mut self, noise: &mut Noise) {
        if !self.held.is_empty() {
            let (buffer, byte) = self.held.swap_remove(noise.below(self.held.len()));
            assert!(buffer.expose_secret().iter().all(|&b| b == byte), "another's bytes");
            assert_eq!(buffer.release(), Ok(()));
        }
    }

    fn seal(&mut self, noise: &mut Noise) {
        let Some(enclave) = self.enclave else { return };
        if self.sealed.len() < 16 {
            let (byte, len) = (noise.below(256).to_le_bytes()[0], noise.below(200));
            let record = vec![0; Enclave::record_len(len)];
            let sealed = enclave.seal(&vec![byte; len], b"stress", record).unwrap();
            self.sealed.push((sealed, byte));
        } else {
            self.sealed.swap_remove(noise.below(16));
        }
    }

    fn open(&mut self, noise: &mut Noise) {
        let Some(enclave) = self.enclave.filter(|_| !self.sealed.is_empty()) else { return };
        let (sealed, byte) = &self.sealed[noise.below(self.sealed.len())];
        match enclave.open(sealed, b"stress") {
            Ok(opened) => {
                assert_eq!(opened.len(), sealed.secret_len());
                assert!(opened.expose_secret().iter().all(|b| b == byte), "another's secret");
            }
            Err(OpenError::Allocate(
                AllocateError::Full { .. } | AllocateError::TooLarge { .. },
            )) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

const THREADS: u64 = 8;
