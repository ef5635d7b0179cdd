//! What threads remember, so that each finds room quickly and keeps out of the others' way.

use core::fmt::{self, Debug, Formatter};
use core::sync::atomic::Ordering::Relaxed;

use bytemuck::Zeroable;

use crate::classes::CLASSES;
use crate::sync::SharedU32;

/// What the threads of one shard know of where there was room.
///
/// It lies in cache lines of its own, so that shards do not slow each other down. Threads that share
/// one may lose a hint to each other, and are then slower, and no more.
#[repr(align(64))]
pub struct Shard {
    /// The runs of each class that last had room.
    recent: [Recent; CLASSES],
}

impl Shard {
    /// The runs of `class` that last had room.
    #[inline]
    pub(crate) fn recent(&self, class: usize) -> &Recent {
        &self.recent[class]
    }

    /// Knows of no run any more. One that was made of zeros means the run at leaf 0, everywhere.
    pub(crate) fn forget(&self) {
        self.recent.iter().for_each(Recent::forget);
    }
}

// SAFETY: it is made of atomic words, of which all bytes may be zero.
unsafe impl Zeroable for Shard {}

impl Debug for Shard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

/// First leaves of runs, latest first; or [`NO_HINT`].
pub(crate) struct Recent([SharedU32; HINTS]);

impl Recent {
    fn forget(&self) {
        self.0.iter().for_each(|hint| hint.store(NO_HINT, Relaxed));
    }

    #[inline]
    pub(crate) fn first(&self) -> usize {
        self.0[0].load(Relaxed) as usize
    }

    #[inline]
    pub(crate) fn push(&self, head: usize) {
        if self.first() != head {
            for index in (1..HINTS).rev() {
                self.0[index].store(self.0[index - 1].load(Relaxed), Relaxed);
            }
            self.0[0].store(narrow(head), Relaxed);
        }
    }

    /// Drops the first, gives the next, and so on.
    pub(crate) fn rest(&self) -> impl Iterator<Item = usize> {
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

/// `N` shards, 576 bytes each; at least one.
#[derive(Debug)]
#[repr(transparent)]
pub struct Shards<const N: usize>([Shard; N]);

// SAFETY: it is shards, which may be made of zeros.
unsafe impl<const N: usize> Zeroable for Shards<N> {}

impl<const N: usize> AsRef<[Shard]> for Shards<N> {
    #[inline]
    fn as_ref(&self) -> &[Shard] {
        const { assert!(N > 0, "an arena remembers something of where there is room") };
        &self.0
    }
}

/// One of `shards` numbers for the calling thread, without asking an operating system: threads have
/// their stacks in different places. Two threads may share a number; they are then slower, and no
/// more.
#[inline]
pub(crate) fn by_stack_address(shards: usize) -> usize {
    let here = 0_u8;
    let place = (&raw const here).addr() >> STACK_LOG2;
    let bits = shards.checked_ilog2().unwrap_or(0);
    place.wrapping_mul(SPREAD).checked_shr(usize::BITS - bits).unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, reason = "an arena has fewer than 2^25 leaves")]
#[inline]
fn narrow(leaf: usize) -> u32 {
    leaf as u32
}

const NO_HINT: u32 = u32::MAX;

/// How many runs with room are remembered for each class.
const HINTS: usize = 4;

/// Stacks are farther apart than this.
const STACK_LOG2: u32 = 16;

/// 2^BITS divided by the golden ratio: multiples of it spread evenly (Knuth, volume 3, 6.4).
#[expect(clippy::cast_possible_truncation, reason = "on 32 bits the lower half will do")]
const SPREAD: usize = 0x9e37_79b9_7f4a_7c15_u64 as usize;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;
    use std::vec::Vec;

    use super::*;
    use crate::owner::{Owner, Spin};

    #[test]
    fn the_latest_runs_are_remembered_each_once() {
        let recent = Recent([const { SharedU32::new(0) }; HINTS]);
        recent.forget();
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
    fn a_shard_that_forgets_knows_no_run_of_any_class() {
        let shard = Shard::zeroed();
        assert!((0..CLASSES).all(|class| shard.recent(class).first() == 0));
        shard.forget();
        assert!((0..CLASSES).all(|class| shard.recent(class).first() == NO_HINT as usize));
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter puts what is on a stack anywhere")]
    fn threads_spread_over_the_shards() {
        let all_there = Barrier::new(64);
        let shards: BTreeSet<usize> = thread::scope(|scope| {
            let here = || {
                all_there.wait();
                Spin::<16>.shard(16)
            };
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(here)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(shards.len() > 8 && shards.last() < Some(&16), "{shards:?}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter puts what is on a stack anywhere")]
    fn a_thread_stays_in_its_shard() {
        let numbers: BTreeSet<usize> = (0..100).map(number_deeper).collect();
        assert!(numbers.len() <= 2, "one end of so short a stack may lie elsewhere: {numbers:?}");
    }

    /// The number of the caller, seen from deeper in its stack.
    fn number_deeper(calls: usize) -> usize {
        let frame = core::hint::black_box([calls; 8]);
        if frame[0] == 0 { by_stack_address(16) } else { number_deeper(frame[1] - 1) }
    }
}
