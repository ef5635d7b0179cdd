//! Pages are zero before they are unlocked and given back.
//!
//! This program's own `munlock` and `munmap` stand in front of the C library's and look first.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom::{LockedPages, page_size};

#[test]
fn pages_are_wiped_before_they_are_unlocked() {
    let mut pages = LockedPages::prefer_locked(2 * page_size()).unwrap();
    pages.as_region().fill(MaybeUninit::new(0xA5));
    WATCHED.store(pages.as_non_null().cast::<u8>().addr().get(), Ordering::Relaxed);
    drop(pages);
    assert_eq!(UNLOCKED.load(Ordering::Relaxed), 1, "munlock was not called once");
    assert_eq!(NOT_ZERO.load(Ordering::Relaxed), 0, "bytes were left");
    assert_eq!(UNMAPPED.load(Ordering::Relaxed), 1, "munmap was not called once, after");
}

/// In place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn munlock(address: *const c_void, length: usize) -> c_int {
    if address.addr() == WATCHED.load(Ordering::Relaxed) {
        // SAFETY: the pages are still mapped and readable, and nobody writes to them now.
        let bytes = unsafe { slice::from_raw_parts(address.cast::<u8>(), length) };
        NOT_ZERO.store(bytes.iter().filter(|&&byte| byte != 0).count(), Ordering::Relaxed);
        UNLOCKED.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: what the caller wanted.
    let status = unsafe { libc::syscall(libc::SYS_munlock, address, length) };
    c_int::try_from(status).unwrap_or(-1)
}

/// In place of the C library's. Other threads use it too.
#[unsafe(no_mangle)]
extern "C" fn munmap(address: *mut c_void, length: usize) -> c_int {
    let watched = WATCHED.load(Ordering::Relaxed);
    if (address.addr()..address.addr() + length).contains(&watched) {
        UNMAPPED.fetch_add(UNLOCKED.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    // SAFETY: what the caller wanted.
    let status = unsafe { libc::syscall(libc::SYS_munmap, address, length) };
    c_int::try_from(status).unwrap_or(-1)
}

static WATCHED: AtomicUsize = AtomicUsize::new(0);
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);
static UNMAPPED: AtomicUsize = AtomicUsize::new(0);
static NOT_ZERO: AtomicUsize = AtomicUsize::new(usize::MAX);
