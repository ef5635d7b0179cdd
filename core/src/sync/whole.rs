//! Eight bytes at a time, where the machine can.

use core::sync::atomic::Ordering::{Acquire, Release};

use super::AtomicU64;

/// Eight bytes of shared memory. Who loads a value sees all that was written before it was stored,
/// and comes after that store itself, so may then read the bytes plainly.
#[repr(transparent)]
pub(crate) struct Shared64(AtomicU64);

impl Shared64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64) {
        self.0.store(value, Release);
    }
}
