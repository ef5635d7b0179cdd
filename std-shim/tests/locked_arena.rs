//! Locked pages and their arena as one value: in structs, threads and statics, in each order of drops,
//! in forked children, after an emergency, and where there is too little.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, OnceLock};
use std::thread;

use strongroom::strongroom_core::{AllocateError, Buffer, Secret};
use strongroom::{
    LockError, LockedArena, LockedArenaError, LockedOwner, LockedPages, LostArena, OwnedBuffer,
    page_size, wipe_all,
};
use support::alone;

mod support;

/// A struct of a secret and its arena, which no lifetime binds.
struct Signer {
    arena: Arc<LockedArena>,
    key: OwnedBuffer,
}

impl Signer {
    fn new() -> Self {
        let arena = Arc::new(LockedArena::new(BYTES).unwrap());
        let mut key = arena.buffer(32).unwrap();
        key.expose_secret_mut().fill(7);
        Self { arena, key }
    }
}

#[test]
fn it_stands_in_a_struct_and_is_used_from_threads() {
    fn is_free<T: Send + Sync + 'static>() {}
    is_free::<LockedArena>();
    is_free::<OwnedBuffer<u64>>();

    let signers = [Signer::new(), Signer::new()];
    let keys = thread::spawn(move || {
        thread::scope(|scope| {
            for signer in &signers {
                let make = move || {
                    for len in 1..200 {
                        let arena = signer.arena.arena().unwrap();
                        let random = Buffer::random(arena, len).unwrap();
                        let owned = signer.arena.buffer::<u64>(len).unwrap();
                        assert!(owned.expose_secret().iter().all(|&word| word == 0));
                        assert_eq!((random.len(), owned.len()), (len, len));
                    }
                };
                scope.spawn(make);
                scope.spawn(make);
            }
        });
        signers.map(|signer| signer.key)
    });
    for key in keys.join().unwrap() {
        let arena = key.arena().arena().unwrap();
        assert_eq!((arena.stats().live, arena.verify()), (1, Ok(())));
        assert!(key.constant_time_eq(&[7; 32]) && !key.is_empty());
        assert_eq!(format!("{key:?}"), "OwnedBuffer { len: 32, .. }");
    }
}

#[test]
fn it_stays_in_a_static() {
    static ARENA: OnceLock<LockedArena> = OnceLock::new();
    static KEY: OnceLock<Buffer<'static, LockedOwner>> = OnceLock::new();
    let arena = ARENA.get_or_init(|| LockedArena::new(BYTES).unwrap());
    KEY.get_or_init(|| Buffer::random(arena.arena().unwrap(), 32).unwrap());
    thread::spawn(|| assert_eq!(KEY.get().unwrap().len(), 32)).join().unwrap();
    assert!(arena.pages().protections().locked);
}

/// Moving it moves no arena: secrets are made before and after.
#[test]
fn it_moves_between_owners() {
    let arena = LockedArena::new(BYTES).unwrap();
    std::mem::forget(Buffer::wiping(arena.arena().unwrap(), &mut [7; 32]).unwrap());
    let boxed = Box::new(arena);
    assert_eq!(boxed.arena().unwrap().stats().live, 1);
    let moved = thread::spawn(move || *boxed).join().unwrap();
    assert_eq!(Secret::<u64, _>::random(moved.arena().unwrap()).map(|_| ()), Ok(()));
    assert_eq!(moved.arena().unwrap().verify(), Ok(()));
    drop(moved);
}

#[test]
fn every_order_of_drops() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let arena = Arc::new(LockedArena::new(BYTES).unwrap());
        let short = arena.buffer::<u8>(32).unwrap();
        let block = arena.buffer::<u64>(700).unwrap();
        let parts: [Box<dyn Send>; 3] = [Box::new(arena), Box::new(short), Box::new(block)];
        let mut parts = parts.map(Some);
        for index in order {
            let part = parts[index].take();
            thread::spawn(move || drop(part)).join().unwrap();
        }
    }
}

#[test]
fn tiny_sizes_give_an_arena_or_an_error() {
    for bytes in [1, 100, page_size(), page_size() + 1] {
        let arena = LockedArena::new(bytes).unwrap();
        assert_eq!(arena.pages().bytes(), bytes.next_multiple_of(page_size()));
        let arena = arena.arena().unwrap();
        assert_eq!(Buffer::random(arena, 32).unwrap().len(), 32);
    }
    let error = LockedArena::new(0).unwrap_err();
    assert!(matches!(error, LockedArenaError::Lock(LockError::Zero)), "{error}");
    let error = LockedArena::new(usize::MAX).unwrap_err();
    assert!(matches!(error, LockedArenaError::Lock(LockError::TooLarge { .. })), "{error}");
}

#[test]
fn pages_that_are_there_already_will_do() {
    let mut pages = LockedPages::prefer_locked(BYTES).unwrap();
    for byte in pages.as_region() {
        byte.write(0xA5);
    }
    let locked = LockedArena::of_pages(pages).unwrap();
    assert_eq!(locked.arena().unwrap().verify(), Ok(()));
    let shown = format!("{locked:?}");
    assert_eq!(shown, format!("LockedArena {{ bytes: {BYTES}, .. }}"));
}

#[test]
fn an_emergency_wipes_it_and_nothing_is_reported() {
    alone("an_emergency_wipes_it_and_nothing_is_reported", || {
        let kept = Arc::new(
            LockedArena::new(BYTES).unwrap().with_fault_handler(|fault| panic!("{fault}")),
        );
        let gone = LockedArena::new(BYTES).unwrap();
        let arena = kept.arena().unwrap();
        let short = Buffer::wiping(arena, &mut [7; 32]).unwrap();
        let block = Buffer::wiping(arena, &mut [7; 5000]).unwrap();
        let value = Secret::build(arena, |place| place.write(Box::new(7))).unwrap();
        let owned = kept.buffer::<u8>(32).unwrap();
        drop(gone);
        wipe_all();
        assert_eq!(short.expose_secret(), [0; 32]);
        assert_eq!(block.expose_secret(), [0; 5000]);
        assert_eq!(kept.arena().unwrap_err(), LostArena::Wiped);
        assert_eq!(Buffer::new(arena, 8).unwrap_err(), AllocateError::Lost);
        assert_eq!(kept.buffer::<u8>(8).unwrap_err(), AllocateError::Lost);
        assert_eq!((arena.verify(), arena.stats().faults), (Ok(()), 0));
        assert_eq!((short.release(), value.release()), (Ok(()), Ok(())));
        let error = LockedArena::new(BYTES).unwrap_err();
        assert!(matches!(error, LockedArenaError::Lost(LostArena::Wiped)), "{error}");
        drop((block, owned));
        drop(kept);
    });
}

/// Damage is still damage as long as nothing was wiped.
#[test]
fn damage_is_told_to_the_handler() {
    static TOLD: OnceLock<strongroom::Fault> = OnceLock::new();
    let locked = LockedArena::new(BYTES).unwrap().with_fault_handler(|fault| {
        TOLD.get_or_init(|| fault);
    });
    let arena = locked.arena().unwrap();
    let layout = std::alloc::Layout::new::<[u8; 8]>();
    let secret = arena.allocate(layout).unwrap().cast::<[u8; 8]>();
    // SAFETY: the canary behind the secret is in the region.
    let canary = unsafe { secret.add(1) };
    // SAFETY: it is within the region, and nobody else looks at it now.
    unsafe { canary.write([1; 8]) };
    // SAFETY: it was allocated for this layout, and ends here.
    unsafe { arena.deallocate(secret.cast(), layout) };
    assert!(TOLD.get().is_some());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::ExitStatus;
    use std::sync::atomic::{AtomicBool, Ordering};

    use strongroom::strongroom_core::{Enclave, OpenError, SealError, SecretVec};
    use strongroom::{Backing, ForkView, Policy};

    use super::support::kernel::locked_bytes;
    use super::support::{Confinement, User, alone_in, confined, forked, sandbox};
    use super::*;

    fn of_backing(backing: Backing) -> LockedArena {
        let pages = LockedPages::with(16 * BYTES, Policy::Require, backing).unwrap();
        let locked = LockedArena::of_pages(pages).unwrap();
        locked.with_fault_handler(|fault| panic!("{fault}"))
    }

    /// Runs `body` for each kind of memory: zeros in a child, secret memory, and ordinary memory that is
    /// absent from a child.
    fn for_each_kind(name: &str, body: fn(LockedArena)) {
        alone_in(name, "zeroed", || {
            let locked = of_backing(Backing::Anonymous);
            assert_eq!(locked.pages().protections().fork_view, ForkView::Zeroed);
            body(locked);
        });
        alone_in(name, "secret", || body(of_backing(Backing::PreferSecretMemory)));
        alone_in(name, "absent", || {
            let advice = Some(libc::MADV_WIPEONFORK);
            sandbox::refuse(libc::SYS_madvise, advice, libc::EINVAL).unwrap();
            let locked = of_backing(Backing::Anonymous);
            assert_eq!(locked.pages().protections().fork_view, ForkView::Absent);
            body(locked);
        });
    }

    #[test]
    fn a_child_is_told_and_harms_nothing() {
        for_each_kind("linux::a_child_is_told_and_harms_nothing", |locked| {
            let is_absent = locked.pages().protections().fork_view == ForkView::Absent;
            let locked = Arc::new(locked);
            let mut owned =
                Some((locked.buffer::<u8>(32).unwrap(), locked.buffer::<u64>(700).unwrap()));
            let arena = locked.arena().unwrap();
            let enclave = Enclave::new(arena).unwrap();
            let sealed = enclave.seal(b"hunter2", b"", [0; Enclave::record_len(7)]).unwrap();
            let mut live = Some((
                Buffer::wiping(arena, &mut [7; 32]).unwrap(),
                Buffer::wiping(arena, &mut [7; 5000]).unwrap(),
                Secret::build(arena, |place| place.write(Box::new(7))).unwrap(),
            ));
            let mut words = SecretVec::<u64, _>::with_capacity(arena, 4).unwrap();
            words.push(7).unwrap();
            let child = forked(|| {
                let (short, block, value) = live.take().unwrap();
                let told = [
                    locked.arena().unwrap_err() == LostArena::Forked,
                    enclave
                        .seal(b"1", b"", [0; Enclave::record_len(1)])
                        .is_err_and(|error| error == SealError::Destroyed),
                    short.expose_secret().len() == if is_absent { 0 } else { 32 },
                    short.expose_secret().iter().all(|&byte| byte == 0),
                    !block.constant_time_eq(&[7; 5000]),
                    Buffer::new(arena, 8).is_err_and(|error| error == AllocateError::Lost),
                    locked.buffer::<u8>(8).is_err_and(|error| error == AllocateError::Lost),
                    enclave.open(&sealed, b"").is_err_and(|error| error == OpenError::Destroyed),
                    arena.verify().is_ok() && arena.stats().live == 0 && arena.map().count() == 1,
                    words.push(8).is_err() || !is_absent,
                    words.reserve(100) == Err(AllocateError::Lost),
                    // Last: what a panic maps may come to lie where the pages are absent.
                    catch_unwind(AssertUnwindSafe(|| drop(value.expose_secret()))).is_err(),
                    catch_unwind(AssertUnwindSafe(|| arena.fill_random(&mut [0; 8]))).is_err(),
                ];
                let is_released = short.release().is_ok();
                words.clear();
                drop((block, value, owned.take()));
                wipe_all();
                is_released && told.iter().all(|&told| told)
            });
            assert!(child.success(), "{child}");
            assert!(live.as_ref().unwrap().1.constant_time_eq(&[7; 5000]));
            assert_eq!(**live.as_ref().unwrap().2.expose_secret(), 7);
            drop((live, owned));
            assert_eq!(arena.verify(), Ok(()));
        });
    }

    /// The value itself, last share and all, and a new one in its place.
    #[test]
    fn a_child_may_drop_all_of_it_and_have_its_own() {
        for_each_kind("linux::a_child_may_drop_all_of_it_and_have_its_own", |locked| {
            let mut kept = Some(Arc::new(locked));
            let mut key = Some(kept.as_ref().unwrap().buffer::<u8>(32).unwrap());
            let child = forked(|| {
                drop(kept.take());
                drop(key.take());
                let own = LockedArena::new(BYTES).unwrap();
                let made = Buffer::random(own.arena().unwrap(), 32).is_ok();
                // The parent's cannot be made one of.
                made && forked(|| own.arena().unwrap_err() == LostArena::Forked).success()
            });
            assert!(child.success(), "{child}");
            assert_eq!(kept.unwrap().arena().unwrap().stats().live, 1);
        });
    }

    #[test]
    fn pages_of_the_parent_s_make_no_arena() {
        alone("linux::pages_of_the_parent_s_make_no_arena", || {
            for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
                let mut pages = LockedPages::with(BYTES, Policy::Require, backing).ok();
                let child = forked(|| {
                    let made = LockedArena::of_pages(pages.take().unwrap());
                    matches!(made, Err(LockedArenaError::Lost(LostArena::Forked)))
                });
                assert!(child.success(), "{child}");
            }
        });
    }

    /// A child in which the lock is held by nobody who could let go of it.
    #[test]
    fn a_child_waits_for_no_lock() {
        for_each_kind("linux::a_child_waits_for_no_lock", |locked| {
            let arena = locked.arena().unwrap();
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                // Holds the lock nearly all the time.
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        arena.verify().unwrap();
                    }
                });
                let children: Vec<_> = (0..40)
                    .map(|_| {
                        let mut live = Some((
                            Buffer::new(arena, 32).unwrap(),
                            Buffer::new(arena, 5000).unwrap(),
                        ));
                        forked(|| {
                            drop(live.take());
                            arena.reclaim();
                            let _ = (arena.stats(), Buffer::new(arena, 5000));
                            arena.verify().is_ok()
                        })
                    })
                    .collect();
                is_over.store(true, Ordering::Relaxed);
                assert!(children.iter().all(ExitStatus::success), "{children:?}");
            });
        });
    }

    #[test]
    fn too_small_a_limit_is_an_error_with_numbers() {
        let limit = 2 * page_size() as u64;
        let name = "linux::too_small_a_limit_is_an_error_with_numbers";
        confined(name, Confinement::of(limit, User::Nobody), || {
            let before = locked_bytes();
            let error = LockedArena::new(64 * page_size()).unwrap_err();
            let wanted = 64 * page_size() as u64;
            assert!(
                matches!(&error, LockedArenaError::Lock(LockError::LimitReached {
                    limit: reached, requested, ..
                }) if (*reached, *requested) == (limit, wanted)),
                "{error}"
            );
            assert_eq!(locked_bytes(), before);
            assert!(LockedArena::new(page_size()).is_ok());
            assert_eq!(locked_bytes(), before);
        });
    }
}

const BYTES: usize = 65_536;
