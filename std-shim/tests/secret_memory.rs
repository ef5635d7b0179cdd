//! Pages of secret memory, as the kernel, a forked child and a real limit see them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use strongroom::limits::{IpcLock, Limit, Limits, SecretMemory};
use strongroom::{Backing, ForkView, LockError, LockedPages, Policy, Trial, page_size};
use support::kernel::{
    address, flags_at, locked_bytes, locked_mappings, mappings, move_in_at, read_at,
};
use support::{Confinement, User, alone, confined, dies_of_segv, forked, reached, sandbox, skip};

mod support;

#[test]
fn the_kernel_confirms_each_protection() {
    let Some(mut pages) = secret(page_size()) else { return };
    let protections = pages.protections();
    assert!(protections.secret_memory && protections.locked && protections.dump_excluded);
    assert!(protections.guarded);
    assert_eq!(protections.fork_view, ForkView::Absent);
    assert_eq!((pages.lock_refusal(), pages.secret_memory_refusal()), (None, None));

    let data = address(pages.as_non_null());
    let (access, flags) = flags_at(data).unwrap();
    assert_eq!(access, "rw-s");
    is_charged(&pages);
    for flag in ["dd", "dc"] {
        assert!(flags.iter().any(|found| found == flag), "{flag} is not in {flags:?}");
    }
    for guard in [data - 1, data - page_size(), data + page_size()] {
        let (access, flags) = flags_at(guard).unwrap();
        assert_eq!(access, "---p", "{guard:#x}");
        assert!(!flags.iter().any(|found| found == "lo"), "a guard is charged: {flags:?}");
    }
    // SAFETY: fresh pages are zero by promise, which is what is looked at.
    assert!(pages.as_region().iter().all(|byte| unsafe { byte.assume_init() } == 0));
}

/// Like locked pages: no page is still to come when it is written to.
#[test]
fn every_page_is_there_from_the_start() {
    let bytes = 5 * page_size();
    let Some(pages) = secret(bytes) else { return };
    assert_eq!(resident_at(address(pages.as_non_null())), Some(bytes));
}

/// The bytes in memory of the mapping that begins at `address`.
fn resident_at(address: usize) -> Option<usize> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{address:08x}-");
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let kibibytes = lines.find_map(|line| line.strip_prefix("Rss:"))?.trim().strip_suffix("kB")?;
    Some(kibibytes.trim().parse::<usize>().ok()? * 1024)
}

/// As root reads another process, `/proc/PID/mem`.
#[test]
fn nobody_reads_it_through_the_kernel() {
    let Some(mut secret) = secret(1) else { return };
    let mut locked = LockedPages::prefer_locked(1).unwrap();
    for pages in [&mut secret, &mut locked] {
        pages.as_region().fill(MaybeUninit::new(7));
    }
    assert_eq!(read_at(address(locked.as_non_null())).unwrap(), 7);
    assert!(read_at(address(secret.as_non_null())).is_err(), "it can be read");
}

/// It is used in place: from a file, and into a pipe.
#[test]
fn ordinary_calls_read_and_write_it() {
    let Some(mut pages) = secret(64) else { return };
    let region = pages.as_region();
    region.fill(MaybeUninit::new(0));
    // SAFETY: the region was written in full, just now.
    let bytes = unsafe { region.assume_init_mut() };
    File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    let (mut out, mut into) = std::io::pipe().unwrap();
    into.write_all(&bytes[..64]).unwrap();
    let mut copy = [0; 64];
    out.read_exact(&mut copy).unwrap();
    assert_eq!(copy, bytes[..64]);
    assert_ne!(copy, [0; 64]);
}

#[test]
fn only_the_data_is_charged_and_all_is_given_back() {
    alone("only_the_data_is_charged_and_all_is_given_back", || {
        // The first pages map the word that notices a fork, for good.
        let Some(first) = secret(1) else { return };
        if !is_charged(&first) {
            return;
        }
        drop(first);
        let (start, mapped, files) = (locked_bytes(), mappings(), open_files());
        for count in [1, 2, 16] {
            let bytes = count * page_size();
            let pages = secret(bytes).unwrap();
            assert_eq!((pages.bytes(), open_files()), (bytes, files));
            assert_eq!(locked_bytes(), start + bytes as u64);
            assert!(mappings() <= mapped + 3, "{} from {mapped}", mappings());
            let data = address(pages.as_non_null());
            drop(pages);
            assert_eq!((locked_bytes(), mappings()), (start, mapped));
            // An allocator may have the place since.
            assert!(locked_mappings().iter().all(|pages| !pages.contains(&data)));
        }
    });
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn touching_a_guard_ends_the_process() {
    if secret(1).is_none() {
        return;
    }
    let bytes = 2 * page_size();
    for (case, offset) in [("below", -1), ("above", isize::try_from(bytes).unwrap())] {
        dies_of_segv("touching_a_guard_ends_the_process", case, || {
            let pages = secret(bytes).unwrap();
            reached();
            let first = pages.as_non_null().cast::<u8>().as_ptr();
            // SAFETY: none: this is the fault that the guard is there for.
            unsafe { first.wrapping_offset(offset).write_volatile(1) };
        });
    }
}

#[test]
fn it_meets_the_same_limit() {
    let page = page_size() as u64;
    for user in [User::Same, User::Nobody] {
        for limit in [page, page + 904, 16_384, 65_536] {
            confined("it_meets_the_same_limit", Confinement::of(limit, user), || {
                if is_confined() {
                    fill_up(limit / page * page, limit);
                }
            });
        }
    }
}

fn fill_up(available: u64, limit: u64) {
    let Some(all) = secret(usize::try_from(available).unwrap()) else { return };
    if !is_charged(&all) {
        return;
    }
    assert_eq!(locked_bytes(), available);
    let mapped = mappings();
    for backing in [Backing::SecretMemory, Backing::PreferSecretMemory] {
        let error = LockedPages::with(1, Policy::Require, backing).err().unwrap();
        let LockError::LimitReached { locked, limit: said, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((*locked, *said), (Some(available), limit), "{error}");
        assert_eq!((locked_bytes(), mappings()), (available, mapped), "a failure left something");
    }
    let neither = LockedPages::with(1, Policy::Prefer, Backing::SecretMemory).unwrap();
    assert!(!neither.protections().locked && !neither.protections().secret_memory);
    let refusals = [neither.lock_refusal(), neither.secret_memory_refusal()];
    assert!(refusals.iter().all(|r| matches!(r, Some(LockError::LimitReached { .. }))));
    drop((all, neither));
    assert_eq!(locked_bytes(), 0);
}

#[test]
fn under_a_limit_of_zero_there_is_none() {
    let confinement = Confinement::of(0, User::Same);
    confined("under_a_limit_of_zero_there_is_none", confinement, || {
        if !is_confined() || LockedPages::try_secret_memory() != Trial::Granted {
            return;
        }
        let error = LockedPages::with(1, Policy::Require, Backing::SecretMemory).err().unwrap();
        assert!(matches!(error, LockError::NotPermitted { limit: Limit::Bytes(0), .. }), "{error}");
    });
}

/// Before Linux 5.14, and where it takes `secretmem.enable=1`: this asks the kernel itself, if it is one of
/// those.
#[test]
fn a_kernel_that_gives_none_says_so() {
    let state = Limits::read().secret_memory;
    if !matches!(state, SecretMemory::SwitchedOff | SecretMemory::Absent) {
        return skip("a kernel without secret memory", &format!("here it is {state}"));
    }
    let reason = LockError::Unsupported { call: "memfd_secret", code: Some(libc::ENOSYS) };
    let required = LockedPages::with(1, Policy::Require, Backing::SecretMemory);
    assert_eq!(required.err(), Some(reason.clone()));
    assert!(matches!(LockedPages::try_secret_memory(), Trial::Refused(_)));
    let pages = LockedPages::with(1, Policy::Require, Backing::PreferSecretMemory).unwrap();
    assert!(pages.protections().locked && !pages.protections().secret_memory);
    assert_eq!(pages.secret_memory_refusal(), Some(&reason));
}

/// As on an older kernel, under valgrind, or in a container that forbids it.
#[test]
fn without_it_there_are_locked_pages_and_a_reason() {
    alone("without_it_there_are_locked_pages_and_a_reason", || {
        for code in [libc::EPERM, libc::ENOSYS] {
            sandbox::refuse(libc::SYS_memfd_secret, None, code).unwrap();
            let reason = LockError::Unsupported { call: "memfd_secret", code: Some(code) };
            let required = LockedPages::with(1, Policy::Require, Backing::SecretMemory);
            assert_eq!(required.err(), Some(reason.clone()));
            assert!(reason.to_string().contains("memfd_secret"), "{reason}");
            assert!(matches!(LockedPages::try_secret_memory(), Trial::Refused(_)));
            for (policy, backing) in [
                (Policy::Require, Backing::PreferSecretMemory),
                (Policy::Prefer, Backing::PreferSecretMemory),
                (Policy::Prefer, Backing::SecretMemory),
            ] {
                let pages = LockedPages::with(1, policy, backing).unwrap();
                assert!(pages.protections().locked && !pages.protections().secret_memory);
                assert_eq!(pages.protections().fork_view, ForkView::Zeroed);
                assert_eq!(pages.secret_memory_refusal(), Some(&reason));
            }
        }
    });
}

#[test]
fn a_child_finds_a_hole_and_may_drop_it() {
    alone("a_child_finds_a_hole_and_may_drop_it", || {
        let Some(pages) = secret(1) else { return };
        let mut pages = Some(pages);
        pages.as_mut().unwrap().as_region().fill(MaybeUninit::new(7));
        let child = forked(|| {
            let mut inherited = pages.take().unwrap();
            let place = address(inherited.as_non_null());
            assert!(inherited.is_inherited() && inherited.as_region().is_empty());
            assert!(secret_mappings() == 0 && flags_at(place).is_none());
            // Somebody else moves into the hole, and must survive the drop.
            assert!(move_in_at(place));
            drop(inherited);
            // It may have secret memory of its own.
            let own = secret(1).unwrap();
            read_at(place).is_ok_and(|byte| byte == 7) && !own.is_inherited()
        });
        assert!(child.success(), "{child}");
        let region = pages.as_mut().unwrap().as_region();
        // SAFETY: the pages were written in full.
        assert!(region.iter().all(|byte| unsafe { byte.assume_init() } == 7), "harmed");
    });
}

/// Secret memory is shared until it is hidden: no fork may fall in between.
#[test]
fn a_child_of_a_busy_parent_shares_none() {
    alone("a_child_of_a_busy_parent_shares_none", || {
        if secret(1).is_none() {
            return;
        }
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        drop(secret(1));
                    }
                });
            }
            let shared = (0..300).filter(|_| !forked(|| secret_mappings() == 0).success()).count();
            over.store(true, Ordering::Relaxed);
            assert_eq!(shared, 0, "children that share secret memory");
        });
    });
}

/// The mappings and open files of this process that are secret memory.
fn secret_mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    let links = links.filter(|link| link.to_string_lossy().contains("secretmem")).count();
    maps.matches("/secretmem").count() + links
}

/// Says why and gives `None` where there is no secret memory.
fn secret(bytes: usize) -> Option<LockedPages> {
    match LockedPages::with(bytes, Policy::Require, Backing::SecretMemory) {
        Ok(pages) => Some(pages),
        Err(error @ LockError::Unsupported { .. }) => {
            skip("secret memory", &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether the kernel calls it locked and charges it to the limit, as is written (`memfd_secret(2)`). Debian's
/// 6.12 does not.
fn is_charged(pages: &LockedPages) -> bool {
    let (_, flags) = flags_at(address(pages.as_non_null())).unwrap();
    let charged = flags.iter().any(|flag| flag == "lo");
    if !charged {
        skip("the limit", "this kernel does not charge secret memory to it");
    }
    charged
}

fn is_confined() -> bool {
    let confined = Limits::read().ipc_lock != IpcLock::InEffect;
    if !confined {
        skip("limits", "CAP_IPC_LOCK cannot be given up here");
    }
    confined
}
