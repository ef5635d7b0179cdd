//! A counter of 64 bits that never goes back.

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64))]
pub(crate) use self::locked::Counter64;
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
pub(crate) use self::whole::Counter64;

#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
mod whole {
    use core::marker::PhantomData;
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;

    pub(crate) struct Counter64<L> {
        count: AtomicU64,
        /// What the other one needs.
        lock: PhantomData<L>,
    }

    impl<L> Counter64<L> {
        pub(crate) const fn new(start: u64) -> Self {
            Self { count: AtomicU64::new(start), lock: PhantomData }
        }

        /// The count so far; the next call's is one more.
        pub(crate) fn take(&self) -> u64 {
            self.count.fetch_add(1, Relaxed)
        }
    }
}

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64, test))]
mod locked {
    use crate::lock::{Lock, Mutex};

    /// The same behind a lock, where the machine cannot count so far in one go.
    pub(crate) struct Counter64<L>(Mutex<u64, L>);

    impl<L: Lock> Counter64<L> {
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
#[allow(unused_qualifications, reason = "without 64-bit atomics, the locked one is all there is")]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;
    use std::vec::Vec;

    use super::*;
    use crate::lock::SpinLock;
    use crate::testing::rounds;

    #[test]
    fn no_number_is_taken_twice() {
        let used = Counter64::<SpinLock>::new(7);
        let locked = locked::Counter64::<SpinLock>::new(7);
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
