//! What happens under the lock: cutting runs and blocks, and taking empty runs apart.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use super::{Arena, plan};
use crate::canary::{Canary, State};
use crate::classes::{
    CANARY, CLASSES, LANE_BITS, LANES, LEAF, SHAPES, Shape, shape_for, shapes_of,
};
use crate::error::{AllocateError, FaultKind};
use crate::guarded::Extent;
use crate::kind::Kind;
use crate::owner::Owner;
use crate::runs::Cell;
use crate::wipe::{is_zero, wipe};

/// What only the holder of the lock reads and writes.
#[derive(Default)]
pub(super) struct Ledger {
    /// Leaves in runs and blocks, now and at most.
    pub(super) cut: usize,
    pub(super) peak: usize,
    /// Cells in the runs of each class.
    pub(super) cells: [usize; CLASSES],
    /// Cells of each class, and blocks, that were damaged.
    pub(super) quarantined: [usize; CLASSES],
    pub(super) quarantined_blocks: usize,
}

impl<O: Owner> Arena<'_, O> {
    /// Cuts a run of `class` and takes its first cell.
    pub(super) fn cut_run(&self, class: usize, zone: &Range<usize>) -> Option<Cell<'_>> {
        loop {
            let (head, number) = self.take_run_leaves(class, zone)?;
            let leaves = head..head + usize::from(SHAPES[number].leaves);
            if self.was_written(leaves) {
                continue;
            }
            // Nobody knows of these leaves yet: their canaries are planted outside the lock.
            for index in 0..usize::from(SHAPES[number].cells) {
                let extent = self.extent(self.runs.cell(head, index, &SHAPES[number]));
                if index == 0 {
                    extent.plant_edge();
                }
                extent.plant_free();
            }
            return Some(self.runs.open(head, number));
        }
    }

    /// Takes the leaves for a run of the best shape of `class` that there is room for.
    fn take_run_leaves(&self, class: usize, zone: &Range<usize>) -> Option<(usize, usize)> {
        let mut ledger = self.ledger.lock();
        let best = shape_for(class, ledger.cells[class]);
        let take = || {
            let shapes = (shapes_of(class).start..=best).rev();
            shapes
                .into_iter()
                .find_map(|number| Some((self.take_for_shape(&SHAPES[number], zone)?, number)))
        };
        let (head, number) = take().or_else(|| {
            let is_last_resort = zone.len() == self.runs.leaves();
            (is_last_resort && self.return_empty_runs(&mut ledger) > 0).then(take)?
        })?;
        self.refresh_canary(head..head + usize::from(SHAPES[number].leaves));
        ledger.cut += usize::from(SHAPES[number].leaves);
        ledger.peak = ledger.peak.max(ledger.cut);
        ledger.cells[class] += usize::from(SHAPES[number].cells);
        Some((head, number))
    }

    /// Takes the leaves for one run. One whose cells need no more occupancy bits than a leaf has can
    /// begin at any leaf, and is put right behind its neighbour; another begins where its bits are
    /// one word.
    fn take_for_shape(&self, shape: &Shape, zone: &Range<usize>) -> Option<usize> {
        let leaves = usize::from(shape.leaves);
        if leaves.is_power_of_two() || usize::from(shape.cells) >= LANE_BITS {
            self.buddy.take(leaves, zone)
        } else {
            self.buddy.take_unaligned(leaves, zone)
        }
    }

    /// Gives the leaves of all empty runs back, and says how many those were.
    pub(super) fn return_empty_runs(&self, ledger: &mut Ledger) -> usize {
        if !self.runs.may_be_empty() {
            return 0;
        }
        let (mut leaf, mut returned) = (0, 0);
        while leaf < self.runs.leaves() {
            let Some(shape) = self.runs.kind(leaf).shape() else {
                leaf += 1;
                continue;
            };
            let leaves = leaf..leaf + usize::from(shape.leaves);
            if self.runs.close(leaf, shape) {
                if self.take_apart(leaf, shape) {
                    ledger.cut -= leaves.len();
                    ledger.cells[usize::from(shape.class)] -= usize::from(shape.cells);
                    returned += leaves.len();
                } else {
                    self.runs.reopen(leaf, shape);
                }
            }
            leaf = leaves.end;
        }
        returned
    }

    /// Turns a closed run back into vacant leaves, unless a cell is still being wiped or was
    /// damaged.
    fn take_apart(&self, head: usize, shape: &'static Shape) -> bool {
        let cells =
            || (0..usize::from(shape.cells)).map(|index| self.runs.cell(head, index, shape));
        if !cells().all(|cell| self.extent(cell).state() == Some(State::FREE)) {
            return false;
        }
        cells().for_each(|cell| self.extent(cell).clear_canaries());
        self.runs.retire(head, shape);
        self.buddy.give_back(head..head + usize::from(shape.leaves));
        true
    }

    /// Draws a fresh canary for the run or block that will be made of `leaves`, unless another
    /// begins in the same group. Called under the lock, with the leaves already taken.
    fn refresh_canary(&self, leaves: Range<usize>) {
        let group = leaves.start / LANES * LANES;
        let shared = (group..self.runs.leaves().min(group + LANES)).any(|leaf| {
            let goes_on = matches!(self.runs.kind(leaf), Kind::RunRest(_) | Kind::BlockRest);
            !leaves.contains(&leaf) && !goes_on && !self.buddy.is_vacant(leaf)
        });
        if !shared {
            self.runs.group(leaves.start).canary.store(plan::draw(self.drbg));
        }
    }

    /// Whether somebody wrote to vacant leaves that were just taken. If so they are wiped,
    /// reported, and never handed out.
    fn was_written(&self, leaves: Range<usize>) -> bool {
        let bytes = leaves.start * LEAF..leaves.end * LEAF;
        // SAFETY: the leaves were just taken from the buddy allocator; nobody else knows of them.
        if is_zero(unsafe { self.leaves.bytes(bytes.clone()) }) {
            return false;
        }
        // SAFETY: likewise.
        wipe(unsafe { self.leaves.bytes_mut(bytes.clone()) });
        // The first leaf never looks like the rest of the block before it.
        self.runs.set_kind(leaves.start, Kind::BlockQuarantined);
        self.runs.set_kinds(leaves.start + 1..leaves.end, Kind::BlockRest);
        self.ledger.lock().quarantined_blocks += 1;
        self.report(FaultKind::WriteAfterFree, Some(bytes.start));
        true
    }

    /// Allocates whole leaves for one secret.
    pub(super) fn allocate_block(&self, layout: Layout) -> Result<NonNull<u8>, AllocateError> {
        if layout.align() > <Arena<'_>>::GREATEST_ALIGN {
            let (requested, largest) = (layout.align(), <Arena<'_>>::GREATEST_ALIGN);
            return Err(AllocateError::Alignment { requested, largest });
        }
        let count = block_leaves(layout).unwrap_or(usize::MAX);
        if count > self.runs.leaves() || !self.has_place_for(count, layout.align()) {
            let largest = self.capacity() - 2 * CANARY;
            return Err(AllocateError::TooLarge { requested: layout.size(), largest });
        }
        let full = AllocateError::Full { requested: layout.size(), capacity: self.capacity() };
        let head = loop {
            let head = self.take_block_leaves(count, layout.align()).ok_or(full)?;
            if !self.was_written(head..head + count) {
                break head;
            }
        };
        let extent = self.block_extent(head, count);
        extent.plant_edge();
        extent.plant_free();
        // SAFETY: the leaves were just taken and found zero, and their number fits the layout.
        let secret = unsafe { extent.hand_out(layout) };
        self.runs.set_kinds(head + 1..head + count, Kind::BlockRest);
        self.runs.set_kind(head, Kind::Block);
        Ok(secret)
    }

    fn take_block_leaves(&self, count: usize, align: usize) -> Option<usize> {
        let mut ledger = self.ledger.lock();
        let take = || {
            if align > LEAF {
                return self.buddy.take_around(count, self.aligned_leaves(align));
            }
            self.buddy.take_unaligned(count, &(0..self.runs.leaves()))
        };
        let head = take().or_else(|| (self.return_empty_runs(&mut ledger) > 0).then(take)?)?;
        self.refresh_canary(head..head + count);
        ledger.cut += count;
        ledger.peak = ledger.peak.max(ledger.cut);
        Some(head)
    }

    /// Whether an empty arena has `count` leaves in a row for a secret of this alignment.
    fn has_place_for(&self, count: usize, align: usize) -> bool {
        align <= LEAF
            || self.aligned_leaves(align).next().is_some_and(|second| {
                (second - 1).checked_add(count).is_some_and(|end| end <= self.runs.leaves())
            })
    }

    /// The leaves but the first whose addresses are multiples of `align`.
    fn aligned_leaves(&self, align: usize) -> impl Iterator<Item = usize> + use<'_, O> {
        let first = self.leaves.address().wrapping_neg() % align / LEAF;
        let step = align / LEAF;
        (if first == 0 { step } else { first }..self.runs.leaves()).step_by(step)
    }

    /// Releases the secret of a block.
    ///
    /// # Safety
    /// The caller gives up the secret at `offset`.
    pub(super) unsafe fn release_block(
        &self,
        offset: usize,
        layout: Layout,
    ) -> Result<(), FaultKind> {
        // The byte before the secret, a canary's or gap's, is in the block's first leaf.
        let head = offset.saturating_sub(1) / LEAF;
        self.claim_block(head, offset)?;
        let count = self.block_len(head);
        let extent = self.block_extent(head, count);
        // SAFETY: the block was claimed for its release.
        let checked = unsafe { extent.check_release(offset, layout) };
        match checked {
            Err(kind) if !kind.is_damage() => {
                self.runs.set_kind(head, Kind::Block);
                return Err(kind);
            }
            Err(_) => {
                // SAFETY: the block was claimed for its release.
                unsafe { extent.reset(State::QUARANTINED) };
                self.runs.set_kind(head, Kind::BlockQuarantined);
                self.ledger.lock().quarantined_blocks += 1;
                return checked;
            }
            // SAFETY: the block was claimed for its release.
            Ok(()) => unsafe { extent.reset(State::FREE) },
        }
        extent.clear_canaries();
        let mut ledger = self.ledger.lock();
        self.runs.set_kinds(head..head + count, Kind::Vacant);
        self.buddy.give_back(head..head + count);
        ledger.cut -= count;
        Ok(())
    }

    /// Claims a block for release, waiting while `verify` looks at it.
    fn claim_block(&self, head: usize, offset: usize) -> Result<(), FaultKind> {
        loop {
            match self.runs.exchange_kind(head, Kind::Block, Kind::BlockReleasing) {
                Ok(()) => return Ok(()),
                Err(Kind::BlockFrozen) => self.wait_for_thaw(),
                Err(Kind::BlockReleasing | Kind::BlockQuarantined) => {
                    return Err(FaultKind::DoubleFree);
                }
                // Where a secret once began, it was probably released before.
                Err(Kind::Vacant) if offset % LEAF == CANARY => return Err(FaultKind::DoubleFree),
                Err(_) => return Err(FaultKind::ForeignFree),
            }
        }
    }

    /// How many leaves the block at `head` has.
    pub(super) fn block_len(&self, head: usize) -> usize {
        let rest = head + 1..self.runs.leaves();
        1 + rest.take_while(|&leaf| self.runs.kind(leaf) == Kind::BlockRest).count()
    }

    pub(super) fn block_extent(&self, head: usize, count: usize) -> Extent<'_> {
        let canary = Canary::new(self.runs.group(head).canary.load());
        let size = count * LEAF - 2 * CANARY;
        // SAFETY: whoever asks has taken the leaves, claimed the block or frozen it.
        unsafe { Extent::new(&self.leaves, canary, head * LEAF + CANARY, size) }
    }
}

/// The leaves that a secret of this layout fills, with a canary on both sides.
fn block_leaves(layout: Layout) -> Option<usize> {
    // The first leaf is aligned; the gap before the secret is at least a canary.
    let gap = layout.align().clamp(CANARY, LEAF);
    Some(gap.checked_add(layout.size())?.checked_add(CANARY)?.div_ceil(LEAF))
}
