//! Cells with their memory: claimed, handed out, given back; and the runs that they are cut from.
//!
//! Values prove rights, each made in one place and never copied: [`Claimed`] is one cell, [`Spare`]
//! is leaves that nobody else knows of. Whoever holds neither may read kinds and occupancy only.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use crate::canary::{Canary, State};
use crate::classes::{CANARY, LEAF, SHAPES, Shape};
use crate::error::FaultKind;
use crate::guarded::{Between, Guarded, NotReady, Ready};
use crate::kind::Kind;
use crate::region::Leaves;
use crate::runs::{Cell, Claim, NoCell, Returned, Runs};
use crate::wipe::{is_zero, wipe};

/// The runs of an arena and the memory behind them.
pub(crate) struct Cells<'r> {
    pub(crate) runs: Runs<'r>,
    pub(crate) leaves: Leaves<'r>,
}

/// A cell in the hands of one holder, with its memory. Dropping it leaves the cell taken for good.
#[must_use]
pub(crate) struct Claimed<'a> {
    claim: Claim<'a>,
    guarded: Guarded<'a>,
}

/// A claimed cell that can be handed out.
#[must_use]
pub(crate) struct ReadyCell<'a> {
    /// Its run's first leaf.
    pub(crate) head: usize,
    ready: Ready<'a>,
}

/// Leaves in the hands of one holder, who has them from the buddy allocator and gives them back.
#[must_use]
pub(crate) struct Spare {
    leaves: Range<usize>,
}

impl<'r> Cells<'r> {
    /// Claims a free cell of the run at `head`, if it is one of `class`, but none of those whose bits
    /// are in `passed_over`. Nobody has looked yet whether the cell is ready.
    #[inline(always)]
    pub(crate) fn claim(
        &self,
        head: usize,
        class: usize,
        passed_over: usize,
    ) -> Result<Claimed<'_>, NoCell> {
        Ok(self.with_memory(self.runs.claim(head, class, passed_over)?))
    }

    /// Claims a particular cell of a frozen run, if it is free.
    pub(crate) fn claim_frozen(&self, cell: Cell<'r>) -> Option<Claimed<'_>> {
        Some(self.with_memory(cell.claim_frozen()?))
    }

    /// The cell of a live secret, back from its owner.
    ///
    /// # Safety
    /// The caller owns the secret in `cell`, and gives it up.
    #[inline(always)]
    pub(crate) unsafe fn take_back<'a>(&'a self, cell: Cell<'a>) -> Claimed<'a> {
        // SAFETY: the contract is the same.
        self.with_memory(unsafe { Claim::of_owner(cell) })
    }

    #[inline(always)]
    fn with_memory<'a>(&'a self, claim: Claim<'a>) -> Claimed<'a> {
        // SAFETY: the run stays while one of its cells is claimed.
        let between = unsafe { self.between(claim.cell()) };
        // SAFETY: the cell is claimed.
        Claimed { claim, guarded: unsafe { Guarded::new(between) } }
    }

    /// # Safety
    /// While the result is in use, the run of `cell` is not taken apart: one of its cells is claimed,
    /// or the run is closed by the caller or not opened yet, or the caller holds the arena's lock.
    #[inline(always)]
    pub(crate) unsafe fn between<'a>(&'a self, cell: Cell<'a>) -> Between<'a> {
        let canary = Canary::new(cell.group.canary.load());
        // SAFETY: cells of a run lie between canaries of its group, and it stays (contract).
        unsafe { Between::new(&self.leaves, canary, cell.start(), cell.shape.cell_size()) }
    }

    /// Puts a claimed cell back untouched.
    #[cold]
    pub(crate) fn put_back(&self, claimed: Claimed<'_>) {
        self.runs.put_back(claimed.claim);
    }

    /// Makes a run of leaves that were found zero, and claims its first cell.
    pub(crate) fn open_run(&self, spare: Spare, number: usize) -> ReadyCell<'_> {
        let Spare { leaves } = spare;
        let (head, shape) = (leaves.start, &SHAPES[number]);
        debug_assert_eq!(leaves.len(), usize::from(shape.leaves));
        // SAFETY: the run is opened below.
        for between in unsafe { self.cells_of(head, shape) } {
            if between.start() == head * LEAF + CANARY {
                between.plant_edge();
            }
            between.plant_free();
        }
        let claimed = self.with_memory(self.runs.open(head, number));
        // SAFETY: the cell was just claimed; free and between fresh canaries, it is ready.
        ReadyCell { head, ready: unsafe { claimed.guarded.assume_ready() } }
    }

    /// Takes the run at `head` apart, if there is one and none of its cells is taken, still being
    /// wiped or damaged. Called under the arena's lock.
    pub(crate) fn take_apart(&self, head: usize) -> Option<(Spare, &'static Shape)> {
        let occupancy = self.runs.occupancy();
        let shape = occupancy.kind(head).shape()?;
        if !occupancy.close(head, shape) {
            return None;
        }
        // SAFETY: the run was just closed.
        let cells = || unsafe { self.cells_of(head, shape) };
        let is_edge_intact = cells().next().is_some_and(Between::is_before_intact);
        if !is_edge_intact || !cells().all(|cell| cell.state() == Some(State::FREE)) {
            self.runs.look_again(occupancy.reopen(head, shape));
            return None;
        }
        cells().for_each(Between::clear_canaries);
        let leaves = head..head + usize::from(shape.leaves);
        occupancy.vacate(leaves.clone());
        self.runs.forget(head);
        Some((Spare { leaves }, shape))
    }

    /// # Safety
    /// The run at `head` is closed, or not opened yet, and stays so while the cells are in use.
    unsafe fn cells_of<'a>(
        &'a self,
        head: usize,
        shape: &'static Shape,
    ) -> impl Iterator<Item = Between<'a>> {
        (0..usize::from(shape.cells)).map(move |index| {
            // SAFETY: the contract is the same.
            unsafe { self.between(self.runs.occupancy().cell(head, index, shape)) }
        })
    }
}

impl<'r> Claimed<'r> {
    #[inline]
    pub(crate) fn cell(&self) -> Cell<'r> {
        self.claim.cell()
    }

    /// Looks whether the cell could be handed out.
    pub(crate) fn look(&self) -> Result<(), NotReady> {
        self.guarded.check().map(drop)
    }

    /// Looks whether the cell can be handed out.
    #[inline(always)]
    pub(crate) fn check(self) -> Result<ReadyCell<'r>, (Self, NotReady)> {
        match self.guarded.check() {
            Ok(ready) => Ok(ReadyCell { head: self.claim.cell().head, ready }),
            Err(why) => Err((self, why)),
        }
    }

    /// Checks the live secret in the cell: see [`Guarded::check_release`].
    #[inline(always)]
    pub(crate) fn check_release(&self, offset: usize, layout: Layout) -> Result<(), FaultKind> {
        self.guarded.check_release(offset, layout)
    }

    /// Gives the cell back, wiped. `wait` returns when nobody looks at the cell any more.
    ///
    /// # Errors
    /// [`FaultKind::DoubleFree`], if somebody else was quicker.
    #[inline(always)]
    pub(crate) fn release(self, wait: impl FnOnce()) -> Result<Returned, FaultKind> {
        // Before the cell can be taken: `verify` must not look for slack in what is being wiped.
        self.guarded.give_up();
        let returned = self.claim.give_back().ok_or(FaultKind::DoubleFree)?;
        if returned.was_frozen {
            wait();
        }
        // Nobody hands the cell out until it is marked free.
        self.guarded.reset(State::FREE);
        Ok(returned)
    }

    /// Wipes a damaged cell, which stays taken for good. Called under the arena's lock, so that
    /// nobody is looking.
    pub(crate) fn quarantine(self) {
        let (between, is_first) = (self.guarded.between(), self.cell().index == 0);
        self.guarded.reset(State::QUARANTINED);
        if is_first {
            // The canary before belongs to no other cell: nobody else would repair it.
            between.plant_edge();
        }
    }
}

impl ReadyCell<'_> {
    /// Makes the cell into a secret of `layout`: see [`Ready::hand_out`].
    #[inline(always)]
    pub(crate) fn hand_out(self, layout: Layout) -> NonNull<u8> {
        self.ready.hand_out(layout)
    }
}

impl Spare {
    /// # Safety
    /// The leaves were taken from the arena's buddy allocator, by the caller and for this.
    pub(crate) unsafe fn new(leaves: Range<usize>) -> Self {
        Self { leaves }
    }

    /// Leaves to be given back to the buddy allocator.
    pub(crate) fn into_leaves(self) -> Range<usize> {
        self.leaves
    }

    pub(crate) fn leaves(&self) -> Range<usize> {
        self.leaves.clone()
    }
}

/// Leaves that are not cells.
impl Cells<'_> {
    /// Whether nobody wrote to the leaves since they were given back.
    pub(crate) fn is_zero(&self, spare: &Spare) -> bool {
        // SAFETY: whoever had the leaves before gave them back, and nobody else knows of them now.
        is_zero(unsafe { self.leaves.bytes(bytes_of(&spare.leaves)) })
    }

    /// Wipes leaves that were written to, and lets nobody have them any more.
    pub(crate) fn quarantine(&self, spare: Spare) {
        let Spare { leaves } = spare;
        // SAFETY: nobody else knows of the leaves.
        wipe(unsafe { self.leaves.bytes_mut(bytes_of(&leaves)) });
        self.mark_block(&leaves, Kind::BlockQuarantined);
    }

    /// Makes leaves that were found zero into a secret of `layout`, which fits.
    pub(crate) fn open_block(&self, spare: Spare, layout: Layout) -> NonNull<u8> {
        let Spare { leaves } = spare;
        // SAFETY: the leaves are nobody else's.
        let between = unsafe { self.block(&leaves) };
        between.plant_edge();
        between.plant_free();
        // SAFETY: they are made into a block here.
        let guarded = unsafe { Guarded::new(between) };
        // SAFETY: they were found zero, and lie between fresh canaries.
        let secret = unsafe { guarded.assume_ready() }.hand_out(layout);
        self.mark_block(&leaves, Kind::Block);
        secret
    }

    /// The block of a live secret, back from its owner; the kind of `head` says so already.
    ///
    /// # Safety
    /// The caller owns the secret in the block at `head`, and gives it up.
    pub(crate) unsafe fn take_back_block(&self, head: usize) -> ClaimedBlock<'_> {
        let leaves = head..head + self.runs.occupancy().block_len(head);
        // SAFETY: the block stays while its secret is not released.
        let between = unsafe { self.block(&leaves) };
        // SAFETY: the secret in it was the caller's (contract).
        ClaimedBlock { guarded: unsafe { Guarded::new(between) }, leaves }
    }

    /// # Safety
    /// While the result is in use, the leaves are not given back: they are the caller's, or it holds
    /// the arena's lock and has frozen the block.
    pub(crate) unsafe fn block(&self, leaves: &Range<usize>) -> Between<'_> {
        let canary = Canary::new(self.runs.occupancy().group(leaves.start).canary.load());
        let size = leaves.len() * LEAF - 2 * CANARY;
        // SAFETY: a block has a canary at both its ends, and stays (contract).
        unsafe { Between::new(&self.leaves, canary, leaves.start * LEAF + CANARY, size) }
    }

    fn mark_block(&self, leaves: &Range<usize>, first: Kind) {
        let occupancy = self.runs.occupancy();
        occupancy.set_block_rest(leaves.start + 1..leaves.end);
        // The first leaf never looks like the rest of the block before it.
        occupancy.set_kind(leaves.start, first);
    }

    /// Zeroes bytes that belong to no cell and no block, and says whether they were zero.
    ///
    /// # Safety
    /// The caller holds the arena's lock, under which it saw that they do not.
    pub(crate) unsafe fn clear(&self, bytes: Range<usize>) -> bool {
        // SAFETY: the lock keeps anybody from making something of them (contract).
        let bytes = unsafe { self.leaves.bytes_mut(bytes) };
        let was_zero = is_zero(bytes);
        if !was_zero {
            wipe(bytes);
        }
        was_zero
    }
}

/// A block in the hands of who releases the secret in it.
#[must_use]
pub(crate) struct ClaimedBlock<'a> {
    guarded: Guarded<'a>,
    leaves: Range<usize>,
}

impl ClaimedBlock<'_> {
    pub(crate) fn check_release(&self, offset: usize, layout: Layout) -> Result<(), FaultKind> {
        self.guarded.check_release(offset, layout)
    }

    /// Wipes a block that was damaged; its leaves stay where they are.
    pub(crate) fn quarantine(self) {
        self.guarded.reset(State::QUARANTINED);
    }

    /// Wipes the block and makes spare leaves of it.
    pub(crate) fn release(self) -> Spare {
        let between = self.guarded.between();
        self.guarded.reset(State::FREE);
        between.clear_canaries();
        Spare { leaves: self.leaves }
    }
}

fn bytes_of(leaves: &Range<usize>) -> Range<usize> {
    leaves.start * LEAF..leaves.end * LEAF
}
