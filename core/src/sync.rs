//! Words shared between threads; the one place that names `spin`.
//!
//! Machines without atomic operations on 64 bits (thumbv7em, riscv32) make do with 32. The flag
//! `--cfg strongroom_no_atomic_64` lets any machine make do, so that the tests can run through it.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32 as SharedU32, AtomicUsize};
pub(crate) use spin::Mutex;

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64))]
pub(crate) use self::halves::{Counter64, Shared64};
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
pub(crate) use self::whole::{Counter64, Shared64};

#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
mod whole {
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

    /// What fences order, the thread sanitizer does not see: for its sake the words order it.
    const LOAD: Ordering = if cfg!(strongroom_thread_sanitizer) { Acquire } else { Relaxed };
    const STORE: Ordering = if cfg!(strongroom_thread_sanitizer) { Release } else { Relaxed };

    /// Eight bytes of shared memory that are read and written whole where the machine can, and in
    /// two halves where it cannot. Loads and stores are ordered only by what surrounds them.
    #[repr(transparent)]
    pub(crate) struct Shared64(AtomicU64);

    impl Shared64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(AtomicU64::new(value))
        }

        #[inline]
        pub(crate) fn load(&self) -> u64 {
            self.0.load(LOAD)
        }

        #[inline]
        pub(crate) fn store(&self, value: u64) {
            self.0.store(value, STORE);
        }
    }

    /// A counter that never goes back.
    pub(crate) struct Counter64(AtomicU64);

    impl Counter64 {
        pub(crate) const fn new(start: u64) -> Self {
            Self(AtomicU64::new(start))
        }

        /// The count so far; the next call's is one more.
        pub(crate) fn take(&self) -> u64 {
            self.0.fetch_add(1, Relaxed)
        }
    }
}

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64, test))]
mod halves {
    use core::sync::atomic::AtomicU32;
    use core::sync::atomic::Ordering::Relaxed;

    use super::Mutex;

    /// As above, in two halves, in the order in which the bytes lie.
    #[repr(C, align(8))]
    pub(crate) struct Shared64([AtomicU32; 2]);

    impl Shared64 {
        pub(crate) fn new(value: u64) -> Self {
            let word = Self([AtomicU32::new(0), AtomicU32::new(0)]);
            word.store(value);
            word
        }

        #[inline]
        pub(crate) fn load(&self) -> u64 {
            let mut bytes = [0; 8];
            for (bytes, half) in bytes.as_chunks_mut().0.iter_mut().zip(&self.0) {
                *bytes = half.load(Relaxed).to_ne_bytes();
            }
            u64::from_ne_bytes(bytes)
        }

        #[inline]
        pub(crate) fn store(&self, value: u64) {
            for (bytes, half) in value.to_ne_bytes().as_chunks().0.iter().zip(&self.0) {
                half.store(u32::from_ne_bytes(*bytes), Relaxed);
            }
        }
    }

    /// As above, behind a lock.
    pub(crate) struct Counter64(Mutex<u64>);

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
}

#[cfg(test)]
#[allow(unused_qualifications, reason = "without 64-bit atomics, halves are all there is")]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;
    use std::vec::Vec;

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

    #[test]
    fn no_number_is_taken_twice() {
        let (used, locked) = (Counter64::new(7), halves::Counter64::new(7));
        assert_eq!(taken(|| used.take()), (7..7 + TAKEN).collect());
        assert_eq!(taken(|| locked.take()), (7..7 + TAKEN).collect());
        assert_eq!((used.take(), locked.take()), (7 + TAKEN, 7 + TAKEN));
    }

    fn taken(take: impl Fn() -> u64 + Sync) -> BTreeSet<u64> {
        let some = || (0..TAKEN / 4).map(|_| take()).collect::<Vec<_>>();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    const TAKEN: u64 = 4000;
}
