//! Words shared between threads; the one place that names `spin`.
//!
//! Machines without atomic operations on 64 bits (thumbv7em, riscv32) make do with 32. The flag
//! `--cfg strongroom_no_atomic_64` lets any machine make do, so that the tests can run through it.

#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
use core::sync::atomic::AtomicU64;
#[cfg(not(feature = "portable-atomic"))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32 as SharedU32, AtomicUsize};
#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic::{AtomicBool, AtomicU8, AtomicU32 as SharedU32, AtomicUsize};

/// For what is loaded and stored and no more, which every machine can.
pub(crate) use core::sync::atomic::AtomicUsize as PlainWord;
pub(crate) use core::sync::atomic::fence;
pub(crate) use spin::mutex::SpinMutex;

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64, test))]
mod halves;
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
mod whole;

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64))]
pub(crate) use self::halves::Shared64;
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
pub(crate) use self::whole::Shared64;

#[cfg(test)]
#[allow(unused_qualifications, reason = "without 64-bit atomics, halves are all there is")]
mod tests {
    use super::*;

    #[test]
    fn halves_keep_every_bit() {
        let word = halves::Shared64::new(u64::MAX);
        assert_eq!((align_of_val(&word), size_of_val(&word)), (8, size_of::<Shared64>()));
        assert_eq!(word.load(), u64::MAX);
        for bit in 0..64 {
            word.store(1 << bit);
            assert_eq!(word.load(), 1 << bit);
        }
    }
}
