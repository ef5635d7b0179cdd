//! Looking for damage everywhere, while others go on using the arena.
//!
//! Each step takes the lock, so that no run is cut or taken apart meanwhile, and freezes what it
//! looks at, so that nobody wipes it. Nothing is held between two steps.

use core::ops::Range;

use super::cut::Ledger;
use super::{Arena, quarantine_in};
use crate::classes::LEAF;
use crate::error::{Fault, FaultKind};
use crate::guarded::{Extent, Readiness};
use crate::kind::Kind;
use crate::owner::Owner;
use crate::runs::Cell;
use crate::wipe::{is_zero, wipe};

impl<O: Owner> Arena<'_, O> {
    /// Checks every canary, all slack and every free byte.
    ///
    /// Other threads may go on using the arena. What they are allocating or releasing at the moment
    /// is passed over: it is checked there. A damaged free cell is wiped and quarantined, and vacant
    /// leaves are wiped; a damaged secret stays with its owner until its release. The fault handler
    /// is not called.
    ///
    /// # Errors
    /// The first [`Fault`] found. All the others are found too; see
    /// [`find_faults`](Self::find_faults) to learn of them.
    pub fn verify(&self) -> Result<(), Fault> {
        let mut first = None;
        self.find_faults(|fault| {
            first.get_or_insert(fault);
        });
        first.map_or(Ok(()), Err)
    }

    /// Does what [`verify`](Self::verify) does and reports every fault found, one for each damaged
    /// canary, slack or free stretch.
    pub fn find_faults(&self, mut report: impl FnMut(Fault)) {
        let mut leaf = 0;
        while leaf < self.runs.leaves() {
            let Some(shape) = self.runs.kind(leaf).shape() else {
                self.check_leaf(leaf).into_iter().for_each(&mut report);
                leaf += 1;
                continue;
            };
            for index in 0..usize::from(shape.cells) {
                let cell = self.runs.cell(leaf, index, shape);
                self.check_cell(cell).into_iter().for_each(&mut report);
            }
            self.check_run_end(leaf).into_iter().for_each(&mut report);
            leaf += usize::from(shape.leaves);
        }
    }

    fn check_cell(&self, cell: Cell<'_>) -> Option<Fault> {
        let mut ledger = self.ledger.lock();
        if !self.runs.kind(cell.head).shape().is_some_and(|shape| shape == cell.shape) {
            return None;
        }
        self.runs.freeze(cell.head);
        let found = if self.runs.take_frozen(cell) {
            self.check_free_cell(cell, &mut ledger)
        } else {
            // SAFETY: the cell is frozen.
            unsafe { check_taken(self.extent(cell), cell.index == 0) }
        };
        self.runs.thaw(cell.head);
        let start = self.extent(cell).start();
        found.map(|kind| self.record(kind, Some(start)))
    }

    /// Checks a free cell that was just taken, and puts it back unless it is damaged.
    fn check_free_cell(&self, cell: Cell<'_>, ledger: &mut Ledger) -> Option<FaultKind> {
        let extent = self.extent(cell);
        // SAFETY: the cell was just taken, and it was free.
        match unsafe { extent.readiness() } {
            // The canary before belongs to the cell before, which reports it.
            Readiness::Damaged(FaultKind::CanaryBefore) if cell.index > 0 => {}
            Readiness::Damaged(kind) => {
                // SAFETY: likewise.
                unsafe { quarantine_in(ledger, extent, cell) };
                return Some(kind);
            }
            Readiness::Ready | Readiness::Busy => {}
        }
        self.runs.put_back_cell(cell);
        None
    }

    /// Checks that the bytes behind a run's last canary are zero.
    fn check_run_end(&self, head: usize) -> Option<Fault> {
        let _held = self.ledger.lock();
        let shape = self.runs.kind(head).shape()?;
        let used = shape.cell_offset(usize::from(shape.cells));
        let end = (head + usize::from(shape.leaves)) * LEAF;
        self.check_zero(head * LEAF + used..end)
    }

    fn check_leaf(&self, leaf: usize) -> Option<Fault> {
        let _held = self.ledger.lock();
        match self.runs.kind(leaf) {
            Kind::Vacant if self.buddy.is_vacant(leaf) => {
                self.check_zero(leaf * LEAF..(leaf + 1) * LEAF)
            }
            Kind::Block => self.check_block(leaf),
            _ => None,
        }
    }

    fn check_block(&self, head: usize) -> Option<Fault> {
        self.runs.exchange_kind(head, Kind::Block, Kind::BlockFrozen).ok()?;
        let extent = self.block_extent(head, self.block_len(head));
        // SAFETY: the block is frozen.
        let found = unsafe { check_taken(extent, true) };
        self.runs.set_kind(head, Kind::Block);
        found.map(|kind| self.record(kind, Some(extent.start())))
    }

    /// Checks bytes that nobody may write to, under the lock, and zeroes what was written.
    fn check_zero(&self, bytes: Range<usize>) -> Option<Fault> {
        let start = bytes.start;
        // SAFETY: the bytes belong to no cell and no block, and the lock keeps it so.
        let bytes = unsafe { self.leaves.bytes_mut(bytes) };
        if is_zero(bytes) {
            return None;
        }
        wipe(bytes);
        Some(self.record(FaultKind::WriteAfterFree, Some(start)))
    }
}

/// Checks a frozen extent that is taken: live, being handed out, or quarantined.
///
/// # Safety
/// The extent is frozen.
unsafe fn check_taken(extent: Extent<'_>, is_first: bool) -> Option<FaultKind> {
    let damage = match extent.state() {
        None => Some(FaultKind::CanaryAfter),
        Some(state) => state.as_live().and_then(|(align_log2, slack)| {
            // SAFETY: a frozen secret's gap and slack are written to by nobody.
            unsafe { extent.check_padding(extent.secret_start(1 << align_log2), slack) }.err()
        }),
    };
    damage.or_else(|| (is_first && !extent.is_before_intact()).then_some(FaultKind::CanaryBefore))
}
