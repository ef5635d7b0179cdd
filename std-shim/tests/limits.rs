//! Locking at real limits: as root without the capability, as nobody, and in a user namespace.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use strongroom::limits::{self, IpcLock, Limit, Limits, Resource, Swap};
use strongroom::{Backing, LockError, LockedPages, Policy, Trial, Vault, VaultError, page_size};
use support::kernel::{self, locked_bytes, map_a_page};
use support::{Confinement, User, alone, alone_in, confined, forked, sandbox, skip};

mod support;

#[test]
fn exactly_what_is_available_can_be_locked() {
    let name = "exactly_what_is_available_can_be_locked";
    let page = page_size() as u64;
    for user in USERS {
        for limit in [page, page + 904, 16_384, 65_536, 1 << 20] {
            confined(name, Confinement::of(limit, user), || {
                if is_confined(limit) {
                    let available = limit / page * page;
                    assert_eq!(Limits::read().available(), Limit::Bytes(available));
                    fill_up(usize::try_from(available).unwrap(), limit);
                }
            });
        }
    }
}

/// All of it at once, then page by page.
fn fill_up(available: usize, limit: u64) {
    let whole = LockedPages::new(available).unwrap();
    assert!(whole.protections().locked);
    assert_eq!(locked_bytes(), available as u64);
    assert_eq!(Limits::read().available(), Limit::Bytes(0));
    refused_beyond(available as u64, limit);
    drop(whole);
    assert_eq!(locked_bytes(), 0);

    let pages = (0..available / page_size()).map(|_| LockedPages::new(1).unwrap());
    let pages: Vec<_> = pages.collect();
    refused_beyond(available as u64, limit);
    drop(pages);
    assert_eq!(locked_bytes(), 0);
}

fn refused_beyond(held: u64, limit: u64) {
    let error = LockedPages::new(1).err().unwrap();
    let LockError::LimitReached { locked, limit: said, requested, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*locked, *said, *requested), (Some(held), limit, page_size() as u64), "{error}");
    assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
    assert_eq!(locked_bytes(), held, "a failure stays charged");
}

#[test]
fn under_a_limit_of_zero_nothing_can_be_locked() {
    let name = "under_a_limit_of_zero_nothing_can_be_locked";
    for user in USERS {
        confined(name, Confinement::of(0, user), || {
            if !is_confined(0) {
                return;
            }
            let error = LockedPages::new(1).err().unwrap();
            assert!(
                matches!(error, LockError::NotPermitted { limit: Limit::Bytes(0), .. }),
                "{error}"
            );
            assert!(error.to_string().contains("RLIMIT_MEMLOCK is 0 bytes"), "{error}");
            preferred_says_why(&error);
        });
    }
}

fn preferred_says_why(error: &LockError) {
    let mut pages = LockedPages::prefer_locked(1).unwrap();
    assert_eq!(pages.lock_refusal(), Some(error));
    let protections = pages.protections();
    assert!(!protections.locked && protections.guarded && protections.dump_excluded);
    assert!(protections.fork_hidden());
    assert_eq!(pages.as_region().len(), page_size());
    assert_eq!(locked_bytes(), 0);
}

#[test]
fn less_than_a_page_is_a_limit_too() {
    confined("less_than_a_page_is_a_limit_too", Confinement::of(100, User::Same), || {
        if is_confined(100) {
            assert_eq!(Limits::read().available(), Limit::Bytes(0));
            refused_beyond(0, 100);
        }
    });
}

#[test]
fn the_soft_limit_is_the_one_that_counts() {
    let page = page_size() as u64;
    let (soft, hard) = (2 * page, 16 * page);
    let confinement = Confinement { soft, hard, user: User::Same };
    confined("the_soft_limit_is_the_one_that_counts", confinement, || {
        if !is_confined(soft) {
            return;
        }
        let limits = Limits::read();
        assert_eq!((limits.soft, limits.hard), (Limit::Bytes(soft), Limit::Bytes(hard)));
        let error = LockedPages::new(2 * page_size() + 1).err().unwrap();
        let LockError::LimitReached { limit, .. } = error else { panic!("{error}") };
        assert_eq!(limit, soft);
        drop(LockedPages::new(2 * page_size()).unwrap());
    });
}

#[test]
fn the_soft_limit_is_raised_when_asked_and_not_before() {
    let page = page_size() as u64;
    let (soft, hard) = (2 * page, 16 * page);
    let confinement = Confinement { soft, hard, user: User::Nobody };
    confined("the_soft_limit_is_raised_when_asked_and_not_before", confinement, || {
        if !is_confined(soft) {
            return;
        }
        assert!(LockedPages::new(16 * page_size()).is_err());
        assert_eq!(Limits::read().soft, Limit::Bytes(soft));
        assert_eq!(limits::raise_soft_limit().unwrap(), Limit::Bytes(hard));
        assert_eq!(Limits::read().available(), Limit::Bytes(hard));
        drop(LockedPages::new(16 * page_size()).unwrap());
    });
}

/// What the system says of swap and dumps is read, whatever it is.
#[test]
fn the_surroundings_are_read_in_full() {
    let limits = Limits::read();
    assert_ne!(limits.core_limit, Limit::Unknown);
    assert_ne!(limits.swap, Swap::Unknown);
    assert!(limits.core_pattern.is_some() && limits.dumps_core().is_some());
    let text = limits.to_string();
    for fact in ["memory limit", "swap", "core dumps", "memfd_secret"] {
        assert!(text.lines().any(|line| line.starts_with(fact)), "{fact}: {text}");
    }
}

/// The kernel looks for the capability in the initial user namespace only.
#[test]
fn a_capability_in_a_user_namespace_does_not_count() {
    let name = "a_capability_in_a_user_namespace_does_not_count";
    let page = page_size() as u64;
    confined(name, Confinement::of(page, User::Namespaced), || {
        assert_eq!(Limits::read().ipc_lock, IpcLock::Namespaced);
        assert_eq!(Limits::read().available(), Limit::Bytes(page));
        let error = LockedPages::new(page_size() + 1).err().unwrap();
        assert!(error.to_string().contains("user namespace"), "{error}");
    });
}

/// Capabilities belong to threads, and it is the thread that asks that will lock.
#[test]
fn a_capability_is_looked_for_in_the_calling_thread() {
    if Limits::read().ipc_lock != IpcLock::InEffect {
        return skip("capability", "this process has none to give up");
    }
    let other = thread::spawn(|| {
        kernel::give_up_capabilities().unwrap();
        Limits::read().ipc_lock
    });
    assert_eq!(other.join().unwrap(), IpcLock::Absent);
    assert_eq!(Limits::read().ipc_lock, IpcLock::InEffect);
}

/// As the kernel counts, locks of all threads meet the same limit.
#[test]
fn threads_that_race_get_pages_or_numbers() {
    let name = "threads_that_race_get_pages_or_numbers";
    confined(name, Confinement::of(65_536, User::Same), || {
        if !is_confined(65_536) {
            return;
        }
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        race();
                    }
                });
            }
        });
        assert_eq!(locked_bytes(), 0);
    });
}

fn race() {
    match LockedPages::new(16_384) {
        Ok(_pages) => assert!(locked_bytes() <= 65_536),
        Err(LockError::LimitReached { limit: 65_536, requested: 16_384, .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Every mapping the kernel grants is taken; then a few are given back, one by one.
#[test]
fn exhausted_mappings_are_told_from_the_lock_limit() {
    alone("exhausted_mappings_are_told_from_the_lock_limit", || {
        drop(LockedPages::prefer_locked(1).unwrap());
        let limit = Limits::read().mappings_limit.unwrap();
        if limit > 300_000 {
            return skip("mappings", "vm.max_map_count is too high to be reached quickly");
        }
        let spare = take_all_mappings();
        let start = locked_bytes();
        let mut refused = 0;
        for page in spare {
            match LockedPages::new(1) {
                Err(LockError::MappingsReached { limit: said, .. }) => {
                    assert_eq!(said, limit);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
                Ok(_) => break,
            }
            assert_eq!(locked_bytes(), start, "a failure stays charged");
            // SAFETY: the page was mapped for this and is used by nobody.
            unsafe { libc::munmap(page.as_ptr().cast(), 4096) };
        }
        assert!((1..10).contains(&refused), "{refused}");
    });
}

/// Neighbours differ in their rights, so that each page is a mapping.
fn take_all_mappings() -> Vec<std::ptr::NonNull<u8>> {
    let mut pages = Vec::with_capacity(1 << 20);
    for rights in [libc::PROT_READ, libc::PROT_NONE].into_iter().cycle() {
        let Some(page) = map_a_page(rights) else {
            break;
        };
        pages.push(page);
    }
    pages.split_off(pages.len() - 16)
}

#[test]
fn limits_on_mapped_memory_are_told_from_the_lock_limit() {
    let name = "limits_on_mapped_memory_are_told_from_the_lock_limit";
    for resource in [Resource::AddressSpace, Resource::Data] {
        alone_in(name, &resource.to_string(), || {
            kernel::limit(resource, 1 << 29);
            let error = LockedPages::new(1 << 30).err().unwrap();
            let LockError::ResourceReached { resource: named, quota, requested, remedy } = &error
            else {
                panic!("{error}");
            };
            assert_eq!((*named, quota.limit), (resource, Limit::Bytes(1 << 29)));
            assert_eq!(*requested, (1 << 30) + 2 * page_size() as u64);
            assert!(remedy.to_string().contains(&resource.to_string()), "{error}");
            // As it was said beforehand; and what fits is not refused.
            assert_eq!(Limits::read().remedy(1 << 30).as_ref(), Some(remedy));
            assert_eq!(Limits::read().remedy(65_536), None);
            assert!(LockedPages::new(65_536).is_ok());
        });
    }
}

/// A child of its own, so that no other test's files come and go.
#[test]
fn want_of_descriptors_is_named() {
    alone("want_of_descriptors_is_named", || {
        if LockedPages::try_secret_memory() != Trial::Granted {
            return skip("descriptors", "there is no secret memory here");
        }
        kernel::limit(Resource::Descriptors, 0);
        let error = LockedPages::with(1, Policy::Require, Backing::SecretMemory).err().unwrap();
        assert!(matches!(error, LockError::ResourceReached { .. }), "{error}");
        assert!(error.to_string().contains("raise RLIMIT_NOFILE"), "{error}");
        // Neither is there /proc then; what is told is above what is set all the same.
        let remedy = Limits::read().remedy(1 << 40);
        assert!(remedy.is_none_or(|remedy| !remedy.to_string().contains(" 64`")));
    });
}

/// After `mlockall(MCL_FUTURE)` it is `mmap` that meets the limit, with another code.
#[test]
fn a_process_that_locks_everything_meets_the_limit_in_mmap() {
    let name = "a_process_that_locks_everything_meets_the_limit_in_mmap";
    confined(name, Confinement::of(1 << 20, User::Same), || {
        if !is_confined(1 << 20) {
            return;
        }
        kernel::lock_everything_from_now_on().unwrap();
        // The first pages map the word that notices a fork, for good.
        drop(LockedPages::new(1).unwrap());
        let start = locked_bytes();
        let error = LockedPages::new(1 << 20).err().unwrap();
        assert!(matches!(error, LockError::LimitReached { limit: 0x10_0000, .. }), "{error}");
        assert_eq!(locked_bytes(), start, "a failure stays charged");
        let pages = LockedPages::new(65_536).unwrap();
        assert_eq!(locked_bytes() - start, 65_536, "guards stay charged");
        drop(pages);
        // What would fit without its guards.
        let left = (1 << 20) - usize::try_from(locked_bytes()).unwrap();
        let error = LockedPages::new(left).err().unwrap();
        let LockError::LimitReached { requested, .. } = &error else { panic!("{error}") };
        assert_eq!(*requested, (left + 2 * page_size()) as u64, "guards are charged");
        assert!(LockedPages::new(left - 2 * page_size()).is_ok());
    });
}

#[test]
fn a_sandbox_that_forbids_locking_is_named() {
    // Many container engines' filters say that there is no such call.
    for (name, errno) in [("EPERM", libc::EPERM), ("ENOSYS", libc::ENOSYS)] {
        alone_in("a_sandbox_that_forbids_locking_is_named", name, || {
            sandbox::refuse(libc::SYS_mlock, None, errno).unwrap();
            let error = LockedPages::new(1).err().unwrap();
            assert!(matches!(error, LockError::NotPermitted { .. }), "{error}");
            assert!(error.to_string().contains("sandbox"), "{error}");
            preferred_says_why(&error);
        });
    }
}

/// Neither is its own a cause, nor the limit of zero that the capability lifts.
#[test]
fn a_sandbox_is_told_from_a_limit_of_zero() {
    let name = "a_sandbox_is_told_from_a_limit_of_zero";
    alone(name, || {
        kernel::limit_locks(0, 0).unwrap();
        if Limits::read().ipc_lock != IpcLock::InEffect {
            return skip("capability", "this process has none");
        }
        assert!(LockedPages::new(1).is_ok(), "the capability lifts the limit");
        sandbox::refuse(libc::SYS_mlock, None, libc::EPERM).unwrap();
        let error = LockedPages::new(1).err().unwrap();
        assert!(error.to_string().contains("sandbox"), "{error}");
        assert!(!error.to_string().contains("RLIMIT"), "{error}");
    });
}

#[test]
fn what_a_filter_does_is_found_out_by_trying() {
    let name = "what_a_filter_does_is_found_out_by_trying";
    alone_in(name, "nothing", || {
        assert_eq!(LockedPages::try_lock(20_000), Trial::Granted);
        assert_eq!(locked_bytes(), 0);
        assert!(matches!(LockedPages::try_lock(0), Trial::Refused(LockError::Zero)));
    });
    alone_in(name, "refuses", || {
        sandbox::refuse(libc::SYS_mlock, None, libc::EPERM).unwrap();
        let Trial::Refused(error) = LockedPages::try_lock(1) else { panic!("granted") };
        assert_eq!(Some(error), LockedPages::new(1).err());
    });
    alone_in(name, "kills", || {
        sandbox::kill(libc::SYS_mlock).unwrap();
        let trial = LockedPages::try_lock(1);
        assert!(matches!(trial, Trial::Killed { signal: libc::SIGSYS, .. }), "{trial}");
        assert!(trial.to_string().contains("allow the mlock system call"), "{trial}");
    });
    confined(name, Confinement::of(16_384, User::Same), || {
        if is_confined(16_384) {
            assert_eq!(LockedPages::try_lock(16_384), Trial::Granted);
            let Trial::Refused(error) = LockedPages::try_lock(16_385) else { panic!("granted") };
            assert_eq!(Some(error), LockedPages::new(16_385).err());
        }
    });
}

/// Another part of the process may do that, and nobody tells.
#[test]
fn what_was_unlocked_is_found_out() {
    alone("what_was_unlocked_is_found_out", || {
        let (pages, vault) = (LockedPages::new(20_000).unwrap(), Vault::new(65_536).unwrap());
        assert_eq!((pages.unlocked_bytes(), vault.unlocked_bytes()), (Some(0), Some(0)));
        assert_eq!((vault.metrics().locked, vault.metrics().unlocked), (65_536, Some(0)));
        kernel::unlock_everything().unwrap();
        assert_eq!(pages.unlocked_bytes(), Some(pages.bytes()));
        assert_eq!(vault.unlocked_bytes(), Some(65_536));
        assert_eq!((vault.metrics().locked, vault.metrics().unlocked), (0, Some(65_536)));
        // Secret memory does not mind.
        let secret = LockedPages::with(1, Policy::Require, Backing::SecretMemory);
        if let Ok(secret) = secret {
            kernel::unlock_everything().unwrap();
            assert_eq!(secret.unlocked_bytes(), Some(0));
        }
        let child = forked(|| pages.unlocked_bytes().is_none() && vault.unlocked_bytes().is_none());
        assert!(child.success());
        sandbox::refuse(libc::SYS_msync, None, libc::EPERM).unwrap();
        assert_eq!((pages.unlocked_bytes(), vault.unlocked_bytes()), (None, None));
    });
}

#[test]
fn want_of_entropy_is_no_small_budget() {
    alone("want_of_entropy_is_no_small_budget", || {
        // What the process draws for itself, once.
        drop(std::collections::HashMap::<u8, u8>::new());
        sandbox::refuse(libc::SYS_getrandom, None, libc::EPERM).unwrap();
        let error = Vault::new(65_536).err().unwrap();
        assert!(matches!(error, VaultError::NoEntropy), "{error}");
        assert!(error.to_string().contains("random bytes"), "{error}");
        assert_eq!(locked_bytes(), 0);
    });
}

/// `unwrap`, and a `main` that returns an error, print no more than that.
#[test]
fn what_is_printed_for_debugging_is_the_sentence() {
    let name = "what_is_printed_for_debugging_is_the_sentence";
    confined(name, Confinement::of(16_384, User::Same), || {
        if is_confined(16_384) {
            let error = Vault::new(65_536).err().unwrap();
            assert_eq!(format!("{error:?}"), error.to_string());
            assert!(format!("{error:?}").starts_with("locked 0 of 16,384 bytes; 65,536 more"));
        }
    });
}

#[test]
fn a_system_without_the_call_is_unsupported() {
    alone("a_system_without_the_call_is_unsupported", || {
        sandbox::refuse(libc::SYS_madvise, Some(libc::MADV_DONTDUMP), libc::EINVAL).unwrap();
        let call = "madvise(MADV_DONTDUMP)";
        let error = LockedPages::new(1).err().unwrap();
        assert_eq!(error, LockError::Unsupported { call, code: Some(libc::EINVAL) });
        assert!(!LockedPages::prefer_locked(1).unwrap().protections().dump_excluded);
    });
}

/// Whether the limit holds here. A user who can keep the capability is not confined.
fn is_confined(limit: u64) -> bool {
    let limits = Limits::read();
    assert_eq!(limits.soft, Limit::Bytes(limit));
    assert_eq!(limits.locked, Some(0));
    if limits.ipc_lock == IpcLock::InEffect {
        skip("limits", "CAP_IPC_LOCK cannot be given up here");
        return false;
    }
    true
}

const USERS: [User; 2] = [User::Same, User::Nobody];
