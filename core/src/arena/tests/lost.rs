//! An arena whose memory is lost.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::vec;
use std::vec::Vec;

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::enclave::{Enclave, Sealed};
use crate::error::{AllocateError, EntropyError, OpenError, SealError};
use crate::lock::{Lock, SpinLock};
use crate::owner::{Door, Lost, Owner};
use crate::region::Region;
use crate::secret::Secret;
use crate::shards::Shards;
use crate::testing::{Counting, Shelf};
use crate::vec::SecretVec;

std::thread_local! {
    static MAY_LOCK: Cell<bool> = const { Cell::new(true) };
}

/// A lock that must not be taken any more, as if its holder had stayed behind.
struct Watched(SpinLock);

// SAFETY: it is the other lock.
unsafe impl Lock for Watched {
    const UNLOCKED: Self = Self(SpinLock::UNLOCKED);

    fn acquire(&self) {
        assert!(MAY_LOCK.get(), "a lock was taken");
        self.0.acquire();
    }

    unsafe fn release(&self) {
        // SAFETY: the contract is the same.
        unsafe { self.0.release() };
    }
}

/// What is lost, and how often it is still said that nothing is.
#[derive(Default)]
struct Loser(AtomicU8, AtomicU8);

impl Loser {
    fn lose(&self, lost: Lost) {
        self.0.store(if lost == Lost::Memory { 2 } else { 1 }, Relaxed);
        MAY_LOCK.set(false);
    }
}

impl Owner for Loser {
    const MAY_BE_LOST: bool = true;

    type Lock = Watched;
    type Shards = Shards<1>;
    type Window<'o> = ();

    fn open(&self, _: Door) {}

    fn lost(&self) -> Option<Lost> {
        if self.1.fetch_update(Relaxed, Relaxed, |grace| grace.checked_sub(1)).is_ok() {
            return None;
        }
        [None, Some(Lost::Contents), Some(Lost::Memory)][usize::from(self.0.load(Relaxed))]
    }
}

struct Stubborn(#[expect(dead_code, reason = "a value needs some place")] u64);

impl Drop for Stubborn {
    fn drop(&mut self) {
        panic!("a value was dropped that is not there");
    }
}

/// Miri sees memory that is touched after it is gone; elsewhere it would be another's.
#[test]
fn what_is_lost_is_let_alone() {
    for lost in [Lost::Contents, Lost::Memory] {
        MAY_LOCK.set(true);
        let bytes: Box<[MaybeUninit<u8>]> = vec![MaybeUninit::uninit(); 24 * 1024].into();
        let bytes = NonNull::from(Box::leak(bytes));
        // SAFETY: the bytes are this arena's alone until it is told that they are lost.
        let region = unsafe { Region::from_raw(bytes.cast(), bytes.len()) };
        let arena = Arena::with_owner(region, &mut Counting(1), Loser::default()).unwrap();
        let enclave = Enclave::new(&arena).unwrap();
        let sealed = enclave.seal(b"hunter2", b"", [0; Enclave::record_len(7)]).unwrap();
        let short = Buffer::wiping(&arena, &mut [7; 32]).unwrap();
        let mut block = Buffer::wiping(&arena, &mut [7; 5000]).unwrap();
        let mut in_place = enclave.seal_in_place(Buffer::new(&arena, 9).unwrap(), b"").unwrap();
        let value = Secret::build(&arena, |place| place.write(Stubborn(7))).unwrap();
        let released = Secret::build(&arena, |place| place.write(Stubborn(7))).unwrap();
        let mut words = SecretVec::<u64, _>::with_capacity(&arena, 4).unwrap();
        words.push(7).unwrap();

        // SAFETY: the arena does not use them once it is told.
        unsafe { bytes.cast::<u8>().write_bytes(0, bytes.len()) };
        arena.owner().lose(lost);
        if lost == Lost::Memory {
            // SAFETY: they were leaked, and nobody uses them any more.
            drop(unsafe { Box::from_raw(bytes.as_ptr()) });
        }

        let there = if lost == Lost::Memory { 0 } else { 32 };
        assert_eq!(short.expose_secret()[..], [0; 32][..there]);
        assert!(!short.constant_time_eq(&[7; 32]));
        block.expose_secret_mut().fill(0);
        assert!(words.expose_secret().iter().all(|&word| word == 0));
        words.truncate(0);
        assert_eq!(words.reserve(100), Err(AllocateError::Lost));
        assert_eq!(Buffer::random(&arena, 8).unwrap_err(), AllocateError::Lost);
        assert_eq!(Secret::<u8, _>::zeroed(&arena).unwrap_err(), AllocateError::Lost);
        assert_eq!(Enclave::new(&arena).unwrap_err(), AllocateError::Lost);
        let stats = arena.stats();
        assert_eq!((stats.live, stats.used, stats.faults, arena.verify()), (0, 0, 0, Ok(())));
        assert_eq!(arena.map().count(), 1);
        arena.reclaim();
        assert_eq!(arena.reseed(&mut Counting(1)), Err(EntropyError));
        let drawn = catch_unwind(AssertUnwindSafe(|| arena.fill_random(&mut [0; 8])));
        assert_eq!(arena.try_fill_random(&mut [0; 8]), Err(EntropyError));
        let exposed = catch_unwind(AssertUnwindSafe(|| drop(value.expose_secret())));
        assert!(drawn.is_err() && exposed.is_err());
        assert_eq!(enclave.open(&sealed, b"").unwrap_err(), OpenError::Destroyed);
        let storage = [0; Enclave::record_len(1)];
        assert_eq!(enclave.seal(b"1", b"", storage).unwrap_err(), SealError::Destroyed);
        assert_eq!(in_place.open(&enclave, b"").unwrap_err(), OpenError::Destroyed);
        assert_eq!(enclave.renew(&mut Counting(1)), Err(EntropyError));
        enclave.refresh();
        enclave.destroy();
        assert!(enclave.is_destroyed());
        assert_eq!((released.release(), short.release()), (Ok(()), Ok(())));
        drop((block, in_place, value, words, enclave));
        drop(arena);
        if lost == Lost::Contents {
            // SAFETY: they were leaked, and the arena is gone.
            let bytes = unsafe { Box::from_raw(bytes.as_ptr()) };
            // SAFETY: they were written when they were lost.
            assert!(bytes.iter().all(|byte| unsafe { byte.assume_init() } == 0));
        }
    }
    MAY_LOCK.set(true);
}

/// As if another thread had wiped all of it in the middle of the release.
#[test]
fn what_is_lost_while_it_is_released_is_no_damage() {
    MAY_LOCK.set(true);
    let mut region = vec![MaybeUninit::<u8>::uninit(); 24 * 1024];
    let bytes = NonNull::from(&mut region[..]);
    // SAFETY: the bytes are this arena's alone until they are lost.
    let region = unsafe { Region::from_raw(bytes.cast(), bytes.len()) };
    let arena = Arena::with_owner(region, &mut Counting(1), Loser::default()).unwrap();
    let secrets = [32, 5000].map(|len| Buffer::new(&arena, len).unwrap());
    let dropped = [32, 5000].map(|len| Buffer::new(&arena, len).unwrap());
    // SAFETY: nobody else looks at the region now.
    unsafe { bytes.cast::<u8>().write_bytes(0, bytes.len()) };
    arena.owner().0.store(1, Relaxed);
    for secret in secrets {
        arena.owner().1.store(1, Relaxed);
        assert_eq!(secret.release(), Ok(()));
    }
    for secret in dropped {
        arena.owner().1.store(1, Relaxed);
        drop(secret);
    }
    assert_eq!(arena.faults.load(Relaxed), 0);
}

/// Wipes its region while a door is opened, after it was said that nothing is lost: as another thread may.
struct Wiper {
    at: Cell<Option<Door>>,
    region: NonNull<[MaybeUninit<u8>]>,
    wiped_from: Cell<usize>,
    is_wiped: Cell<bool>,
}

// SAFETY: one thread uses it.
unsafe impl Send for Wiper {}
// SAFETY: as above.
unsafe impl Sync for Wiper {}

impl Owner for Wiper {
    const MAY_BE_LOST: bool = true;

    type Lock = SpinLock;
    type Shards = Shards<1>;
    type Window<'o> = ();

    fn open(&self, door: Door) {
        if self.at.get() == Some(door) {
            self.is_wiped.set(true);
            let from = self.wiped_from.get();
            let start = self.region.as_ptr().cast::<u8>().wrapping_add(from);
            // SAFETY: the region is there as long as its arena, is longer, and nobody looks at it now.
            unsafe { start.write_bytes(0, self.region.len() - from) };
        }
    }

    fn lost(&self) -> Option<Lost> {
        self.is_wiped.get().then_some(Lost::Contents)
    }
}

/// Has `work` done with an arena that is wiped when `work` comes to that door.
fn wiped_at<T>(
    door: Door,
    work: impl for<'a> FnOnce(&'a Arena<'_, Wiper>, &mut Enclave<'a, Wiper>, &dyn Fn()) -> T,
) -> T {
    let mut region = vec![MaybeUninit::<u8>::uninit(); 24 * 1024];
    let bytes = NonNull::from(&mut region[..]);
    let (at, wiped_from, is_wiped) = (Cell::new(None), Cell::new(0), Cell::new(false));
    let wiper = Wiper { at, region: bytes, wiped_from, is_wiped };
    // SAFETY: the bytes are this arena's alone until they are wiped.
    let region = unsafe { Region::from_raw(bytes.cast(), bytes.len()) };
    let arena = Arena::with_owner(region, &mut Counting(1), wiper).unwrap();
    let mut enclave = Enclave::new(&arena).unwrap();
    let done = work(&arena, &mut enclave, &|| arena.owner().at.set(Some(door)));
    assert!(arena.owner().is_wiped.get(), "it has not come to {door:?}");
    done
}

#[test]
#[cfg_attr(miri, ignore = "an emergency wipes what others hold: by the letter, nobody may")]
fn a_generator_that_is_wiped_meanwhile_gives_nothing() {
    type Call = fn(&Arena<'_, Wiper>) -> Result<(), AllocateError>;
    const CALLS: [Call; 3] = [
        |arena| Enclave::new(arena).map(drop),
        |arena| Buffer::random(arena, 9).map(drop),
        |arena| Secret::<u32, _>::random(arena).map(drop),
    ];

    let drawn = wiped_at(Door::Random, |arena, _, begin| {
        let mut bytes = [7; 70];
        begin();
        (arena.try_fill_random(&mut bytes), bytes)
    });
    assert_eq!(drawn, (Err(EntropyError), [0; 70]), "anybody could compute what it would give");
    for call in CALLS {
        let made = wiped_at(Door::Random, |arena, _, begin| {
            begin();
            call(arena)
        });
        assert_eq!(made, Err(AllocateError::Lost));
    }
    let renewed = wiped_at(Door::Random, |_, enclave, begin| {
        begin();
        enclave.refresh();
        enclave.renew(&mut Counting(2))
    });
    assert_eq!(renewed, Err(EntropyError));
}

/// In the arena's memory or beside it, a key of zeros would seal as well.
#[test]
#[cfg_attr(miri, ignore = "an emergency wipes what others hold: by the letter, nobody may")]
fn nothing_is_sealed_or_opened_with_a_key_that_is_wiped_meanwhile() {
    type Call = fn(&Enclave<'_, Wiper>, &Sealed<Vec<u8>>) -> Result<(), OpenError>;
    const CALLS: [Call; 3] = [
        |enclave, sealed| enclave.open(sealed, b"").map(drop),
        |enclave, sealed| enclave.open_into(sealed, b"", &mut [0; 7]),
        |enclave, sealed| enclave.authenticate(sealed, b""),
    ];

    static SHELF: LazyLock<Shelf> = LazyLock::new(Shelf::default);
    for keeper in [None, Some(&*SHELF)] {
        let (sealed, record) = wiped_at(Door::Key, |_, enclave, begin| {
            keeper.into_iter().for_each(|keeper| enclave.keep_share_with(keeper).unwrap());
            let mut record = [5; Enclave::record_len(7)];
            begin();
            (enclave.seal(b"hunter2", b"", &mut record).map(drop), record)
        });
        assert_eq!((sealed, record), (Err(SealError::Destroyed), [5; Enclave::record_len(7)]));
        for call in CALLS {
            let opened = wiped_at(Door::Key, |_, enclave, begin| {
                keeper.into_iter().for_each(|keeper| enclave.keep_share_with(keeper).unwrap());
                let record = vec![0; Enclave::record_len(7)];
                let sealed = enclave.seal(b"hunter2", b"", record).unwrap();
                begin();
                call(enclave, &sealed)
            });
            assert_eq!(opened, Err(OpenError::Destroyed));
        }
    }
}

#[test]
fn what_is_wiped_while_it_is_looked_at_is_no_damage() {
    let looks: [fn(&Arena<'_, Wiper>) -> bool; 2] = [
        |arena| arena.verify().is_ok(),
        |arena| {
            let mut found = 0;
            arena.find_faults(|_| found += 1);
            found == 0
        },
    ];
    for look in looks {
        assert!(wiped_at(Door::Inspect, |arena, _, begin| {
            // The bookkeeping is not wiped yet.
            arena.owner().wiped_from.set(arena.region_len() - arena.capacity());
            let _secrets = [(); 200].map(|()| Buffer::new(arena, 64).unwrap());
            begin();
            look(arena) && arena.stats().faults == 0
        }));
    }
}
