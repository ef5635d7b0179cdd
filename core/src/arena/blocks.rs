//! Blocks: secrets that have whole leaves of their own.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::Arena;
use crate::classes::{CANARY, LEAF};
use crate::error::{AllocateError, FaultKind};
use crate::kind::Kind;
use crate::owner::Owner;

impl<O: Owner> Arena<'_, O> {
    /// Allocates whole leaves for one secret.
    pub(super) fn allocate_block(&self, layout: Layout) -> Result<NonNull<u8>, AllocateError> {
        if layout.align() > <Arena<'_>>::GREATEST_ALIGN {
            let (requested, largest) = (layout.align(), <Arena<'_>>::GREATEST_ALIGN);
            return Err(AllocateError::Alignment { requested, largest });
        }
        let (step, offset) = self.first_leaves(layout.align());
        let count = block_leaves(layout).filter(|&count| {
            offset.checked_add(count).is_some_and(|end| end <= self.cells.runs.occupancy().leaves())
        });
        let Some(count) = count else {
            let (requested, largest) = (layout.size(), self.largest());
            return Err(AllocateError::TooLarge { requested, largest });
        };
        loop {
            let spare = self.take_for_block(count, step, offset).ok_or(AllocateError::Full {
                requested: layout.size(),
                capacity: self.capacity(),
            })?;
            if let Some(spare) = self.if_untouched(spare) {
                return Ok(self.cells.open_block(spare, layout));
            }
        }
    }

    /// Where blocks for secrets of this alignment may begin: at leaves that are so much more than a
    /// multiple of a number. A secret that is aligned to more than a leaf begins in its second.
    fn first_leaves(&self, align: usize) -> (usize, usize) {
        if align <= LEAF {
            return (1, 0);
        }
        let step = align / LEAF;
        let aligned = self.cells.leaves.address().wrapping_neg() % align / LEAF;
        (step, aligned.checked_sub(1).unwrap_or(step - 1))
    }

    /// Releases the secret of a block.
    ///
    /// # Safety
    /// The caller gives up the secret at `offset`.
    #[inline(never)]
    pub(super) unsafe fn release_block(
        &self,
        offset: usize,
        layout: Layout,
    ) -> Result<(), FaultKind> {
        // The byte before the secret, a canary's or gap's, is in the block's first leaf.
        let head = offset.saturating_sub(1) / LEAF;
        self.claim_block(head, offset)?;
        // SAFETY: the block was claimed for the release of the caller's secret.
        let claimed = unsafe { self.cells.take_back_block(head) };
        let occupancy = self.cells.runs.occupancy();
        match claimed.check_release(offset, layout) {
            Err(kind) if !kind.is_damage() => {
                occupancy.set_kind(head, Kind::Block);
                Err(kind)
            }
            Err(kind) => {
                claimed.quarantine();
                occupancy.set_kind(head, Kind::BlockQuarantined);
                self.ledger.lock().quarantined_blocks += 1;
                Err(kind)
            }
            Ok(()) => {
                let spare = claimed.release();
                occupancy.vacate(spare.leaves());
                self.give_back(spare);
                Ok(())
            }
        }
    }

    /// Claims a block for release, waiting while `verify` looks at it.
    fn claim_block(&self, head: usize, offset: usize) -> Result<(), FaultKind> {
        let occupancy = self.cells.runs.occupancy();
        loop {
            match occupancy.exchange_kind(head, Kind::Block, Kind::BlockReleasing) {
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
}

/// The leaves that a secret of this layout fills, with a canary on both sides.
fn block_leaves(layout: Layout) -> Option<usize> {
    // The first leaf is aligned; the gap before the secret is at least a canary.
    let gap = layout.align().clamp(CANARY, LEAF);
    Some(gap.checked_add(layout.size())?.checked_add(CANARY)?.div_ceil(LEAF))
}
