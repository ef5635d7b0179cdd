//! The ordinary heaps, whose memory is not locked: the floor.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use mimalloc::MiMalloc;

use super::{Raw, Store};

/// `malloc` and `free` of the C library, with `explicit_bzero`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glibc;

impl Store for Glibc {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        // SAFETY: `malloc` may be called with any size.
        let start = unsafe { libc::malloc(len) };
        Some(Raw { start: NonNull::new(start.cast())?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: the secret is live and its owner's.
        unsafe { secret.wipe() };
        // SAFETY: it came from `malloc` and is given up.
        unsafe { libc::free(secret.start.as_ptr().cast()) };
    }
}

/// mimalloc, with `explicit_bzero`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mimalloc;

impl Store for Mimalloc {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        // SAFETY: the layout is not of size zero.
        let start = unsafe { MiMalloc.alloc(layout(len)) };
        Some(Raw { start: NonNull::new(start)?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: the secret is live and its owner's.
        unsafe { secret.wipe() };
        // SAFETY: it was allocated here for this layout and is given up.
        unsafe { MiMalloc.dealloc(secret.start.as_ptr(), layout(secret.len)) };
    }
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: 8 is a power of two, and what is measured is far from `isize::MAX` bytes long.
    unsafe { Layout::from_size_align_unchecked(len, 8) }
}
