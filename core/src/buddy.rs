//! The buddy allocator: which leaves are free, in aligned blocks of 2^order.
//!
//! ```text
//! leaves    | 0 1 2 3 4 5 6 7 | 8 9 …        order 3: one block of eight leaves
//! order 0     a . . . . . . .                a: five leaves were asked for; the block's tail
//! order 1           . 6-7 .                     came back as a block of one and a block of two
//! ```
//!
//! Invariants: no two free blocks overlap; a free block's buddy is never free too (they would have
//! coalesced); `vacant` holds exactly the leaves of the free blocks. It computes on numbers alone:
//! no memory stands behind a leaf here. Callers hold the arena's lock.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use crate::bitmap::{Bitmap, WORD_BITS, words_for};
use crate::sync::AtomicUsize;

/// The free leaves of one arena.
pub(crate) struct Buddy<'r> {
    /// Free blocks of all orders; the block `index` of order `k` is member `starts[k] + index`.
    blocks: Bitmap<'r>,
    /// Free leaves.
    vacant: Bitmap<'r>,
    starts: [usize; ORDERS],
    leaves: usize,
    /// The greatest order of a block that lies wholly within the leaves.
    top: usize,
    vacant_count: AtomicUsize,
}

impl<'r> Buddy<'r> {
    /// A buddy allocator over `leaves` leaves, all of them free.
    ///
    /// `blocks` and `vacant` are empty and hold `block_bits(leaves)` and `leaves` bits.
    pub(crate) fn new(blocks: Bitmap<'r>, vacant: Bitmap<'r>, leaves: usize) -> Self {
        let (starts, _) = order_starts(leaves);
        let top = top_order(leaves);
        let buddy = Self { blocks, vacant, starts, leaves, top, vacant_count: AtomicUsize::new(0) };
        buddy.give_back(0..leaves);
        buddy
    }

    /// How many leaves are free.
    pub(crate) fn vacant_count(&self) -> usize {
        self.vacant_count.load(Relaxed)
    }

    pub(crate) fn is_vacant(&self, leaf: usize) -> bool {
        self.vacant.contains(leaf)
    }

    /// Takes `count` leaves from the smallest free block of `zone` that holds them. They begin at a
    /// multiple of `count` rounded up to a power of two.
    pub(crate) fn take(&self, count: usize, zone: &Range<usize>) -> Option<usize> {
        let order = order_for(count);
        let (index, order_found) = self.find(order, zone)?;
        // A block that begins before the zone is split where the zone begins.
        let wanted = zone.start.next_multiple_of(1 << order);
        let in_block = block_range(index, order_found).contains(&wanted);
        let start = if in_block { wanted } else { index << order_found };
        self.carve(start..start + count);
        Some(start)
    }

    /// Takes the lowest `count` leaves in a row that begin in `zone`, whatever blocks they belong to.
    pub(crate) fn take_unaligned(&self, count: usize, zone: &Range<usize>) -> Option<usize> {
        if self.vacant_count() < count {
            return None;
        }
        let start = self.vacant.first_stretch(zone.start, count)?;
        if !zone.contains(&start) {
            return None;
        }
        self.carve(start..start + count);
        Some(start)
    }

    /// Takes `count` leaves in a row of which the second is one of `seconds` (none of them 0).
    pub(crate) fn take_around(
        &self,
        count: usize,
        mut seconds: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        let first = seconds.find_map(|second| {
            let end = (second - 1).checked_add(count)?;
            let free = end <= self.leaves && (second - 1..end).all(|leaf| self.is_vacant(leaf));
            free.then_some(second - 1)
        })?;
        self.carve(first..first + count);
        Some(first)
    }

    /// Gives leaves back, joining them with their free buddies.
    pub(crate) fn give_back(&self, leaves: Range<usize>) {
        debug_assert!(leaves.clone().all(|leaf| !self.vacant.contains(leaf)));
        self.vacant.insert_all(leaves.clone());
        self.vacant_count.store(self.vacant_count() + leaves.len(), Relaxed);
        for_each_block(leaves, self.top, |index, order| self.insert_joined(index, order));
    }

    /// The smallest free block of at least `order` that begins or contains a leaf of `zone`.
    fn find(&self, order: usize, zone: &Range<usize>) -> Option<(usize, usize)> {
        (order..=self.top).find_map(|order| {
            let base = self.starts[order];
            let found = self.blocks.first(base + (zone.start >> order)..base + self.len(order))?;
            let index = found - base;
            ((index << order) < zone.end).then_some((index, order))
        })
    }

    /// Takes `leaves`, all free, out of their blocks; what is left of the blocks stays free.
    fn carve(&self, leaves: Range<usize>) {
        let mut at = leaves.start;
        while at < leaves.end {
            let (index, order) = self.block_of(at);
            let block = block_range(index, order);
            self.blocks.remove(self.starts[order] + index);
            if block.start < leaves.start {
                self.insert_parts(block.start..leaves.start);
            }
            if block.end > leaves.end {
                self.insert_parts(leaves.end..block.end);
            }
            at = block.end;
        }
        self.vacant_count.store(self.vacant_count() - leaves.len(), Relaxed);
        self.vacant.remove_all(leaves);
    }

    /// The free block that contains a free leaf.
    fn block_of(&self, leaf: usize) -> (usize, usize) {
        (0..=self.top)
            .map(|order| (leaf >> order, order))
            .find(|&(index, order)| self.blocks.contains(self.starts[order] + index))
            .unwrap_or((leaf, 0))
    }

    fn insert_parts(&self, leaves: Range<usize>) {
        for_each_block(leaves, self.top, |index, order| {
            self.blocks.insert(self.starts[order] + index);
        });
    }

    fn insert_joined(&self, mut index: usize, mut order: usize) {
        while order < self.top && (index ^ 1) < self.len(order) {
            let buddy = self.starts[order] + (index ^ 1);
            if !self.blocks.contains(buddy) {
                break;
            }
            self.blocks.remove(buddy);
            index >>= 1;
            order += 1;
        }
        self.blocks.insert(self.starts[order] + index);
    }

    /// How many blocks of `order` lie wholly within the leaves.
    fn len(&self, order: usize) -> usize {
        self.leaves >> order
    }
}

/// How many bits the block bitmap needs for `leaves` leaves.
pub(crate) const fn block_bits(leaves: usize) -> usize {
    order_starts(leaves).1
}

/// Where each order's bits begin, each at a word of its own, and where the last order's end.
const fn order_starts(leaves: usize) -> ([usize; ORDERS], usize) {
    let mut starts = [0; ORDERS];
    let mut next = 0;
    let mut order = 0;
    while order < ORDERS && leaves >> order > 0 {
        starts[order] = next;
        next += words_for(leaves >> order) * WORD_BITS;
        order += 1;
    }
    (starts, next)
}

/// The least order whose blocks hold `count` leaves.
fn order_for(count: usize) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
}

fn top_order(leaves: usize) -> usize {
    leaves.checked_ilog2().unwrap_or(0) as usize
}

fn block_range(index: usize, order: usize) -> Range<usize> {
    index << order..(index + 1) << order
}

/// Splits `leaves` into the fewest aligned blocks.
fn for_each_block(leaves: Range<usize>, top: usize, mut each: impl FnMut(usize, usize)) {
    let mut at = leaves.start;
    while at < leaves.end {
        let by_size = top_order(leaves.end - at);
        let by_address = if at == 0 { top } else { at.trailing_zeros() as usize };
        let order = by_size.min(by_address).min(top);
        each(at >> order, order);
        at += 1 << order;
    }
}

/// Orders 0 to 24: up to [`MAX_LEAVES`] leaves.
const ORDERS: usize = 25;

/// The most leaves that one buddy allocator counts.
pub(crate) const MAX_LEAVES: usize = (1 << ORDERS) - 1;

#[cfg(test)]
mod tests {
    use core::iter;
    use std::vec::Vec;

    use super::*;
    use crate::bitmap::summary_words;
    use crate::testing::rounds;

    struct Tables(Vec<AtomicUsize>, Vec<AtomicUsize>, Vec<AtomicUsize>, Vec<AtomicUsize>);

    fn tables(leaves: usize) -> Tables {
        let zeros = |count| (0..count).map(|_| AtomicUsize::new(0)).collect();
        let (blocks, vacant) = (words_for(block_bits(leaves)), words_for(leaves));
        Tables(
            zeros(blocks),
            zeros(summary_words(blocks)),
            zeros(vacant),
            zeros(summary_words(vacant)),
        )
    }

    fn buddy(tables: &Tables, leaves: usize) -> Buddy<'_> {
        let blocks = Bitmap::new(&tables.0, &tables.1);
        Buddy::new(blocks, Bitmap::new(&tables.2, &tables.3), leaves)
    }

    fn free_blocks(buddy: &Buddy<'_>) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for order in 0..=buddy.top {
            for index in 0..buddy.len(order) {
                if buddy.blocks.contains(buddy.starts[order] + index) {
                    found.push((index, order));
                }
            }
        }
        found
    }

    /// Every invariant of the module's first lines, by looking at every leaf.
    fn check(buddy: &Buddy<'_>, taken: &[Range<usize>]) {
        let mut owner = std::vec![0; buddy.leaves];
        for (index, order) in free_blocks(buddy) {
            block_range(index, order).for_each(|leaf| owner[leaf] += 1);
            let twin = (index ^ 1, order);
            assert!(
                order == buddy.top || !free_blocks(buddy).contains(&twin),
                "buddies did not join"
            );
        }
        for (leaf, &count) in owner.iter().enumerate() {
            assert_eq!(count == 1, buddy.is_vacant(leaf));
        }
        for range in taken {
            range.clone().for_each(|leaf| owner[leaf] += 1);
        }
        assert!(owner.iter().all(|&count| count == 1), "a leaf lost or held twice");
        assert_eq!(buddy.vacant_count(), (0..buddy.leaves).filter(|&l| buddy.is_vacant(l)).count());
    }

    #[test]
    fn random_takes_and_returns_keep_the_invariants() {
        for leaves in [1, 2, 3, 7, 64, 65, 249, 1000].into_iter().take(rounds(8, 6)) {
            let tables = tables(leaves);
            let buddy = buddy(&tables, leaves);
            let mut taken: Vec<Range<usize>> = Vec::new();
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..rounds(400, 2) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let pick = usize::try_from(random >> 32).unwrap();
                let count = 1 + pick % 33;
                let start = match random % 5 {
                    0 => buddy.take(count, &(0..leaves)),
                    1 => buddy.take(count, &(pick % leaves..leaves)),
                    2 => buddy.take_unaligned(count, &(pick % leaves..leaves)),
                    _ => None,
                };
                if let Some(start) = start {
                    taken.push(start..start + count);
                } else if !taken.is_empty() {
                    buddy.give_back(taken.swap_remove(pick % taken.len()));
                }
                check(&buddy, &taken);
            }
            taken.drain(..).for_each(|range| buddy.give_back(range));
            check(&buddy, &[]);
            let mut whole = Vec::new();
            for_each_block(0..leaves, buddy.top, |index, order| whole.push((index, order)));
            whole.sort_by_key(|&(index, order)| (order, index));
            assert_eq!(free_blocks(&buddy), whole, "everything coalesces back");
        }
    }

    #[test]
    fn the_tail_of_a_block_comes_back() {
        let tables = tables(32);
        let buddy = buddy(&tables, 32);
        assert_eq!(buddy.take(17, &(0..32)), Some(0));
        assert_eq!(buddy.vacant_count(), 15);
        assert_eq!(free_blocks(&buddy), [(17, 0), (9, 1), (5, 2), (3, 3)]);
        assert_eq!(buddy.take(8, &(0..32)), Some(24));
        assert_eq!(buddy.take(8, &(0..32)), None, "the seven left are no block");
        assert_eq!(buddy.take_unaligned(8, &(0..32)), None);
        assert_eq!(buddy.take_unaligned(7, &(0..32)), Some(17));
    }

    #[test]
    fn a_zone_is_kept_to() {
        let tables = tables(256);
        let buddy = buddy(&tables, 256);
        assert_eq!(buddy.take(4, &(128..192)), Some(128));
        assert_eq!(buddy.take(4, &(0..64)), Some(0));
        assert_eq!(buddy.take(64, &(128..192)), None);
        assert_eq!(buddy.take(64, &(0..256)), Some(64));
        assert_eq!(buddy.take_unaligned(70, &(100..132)), None);
        assert_eq!(buddy.take_unaligned(70, &(100..133)), Some(132));
    }

    #[test]
    fn the_second_leaf_can_be_chosen() {
        let tables = tables(40);
        let buddy = buddy(&tables, 40);
        let seconds = || (16..40).step_by(16);
        assert_eq!(buddy.take_around(3, seconds()), Some(15));
        assert_eq!(buddy.take_around(3, seconds()), Some(31));
        assert_eq!(buddy.take_around(3, seconds()), None);
        assert_eq!(buddy.take_around(usize::MAX, seconds()), None);
    }

    #[test]
    fn the_table_has_a_bit_for_every_block_and_hardly_more() {
        for leaves in [1, 2, 64, 1000, 1 << 20, MAX_LEAVES] {
            let orders = top_order(leaves) + 1;
            let blocks: usize = (0..orders).map(|order| leaves >> order).sum();
            let bits = block_bits(leaves);
            let enough = blocks..blocks + orders * WORD_BITS;
            assert!(enough.contains(&bits), "{leaves} leaves: {bits} bits");
        }
        assert_eq!(top_order(MAX_LEAVES), ORDERS - 1, "and no leaf more");
        assert_eq!(top_order(MAX_LEAVES + 1), ORDERS);
    }

    #[test]
    fn leaves_around_the_second_are_free_from_the_first_to_the_last() {
        let tables = tables(40);
        let buddy = buddy(&tables, 40);
        assert_eq!(buddy.take_around(6, iter::once(36)), None, "one leaf too many");
        assert_eq!(buddy.take_around(5, iter::once(36)), Some(35));
        assert_eq!(buddy.take_around(3, iter::once(36)), None);
        buddy.give_back(36..40);
        assert_eq!(buddy.take_around(3, iter::once(36)), None, "the first is taken");
        buddy.give_back(35..36);
        assert_eq!(buddy.take_around(5, iter::once(36)), Some(35));
    }
}
