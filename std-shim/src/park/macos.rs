//! The lock on macOS: `os_unfair_lock`, which lends a waiter's priority to the holder.

use std::fmt::{self, Debug, Formatter};

use strongroom_core::Lock;

use crate::sys::UnfairLock;

/// The lock of [`Park`](crate::Park).
pub struct ParkLock(UnfairLock);

// SAFETY: it is the system's lock, which keeps others out and orders memory.
unsafe impl Lock for ParkLock {
    const UNLOCKED: Self = Self(UnfairLock::UNLOCKED);

    #[inline]
    fn acquire(&self) {
        self.0.lock();
    }

    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the lock is held (contract).
        unsafe { self.0.unlock() };
    }
}

impl Debug for ParkLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkLock").finish_non_exhaustive()
    }
}
