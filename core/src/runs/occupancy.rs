//! Which cells of which runs are taken.
//!
//! Invariant: **a clear bit is a free cell of an open run.** Bits of leaves that are not in an open
//! run, and bits beyond a run's cells, are set. So a thread that goes by an outdated kind can at
//! worst set a bit that is not of the run it meant: it sees the kind changed, clears the bit, and
//! until then nobody could close the run to which the bit belongs.

use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::classes::{LANE_BITS, LANES, LEAF, SHAPES, Shape, WORD_BITS};
use crate::kind::{DIGITS, Kind, distance_of, shape_of};
use crate::lent::Lent;
use crate::sync::{AtomicU8, AtomicUsize, Shared64};

/// The kinds of the leaves, and the occupancy of those that are runs.
#[derive(Clone, Copy)]
pub(crate) struct Occupancy<'r> {
    kinds: Lent<'r, [AtomicU8]>,
    groups: Lent<'r, [Group]>,
}

/// Leaves that share an occupancy word, and the canary of the runs and blocks that begin there.
pub(crate) struct Group {
    pub(crate) canary: Shared64,
    taken: AtomicUsize,
}

impl Group {
    /// A group without an open run.
    pub(crate) fn closed(canary: u64) -> Self {
        Self { canary: Shared64::new(canary), taken: AtomicUsize::new(!FROZEN) }
    }
}

/// Where a cell is. It gives no right to it.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'r> {
    /// The run's first leaf.
    pub(crate) head: usize,
    pub(crate) index: usize,
    pub(crate) shape: &'static Shape,
    /// The group of the first leaf.
    pub(crate) group: &'r Group,
}

impl<'r> Cell<'r> {
    /// The cell's bit in its group's word, for passing over it.
    #[inline]
    pub(crate) fn bit(self) -> usize {
        1 << (first_bit(self.head) + self.index)
    }

    /// Bytes from the first leaf to the cell.
    #[inline]
    pub(crate) fn start(self) -> usize {
        self.head * LEAF + self.shape.cell_offset(self.index)
    }

    #[inline]
    pub(crate) fn is_taken(self) -> bool {
        self.group.taken.load(Acquire) & self.bit() != 0
    }

    /// Claims the cell, which is of a frozen run, if it is free.
    pub(crate) fn claim_frozen(self) -> Option<Claim<'r>> {
        let before = self.group.taken.fetch_or(self.bit(), SeqCst);
        (before & self.bit() == 0).then_some(Claim { cell: self })
    }
}

/// A taken cell in the hands of one holder: nobody else claims it, and its run stays.
///
/// Dropping it leaves the cell taken for good.
#[must_use]
pub(crate) struct Claim<'r> {
    cell: Cell<'r>,
}

impl<'r> Claim<'r> {
    /// The claim that the owner of the live secret in `cell` has had since it was handed out.
    ///
    /// # Safety
    /// The caller owns that secret, and gives it up.
    #[inline]
    pub(crate) unsafe fn of_owner(cell: Cell<'r>) -> Self {
        Self { cell }
    }

    #[inline]
    pub(crate) fn cell(&self) -> Cell<'r> {
        self.cell
    }

    /// Gives the cell back, if it is taken: from here on it counts as free, though it is not ready until its
    /// canary says so.
    ///
    /// If the run is frozen, the cell may be wiped only when that is over.
    #[inline(always)]
    pub(crate) fn give_back(self) -> Option<Returned> {
        let Cell { head, shape, group, .. } = self.cell;
        let (bit, lane) = (self.cell.bit(), lane(head, shape));
        let before = group.taken.fetch_and(!bit, SeqCst);
        if before & bit == 0 {
            return None;
        }
        Some(Returned {
            was_full: before & lane == lane,
            is_empty: before & lane == bit,
            was_frozen: before & FROZEN != 0,
        })
    }
}

/// What giving a cell back made of its run.
pub(crate) struct Returned {
    pub(crate) was_full: bool,
    pub(crate) is_empty: bool,
    /// Somebody is looking at the cell.
    pub(crate) was_frozen: bool,
}

/// Why no cell was claimed.
pub(crate) enum NoCell {
    /// There is none that is free.
    Full,
    /// Nobody can know before `thaw`.
    Frozen,
}

impl<'r> Occupancy<'r> {
    /// Over closed tables: all leaves vacant, all groups closed.
    pub(crate) fn new(kinds: &'r [AtomicU8], groups: &'r [Group]) -> Self {
        Self { kinds: kinds.into(), groups: groups.into() }
    }

    #[inline]
    pub(crate) fn leaves(&self) -> usize {
        self.kinds.len()
    }

    #[inline]
    pub(crate) fn group(&self, leaf: usize) -> &'r Group {
        &self.groups.get()[leaf / LANES]
    }

    pub(crate) fn kind(&self, leaf: usize) -> Kind {
        Kind::from_byte(self.kinds[leaf].load(Acquire))
    }

    pub(crate) fn set_kind(&self, leaf: usize, kind: Kind) {
        self.kinds[leaf].store(kind.byte(), Release);
    }

    pub(crate) fn vacate(&self, leaves: Range<usize>) {
        self.kinds[leaves].iter().for_each(|kind| kind.store(Kind::Vacant.byte(), Release));
    }

    /// Changes the kind of `leaf` from one to another, or says what it is instead.
    pub(crate) fn exchange_kind(&self, leaf: usize, from: Kind, to: Kind) -> Result<(), Kind> {
        self.kinds[leaf]
            .compare_exchange(from.byte(), to.byte(), SeqCst, SeqCst)
            .map(drop)
            .map_err(Kind::from_byte)
    }

    /// Marks the further leaves of a block, so that `block_len` can tell how many there are.
    pub(crate) fn set_block_rest(&self, leaves: Range<usize>) {
        let mut number = leaves.len();
        for leaf in leaves {
            self.set_kind(leaf, Kind::BlockRest(number % DIGITS));
            number /= DIGITS;
        }
    }

    /// How many leaves the block at `head` has.
    pub(crate) fn block_len(&self, head: usize) -> usize {
        let (mut rest, mut worth) = (0, 1);
        for leaf in (head + 1..self.leaves()).take(MOST_DIGITS as usize) {
            let Kind::BlockRest(digit) = self.kind(leaf) else { break };
            rest += digit * worth;
            worth *= DIGITS;
        }
        1 + rest
    }

    /// A cell of the run of `shape` at `head`.
    #[inline]
    pub(crate) fn cell(&self, head: usize, index: usize, shape: &'static Shape) -> Cell<'r> {
        Cell { head, index, shape, group: self.group(head) }
    }

    /// The cell that holds the byte `offset` of the leaves, if a run does.
    #[inline(always)]
    pub(crate) fn cell_at(&self, offset: usize) -> Option<Cell<'r>> {
        let leaf = offset / LEAF;
        let distance = distance_of(self.kinds[leaf].load(Acquire));
        let head = leaf.checked_sub(distance)?;
        // The same byte once more if the leaf is the first: that costs less than a wrong guess.
        let shape = shape_of(self.kinds[head].load(Acquire))?;
        let index = shape.cell_at(offset - head * LEAF)?;
        Some(self.cell(head, index, shape))
    }

    #[inline]
    pub(crate) fn is_run_of(&self, head: usize, class: usize) -> bool {
        let shape = shape_of(self.kinds[head].load(Acquire));
        shape.is_some_and(|shape| usize::from(shape.class) == class)
    }

    /// Claims the first free cell of the run at `head`, if it is one of `class`, but none of those
    /// whose bits are in `passed_over`. Nobody has looked yet whether the cell is ready. `Ok(Err(…))` is a
    /// cell of another run: the one that was meant was taken apart meanwhile.
    #[inline(always)]
    pub(super) fn claim(
        &self,
        head: usize,
        class: usize,
        passed_over: usize,
    ) -> Result<Result<Claim<'r>, Claim<'r>>, NoCell> {
        let kind = self.kinds[head].load(Acquire);
        let shape = shape_of(kind).filter(|shape| usize::from(shape.class) == class);
        let shape = shape.ok_or(NoCell::Full)?;
        let group = self.group(head);
        let (first, lane) = (first_bit(head), lane(head, shape));
        let mut taken = group.taken.load(Relaxed);
        loop {
            let free = !taken & lane & !passed_over;
            if taken & FROZEN != 0 {
                return Err(NoCell::Frozen);
            }
            if free == 0 {
                return Err(NoCell::Full);
            }
            let bit = free & free.wrapping_neg();
            if let Err(now) = group.taken.compare_exchange_weak(taken, taken | bit, SeqCst, Relaxed)
            {
                taken = now;
                continue;
            }
            let claim = Claim {
                cell: Cell { head, index: bit.trailing_zeros() as usize - first, shape, group },
            };
            if self.kinds[head].load(Relaxed) != kind {
                return Ok(Err(claim));
            }
            return Ok(Ok(claim));
        }
    }

    /// Undoes a claim, and says in which leaves others may have been misled by it.
    #[expect(clippy::needless_pass_by_value, reason = "the claim ends here")]
    pub(super) fn put_back(&self, claim: Claim<'_>) -> Range<usize> {
        let cell = claim.cell;
        cell.group.taken.fetch_and(!cell.bit(), SeqCst);
        self.group_of(cell.head)
    }

    /// The leaves of the group of `leaf`.
    pub(crate) fn group_of(&self, leaf: usize) -> Range<usize> {
        let first = leaf / LANES * LANES;
        first..self.leaves().min(first + LANES)
    }

    /// How many cells of the run at `head` are taken.
    pub(crate) fn taken(&self, head: usize, shape: &Shape) -> usize {
        (self.group(head).taken.load(SeqCst) & lane(head, shape)).count_ones() as usize
    }

    /// Makes the leaves from `head` on into a run of which the first cell is taken, the rest free.
    pub(super) fn open(&self, head: usize, number: usize) -> Claim<'r> {
        let shape = &SHAPES[number];
        for distance in 1..usize::from(shape.leaves) {
            self.set_kind(head + distance, Kind::RunRest(distance));
        }
        self.set_kind(head, Kind::Run(number));
        let cell = self.cell(head, 0, shape);
        cell.group.taken.fetch_and(!lane(head, shape) | cell.bit(), SeqCst);
        Claim { cell }
    }

    /// Closes the run at `head` if none of its cells is taken: from then on nobody can take one.
    pub(crate) fn close(&self, head: usize, shape: &Shape) -> bool {
        let (word, lane) = (&self.group(head).taken, lane(head, shape));
        let mut taken = word.load(SeqCst);
        loop {
            if taken & (lane | FROZEN) != 0 {
                return false;
            }
            match word.compare_exchange_weak(taken, taken | lane, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
    }

    /// Undoes `close`.
    pub(crate) fn reopen(&self, head: usize, shape: &Shape) -> Range<usize> {
        self.group(head).taken.fetch_and(!lane(head, shape), SeqCst);
        self.group_of(head)
    }

    /// Keeps the cells of the group of `leaf` from being taken or wiped, until `thaw`. Only the holder
    /// of the arena's lock freezes, and thaws before giving it up.
    pub(crate) fn freeze(&self, leaf: usize) {
        self.group(leaf).taken.fetch_or(FROZEN, SeqCst);
    }

    pub(crate) fn thaw(&self, leaf: usize) {
        self.group(leaf).taken.fetch_and(!FROZEN, SeqCst);
    }
}

/// The lowest bit of a run that begins at `head`.
#[inline]
fn first_bit(head: usize) -> usize {
    head % LANES * LANE_BITS
}

/// The bits of the cells of a run.
#[inline]
fn lane(head: usize, shape: &Shape) -> usize {
    shape.lane << first_bit(head)
}

/// The bit that keeps a word's cells where they are: no run is so long that it would use it.
const FROZEN: usize = 1 << (WORD_BITS - 1);

/// Digits of the longest block's number of leaves.
const MOST_DIGITS: u32 = 5;
const _: () = assert!(DIGITS.pow(MOST_DIGITS) > crate::buddy::MAX_LEAVES);
