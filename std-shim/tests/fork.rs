//! What a forked child finds in place of its parent's locked pages.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;

use strongroom::{ForkView, LockError, LockedPages, page_size};
use support::kernel::{address, locked_bytes, move_in_at, read_at, readable};
use support::{alone, forked, sandbox};

mod support;

#[test]
fn a_child_sees_zeros_and_is_told() {
    alone("a_child_sees_zeros_and_is_told", || {
        let mut pages = secret_pages();
        assert!(!pages.is_inherited());
        let child = forked(|| {
            let inherited = pages.is_inherited();
            inherited && all_are(pages.as_region(), |_| 0) && locked_bytes() == 0
        });
        assert!(child.success(), "{child}");
        assert!(!pages.is_inherited());
        assert!(all_are(pages.as_region(), secret_byte), "the parent was harmed");
    });
}

#[test]
fn a_child_holds_no_copy_anywhere() {
    alone("a_child_holds_no_copy_anywhere", || {
        let pages = secret_pages();
        assert_eq!(copies(), 1, "the search does not find what is there");
        let child = forked(|| copies() == 0);
        assert!(child.success(), "{child}");
        drop(pages);
    });
}

#[test]
fn a_child_may_write_and_drop_what_it_inherited() {
    alone("a_child_may_write_and_drop_what_it_inherited", || {
        let mut pages = Some(secret_pages());
        let child = forked(|| {
            pages.as_mut().unwrap().as_region().fill(MaybeUninit::new(1));
            drop(pages.take());
            true
        });
        assert!(child.success(), "{child}");
        assert!(all_are(pages.unwrap().as_region(), secret_byte), "the parent was harmed");
    });
}

#[test]
fn a_child_may_have_pages_of_its_own() {
    alone("a_child_may_have_pages_of_its_own", || {
        let parents = secret_pages();
        let child = forked(|| {
            let own = LockedPages::new(1).unwrap();
            let grandchild = forked(|| own.is_inherited() && parents.is_inherited());
            grandchild.success() && !own.is_inherited() && parents.is_inherited()
        });
        assert!(child.success(), "{child}");
    });
}

/// As on Linux before 4.14, and with memory that cannot be wiped on fork.
#[test]
fn without_wiping_the_pages_are_absent() {
    alone("without_wiping_the_pages_are_absent", || {
        let refused = Some(libc::MADV_WIPEONFORK);
        sandbox::refuse(libc::SYS_madvise, refused, libc::EINVAL).unwrap();
        let mut pages = Some(secret_pages());
        assert_eq!(pages.as_ref().unwrap().protections().fork_view, ForkView::Absent);
        let child = forked(|| {
            let mut inherited = pages.take().unwrap();
            let place = address(inherited.as_non_null());
            assert!(inherited.is_inherited() && inherited.as_region().is_empty());
            assert!(read_at(place).is_err(), "the pages are there");
            // Somebody else moves into the hole, and must survive the drop.
            assert!(move_in_at(place));
            drop(inherited);
            read_at(place).is_ok_and(|byte| byte == 7)
        });
        assert!(child.success(), "{child}");
        let mut pages = pages.unwrap();
        assert!(!pages.is_inherited());
        assert!(all_are(pages.as_region(), secret_byte), "the parent was harmed");
    });
}

#[test]
fn without_any_hiding_there_are_no_pages_unless_preferred() {
    alone("without_any_hiding_there_are_no_pages_unless_preferred", || {
        for advice in [libc::MADV_WIPEONFORK, libc::MADV_DONTFORK] {
            sandbox::refuse(libc::SYS_madvise, Some(advice), libc::EINVAL).unwrap();
        }
        let error = LockedPages::new(1).err().unwrap();
        let code = Some(libc::EINVAL);
        assert_eq!(error, LockError::Unsupported { call: "madvise(MADV_DONTFORK)", code });
        let pages = LockedPages::prefer_locked(1).unwrap();
        assert_eq!(pages.protections().fork_view, ForkView::Copied);
        assert!(!pages.protections().fork_hidden());
    });
}

/// Forks while other threads make and drop pages: no child hangs.
#[test]
fn forks_and_threads_go_together() {
    alone("forks_and_threads_go_together", || {
        let busy = || {
            for _ in 0..300 {
                drop(LockedPages::prefer_locked(1).unwrap());
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(busy)).collect();
            let pages = secret_pages();
            while threads.iter().any(|thread| !thread.is_finished()) {
                assert!(forked(|| pages.is_inherited()).success());
            }
        });
    });
}

fn secret_pages() -> LockedPages {
    let mut pages = LockedPages::new(2 * page_size()).unwrap();
    for (index, byte) in pages.as_region().iter_mut().enumerate() {
        byte.write(secret_byte(index));
    }
    pages
}

/// `SplitMix64`. Computed and never stored, so that a copy found is a copy of the pages.
fn secret_byte(index: usize) -> u8 {
    let mut mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 56) as u8 | 1
}

fn all_are(region: &[MaybeUninit<u8>], expected: impl Fn(usize) -> u8) -> bool {
    // SAFETY: the pages were written in full, or are zeros from the kernel.
    let byte = |byte: &MaybeUninit<u8>| unsafe { byte.assume_init() };
    !region.is_empty() && region.iter().enumerate().all(|(index, at)| byte(at) == expected(index))
}

/// How often the first bytes of the secret stand in this process's memory.
fn copies() -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; 1 << 16];
    let own = buffer.as_ptr_range();
    let own = own.start.addr() - SEARCHED..own.end.addr();
    let mut found = 0;
    for range in readable() {
        for place in range.clone().step_by(buffer.len() - SEARCHED) {
            let length = buffer.len().min(range.end - place);
            // Some of the kernel's own mappings cannot be read so.
            if memory.read_exact_at(&mut buffer[..length], place as u64).is_ok() {
                let at =
                    |start: &usize| is_copy(&buffer[*start..]) && !own.contains(&(place + start));
                found += (0..=length.saturating_sub(SEARCHED)).filter(at).count();
            }
        }
    }
    buffer.fill(0);
    black_box(&buffer);
    found
}

fn is_copy(bytes: &[u8]) -> bool {
    bytes.iter().take(SEARCHED).enumerate().all(|(index, &byte)| byte == secret_byte(index))
}

const SEARCHED: usize = 64;
