//! Words shared between threads; the one place that names `spin`.
//!
//! Machines without atomic operations on 64 bits (thumbv7em, riscv32) make do with 32. The flag
//! `--cfg strongroom_no_atomic_64` lets any machine make do, so that the tests can run through it.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32 as SharedU32, AtomicUsize};
pub(crate) use spin::Mutex;

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64, test))]
mod halves;
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
mod whole;

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64))]
pub(crate) use self::halves::{Counter64, Shared64};
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
pub(crate) use self::whole::{Counter64, Shared64};

#[cfg(test)]
#[allow(unused_qualifications, reason = "without 64-bit atomics, halves are all there is")]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;
    use std::vec::Vec;

    use super::*;
    use crate::testing::rounds;

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

    const TAKEN: u64 = rounds(4000, 80) as u64;
}
