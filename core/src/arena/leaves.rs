//! Taking leaves, under the lock: for new runs and blocks, and from runs that have become empty.
//!
//! The lock is held for a time that depends neither on the region nor on the secret: for one look
//! into the buddy allocator and the indexes, or for taking a few empty runs apart.

use core::ops::Range;

use super::{Arena, plan};
use crate::cells::{Claimed, ReadyCell, Spare};
use crate::classes::{
    CANARY, CELL_SIZES, CLASSES, LANES, LEAF, SHAPES, Shape, shape_for, shapes_of,
};
use crate::error::FaultKind;
use crate::kind::Kind;
use crate::owner::Owner;
use crate::runs::EmptyRuns;

/// What only the holder of the lock reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Ledger {
    /// Leaves in runs and blocks, now and at most.
    pub(super) cut: usize,
    pub(super) peak: usize,
    /// Cells in the runs of each class, and in those for which leaves were taken that turned out damaged.
    pub(super) cells: [u32; CLASSES],
    /// Cells and blocks that were damaged.
    pub(super) quarantined_cells: usize,
    pub(super) quarantined_blocks: usize,
}

impl Ledger {
    /// That of an arena in which nothing was done.
    pub(super) const EMPTY: Self =
        Self { cut: 0, peak: 0, cells: [0; CLASSES], quarantined_cells: 0, quarantined_blocks: 0 };

    /// Wipes a damaged cell, which stays taken for good, and counts it.
    pub(super) fn quarantine(&mut self, claimed: Claimed<'_>) {
        self.quarantined_cells += 1;
        claimed.quarantine();
    }
}

/// Room for a cell.
pub(super) enum Room {
    /// Leaves for a run of the shape with this number.
    Leaves(Spare, usize),
    /// The class and the first leaf of a run that may have room.
    Run(usize, usize),
}

impl<O: Owner> Arena<'_, O> {
    /// Takes leaves for the best run of `class` that there is room for or, if there are none, finds
    /// a run of that or a greater class that may have room, behind the one that was `tried` last. Of the
    /// last leaves it takes none while a class that is not much larger has room.
    pub(super) fn find_room(&self, class: usize, tried: Option<(usize, usize)>) -> Option<Room> {
        let for_run = |ledger: &mut Ledger, canary| {
            // Leaves of empty runs are left as well: a few of those make the difference.
            let (mut is_scarce, mut walk) = (self.is_scarce(ledger, class), EmptyRuns::default());
            for _ in 0..=SCARCE / A_FEW {
                if !is_scarce || !self.return_empty_runs(ledger, &mut walk) {
                    break;
                }
                is_scarce = self.is_scarce(ledger, class);
            }
            if is_scarce
                && tried.is_none()
                && let Some(room) = self.run_of_larger(class)
            {
                return Some(room);
            }
            let shapes = shapes_of(class);
            let best = if is_scarce {
                shapes.start
            } else {
                shape_for(class, ledger.cells[class] as usize)
            };
            if best > shapes.start {
                // A class that grows is not cut around what others have left behind.
                self.return_empty_runs(ledger, &mut EmptyRuns::default());
            }
            let mut numbers = (shapes.start..=best).rev();
            numbers.find_map(|number| {
                let shape = &SHAPES[number];
                let count = usize::from(shape.leaves);
                let first = self.buddy.take_where(count, LANES - 1, |from| shape.start(from))?;
                Some(Room::Leaves(self.note_run(shape, first, ledger, canary), number))
            })
        };
        let in_another_run = || {
            let (class, head) = self.cells.runs.next_run_with_room(class, tried)?;
            Some(Room::Run(class, head))
        };
        self.under_lock(for_run, in_another_run)
    }

    /// Whether the last leaves are left, and other classes need them as well: a run of this one that is not
    /// full would keep out longer secrets. Called under the lock.
    fn is_scarce(&self, ledger: &Ledger, class: usize) -> bool {
        let leaves = self.cells.runs.occupancy().leaves();
        let own = ledger.cells[class] as usize * (CELL_SIZES[class] + CANARY);
        leaves - ledger.cut <= SCARCE && own < ledger.cut * LEAF / 2
    }

    /// A run of a class that is not much larger, and may have room. Called under the lock.
    fn run_of_larger(&self, class: usize) -> Option<Room> {
        let (larger, head) = self.cells.runs.next_run_with_room(class + 1, None)?;
        (2 * CELL_SIZES[larger] <= 3 * CELL_SIZES[class]).then_some(Room::Run(larger, head))
    }

    /// Opens a run of `class` apart from those of other threads, so that they do not slow each other
    /// down, and claims its first cell: in a large region that is half empty, where there is room to
    /// spare for that, and only if there are others.
    #[cold]
    pub(super) fn open_run_apart(&self, class: usize) -> Option<ReadyCell<'_>> {
        let leaves = self.cells.runs.occupancy().leaves();
        if leaves < LARGE {
            return None;
        }
        let canary = plan::fresh_canary(&self.drbg);
        let (spare, number) = {
            let mut ledger = self.ledger.lock();
            if ledger.cells[class] == 0 || ledger.cut > leaves / 2 {
                return None;
            }
            let number = shape_for(class, ledger.cells[class] as usize);
            let shape = &SHAPES[number];
            let first = self.buddy.take(usize::from(shape.leaves), APART, 0)?;
            (self.note_run(shape, first, &mut ledger, canary), number)
        };
        Some(self.cells.open_run(self.if_untouched(spare)?, number))
    }

    /// Notes that leaves were taken for a run. Called under the lock.
    fn note_run(&self, shape: &Shape, first: usize, ledger: &mut Ledger, canary: u64) -> Spare {
        ledger.cells[usize::from(shape.class)] += u32::from(shape.cells);
        self.note_taken(first..first + usize::from(shape.leaves), ledger, canary)
    }

    /// Takes `count` leaves for a block, the first of them `offset` more than a multiple of `step`.
    pub(super) fn take_for_block(&self, count: usize, step: usize, offset: usize) -> Option<Spare> {
        let for_block = |ledger: &mut Ledger, canary| {
            let first = self.buddy.take(count, step, offset)?;
            Some(self.note_taken(first..first + count, ledger, canary))
        };
        self.under_lock(for_block, || None)
    }

    /// Calls `take` under the lock, with a fresh canary to use, until it finds something or there are
    /// no empty runs left whose leaves would help; then, before the lock is given up, `otherwise`.
    fn under_lock<R>(
        &self,
        take: impl Fn(&mut Ledger, u64) -> Option<R>,
        otherwise: impl FnOnce() -> Option<R>,
    ) -> Option<R> {
        // Drawn here, for drawing takes longer than all that is done under the lock.
        let canary = plan::fresh_canary(&self.drbg);
        let mut walk = EmptyRuns::default();
        loop {
            let mut ledger = self.ledger.lock();
            if let Some(taken) = take(&mut ledger, canary) {
                return Some(taken);
            }
            if !self.return_empty_runs(&mut ledger, &mut walk) {
                return otherwise();
            }
        }
    }

    /// Notes that leaves were taken. Their run or block gets the fresh canary, unless another begins
    /// in the same group. Called under the lock.
    fn note_taken(&self, leaves: Range<usize>, ledger: &mut Ledger, canary: u64) -> Spare {
        ledger.cut += leaves.len();
        ledger.peak = ledger.peak.max(ledger.cut);
        let occupancy = self.cells.runs.occupancy();
        let shared = occupancy.group_of(leaves.start).any(|leaf| {
            let goes_on = matches!(occupancy.kind(leaf), Kind::RunRest(_) | Kind::BlockRest(_));
            !leaves.contains(&leaf) && !goes_on && !self.buddy.is_free(leaf)
        });
        if !shared {
            occupancy.group(leaves.start).canary.store(canary);
        }
        // SAFETY: the callers have just taken the leaves from the buddy allocator.
        unsafe { Spare::new(leaves) }
    }

    /// Gives the leaves of a few empty runs back, and says whether there were any that may be empty.
    /// Called under the lock.
    pub(super) fn return_empty_runs(&self, ledger: &mut Ledger, walk: &mut EmptyRuns) -> bool {
        for done in 0..A_FEW {
            let Some(head) = self.cells.runs.next_empty(walk) else {
                return done > 0;
            };
            if let Some((spare, shape)) = self.cells.take_apart(head) {
                ledger.cut -= usize::from(shape.leaves);
                ledger.cells[usize::from(shape.class)] -= u32::from(shape.cells);
                self.buddy.give_back(spare.into_leaves());
            }
        }
        true
    }

    /// Gives the leaves of a block back.
    pub(super) fn give_back(&self, spare: Spare) {
        let leaves = spare.into_leaves();
        let mut ledger = self.ledger.lock();
        ledger.cut -= leaves.len();
        self.buddy.give_back(leaves);
    }

    /// The leaves, if nobody wrote to them since they were given back; else they are wiped, reported,
    /// and never handed out.
    pub(super) fn if_untouched(&self, spare: Spare) -> Option<Spare> {
        if self.cells.is_zero(&spare) {
            return Some(spare);
        }
        let start = spare.leaves().start * LEAF;
        self.cells.quarantine(spare);
        self.ledger.lock().quarantined_blocks += 1;
        self.report(FaultKind::WriteAfterFree, Some(start));
        None
    }
}

/// Leaves that are the last: as measured, with secrets of mixed lengths in regions of 4 KiB to 8 MiB.
const SCARCE: usize = 24;

/// Runs that are taken apart before the lock is given up.
const A_FEW: usize = 8;

/// Leaves whose occupancy shares a line of the processors' caches.
pub(super) const APART: usize = 4 * LANES;

/// Leaves of a region in which threads' runs may lie apart.
pub(super) const LARGE: usize = 64 * APART;
