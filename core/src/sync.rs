//! Words shared between threads; the one place that names `spin`.

#[cfg(not(target_has_atomic = "64"))]
use core::sync::atomic::AtomicU32;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32 as SharedU32, AtomicUsize};
pub(crate) use spin::Mutex;

/// Eight bytes of shared memory that are read and written whole where the machine can, and in two
/// halves where it cannot. Loads and stores are ordered only by what surrounds them.
#[cfg(target_has_atomic = "64")]
#[repr(transparent)]
pub(crate) struct Shared64(AtomicU64);

#[cfg(target_has_atomic = "64")]
impl Shared64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

#[cfg(not(target_has_atomic = "64"))]
#[repr(C, align(8))]
pub(crate) struct Shared64([AtomicU32; 2]);

#[cfg(not(target_has_atomic = "64"))]
impl Shared64 {
    pub(crate) fn new(value: u64) -> Self {
        let word = Self([AtomicU32::new(0), AtomicU32::new(0)]);
        word.store(value);
        word
    }

    #[inline]
    pub(crate) fn load(&self) -> u64 {
        let [first, second] = &self.0;
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&first.load(Relaxed).to_ne_bytes());
        bytes[4..].copy_from_slice(&second.load(Relaxed).to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_ne_bytes();
        self.0[0].store(u32::from_ne_bytes([a, b, c, d]), Relaxed);
        self.0[1].store(u32::from_ne_bytes([e, f, g, h]), Relaxed);
    }
}

/// A counter that never goes back.
#[cfg(target_has_atomic = "64")]
pub(crate) struct Counter64(AtomicU64);

#[cfg(target_has_atomic = "64")]
impl Counter64 {
    pub(crate) const fn new(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }

    /// The count so far; the next call's is one more.
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

#[cfg(not(target_has_atomic = "64"))]
pub(crate) struct Counter64(Mutex<u64>);

#[cfg(not(target_has_atomic = "64"))]
impl Counter64 {
    pub(crate) const fn new(start: u64) -> Self {
        Self(Mutex::new(start))
    }

    pub(crate) fn take(&self) -> u64 {
        let mut count = self.0.lock();
        let before = *count;
        *count = before.wrapping_add(1);
        before
    }
}
