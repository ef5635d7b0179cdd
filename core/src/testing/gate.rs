//! Memory behind a real gate: whatever touches it while no window is open ends the process.

use core::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use crate::lock::SpinLock;
use crate::owner::{Door, Owner};
use crate::region::Region;
use crate::shards::Shards;

/// Pages of memory, shut at first. Shared by the owners of what is made in them.
pub(crate) struct Pages {
    begin: NonNull<u8>,
    len: usize,
    /// How many windows are open, of all threads: pages are open for all or for none.
    windows: Mutex<usize>,
}

// SAFETY: the memory is used through regions and windows, whose owners see to threads.
unsafe impl Sync for Pages {}

/// The owner of memory in such pages.
pub(crate) struct Gated<'p>(pub(crate) &'p Pages);

/// Keeps the pages open.
pub(crate) struct Window<'p>(&'p Pages);

impl Pages {
    pub(crate) fn new(len: usize) -> Self {
        let Some(begin) = NonNull::new(map(len)) else { panic!("there is no memory") };
        Self { begin, len, windows: Mutex::new(0) }
    }

    /// Their memory.
    ///
    /// # Safety
    /// It is made once.
    pub(crate) unsafe fn region(&self) -> Region<'_> {
        // SAFETY: it is mapped as long as the pages live, and nobody else has it, as is promised.
        unsafe { Region::from_raw(self.begin, self.len) }
    }

    fn protect(&self, protection: i32) {
        // The interpreter has no such protection.
        if !cfg!(miri) {
            // SAFETY: the mapping is this one's, and what may be done to it is what is to be tried.
            let done = unsafe { libc::mprotect(self.begin.as_ptr().cast(), self.len, protection) };
            assert_eq!(done, 0, "the protection cannot be changed");
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: regions borrow the pages, so nobody has this memory any more.
        unsafe { libc::munmap(self.begin.as_ptr().cast(), self.len) };
    }
}

/// Memory of its own, shut.
fn map(len: usize) -> *mut u8 {
    let access = if cfg!(miri) { OPEN } else { libc::PROT_NONE };
    let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: memory of its own, at an address of the system's choice.
    let begin = unsafe { libc::mmap(null_mut(), len, access, kind, -1, 0) };
    assert_ne!(begin, libc::MAP_FAILED, "there is no memory");
    begin.cast()
}

const OPEN: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl<'p> Owner for Gated<'p> {
    type Lock = SpinLock;
    type Shards = Shards<16>;
    type Window<'o>
        = Window<'p>
    where
        Self: 'o;

    fn open(&self, _: Door) -> Window<'p> {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if *windows == 0 {
            self.0.protect(OPEN);
        }
        *windows += 1;
        Window(self.0)
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        *windows -= 1;
        if *windows == 0 {
            self.0.protect(libc::PROT_NONE);
        }
    }
}
