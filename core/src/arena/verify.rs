//! Looking for damage everywhere, while others go on using the arena.
//!
//! Each step takes the lock, so that no run is cut or taken apart meanwhile, and freezes what it
//! looks at, so that nobody wipes it. Nothing is held between two steps.

use super::Arena;
use super::leaves::Ledger;
use crate::cells::Claimed;
use crate::classes::LEAF;
use crate::error::{Fault, FaultKind};
use crate::guarded::NotReady;
use crate::kind::Kind;
use crate::owner::{Door, Owner};
use crate::runs::Cell;

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
        // One for all: to open the gate may be a system call, and none of the caller's code runs here.
        let _window = (!self.is_lost()).then(|| self.owner.open(Door::Inspect));
        let mut first = None;
        self.find_faults(|fault| {
            first.get_or_insert(fault);
        });
        first.map_or(Ok(()), Err)
    }

    /// Does what [`verify`](Self::verify) does and reports every fault found, one for each damaged
    /// canary, slack or free stretch.
    pub fn find_faults(&self, mut report: impl FnMut(Fault)) {
        // What was wiped while it was looked at looks like damage.
        let mut report = |(kind, offset)| {
            if !self.is_lost_by_now() {
                report(self.record(kind, Some(offset)));
            }
        };
        let occupancy = self.cells.runs.occupancy();
        let mut leaf = 0;
        while !self.is_lost() && leaf < occupancy.leaves() {
            let window = self.owner.open(Door::Inspect);
            let shape = occupancy.kind(leaf).shape();
            drop(window);
            // The caller's code runs with no lock held, and the gate shut.
            let Some(shape) = shape else {
                self.check_leaf(leaf).into_iter().for_each(&mut report);
                leaf += 1;
                continue;
            };
            for index in 0..usize::from(shape.cells) {
                let cell = occupancy.cell(leaf, index, shape);
                self.check_cell(cell).into_iter().for_each(&mut report);
            }
            self.check_run_end(leaf).into_iter().for_each(&mut report);
            leaf += usize::from(shape.leaves);
        }
    }

    fn check_cell(&self, cell: Cell<'_>) -> Option<Found> {
        let _window = self.owner.open(Door::Inspect);
        let occupancy = self.cells.runs.occupancy();
        let mut ledger = self.ledger.lock();
        if occupancy.kind(cell.head).shape() != Some(cell.shape) {
            return None;
        }
        // SAFETY: the lock is held, under which the run was seen.
        let between = unsafe { self.cells.between(cell) };
        occupancy.freeze(cell.head);
        let found = match self.cells.claim_frozen(cell) {
            Some(claimed) => self.check_free(claimed, &mut ledger),
            // SAFETY: the run is frozen, and the lock keeps it so.
            None => unsafe { between.check_taken(cell.index == 0) }.err(),
        };
        occupancy.thaw(cell.head);
        Some((found?, between.start()))
    }

    /// Checks a cell that was free, and puts it back unless it is damaged.
    fn check_free(&self, claimed: Claimed<'_>, ledger: &mut Ledger) -> Option<FaultKind> {
        let is_first = claimed.cell().index == 0;
        match claimed.look() {
            // Before any but the first is the canary of another cell, which reports it.
            Err(NotReady::Damaged(kind)) if is_first || kind != FaultKind::CanaryBefore => {
                ledger.quarantine(claimed);
                Some(kind)
            }
            _ => {
                self.cells.put_back(claimed);
                None
            }
        }
    }

    /// Checks that the bytes behind a run's last canary are zero.
    fn check_run_end(&self, head: usize) -> Option<Found> {
        let _window = self.owner.open(Door::Inspect);
        let _held = self.ledger.lock();
        let shape = self.cells.runs.occupancy().kind(head).shape()?;
        let used = shape.cell_offset(usize::from(shape.cells));
        let end = (head + usize::from(shape.leaves)) * LEAF;
        let start = head * LEAF + used;
        // SAFETY: the run was seen under the lock, and its cells and canaries end here.
        let was_zero = unsafe { self.cells.clear(start..end) };
        (!was_zero).then_some((FaultKind::WriteAfterFree, start))
    }

    fn check_leaf(&self, leaf: usize) -> Option<Found> {
        let _window = self.owner.open(Door::Inspect);
        let _held = self.ledger.lock();
        match self.cells.runs.occupancy().kind(leaf) {
            Kind::Vacant if self.buddy.is_free(leaf) => {
                let start = leaf * LEAF;
                // SAFETY: the leaf was seen to be free, under the lock.
                let was_zero = unsafe { self.cells.clear(start..start + LEAF) };
                (!was_zero).then_some((FaultKind::WriteAfterFree, start))
            }
            Kind::Block => self.check_block(leaf),
            _ => None,
        }
    }

    /// Checks a block, under the lock.
    fn check_block(&self, head: usize) -> Option<Found> {
        let occupancy = self.cells.runs.occupancy();
        occupancy.exchange_kind(head, Kind::Block, Kind::BlockFrozen).ok()?;
        let leaves = head..head + occupancy.block_len(head);
        // SAFETY: the block is frozen, and the lock is held.
        let between = unsafe { self.cells.block(&leaves) };
        // SAFETY: the block is frozen.
        let found = unsafe { between.check_taken(true) }.err();
        occupancy.set_kind(head, Kind::Block);
        Some((found?, between.start()))
    }
}

/// What is damaged, and how many bytes from the first leaf.
type Found = (FaultKind, usize);
