//! A search tree of masks: at which of many places there may be something of a kind.
//!
//! ```text
//! root      kinds that may be anywhere
//! level 1   kinds that may be at one of 16 places
//! level 0   kinds that may be at a place
//! ```
//!
//! Anybody marks at any time, from level 0 up. **Only the holder of the arena's lock clears**, and looks
//! again after it did: so while the lock is held, what was marked before is found, unless whoever is
//! marking is not done. A mark may be outdated; that something is there is never left out.

use core::array;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

use crate::lent::Lent;
use crate::sync::{AtomicUsize, fence};

/// A set of marks, each of one of [`KINDS`] kinds at a place.
pub(crate) struct Index<'r> {
    /// The masks of level 0, then those of level 1, and so on up to the root.
    masks: Lent<'r, [Mask]>,
    places: usize,
}

impl<'r> Index<'r> {
    /// An index without a mark, over [`masks_for`] empty masks.
    pub(crate) fn new(masks: &'r [Mask], places: usize) -> Self {
        debug_assert_eq!(masks.len(), masks_for(places));
        Self { masks: masks.into(), places }
    }

    #[inline]
    fn is_marked(&self, place: usize, kind: usize) -> bool {
        self.masks[place].has(kind)
    }

    /// Marks a kind at a place. Whoever finds it marked leaves the rest to who marked it.
    #[inline]
    pub(crate) fn mark(&self, place: usize, kind: usize) {
        if !self.is_marked(place, kind) {
            self.mark_from(0, place, kind);
        }
    }

    #[cold]
    fn mark_from(&self, level: usize, place: usize, kind: usize) {
        for (level, start) in self.levels().skip(level) {
            let mask = &self.masks[start + (place >> (level * FAN_LOG2))];
            if !mask.has(kind) {
                mask.add(kind);
            }
        }
    }

    /// Takes the mark of a kind from a place, unless `is_there` says afterwards that it is right.
    /// Called under the lock.
    pub(crate) fn clear(&self, place: usize, kind: usize, is_there: impl Fn() -> bool) {
        let mut below = None;
        for (level, start) in self.levels() {
            let index = place >> (level * FAN_LOG2);
            let any_below =
                |below: &Range<usize>| self.masks[below.clone()].iter().any(|mask| mask.has(kind));
            if below.as_ref().is_some_and(any_below) {
                return;
            }
            self.masks[start + index].remove(kind);
            // Who marked something before this mark went has found this one and left it.
            fence(SeqCst);
            if below.as_ref().map_or_else(&is_there, any_below) {
                return self.mark_from(level, place, kind);
            }
            let first = index / FAN * FAN;
            below = Some(start + first..start + (first + FAN).min(self.count(level)));
        }
    }

    /// Whether there may be something of a kind at any place.
    pub(crate) fn is_anywhere(&self, kind: usize) -> bool {
        self.masks.last().is_some_and(|root| root.has(kind))
    }

    /// The first place from `from` on that is marked with a kind.
    pub(crate) fn next(&self, kind: usize, from: usize) -> Option<usize> {
        let (mut level, mut start, mut index) = (0, 0, from);
        loop {
            let count = self.count(level);
            if index >= count {
                return None;
            }
            let end = count.min((index / FAN + 1) * FAN);
            let is_marked = |&index: &usize| self.masks[start + index].has(kind);
            match (index..end).find(is_marked) {
                Some(found) if level == 0 => return Some(found),
                Some(found) => {
                    level -= 1;
                    start -= self.count(level);
                    index = found * FAN;
                }
                None if count == 1 => return None,
                None => {
                    start += count;
                    level += 1;
                    index = index / FAN + 1;
                }
            }
        }
    }

    /// The levels, and where their masks begin.
    fn levels(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut start = 0;
        (0..levels_of(self.places)).map(move |level| {
            let here = start;
            start += count_of(self.places, level);
            (level, here)
        })
    }

    fn count(&self, level: usize) -> usize {
        count_of(self.places, level)
    }
}

/// A bit for each kind.
pub(crate) struct Mask([AtomicUsize; KINDS / WORD]);

impl Mask {
    pub(crate) fn empty() -> Self {
        Self(array::from_fn(|_| AtomicUsize::new(0)))
    }

    #[inline]
    pub(crate) fn has(&self, kind: usize) -> bool {
        self.0[kind / WORD].load(SeqCst) & bit(kind) != 0
    }

    fn add(&self, kind: usize) {
        self.0[kind / WORD].fetch_or(bit(kind), SeqCst);
    }

    fn remove(&self, kind: usize) {
        self.0[kind / WORD].fetch_and(!bit(kind), SeqCst);
    }
}

/// How many masks an index of `places` places has.
pub(crate) fn masks_for(places: usize) -> usize {
    (0..levels_of(places)).map(|level| count_of(places, level)).sum()
}

fn levels_of(places: usize) -> usize {
    let mut levels = 1;
    while count_of(places, levels - 1) > 1 {
        levels += 1;
    }
    levels
}

fn count_of(places: usize, level: usize) -> usize {
    places.div_ceil(1 << (level * FAN_LOG2))
}

/// How many kinds there can be.
pub(crate) const KINDS: usize = 64;

/// Kinds that share a word.
const WORD: usize = usize::BITS as usize;

/// The bit of a kind in its word of a mask.
#[inline]
fn bit(kind: usize) -> usize {
    1 << (kind % WORD)
}

/// Masks that one of the next level stands for.
const FAN: usize = 1 << FAN_LOG2;
const FAN_LOG2: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;
    use crate::testing::{Noise, rounds};

    fn masks(places: usize) -> Vec<Mask> {
        (0..masks_for(places)).map(|_| Mask::empty()).collect()
    }

    #[test]
    fn marks_against_a_set() {
        for places in [1, 2, 15, 16, 17, 256, 257, rounds(5000, 300)] {
            let masks = masks(places);
            let index = Index::new(&masks, places);
            let mut marked = BTreeSet::new();
            let mut noise = Noise(places as u64);
            for step in 0..rounds(3000, 60) {
                let random = noise.word();
                let number = usize::try_from(random >> 33).unwrap();
                let (place, kind) = (number % places, number / places % 5 * 15);
                match random % 4 {
                    0 => {
                        index.mark(place, kind);
                        marked.insert((kind, place));
                    }
                    1 | 2 => {
                        let stays = step % 7 == 0 && marked.contains(&(kind, place));
                        index.clear(place, kind, || stays);
                        if !stays {
                            marked.remove(&(kind, place));
                        }
                    }
                    _ => {
                        let expected = marked.range((kind, place)..=(kind, places)).next();
                        assert_eq!(index.next(kind, place), expected.map(|&(_, place)| place));
                    }
                }
                assert_eq!(index.is_marked(place, kind), marked.contains(&(kind, place)));
                for kind in (0..KINDS).step_by(rounds(1, 15)) {
                    let is_there = marked.range((kind, 0)..=(kind, places)).next().is_some();
                    assert_eq!(
                        index.is_anywhere(kind),
                        is_there,
                        "the root knows no more and no less"
                    );
                }
            }
        }
    }

    #[test]
    fn a_mark_that_is_made_while_it_is_cleared_stays_or_is_found_again() {
        let masks = masks(300);
        let index = Index::new(&masks, 300);
        index.mark(17, 4);
        index.clear(17, 4, || {
            // Somebody marks another place of the same group, and is seen.
            index.mark(18, 4);
            false
        });
        assert_eq!((index.next(4, 0), index.is_anywhere(4)), (Some(18), true));
    }
}
