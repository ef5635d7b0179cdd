//! Bit search over words, with one summary bit for each word so that empty stretches are skipped.
//!
//! Invariant: a summary bit is set exactly if its word is not zero. Writers hold the arena's lock;
//! the words are atomic only so that the bitmap can be shared and stay covariant.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicUsize;

/// Bits in a machine word.
pub(crate) const WORD_BITS: usize = usize::BITS as usize;

/// A set of small numbers.
#[derive(Clone, Copy)]
pub(crate) struct Bitmap<'r> {
    words: &'r [AtomicUsize],
    summary: &'r [AtomicUsize],
}

impl<'r> Bitmap<'r> {
    /// A bitmap over `words`, all of them zero, with `summary_words(words.len())` words of summary.
    pub(crate) fn new(words: &'r [AtomicUsize], summary: &'r [AtomicUsize]) -> Self {
        debug_assert_eq!(summary.len(), summary_words(words.len()));
        Self { words, summary }
    }

    pub(crate) fn contains(&self, bit: usize) -> bool {
        word(self.words, bit / WORD_BITS) & mask(bit) != 0
    }

    pub(crate) fn insert(&self, bit: usize) {
        self.write(bit / WORD_BITS, |word| word | mask(bit));
    }

    pub(crate) fn remove(&self, bit: usize) {
        self.write(bit / WORD_BITS, |word| word & !mask(bit));
    }

    pub(crate) fn insert_all(&self, bits: Range<usize>) {
        self.write_all(bits, |word, mask| word | mask);
    }

    pub(crate) fn remove_all(&self, bits: Range<usize>) {
        self.write_all(bits, |word, mask| word & !mask);
    }

    /// The lowest member of `bits`.
    pub(crate) fn first(&self, bits: Range<usize>) -> Option<usize> {
        let found = self.first_at_or_after(bits.start)?;
        (found < bits.end).then_some(found)
    }

    /// The start of the lowest `count` neighbours, from `from` on, that are all members.
    pub(crate) fn first_stretch(&self, from: usize, count: usize) -> Option<usize> {
        let mut start = self.first_at_or_after(from)?;
        loop {
            let end = self.end_of_stretch(start, start + count);
            if end == start + count {
                return Some(start);
            }
            start = self.first_at_or_after(end)?;
        }
    }

    /// The lowest member that is `start` or greater.
    fn first_at_or_after(&self, start: usize) -> Option<usize> {
        let index = start / WORD_BITS;
        if index >= self.words.len() {
            return None;
        }
        let rest = word(self.words, index) & (usize::MAX << (start % WORD_BITS));
        if rest != 0 {
            return Some(lowest(index, rest));
        }
        let index = first_word(self.summary, index + 1)?;
        Some(lowest(index, word(self.words, index)))
    }

    /// The first non-member from `start` on, or `limit` if that comes first.
    fn end_of_stretch(&self, start: usize, limit: usize) -> usize {
        let mut at = start;
        while at < limit {
            let index = at / WORD_BITS;
            if index >= self.words.len() {
                return at;
            }
            let ones = (!(word(self.words, index) >> (at % WORD_BITS))).trailing_zeros() as usize;
            at += ones;
            if !at.is_multiple_of(WORD_BITS) || ones == 0 {
                return at.min(limit);
            }
        }
        limit
    }

    fn write_all(&self, bits: Range<usize>, update: impl Fn(usize, usize) -> usize) {
        let mut at = bits.start;
        while at < bits.end {
            let shift = at % WORD_BITS;
            let count = (WORD_BITS - shift).min(bits.end - at);
            let ones = (usize::MAX >> (WORD_BITS - count)) << shift;
            self.write(at / WORD_BITS, |word| update(word, ones));
            at += count;
        }
    }

    fn write(&self, index: usize, update: impl FnOnce(usize) -> usize) {
        let value = update(word(self.words, index));
        self.words[index].store(value, Relaxed);
        let summary = &self.summary[index / WORD_BITS];
        let bit = mask(index);
        let others = summary.load(Relaxed) & !bit;
        summary.store(if value == 0 { others } else { others | bit }, Relaxed);
    }
}

/// How many words hold `bits` bits.
pub(crate) const fn words_for(bits: usize) -> usize {
    bits.div_ceil(WORD_BITS)
}

/// How many summary words a bitmap of `words` words has.
pub(crate) const fn summary_words(words: usize) -> usize {
    words.div_ceil(WORD_BITS)
}

/// The lowest `index` or greater whose summary bit is set.
fn first_word(summary: &[AtomicUsize], index: usize) -> Option<usize> {
    let mut at = index / WORD_BITS;
    let mut ignored = usize::MAX << (index % WORD_BITS);
    while at < summary.len() {
        let rest = word(summary, at) & ignored;
        if rest != 0 {
            return Some(lowest(at, rest));
        }
        ignored = usize::MAX;
        at += 1;
    }
    None
}

fn word(words: &[AtomicUsize], index: usize) -> usize {
    words[index].load(Relaxed)
}

fn lowest(index: usize, word: usize) -> usize {
    index * WORD_BITS + word.trailing_zeros() as usize
}

fn mask(bit: usize) -> usize {
    1 << (bit % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;
    use crate::testing::rounds;

    fn words(count: usize) -> Vec<AtomicUsize> {
        (0..count).map(|_| AtomicUsize::new(0)).collect()
    }

    /// The lowest `count` neighbours, found by looking at every number.
    fn naive_stretch(set: &BTreeSet<usize>, bits: Range<usize>, count: usize) -> Option<usize> {
        bits.into_iter().find(|&start| (start..start + count).all(|bit| set.contains(&bit)))
    }

    #[test]
    fn agrees_with_a_set() {
        let bits = 70 * WORD_BITS + 5;
        let (store, summary) = (words(words_for(bits)), words(summary_words(words_for(bits))));
        let bitmap = Bitmap::new(&store, &summary);
        let mut set = BTreeSet::new();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for step in 0..rounds(3_000, 15) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let start = usize::try_from(random >> 33).unwrap() % bits;
            let end = (start + usize::try_from(random & 255).unwrap() * usize::from(step % 7 == 0))
                .clamp(start + 1, bits);
            if random & (1 << 20) == 0 {
                bitmap.insert_all(start..end);
                set.extend(start..end);
            } else {
                bitmap.remove_all(start..end);
                set.retain(|bit| !(start..end).contains(bit));
            }
            let at = usize::try_from(random >> 40).unwrap() % bits;
            assert_eq!(bitmap.contains(at), set.contains(&at));
            assert_eq!(bitmap.first(at..bits), set.range(at..).next().copied());
            assert_eq!(bitmap.first(at..at), None);
            if step % 50 == 0 {
                for (from, count) in [1, 2, 17, 63, 64, 65, 130].map(|count| (at, count)) {
                    let naive = naive_stretch(&set, from..bits, count);
                    assert_eq!(bitmap.first_stretch(from, count), naive);
                }
            }
        }
    }

    #[test]
    fn single_bits() {
        let (store, summary) = (words(2), words(1));
        let bitmap = Bitmap::new(&store, &summary);
        bitmap.insert(WORD_BITS - 1);
        bitmap.insert(WORD_BITS);
        // What is a member stays one.
        bitmap.insert(WORD_BITS);
        assert_eq!(bitmap.first_stretch(0, 2), Some(WORD_BITS - 1));
        bitmap.remove(WORD_BITS - 1);
        assert_eq!(bitmap.first(0..2 * WORD_BITS), Some(WORD_BITS));
        bitmap.remove(WORD_BITS);
        assert_eq!(bitmap.first(0..2 * WORD_BITS), None);
        assert_eq!(summary[0].load(Relaxed), 0);
    }
}
