//! The buddy allocator: which leaves are free, and where so many in a row are.
//!
//! ```text
//! order 1                    ┌ start 0, end 70, longest 70 ┐
//! order 0 (a word of bits)   0…0 1…1 (6 free at its end)    1…1 (64, all free)
//! ```
//!
//! Each block of 2^order words knows how many leaves are free at its
//! start, at its end and in a row at most; two buddies join by adding up what meets in the middle. So
//! the lowest stretch that is long enough is found on one way down, wherever it begins, and a
//! stretch is taken or given back on two: the time grows with the logarithm of the region.
//!
//! Invariant: a block knows what its halves say, unless it is free or taken as a whole: then what its
//! halves say is out of date, and is brought up to date when the block is divided again.
//!
//! It computes on numbers alone: no memory stands behind a leaf here. Callers hold the arena's lock;
//! the words are atomic only so that they can be shared and the arena stay covariant.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use crate::classes::WORD_BITS;
use crate::lent::Lent;
use crate::sync::{AtomicUsize, SharedU32};

/// The free leaves of one arena.
pub(crate) struct Buddy<'r> {
    /// A bit for each leaf: the blocks of the lowest order.
    words: Lent<'r, [AtomicUsize]>,
    /// The blocks of higher orders, order by order: the one of the highest first, and of each that is lower
    /// twice as many.
    blocks: Lent<'r, [Block]>,
    leaves: usize,
}

/// What a block knows of its free leaves.
#[derive(Default)]
pub(crate) struct Block {
    start: SharedU32,
    end: SharedU32,
    longest: SharedU32,
}

impl<'r> Buddy<'r> {
    /// A buddy allocator over `leaves` leaves, all of them free, with zeroed tables of
    /// [`tables_for`] entries.
    pub(crate) fn new(words: &'r [AtomicUsize], blocks: &'r [Block], leaves: usize) -> Self {
        debug_assert_eq!((words.len(), blocks.len()), tables_for(leaves));
        let buddy = Self { words: words.into(), blocks: blocks.into(), leaves };
        buddy.give_back(0..leaves);
        buddy
    }

    /// Takes `count` leaves in a row of which the first is `offset` more than a multiple of `step`,
    /// a power of two.
    pub(crate) fn take(&self, count: usize, step: usize, offset: usize) -> Option<usize> {
        self.take_where(count, step - 1, |from| from + (offset.wrapping_sub(from) & (step - 1)))
    }

    /// Takes `count` leaves in a row of which the first is one that `align` gives, who is asked where so
    /// many are free from, and passes over `most_passed` at most: among the lowest if such leaves lie
    /// there, or else wherever there are some to spare.
    pub(crate) fn take_where(
        &self,
        count: usize,
        most_passed: usize,
        align: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let among_the_lowest = || {
            let mut from = 0;
            for _ in 0..TRIES {
                let start = self.find(count, from)?;
                from = align(start);
                if from == start {
                    return Some(start);
                }
            }
            None
        };
        let first = among_the_lowest()
            .or_else(|| Some(align(self.find(count.checked_add(most_passed)?, 0)?)))?;
        self.set(first..first + count, false);
        Some(first)
    }

    /// Gives leaves back, joining them with their free buddies.
    pub(crate) fn give_back(&self, leaves: Range<usize>) {
        debug_assert!(leaves.clone().all(|leaf| !self.is_free(leaf)));
        self.set(leaves, true);
    }

    pub(crate) fn is_free(&self, leaf: usize) -> bool {
        let mut node = self.root();
        while node.order > 0 {
            if let Some(free) = self.stretch(node).is_whole() {
                return free;
            }
            let is_right = leaf >> order_log2(node.order - 1) & 1;
            node = node.halves()[is_right];
        }
        self.words[leaf / WORD_BITS].load(Relaxed) >> (leaf % WORD_BITS) & 1 != 0
    }

    /// The lowest start, `from` or greater, of `count` free leaves in a row.
    fn find(&self, count: usize, from: usize) -> Option<usize> {
        self.find_in(self.root(), &mut Search { count, from, before: 0 })
    }

    fn find_in(&self, node: Node, search: &mut Search) -> Option<usize> {
        let Range { start, end } = self.leaves_of(node);
        if end <= search.from {
            return None;
        }
        if start >= search.from {
            let stretch = self.stretch(node);
            if search.before + stretch.start >= search.count {
                return Some(start - search.before);
            }
            if stretch.longest < search.count {
                search.before = if stretch.start == stretch.len {
                    search.before + stretch.len
                } else {
                    stretch.end
                };
                return None;
            }
        } else if let Some(free) = self.stretch(node).is_whole() {
            search.before = if free { end - search.from } else { 0 };
            return (search.before >= search.count).then_some(search.from);
        }
        if node.order == 0 {
            let skipped = search.from.saturating_sub(start);
            let bits = self.words[node.index].load(Relaxed) >> skipped << skipped;
            let found = first_ones(bits, search.count);
            if found.is_none() {
                search.before = Stretch::of_word(bits, end - start).end;
            }
            return found.map(|found| start + found);
        }
        let [left, right] = node.halves();
        self.find_in(left, search).or_else(|| self.find_in(right, search))
    }

    /// Marks leaves as free or taken.
    fn set(&self, leaves: Range<usize>, free: bool) {
        self.set_in(self.root(), &leaves, free);
    }

    /// Marks those of `leaves` that lie in a block, and says what the block is then.
    fn set_in(&self, node: Node, leaves: &Range<usize>, free: bool) -> Stretch {
        let block = self.leaves_of(node);
        if block.end <= leaves.start || leaves.end <= block.start {
            return self.stretch(node);
        }
        if leaves.start <= block.start && block.end <= leaves.end {
            return self.store(node, Stretch::whole(block.len(), free));
        }
        if node.order == 0 {
            let within = leaves.start.max(block.start)..leaves.end.min(block.end);
            let mask = ones(within.len()) << (within.start - block.start);
            let word = &self.words[node.index];
            let bits = if free { word.load(Relaxed) | mask } else { word.load(Relaxed) & !mask };
            word.store(bits, Relaxed);
            return Stretch::of_word(bits, block.len());
        }
        let halves = node.halves();
        if let Some(whole) = self.stretch(node).is_whole() {
            for half in halves {
                self.store(half, Stretch::whole(self.leaves_of(half).len(), whole));
            }
        }
        let [left, right] = halves.map(|half| self.set_in(half, leaves, free));
        self.store(node, left.join(right))
    }

    fn stretch(&self, node: Node) -> Stretch {
        let len = self.leaves_of(node).len();
        if len == 0 {
            return Stretch::whole(0, false);
        }
        if node.order == 0 {
            return Stretch::of_word(self.words[node.index].load(Relaxed), len);
        }
        let block = &self.blocks[node.place];
        let load = |number: &SharedU32| number.load(Relaxed) as usize;
        let [start, end, longest] = [&block.start, &block.end, &block.longest].map(load);
        Stretch { len, start, end, longest }
    }

    fn store(&self, node: Node, stretch: Stretch) -> Stretch {
        if stretch.len == 0 {
            return stretch;
        }
        if node.order == 0 {
            self.words[node.index].store(ones(stretch.start), Relaxed);
        } else {
            let block = &self.blocks[node.place];
            block.start.store(narrow(stretch.start), Relaxed);
            block.end.store(narrow(stretch.end), Relaxed);
            block.longest.store(narrow(stretch.longest), Relaxed);
        }
        stretch
    }

    /// The leaves of a block, of which the last of an order may have fewer than the others.
    fn leaves_of(&self, node: Node) -> Range<usize> {
        let limit = |block: usize| self.leaves.min(block << order_log2(node.order));
        limit(node.index)..limit(node.index + 1)
    }

    /// The block that all leaves are in.
    fn root(&self) -> Node {
        Node { order: top_of(self.words.len()), index: 0, place: 0 }
    }
}

/// A block.
#[derive(Clone, Copy)]
struct Node {
    order: usize,
    /// Among those of its order.
    index: usize,
    /// Among all but those of the lowest order, from the highest order down.
    place: usize,
}

impl Node {
    /// Its buddies, of the next lower order.
    fn halves(self) -> [Self; 2] {
        let Self { order, index, place } = self;
        [1, 2].map(|half| Self {
            order: order - 1,
            index: 2 * index + half - 1,
            place: 2 * place + half,
        })
    }
}

/// Where a search is.
struct Search {
    count: usize,
    from: usize,
    /// Free leaves right before the block that is looked at next.
    before: usize,
}

/// What is free of `len` leaves.
#[derive(Clone, Copy)]
struct Stretch {
    len: usize,
    start: usize,
    end: usize,
    longest: usize,
}

impl Stretch {
    fn whole(len: usize, free: bool) -> Self {
        let count = if free { len } else { 0 };
        Self { len, start: count, end: count, longest: count }
    }

    fn of_word(bits: usize, len: usize) -> Self {
        let start = bits.trailing_ones() as usize;
        let end = (bits << (WORD_BITS - len)).leading_ones() as usize;
        Self { len, start, end: end.min(len), longest: longest_ones(bits) }
    }

    fn join(self, right: Self) -> Self {
        let joined = |whole: bool, one: usize, other: usize| if whole { one + other } else { one };
        Self {
            len: self.len + right.len,
            start: joined(self.start == self.len, self.start, right.start),
            end: joined(right.end == right.len, right.end, self.end),
            longest: self.longest.max(right.longest).max(self.end + right.start),
        }
    }

    /// Whether all leaves are free, or none is; or neither.
    fn is_whole(self) -> Option<bool> {
        match self.longest {
            0 => Some(false),
            longest if longest == self.len => Some(true),
            _ => None,
        }
    }
}

/// How many words and blocks a buddy allocator over `leaves` leaves has.
pub(crate) fn tables_for(leaves: usize) -> (usize, usize) {
    let words = leaves.div_ceil(WORD_BITS);
    let blocks = match top_of(words) {
        0 => 0,
        // Those of higher orders than the lowest, all that there could be; and those of that one.
        top => (1 << (top - 1)) - 1 + words.div_ceil(2),
    };
    (words, blocks)
}

fn top_of(words: usize) -> usize {
    words.next_power_of_two().trailing_zeros() as usize
}

/// The logarithm of how many leaves a whole block has.
fn order_log2(order: usize) -> usize {
    WORD_BITS.trailing_zeros() as usize + order
}

/// The lowest `count` bits.
fn ones(count: usize) -> usize {
    usize::MAX.checked_shr(usize::BITS - narrow(count)).unwrap_or(0)
}

/// Where the lowest `count` set bits in a row begin.
fn first_ones(bits: usize, count: usize) -> Option<usize> {
    if count > WORD_BITS {
        return None;
    }
    let (mut starts, mut length) = (bits, 1);
    while length < count {
        let more = length.min(count - length);
        starts &= starts >> more;
        length += more;
    }
    (starts != 0).then_some(starts.trailing_zeros() as usize)
}

/// The most set bits in a row.
fn longest_ones(bits: usize) -> usize {
    // Where 1, 2, 4, ... bits in a row begin.
    let mut starts = [bits; DOUBLINGS];
    for log2 in 1..DOUBLINGS {
        let half = starts[log2 - 1];
        starts[log2] = half & half >> (1 << (log2 - 1));
    }
    // Where as many as are known of begin, and so many more behind them.
    let (mut known, mut longest) = (usize::MAX, 0);
    for (log2, starts) in starts.iter().enumerate().rev() {
        let more = known & starts.checked_shr(narrow(longest)).unwrap_or(0);
        if more != 0 {
            (known, longest) = (more, longest + (1 << log2));
        }
    }
    longest
}

/// 1, 2, 4, ... up to a word's bits.
const DOUBLINGS: usize = WORD_BITS.trailing_zeros() as usize + 1;

#[expect(clippy::cast_possible_truncation, reason = "no more than the leaves, or a word's bits")]
fn narrow(count: usize) -> u32 {
    count as u32
}

/// How many stretches are looked at for leaves that happen to be aligned: all of them in a small
/// region, and in a large one so many that the search still takes microseconds.
const TRIES: usize = 64;

/// The most leaves that one buddy allocator counts.
pub(crate) const MAX_LEAVES: usize = (1 << 25) - 1;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::{Noise, rounds};

    struct Tables(Vec<AtomicUsize>, Vec<Block>);

    impl Tables {
        fn new(leaves: usize) -> Self {
            let (words, blocks) = tables_for(leaves);
            let words = (0..words).map(|_| AtomicUsize::new(0)).collect();
            Self(words, (0..blocks).map(|_| Block::default()).collect())
        }

        fn buddy(&self, leaves: usize) -> Buddy<'_> {
            Buddy::new(&self.0, &self.1, leaves)
        }
    }

    /// The naive twin: a flag for each leaf.
    fn lowest(free: &[bool], count: usize, from: usize) -> Option<usize> {
        let mut starts = from..=free.len().checked_sub(count)?;
        starts.find(|&start| free[start..start + count].iter().all(|&free| free))
    }

    #[test]
    fn random_takes_and_returns_against_the_twin() {
        let sizes = [1, 2, 3, 7, 63, 64, 65, 128, 129, 249, 1000, 4097];
        for leaves in sizes.into_iter().take(rounds(12, 9)).step_by(rounds(1, 2)) {
            let tables = Tables::new(leaves);
            let buddy = tables.buddy(leaves);
            let mut free = std::vec![true; leaves];
            let mut taken: Vec<Range<usize>> = Vec::new();
            let mut noise = Noise(leaves as u64);
            for step in 0..rounds(2000, 2000 / leaves.max(20)) {
                let random = noise.word();
                let pick = usize::try_from(random >> 33).unwrap();
                let count = 1 + pick % if step % 5 == 0 { leaves } else { 33 };
                let from = pick % leaves;
                assert_eq!(buddy.find(count, from), lowest(&free, count, from), "{leaves}");
                if random.is_multiple_of(3) && !taken.is_empty() {
                    let range: Range<usize> = taken.swap_remove(pick % taken.len());
                    free[range.clone()].fill(true);
                    buddy.give_back(range);
                } else if let Some(start) = buddy.take(count, 1, 0) {
                    assert_eq!(Some(start), lowest(&free, count, 0), "{leaves}: {count}");
                    free[start..start + count].fill(false);
                    taken.push(start..start + count);
                } else {
                    assert_eq!(lowest(&free, count, 0), None, "{leaves}: {count}");
                }
                let leaf = pick % leaves;
                assert_eq!(buddy.is_free(leaf), free[leaf]);
            }
            taken.drain(..).for_each(|range| buddy.give_back(range));
            assert!((0..leaves).all(|leaf| buddy.is_free(leaf)));
            assert_eq!(buddy.take(leaves, 1, 0), Some(0), "everything joins again");
            assert_eq!(buddy.take(1, 1, 0), None);
        }
    }

    #[test]
    fn what_is_aligned_lies_where_it_was_asked_for() {
        for (leaves, step, offset) in [(249, 4, 0), (249, 4, 3), (70, 16, 5), (40, 16, 15)] {
            let tables = Tables::new(leaves);
            let buddy = tables.buddy(leaves);
            let mut starts = Vec::new();
            while let Some(start) = buddy.take(3, step, offset) {
                assert_eq!(start % step, offset % step);
                starts.push(start);
            }
            let expected: Vec<_> = (offset..leaves - 2).step_by(step).collect();
            assert_eq!(starts, expected);
            assert_eq!(
                buddy.take(1, 1, 0),
                (offset > 0).then_some(0).or(Some(3)),
                "the rest is free"
            );
        }
    }

    #[test]
    fn aligned_leaves_are_found_behind_many_stretches_that_are_not() {
        let tables = Tables::new(1000);
        let buddy = tables.buddy(1000);
        assert_eq!(buddy.take(1000, 1, 0), Some(0));
        (0..100).for_each(|index| buddy.give_back(index * 8 + 1..index * 8 + 5));
        assert_eq!(buddy.take(4, 4, 0), None);
        buddy.give_back(901..908);
        assert_eq!(buddy.take(4, 4, 0), Some(904));
    }

    #[test]
    fn absurd_counts_are_not_found() {
        let tables = Tables::new(100);
        let buddy = tables.buddy(100);
        assert_eq!(buddy.take(101, 1, 0), None);
        assert_eq!(buddy.take(usize::MAX, 1, 0), None);
        assert_eq!(buddy.take(usize::MAX, 16, 3), None);
        assert_eq!(buddy.take(100, 16, 1), None);
        assert_eq!(buddy.take(99, 16, 1), Some(1));
    }

    #[test]
    fn there_is_hardly_more_than_a_block_for_each_word() {
        for leaves in [1, 64, 249, 32_000, 1 << 22, MAX_LEAVES] {
            let (words, blocks) = tables_for(leaves);
            assert!(words * WORD_BITS < leaves + WORD_BITS);
            assert!(blocks <= words + 25, "{leaves} leaves: {blocks} blocks");
        }
    }

    #[test]
    fn a_little_more_than_a_power_of_two_takes_half_as_many_blocks_again_at_most() {
        for leaves in (1..25).map(|log2| (1 << log2) + 1) {
            let (words, blocks) = tables_for(leaves);
            assert!(blocks <= words + words / 2, "{leaves} leaves: {blocks} blocks");
        }
    }

    #[test]
    fn ones_are_counted() {
        let few = [0, 1, 0b1011_1000, usize::MAX, usize::MAX << 1, 1 << (WORD_BITS - 1)];
        let mut noise = Noise(1);
        let random = (0..rounds(300, 20)).map(|step| {
            let [one, other] = [(); 2].map(|()| usize::from_ne_bytes(noise.array()));
            // Few bits, or many.
            if step % 2 == 0 { one & other } else { one | other }
        });
        for bits in few.into_iter().chain(random) {
            let text = std::format!("{bits:064b}");
            let longest = text.split('0').map(str::len).max().unwrap();
            assert_eq!(longest_ones(bits), longest);
            for count in 1..=WORD_BITS {
                let found =
                    (0..=WORD_BITS - count).find(|&s| bits >> s & ones(count) == ones(count));
                assert_eq!(first_ones(bits, count), found);
            }
        }
        assert_eq!((ones(0), ones(WORD_BITS)), (0, usize::MAX));
    }
}
