//! Locked pages as the kernel sees them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::mem::MaybeUninit;

use strongroom::{ForkView, LockError, LockedPages, page_size};
use support::kernel::{address, flags_at, locked_bytes, locked_mappings, mappings};
use support::{alone, dies_of_segv, reached};

mod support;

#[test]
fn pages_are_zero_and_writable_from_end_to_end() {
    let mut pages = LockedPages::new(3 * page_size() - 1).unwrap();
    assert_eq!(pages.bytes(), 3 * page_size());
    let region = pages.as_region();
    assert_eq!(region.len(), 3 * page_size());
    // SAFETY: fresh pages are zero by promise, which is what is looked at.
    assert!(region.iter().all(|byte| unsafe { byte.assume_init() } == 0));
    region.fill(MaybeUninit::new(0xA5));
}

#[test]
fn the_kernel_confirms_each_protection() {
    let pages = LockedPages::new(page_size()).unwrap();
    let protections = pages.protections();
    assert!(protections.locked && protections.dump_excluded && protections.guarded);
    assert_eq!(protections.fork_view, ForkView::Zeroed);
    assert!(protections.fork_hidden());
    assert_eq!(pages.lock_refusal(), None);

    let data = address(pages.as_non_null());
    let (access, flags) = flags_at(data).unwrap();
    assert_eq!(access, "rw-p");
    for flag in ["lo", "dd", "wf"] {
        assert!(flags.iter().any(|found| found == flag), "{flag} is not in {flags:?}");
    }
    for guard in [data - 1, data - page_size(), data + page_size()] {
        let (access, flags) = flags_at(guard).unwrap();
        assert_eq!(access, "---p", "{guard:#x}");
        assert!(!flags.iter().any(|found| found == "lo"), "a guard is charged: {flags:?}");
    }
}

#[test]
fn only_the_data_is_charged_and_all_is_given_back() {
    alone("only_the_data_is_charged_and_all_is_given_back", || {
        // The first pages map the word that notices a fork, for good.
        drop(LockedPages::new(1).unwrap());
        let (start, mapped) = (locked_bytes(), mappings());
        for count in [1, 2, 16] {
            let bytes = count * page_size();
            let pages = LockedPages::new(bytes).unwrap();
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

#[test]
fn sizes_that_cannot_be_are_typed_errors() {
    for make in [LockedPages::new, LockedPages::prefer_locked] {
        assert_eq!(make(0).err(), Some(LockError::Zero));
        for bytes in [usize::MAX, usize::MAX - page_size(), isize::MAX.unsigned_abs()] {
            let error = make(bytes).err().unwrap();
            assert!(matches!(error, LockError::TooLarge { .. }), "{bytes}: {error}");
        }
        // Fits the arithmetic but no address space; of 32 bits' it would be a quarter.
        if cfg!(target_pointer_width = "32") {
            continue;
        }
        let error = make(isize::MAX.unsigned_abs() / 2).err().unwrap();
        assert!(matches!(error, LockError::OutOfMemory { .. }), "{error}");
    }
}

#[test]
fn touching_a_guard_ends_the_process() {
    let name = "touching_a_guard_ends_the_process";
    let bytes = 2 * page_size();
    let first = |pages: &LockedPages| pages.as_non_null().cast::<u8>().as_ptr();
    dies_of_segv(name, "read below", || {
        let pages = LockedPages::new(bytes).unwrap();
        reached();
        // SAFETY: none: this is the fault that the guard is there for.
        unsafe { first(&pages).wrapping_sub(1).read_volatile() };
    });
    dies_of_segv(name, "write below", || {
        let pages = LockedPages::new(bytes).unwrap();
        reached();
        // SAFETY: none: this is the fault that the guard is there for.
        unsafe { first(&pages).wrapping_sub(1).write_volatile(1) };
    });
    dies_of_segv(name, "read above", || {
        let pages = LockedPages::new(bytes).unwrap();
        reached();
        // SAFETY: none: this is the fault that the guard is there for.
        unsafe { first(&pages).wrapping_add(bytes).read_volatile() };
    });
    dies_of_segv(name, "write above", || {
        let pages = LockedPages::new(bytes).unwrap();
        reached();
        // SAFETY: none: this is the fault that the guard is there for.
        unsafe { first(&pages).wrapping_add(bytes).write_volatile(1) };
    });
}

/// What a library call and a thread may do: be sent, shared, moved.
#[test]
fn pages_go_to_other_threads() {
    let pages = LockedPages::new(1).unwrap();
    let pages = std::thread::spawn(move || {
        assert!(!pages.is_inherited());
        pages
    });
    assert!(!pages.join().unwrap().is_inherited());
}
