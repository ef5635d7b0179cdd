//! What threads remember, so that each finds room quickly and keeps out of the others' way.

use core::sync::atomic::Ordering::Relaxed;

use crate::classes::CLASSES;
use crate::sync::{AtomicBool, SharedU32};

/// What the threads of one slot know; in cache lines of its own, so that they do not slow the others
/// down. Threads that share a slot may lose a hint to each other, and are then slower, and no more.
#[repr(align(128))]
pub(super) struct Slot {
    /// The runs of each class that last had room.
    pub(super) recent: [Recent; CLASSES],
    /// The slot's own leaves are all in use.
    pub(super) zone_is_full: AtomicBool,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self { recent: [const { Recent::none() }; CLASSES], zone_is_full: AtomicBool::new(false) }
    }
}

/// First leaves of runs, latest first; or [`NO_HINT`].
pub(super) struct Recent([SharedU32; HINTS]);

impl Recent {
    const fn none() -> Self {
        Self([const { SharedU32::new(NO_HINT) }; HINTS])
    }

    #[inline]
    pub(super) fn first(&self) -> usize {
        self.0[0].load(Relaxed) as usize
    }

    #[inline]
    pub(super) fn push(&self, head: usize) {
        if self.first() != head {
            for index in (1..HINTS).rev() {
                self.0[index].store(self.0[index - 1].load(Relaxed), Relaxed);
            }
            self.0[0].store(narrow(head), Relaxed);
        }
    }

    /// Drops the first, gives the next, and so on.
    pub(super) fn rest(&self) -> impl Iterator<Item = usize> {
        core::iter::from_fn(|| {
            for index in 1..HINTS {
                self.0[index - 1].store(self.0[index].load(Relaxed), Relaxed);
            }
            self.0[HINTS - 1].store(NO_HINT, Relaxed);
            let head = self.0[0].load(Relaxed);
            (head != NO_HINT).then_some(head as usize)
        })
    }
}

/// A number for the calling thread, without asking an operating system: threads have their stacks
/// in different places. Two threads may share a number; they are then slower, and no more.
#[inline]
pub(super) fn slot() -> usize {
    let here = 0_u8;
    let place = (&raw const here).addr() >> STACK_LOG2;
    place.wrapping_mul(SPREAD) >> (usize::BITS - SLOTS.trailing_zeros())
}

#[expect(clippy::cast_possible_truncation, reason = "an arena has fewer than 2^25 leaves")]
#[inline]
fn narrow(leaf: usize) -> u32 {
    leaf as u32
}

const NO_HINT: u32 = u32::MAX;

/// How many runs with room are remembered for each class.
const HINTS: usize = 4;

/// How many kinds of thread the arena tells apart.
pub(super) const SLOTS: usize = 16;

/// Stacks are farther apart than this.
const STACK_LOG2: u32 = 16;

/// 2^BITS divided by the golden ratio: multiples of it spread evenly (Knuth, volume 3, 6.4).
#[expect(clippy::cast_possible_truncation, reason = "on 32 bits the lower half will do")]
const SPREAD: usize = 0x9e37_79b9_7f4a_7c15_u64 as usize | 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_latest_runs_are_remembered_each_once() {
        let recent = Recent::none();
        assert_eq!((recent.first(), recent.rest().count()), (NO_HINT as usize, 0));
        [1, 2, 3, 4, 5, 5].into_iter().for_each(|head| recent.push(head));
        assert_eq!(recent.first(), 5);
        assert_eq!(recent.rest().next(), Some(4));
        assert_eq!(recent.first(), 4, "what led to nothing is forgotten");
        recent.push(6);
        assert_eq!(recent.rest().collect::<Vec<_>>(), [4, 3, 2]);
        assert_eq!(recent.first(), NO_HINT as usize);
    }

    #[test]
    #[cfg_attr(miri, ignore = "the frames of an interpreter lie anywhere")]
    fn threads_spread_over_the_slots() {
        let all_there = Barrier::new(64);
        let slots: BTreeSet<usize> = thread::scope(|scope| {
            let here = || {
                all_there.wait();
                slot()
            };
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(here)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(slots.len() > SLOTS / 2 && slots.iter().all(|&slot| slot < SLOTS), "{slots:?}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "the frames of an interpreter lie anywhere")]
    fn a_thread_stays_in_its_slot() {
        let slots: BTreeSet<usize> = (0..100).map(slot_deeper).collect();
        assert!(slots.len() <= 2, "one end of so short a stack may lie elsewhere: {slots:?}");
    }

    /// The slot of the caller, seen from deeper in its stack.
    fn slot_deeper(calls: usize) -> usize {
        let frame = core::hint::black_box([calls; 8]);
        if frame[0] == 0 { slot() } else { slot_deeper(frame[1] - 1) }
    }
}
