//! Numbers of 64 bits, none of which is given out twice.
//!
//! They count up from a start, at first from 0. [`renew`](Numbers::renew) goes on from another start,
//! which is random: then nobody who has a copy of them, in a machine that was cloned, gives out the
//! same ones.

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64))]
pub(crate) use self::locked::Numbers;
#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
pub(crate) use self::whole::Numbers;

/// How many are given out from one start.
pub(crate) const MOST: u64 = 1 << 48;

#[cfg(all(target_has_atomic = "64", not(strongroom_no_atomic_64)))]
mod whole {
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;

    use super::MOST;
    use crate::lock::{Lock, Mutex};

    pub(crate) struct Numbers<L> {
        next: AtomicU64,
        start: AtomicU64,
        /// Held while both are changed.
        renewing: Mutex<(), L>,
    }

    impl<L: Lock> Numbers<L> {
        pub(crate) const fn new() -> Self {
            let (next, start) = (AtomicU64::new(0), AtomicU64::new(0));
            Self { next, start, renewing: Mutex::new(()) }
        }

        /// A number that was not given out before; `None` if there are no more from this start.
        pub(crate) fn take(&self) -> Option<u64> {
            self.take_unlocked().or_else(|| {
                // It may be that the start is the new one already and the number an old one.
                let _unchanged = self.renewing.lock();
                self.take_unlocked()
            })
        }

        fn take_unlocked(&self) -> Option<u64> {
            let start = self.start.load(Relaxed);
            let number = self.next.fetch_add(1, Relaxed);
            // So far from 2^64 that no number of threads that are refused could get round to it.
            (number.wrapping_sub(start) < MOST).then_some(number)
        }

        /// Goes on from `start`.
        pub(crate) fn renew(&self, start: u64) {
            let _alone = self.renewing.lock();
            self.start.store(start, Relaxed);
            self.next.store(start, Relaxed);
        }

        /// Leaves one number.
        #[cfg(test)]
        pub(crate) fn use_up(&self) {
            self.next.store(self.start.load(Relaxed).wrapping_add(MOST - 1), Relaxed);
        }
    }
}

#[cfg(any(not(target_has_atomic = "64"), strongroom_no_atomic_64, test))]
mod locked {
    use super::MOST;
    use crate::lock::{Lock, Mutex};

    /// The same behind a lock, where the machine cannot count so far in one go.
    pub(crate) struct Numbers<L>(Mutex<Counting, L>);

    struct Counting {
        next: u64,
        start: u64,
    }

    impl<L: Lock> Numbers<L> {
        pub(crate) const fn new() -> Self {
            Self(Mutex::new(Counting { next: 0, start: 0 }))
        }

        pub(crate) fn take(&self) -> Option<u64> {
            let mut counting = self.0.lock();
            let number = counting.next;
            let is_left = number.wrapping_sub(counting.start) < MOST;
            counting.next = number.wrapping_add(u64::from(is_left));
            is_left.then_some(number)
        }

        pub(crate) fn renew(&self, start: u64) {
            *self.0.lock() = Counting { next: start, start };
        }

        /// Leaves one number.
        #[cfg(test)]
        pub(crate) fn use_up(&self) {
            let mut counting = self.0.lock();
            counting.next = counting.start.wrapping_add(MOST - 1);
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
        let used = Numbers::<SpinLock>::new();
        let locked = locked::Numbers::<SpinLock>::new();
        assert_eq!(taken(|| used.take()), (0..TAKEN).collect());
        assert_eq!(taken(|| locked.take()), (0..TAKEN).collect());
        assert_eq!((used.take(), locked.take()), (Some(TAKEN), Some(TAKEN)));
    }

    #[test]
    fn another_start_is_gone_on_from_and_back_through_zero() {
        let (used, locked) = (Numbers::<SpinLock>::new(), locked::Numbers::<SpinLock>::new());
        for start in [7, u64::MAX, 1 << 63] {
            used.renew(start);
            locked.renew(start);
            for number in [start, start.wrapping_add(1)] {
                assert_eq!((used.take(), locked.take()), (Some(number), Some(number)));
            }
        }
    }

    #[test]
    fn numbers_come_to_an_end_and_begin_again() {
        let locked = locked::Numbers::<SpinLock>::new();
        locked.use_up();
        let used = Numbers::<SpinLock>::new();
        used.use_up();
        assert_eq!((used.take(), locked.take()), (Some(MOST - 1), Some(MOST - 1)));
        for _ in 0..3 {
            assert_eq!((used.take(), locked.take()), (None, None));
        }
        used.renew(3);
        locked.renew(3);
        assert_eq!((used.take(), locked.take()), (Some(3), Some(3)));
    }

    #[test]
    fn nobody_is_refused_while_the_start_changes() {
        let used = Numbers::<SpinLock>::new();
        let (rounds, starts) = (rounds(20_000, 40), rounds(2000, 10) as u64);
        let taken = thread::scope(|scope| {
            let some = || (0..rounds).map(|_| used.take().unwrap()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(some)).collect();
            (1..starts).for_each(|start| used.renew(start << 50));
            let all = threads.into_iter().flat_map(|thread| thread.join().unwrap());
            all.collect::<BTreeSet<_>>()
        });
        assert_eq!(taken.len(), 3 * rounds, "a number was taken twice");
    }

    fn taken(take: impl Fn() -> Option<u64> + Sync) -> BTreeSet<u64> {
        let some = || (0..TAKEN / 4).map(|_| take().unwrap()).collect::<Vec<_>>();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    const TAKEN: u64 = rounds(4000, 80) as u64;
}
