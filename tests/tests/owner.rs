//! What a region's owner brings is used as its docs say: its lock, and the gate before the memory.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::Cell;
use std::mem::{MaybeUninit, size_of_val};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_core::{Arena, Buffer, Door, Enclave, Entropy, EntropyError, Fault, Lock, Owner};
use strongroom_core::{Secret, Shards, Spin};
use strongroom_tests::noise::Noise;

thread_local! {
    /// How many windows the thread has open, and how many locks it holds.
    static OPEN: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Notes which doors were opened.
struct Gated(Mutex<Vec<Door>>);

struct Window;

impl Drop for Window {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}

impl Owner for Gated {
    type Lock = Watched;
    type Shards = Shards<2>;
    type Window<'o> = Window;

    fn open(&self, door: Door) -> Window {
        assert_eq!(HELD.get(), 0, "a gate is opened with a lock held");
        self.0.lock().unwrap().push(door);
        OPEN.set(OPEN.get() + 1);
        Window
    }

    /// More than there are.
    fn shard(&self, shards: usize) -> usize {
        shards + 1
    }
}

struct Watched(AtomicBool);

// SAFETY: the flag is set by one thread at a time, with the orders of a lock.
unsafe impl Lock for Watched {
    const UNLOCKED: Self = Self(AtomicBool::new(false));

    fn acquire(&self) {
        while self.0.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        HELD.set(HELD.get() + 1);
        assert!(IS_ANYWHERE || OPEN.get() > 0, "the bookkeeping is behind the gate too");
    }

    unsafe fn release(&self) {
        assert!(IS_ANYWHERE || OPEN.get() > 0, "the gate was shut too soon");
        HELD.set(HELD.get() - 1);
        self.0.store(false, Ordering::Release);
    }
}

/// Without 64-bit atomics an enclave's numbers have such a lock too, outside the region.
const IS_ANYWHERE: bool = cfg!(any(not(target_has_atomic = "64"), strongroom_no_atomic_64));

/// Entropy is the caller's code: nothing of ours is held or open meanwhile.
struct Outside(Noise);

impl Entropy for Outside {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        nothing_is_held();
        self.0.fill(bytes)
    }
}

fn nothing_is_held() {
    assert_eq!((OPEN.get(), HELD.get()), (0, 0));
}

#[test]
fn every_call_opens_its_door_and_shuts_it_and_runs_the_callers_code_outside() {
    let mut region = vec![MaybeUninit::uninit(); 20_000];
    let mut entropy = Outside(Noise(5));
    let arena = Arena::with_owner(&mut region[..], &mut entropy, Gated(Mutex::default())).unwrap();
    let arena = arena.with_fault_handler(|_: Fault| {});
    let doors = || {
        nothing_is_held();
        std::mem::take(&mut *arena.owner().0.lock().unwrap())
    };
    assert_eq!(doors(), [Door::Whole]);

    for len in [1, 64, 6000] {
        let buffer = Buffer::new(&arena, len).unwrap();
        assert_eq!(doors(), [Door::Allocate]);
        assert!(!buffer.constant_time_eq(b"other"));
        assert_eq!(doors(), [Door::Expose]);
        drop(buffer);
        assert_eq!(doors(), [Door::Allocate]);
    }
    assert!(Buffer::new(&arena, 100_000).is_err());
    assert_eq!(doors(), [Door::Allocate]);
    Buffer::wiping(&arena, &mut [1; 20]).unwrap().release().unwrap();
    assert_eq!(doors(), [Door::Allocate, Door::Expose, Door::Allocate]);
    drop(Buffer::random(&arena, 20));
    assert_eq!(doors(), [Door::Allocate, Door::Expose, Door::Random, Door::Allocate]);
    drop(Secret::<u64, _>::random(&arena));
    let random = [Door::Allocate, Door::Expose, Door::Random, Door::Expose, Door::Allocate];
    assert_eq!(doors(), random);
    Secret::build(&arena, |place| place.write(3_u8)).unwrap().release().unwrap();
    assert_eq!(doors(), [Door::Allocate, Door::Expose, Door::Expose, Door::Allocate]);

    let _ = (arena.stats(), arena.map().count());
    arena.find_faults(|_| nothing_is_held());
    assert!(doors().iter().all(|&door| door == Door::Inspect));
    arena.fill_random(&mut [0; 10]);
    arena.reseed(&mut entropy).unwrap();
    assert_eq!(doors(), [Door::Random; 2]);

    let enclave = Enclave::new(&arena).unwrap();
    assert!(doors().contains(&Door::Key));
    let sealed = enclave.seal(b"secret", b"", [0; Enclave::record_len(6)]).unwrap();
    assert_eq!(doors(), [Door::Key]);
    let opened = enclave.open(&sealed, b"").unwrap();
    assert_eq!(doors(), [Door::Allocate, Door::Expose, Door::Key]);
    let mut sealed = enclave.seal_in_place(opened, b"").map_err(|(_, error)| error).unwrap();
    assert_eq!(doors(), [Door::Expose, Door::Key]);
    drop(sealed.open(&enclave, b"").unwrap());
    assert_eq!(doors(), [Door::Expose, Door::Key, Door::Expose, Door::Key]);
    enclave.refresh();
    enclave.destroy();
    assert!(doors().contains(&Door::Key));
}

#[test]
fn found_faults_are_told_outside_the_gate() {
    let mut region = [MaybeUninit::uninit(); 4000];
    let mut entropy = Outside(Noise(6));
    let arena = Arena::with_owner(&mut region[..], &mut entropy, Gated(Mutex::default())).unwrap();
    let secret = Buffer::new(&arena, 64).unwrap();
    let behind = secret.expose_secret().as_ptr_range().end.cast_mut();
    // SAFETY: the canary behind the secret lies within the region.
    let found = unsafe { behind.read() };
    // SAFETY: nobody else uses the arena now.
    unsafe { behind.write(!found) };
    let mut faults = 0;
    arena.find_faults(|_| {
        nothing_is_held();
        faults += 1;
    });
    assert_eq!(faults, 1);
    secret.release().unwrap_err();
}

#[test]
fn an_owner_without_a_gate_costs_no_byte() {
    let mut region = [MaybeUninit::uninit(); 4000];
    let arena = Arena::with_owner(&mut region[..], &mut Noise(1), Spin::<1>).unwrap();
    assert!(size_of_val(&arena) <= 1024);
    assert_eq!(size_of_val(&Spin::<1>), 0);
    assert_eq!(size_of::<Buffer<'_>>(), 3 * size_of::<usize>());
}
