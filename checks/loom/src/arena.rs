//! As much of an arena as threads could race for: core's cells, their memory, and the buddy allocator
//! under a lock. What core's `arena.rs`, `leaves`, `blocks` and `verify` do is done here in the same
//! order; damage and memory that is not zero are what no model may meet.

use std::alloc::Layout;
use std::ops::Range;
use std::rc::Rc;

use loom::sync::{Mutex, MutexGuard};
use loom::thread::{self, JoinHandle};

use crate::buddy::Buddy;
use crate::cells::{Cells, Claimed, ReadyCell, Spare};
use crate::classes::{CANARY, LANES, LEAF, SHAPES, Shape};
use crate::guarded::NotReady;
use crate::index::{KINDS, Mask};
use crate::kind::Kind;
use crate::region::{Leaves, Memory};
use crate::runs::{
    Cell, EmptyRuns, Group, NoCell, Occupancy, Runs, SearchTables, search_tables_for,
};
use crate::sync::{AtomicU8, AtomicUsize};

/// Shapes of one leaf: with one cell, with two, and with three.
pub(crate) const ONE: usize = shape(1, 1);
pub(crate) const TWO: usize = shape(1, 2);
pub(crate) const THREE: usize = shape(1, 3);

/// An arena of [`LEAVES`] leaves.
pub(crate) struct Arena {
    pub(crate) cells: Cells<'static>,
    buddy: Buddy<'static>,
    lock: Mutex<Ledger>,
    /// What the others borrow.
    tables: *mut Tables,
}

/// A live secret and what its owner knows of it.
#[must_use]
pub(crate) struct Secret {
    offset: usize,
    layout: Layout,
}

/// What the lock guards besides the buddy allocator.
struct Ledger {
    /// The next canary: each is another.
    canary: u64,
}

struct Tables {
    kinds: Vec<AtomicU8>,
    groups: Vec<Group>,
    heads: Vec<AtomicUsize>,
    classes: Vec<Mask>,
    empty: Vec<Mask>,
    free: [AtomicUsize; 1],
    memory: Memory,
}

impl Arena {
    pub(crate) fn new() -> Rc<Self> {
        Self::for_shapes(&[ONE, TWO])
    }

    /// An arena for runs of these shapes only, and blocks.
    pub(crate) fn for_shapes(shapes: &[usize]) -> Rc<Self> {
        let pointer = Box::into_raw(Box::new(Tables::new(shapes)));
        // SAFETY: it was just made, and goes when the arena goes.
        let tables: &'static Tables = unsafe { &*pointer };
        let Tables { heads, classes, empty, .. } = tables;
        let search = SearchTables { heads, classes, empty };
        let runs = Runs::new(Occupancy::new(&tables.kinds, &tables.groups), &search);
        Rc::new(Self {
            cells: Cells { runs, leaves: Leaves::new(&tables.memory) },
            buddy: Buddy::new(&tables.free, &[], LEAVES),
            lock: Mutex::new(Ledger { canary: 0x7e1d_a5c0_93b2_46f8 }),
            tables: pointer,
        })
    }

    pub(crate) fn spawn<T: 'static>(
        self: &Rc<Self>,
        work: impl FnOnce(&Self) -> T + 'static,
    ) -> JoinHandle<T> {
        let arena = Rc::clone(self);
        thread::spawn(move || work(&arena))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.lock.lock().unwrap()
    }

    fn wait_for_thaw(&self) {
        drop(self.lock());
    }
}

/// Allocating, as `arena.rs` does.
impl Arena {
    /// A cell of a run that a search finds, without leaves for a new one.
    pub(crate) fn take(&self, number: usize) -> Option<Secret> {
        let class = class(number);
        for head in self.cells.runs.runs_with_room(class, 0) {
            match self.take_from(head, class) {
                Some(ready) => return Some(self.hand_out(ready, number)),
                None => self.withdraw(head, class),
            }
        }
        None
    }

    /// A cell of the run that a thread remembers, if it is there still.
    pub(crate) fn take_at(&self, head: usize, number: usize) -> Option<Secret> {
        Some(self.hand_out(self.take_from(head, class(number))?, number))
    }

    fn take_from(&self, head: usize, class: usize) -> Option<ReadyCell<'_>> {
        let mut passed_over = 0;
        loop {
            let claimed = match self.cells.claim(head, class, passed_over) {
                Ok(claimed) => claimed,
                Err(NoCell::Full) => return None,
                Err(NoCell::Frozen) => {
                    self.wait_for_thaw();
                    continue;
                }
            };
            passed_over |= claimed.cell().bit();
            match claimed.check() {
                Ok(ready) => return Some(ready),
                Err((claimed, why)) => self.reject(claimed, why),
            }
        }
    }

    /// As `take_at`, but has `verify` look just while the cell is claimed and has not been looked at.
    pub(crate) fn take_verified(&self, head: usize, number: usize) -> Option<Secret> {
        let claimed = self.cells.claim(head, class(number), 0).ok()?;
        self.verify(head, number);
        match claimed.check() {
            Ok(ready) => Some(self.hand_out(ready, number)),
            Err((claimed, why)) => {
                self.reject(claimed, why);
                None
            }
        }
    }

    fn reject(&self, claimed: Claimed<'_>, why: NotReady) {
        assert_eq!(why, NotReady::Busy, "nobody wrote past an end");
        self.cells.put_back(claimed);
    }

    /// What a release says that is late.
    pub(crate) fn advertise(&self, head: usize, number: usize) {
        self.cells.runs.advertise(head, class(number));
    }

    pub(crate) fn withdraw(&self, head: usize, class: usize) {
        let _held = self.lock();
        self.cells.runs.withdraw(head, class);
    }

    /// A walk over the runs of this class and greater ones that may have room.
    pub(crate) fn walk_over_room(&self, number: usize) {
        let (_held, mut found) = (self.lock(), None);
        loop {
            found = self.cells.runs.next_run_with_room(class(number), found);
            if found.is_none() {
                return;
            }
        }
    }

    fn hand_out(&self, ready: ReadyCell<'_>, number: usize) -> Secret {
        let layout = cell_layout(number);
        let offset = self.cells.leaves.offset_of(ready.hand_out(layout));
        self.write(Secret { offset, layout })
    }

    /// The owner uses its secret.
    fn write(&self, secret: Secret) -> Secret {
        let range = secret.offset..secret.offset + secret.layout.size();
        // SAFETY: the secret is its owner's.
        let bytes = unsafe { self.cells.leaves.bytes_mut(range) };
        assert!(bytes.iter().all(|&byte| byte == 0), "it was not wiped");
        bytes.fill(0x5e);
        secret
    }

    pub(crate) fn release(&self, secret: Secret) {
        let Secret { offset, layout } = secret;
        let Some(cell) = self.cells.runs.occupancy().cell_at(offset) else {
            return self.release_block(offset, layout);
        };
        assert!(cell.is_taken(), "its secret is live");
        // SAFETY: the secret in this cell is given up.
        let claimed = unsafe { self.cells.take_back(cell) };
        assert_eq!(claimed.check_release(offset, layout), Ok(()));
        let Ok(returned) = claimed.release(|| self.wait_for_thaw()) else {
            panic!("a cell was given back that was not taken")
        };
        if returned.was_full {
            self.cells.runs.advertise(cell.head, cell.shape.class.into());
        }
        if returned.is_empty {
            self.cells.runs.note_empty(cell.head);
        }
    }
}

/// Taking leaves, as `arena/leaves.rs` does.
impl Arena {
    /// A secret in a new run, of free leaves or those of runs that are empty.
    pub(crate) fn cut(&self, number: usize) -> Option<Secret> {
        let spare = self.take_leaves(usize::from(SHAPES[number].leaves))?;
        Some(self.hand_out(self.cells.open_run(spare, number), number))
    }

    fn take_leaves(&self, count: usize) -> Option<Spare> {
        let mut walk = EmptyRuns::default();
        loop {
            let mut ledger = self.lock();
            if let Some(first) = self.buddy.take(count, 1, 0) {
                let spare = self.note_taken(first..first + count, &mut ledger);
                drop(ledger);
                assert!(self.cells.is_zero(&spare), "free leaves are zero");
                return Some(spare);
            }
            if !self.return_empty_run(&mut walk) {
                return None;
            }
        }
    }

    fn note_taken(&self, leaves: Range<usize>, ledger: &mut Ledger) -> Spare {
        let occupancy = self.cells.runs.occupancy();
        let shared = occupancy.group_of(leaves.start).any(|leaf| {
            let goes_on = matches!(occupancy.kind(leaf), Kind::RunRest(_) | Kind::BlockRest(_));
            !leaves.contains(&leaf) && !goes_on && !self.buddy.is_free(leaf)
        });
        if !shared {
            ledger.canary = ledger.canary.rotate_left(11);
            occupancy.group(leaves.start).canary.store(ledger.canary);
        }
        // SAFETY: the caller has just taken the leaves from the buddy allocator.
        unsafe { Spare::new(leaves) }
    }

    /// Takes the next run on a walk apart that may be empty; called under the lock.
    fn return_empty_run(&self, walk: &mut EmptyRuns) -> bool {
        let Some(head) = self.cells.runs.next_empty(walk) else {
            return false;
        };
        if let Some((spare, _)) = self.cells.take_apart(head) {
            self.buddy.give_back(spare.into_leaves());
        }
        true
    }

    /// Takes all runs apart that may be empty.
    pub(crate) fn return_empty_runs(&self) {
        let (_held, mut walk) = (self.lock(), EmptyRuns::default());
        while self.return_empty_run(&mut walk) {}
    }

    /// Closes the run of this shape at `head` and opens it again, as happens when one of its cells is
    /// still being wiped.
    pub(crate) fn close_and_reopen(&self, head: usize, number: usize) {
        let (_held, runs) = (self.lock(), &self.cells.runs);
        if runs.occupancy().close(head, &SHAPES[number]) {
            runs.look_again(runs.occupancy().reopen(head, &SHAPES[number]));
        }
    }
}

/// Blocks, as in `arena/blocks.rs`.
impl Arena {
    pub(crate) fn allocate_block(&self) -> Option<Secret> {
        let layout = layout(LEAF - 4 * CANARY);
        let spare = self.take_leaves(1)?;
        let offset = self.cells.leaves.offset_of(self.cells.open_block(spare, layout));
        Some(self.write(Secret { offset, layout }))
    }

    fn release_block(&self, offset: usize, layout: Layout) {
        let (head, occupancy) = ((offset - 1) / LEAF, self.cells.runs.occupancy());
        while let Err(kind) = occupancy.exchange_kind(head, Kind::Block, Kind::BlockReleasing) {
            assert!(kind == Kind::BlockFrozen, "its secret is live");
            self.wait_for_thaw();
        }
        // SAFETY: the secret in this block is given up.
        let claimed = unsafe { self.cells.take_back_block(head) };
        assert_eq!(claimed.check_release(offset, layout), Ok(()));
        let spare = claimed.release();
        occupancy.vacate(spare.leaves());
        let _held = self.lock();
        self.buddy.give_back(spare.into_leaves());
    }
}

/// Looking for damage, as `arena/verify.rs` does.
impl Arena {
    /// Looks at the leaf, and at the cells of the run of this shape that may begin there.
    pub(crate) fn verify(&self, head: usize, number: usize) {
        for index in 0..usize::from(SHAPES[number].cells) {
            self.check_cell(self.cells.runs.occupancy().cell(head, index, &SHAPES[number]));
        }
        self.check_run_end(head);
        self.check_leaf(head);
    }

    pub(crate) fn check_cell(&self, cell: Cell<'_>) {
        let occupancy = self.cells.runs.occupancy();
        let _held = self.lock();
        if occupancy.kind(cell.head).shape() != Some(cell.shape) {
            return;
        }
        // SAFETY: the lock is held, under which the run was seen.
        let between = unsafe { self.cells.between(cell) };
        occupancy.freeze(cell.head);
        if let Some(claimed) = self.cells.claim_frozen(cell) {
            assert!(matches!(claimed.look(), Ok(()) | Err(NotReady::Busy)));
            self.cells.put_back(claimed);
        } else {
            // SAFETY: the run is frozen, and the lock keeps it so.
            assert_eq!(unsafe { between.check_taken(cell.index == 0) }, Ok(()));
        }
        occupancy.thaw(cell.head);
    }

    fn check_run_end(&self, head: usize) {
        let _held = self.lock();
        if let Some(shape) = self.cells.runs.occupancy().kind(head).shape() {
            let start = head * LEAF + shape.cell_offset(usize::from(shape.cells));
            let end = (head + usize::from(shape.leaves)) * LEAF;
            // SAFETY: the run was seen under the lock, and its cells and canaries end here.
            assert!(unsafe { self.cells.clear(start..end) });
        }
    }

    pub(crate) fn check_leaf(&self, leaf: usize) {
        let _held = self.lock();
        match self.cells.runs.occupancy().kind(leaf) {
            Kind::Vacant if self.buddy.is_free(leaf) => {
                // SAFETY: the leaf was seen to be free, under the lock.
                assert!(unsafe { self.cells.clear(leaf * LEAF..(leaf + 1) * LEAF) });
            }
            Kind::Block => self.check_block(leaf),
            _ => (),
        }
    }

    fn check_block(&self, head: usize) {
        let occupancy = self.cells.runs.occupancy();
        if occupancy.exchange_kind(head, Kind::Block, Kind::BlockFrozen).is_ok() {
            let leaves = head..head + occupancy.block_len(head);
            // SAFETY: the block is frozen, and the lock is held.
            let between = unsafe { self.cells.block(&leaves) };
            // SAFETY: the block is frozen.
            assert_eq!(unsafe { between.check_taken(true) }, Ok(()));
            occupancy.set_kind(head, Kind::Block);
        }
    }
}

/// What has to be true when all is quiet again.
impl Arena {
    /// A search finds just so many cells.
    pub(crate) fn expect_room(&self, number: usize, cells: usize) {
        let found = std::iter::from_fn(|| self.take(number)).count();
        assert_eq!(found, cells, "cells were lost, or made out of nothing");
    }

    /// All leaves come back but so many.
    pub(crate) fn expect_leaves(&self, in_use: usize) {
        self.return_empty_runs();
        let _held = self.lock();
        let free = (0..LEAVES).filter(|&leaf| self.buddy.is_free(leaf)).count();
        assert_eq!(free, LEAVES - in_use, "leaves were lost, or made out of nothing");
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: it was made in `new`, and whoever borrowed of it had to borrow the arena.
        drop(unsafe { Box::from_raw(self.tables) });
    }
}

impl Tables {
    fn new(shapes: &[usize]) -> Self {
        let [heads, classes, empty] = search_tables_for(LEAVES);
        let masks = |count| (0..count).map(|_| Mask::empty()).collect();
        Self {
            kinds: (0..LEAVES).map(|_| AtomicU8::new(0)).collect(),
            groups: vec![Group::closed(0)],
            heads: (0..heads).map(|_| AtomicUsize::new(0)).collect(),
            classes: masks(classes),
            empty: masks(empty),
            free: [AtomicUsize::new(0)],
            memory: Memory::new(LEAVES, &canaries(shapes)),
        }
    }
}

/// Where in a leaf canaries may lie: before and behind the cells of these shapes, and a block.
fn canaries(shapes: &[usize]) -> Vec<usize> {
    let behind = |shape: &'static Shape| {
        (1..=usize::from(shape.cells)).map(|index| shape.cell_offset(index) - CANARY)
    };
    let of_shapes = shapes.iter().flat_map(|&number| behind(&SHAPES[number]));
    [0, LEAF - CANARY].into_iter().chain(of_shapes).collect()
}

/// A secret in a cell of this shape, with both gap and slack.
fn cell_layout(number: usize) -> Layout {
    layout(SHAPES[number].cell_size() - 2 * CANARY)
}

/// Aligned so that there is a gap.
fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 2 * CANARY).unwrap()
}

pub(crate) fn class(number: usize) -> usize {
    SHAPES[number].class.into()
}

/// The first shape with so many leaves and cells.
const fn shape(leaves: u8, cells: u8) -> usize {
    let mut number = 0;
    while SHAPES[number].leaves != leaves || SHAPES[number].cells != cells {
        number += 1;
    }
    number
}

/// So few that they share a group, and that there is soon no more room.
pub(crate) const LEAVES: usize = 2;
const _: () = assert!(LEAVES <= LANES && LEAVES <= KINDS);
