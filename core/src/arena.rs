//! The arena: many canaried secrets in one region.
//!
//! ```text
//! region:  | bookkeeping | leaf 0 | leaf 1 | …                           | leaf n-1 |
//! run:     | canary | cell | canary | cell | canary | …  | cell | canary |          one size class
//! block:   | canary | secret ................. | canary fills the slack | canary |  whole leaves
//! ```
//!
//! This file finds a cell and gives it back, without a lock; `slots` says where to look first. `cut`
//! makes new runs and blocks and takes empty runs apart, under the lock. `plan` divides the region.
//! `verify`, `stats` and `map` look on.

mod cut;
mod map;
mod plan;
mod stats;
mod verify;

use core::alloc::Layout;
use core::fmt::{self, Debug, Formatter};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

pub use self::map::{Map, Span, SpanKind};
pub use self::stats::{ClassStats, Stats};

use self::cut::Ledger;
use self::plan::{Plan, Tables};
use crate::arch::processor::prefetch;
use crate::buddy::Buddy;
use crate::canary::{Canary, State};
use crate::classes::{CANARY, CLASSES, LEAF, class_for};
use crate::crypto::drbg::{Drbg, Seed};
use crate::entropy::Entropy;
use crate::error::{AllocateError, ArenaError, EntropyError, Fault, FaultKind};
use crate::guarded::{Extent, Readiness};
use crate::lock::Mutex;
use crate::owner::{Door, Owner, Spin};
use crate::region::{Leaves, Region};
use crate::runs::{Cell, Judge, Runs, Verdict};
use crate::shards::Shard;
use crate::sync::AtomicUsize;

/// An allocator over one region, with canaries on both sides of every secret.
///
/// It is `Sync`: secrets can be allocated and released from any thread. The region is zeroed when
/// the arena is made and again when it is dropped.
///
/// The value itself holds no secret and may lie in ordinary memory. It is some 11 KiB long, most of
/// it what threads remember of where there was room; make it where it stays.
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use strongroom_core::{Arena, Buffer};
/// # use strongroom_core::{Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
///
/// let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// let arena = Arena::new(&mut region[..], &mut Board)?;
///
/// let mut token = Buffer::new(&arena, 21)?;
/// token.expose_secret_mut().copy_from_slice(b"correct horse battery");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arena<'r, O: Owner = Spin> {
    runs: Runs<'r>,
    buddy: Buddy<'r>,
    leaves: Leaves<'r>,
    drbg: &'r Mutex<Drbg, O::Lock>,
    ledger: Mutex<Ledger, O::Lock>,
    shards: O::Shards,
    owner: O,
    refused: AtomicUsize,
    faults: AtomicUsize,
    on_fault: fn(Fault),
}

impl<'r> Arena<'r> {
    /// The greatest alignment in bytes that [`allocate`](Self::allocate) serves.
    pub const GREATEST_ALIGN: usize = 4096;

    /// Makes an arena of a region, which is zeroed first, for an owner that needs nothing: [`Spin`].
    ///
    /// `entropy` gives 32 bytes, the seed of the generator behind the canaries and
    /// [`fill_random`](Self::fill_random).
    ///
    /// # Errors
    /// [`ArenaError`] if the region is too small or too large, or `entropy` fails.
    pub fn new(
        region: impl Into<Region<'r>>,
        entropy: &mut impl Entropy,
    ) -> Result<Self, ArenaError> {
        Self::with_owner(region, entropy, Spin)
    }
}

impl<'r, O: Owner> Arena<'r, O> {
    /// Makes an arena as [`new`](Arena::new) does, for the region's own [`Owner`].
    ///
    /// # Errors
    /// As for [`new`](Arena::new).
    pub fn with_owner(
        region: impl Into<Region<'r>>,
        entropy: &mut impl Entropy,
        owner: O,
    ) -> Result<Self, ArenaError> {
        let mut region = region.into();
        let plan = Plan::for_region::<O>(&region)?;
        let mut seed = Seed::zero();
        let seeded = seed.fill(entropy);
        let window = owner.open(Door::Whole);
        seeded.inspect_err(|_| region.wipe())?;
        let Tables { runs, buddy, leaves, drbg } = plan.carve::<O>(region, &seed)?;
        drop(window);
        Ok(Self {
            runs,
            buddy,
            leaves,
            drbg,
            ledger: Mutex::new(Ledger::default()),
            shards: O::Shards::default(),
            owner,
            refused: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            on_fault: panic_on_fault,
        })
    }

    /// What the region's owner brought.
    #[must_use]
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// Sets what is called when damage is found where it cannot be returned as a value: by a
    /// `Buffer` or `Secret` that is dropped, and by an allocation.
    ///
    /// When it is called, the damaged memory has been wiped and quarantined. If it returns, the
    /// drop or allocation goes on. The default panics with [`FaultKind::message`].
    #[must_use]
    pub fn with_fault_handler(mut self, on_fault: fn(Fault)) -> Self {
        self.on_fault = on_fault;
        self
    }

    /// Allocates memory for one secret of `layout`: zeroed, between canaries.
    ///
    /// A size of zero takes no memory. It has the shape of [`core::alloc::GlobalAlloc::alloc`]; most
    /// callers want [`Buffer`](crate::Buffer) or [`Secret`](crate::Secret), which release
    /// themselves.
    ///
    /// # Errors
    /// [`AllocateError`]: the arena is full, the secret would not fit even into an empty arena, or
    /// the alignment is greater than [`GREATEST_ALIGN`](Arena::GREATEST_ALIGN).
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocateError> {
        let _window = self.owner.open(Door::Allocate);
        let start = match self.allocate_cell(layout) {
            Some(start) => start,
            None => self.allocate_otherwise(layout)?,
        };
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    /// Releases a secret: checks its canaries, wipes it, and calls the fault handler if it was
    /// damaged.
    ///
    /// # Safety
    /// - `pointer` was returned by [`allocate`](Self::allocate) of this arena for `layout`;
    /// - it has not been released, and nobody uses it any more.
    ///
    /// A breach that the bookkeeping shows is found, reported, and harms nothing else; but that is
    /// a net, not a promise.
    ///
    /// # Panics
    /// If damage is found and the fault handler panics, as the default does.
    #[inline]
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        if let Err(kind) = unsafe { self.release(pointer, layout) } {
            self.report(kind, self.leaves.offset_of(pointer));
        }
    }

    /// Releases a secret like [`deallocate`](Self::deallocate), and returns what was found instead
    /// of calling the fault handler.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate).
    ///
    /// # Errors
    /// The [`Fault`], if the secret was damaged or the bookkeeping shows that it is not live.
    /// Damaged memory has been wiped and quarantined; memory that was not the caller's was not
    /// touched.
    pub unsafe fn try_deallocate(&self, pointer: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        // SAFETY: the contract is the same.
        let released = unsafe { self.release(pointer, layout) };
        released.map_err(|kind| self.record(kind, self.leaves.offset_of(pointer)))
    }

    /// Fills `bytes` with random bytes from the generator in the region.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        let _window = self.owner.open(Door::Random);
        // The lock is given up now and then, so that others need not wait for a long fill.
        bytes.chunks_mut(LEAF).for_each(|chunk| self.drbg.lock().fill(chunk));
    }

    /// Mixes 32 fresh bytes of entropy into the generator.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails; the generator then goes on as before.
    pub fn reseed(&self, entropy: &mut impl Entropy) -> Result<(), EntropyError> {
        let mut seed = Seed::zero();
        seed.fill(entropy)?;
        let _window = self.owner.open(Door::Random);
        self.drbg.lock().reseed(&seed);
        Ok(())
    }

    /// The bytes that secrets and their canaries share: the region without the bookkeeping.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.leaves.count() * LEAF
    }

    /// The length of the region in bytes, bookkeeping included.
    #[must_use]
    pub fn region_len(&self) -> usize {
        self.leaves.region_len()
    }

    /// Allocates like [`allocate`](Self::allocate), but as near to the first leaf as there is room,
    /// whichever thread calls: what stays for good must not part what is free.
    pub(crate) fn allocate_aside(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocateError> {
        let _window = self.owner.open(Door::Allocate);
        let everywhere = 0..self.runs.leaves();
        let cell = class_of(layout).and_then(|class| {
            self.search(class, 0, &everywhere).or_else(|| self.cut_run(class, &everywhere))
        });
        let Some(cell) = cell else {
            return self.allocate(layout);
        };
        // SAFETY: the cell was just taken and found ready; its class was chosen for the layout.
        let start = unsafe { self.extent(cell).hand_out(layout) };
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    /// Allocates a cell of a run, if there is one that `layout` fits.
    fn allocate_cell(&self, layout: Layout) -> Option<NonNull<u8>> {
        let class = class_of(layout)?;
        let shard = self.shard();
        let head = shard.recent(class).first();
        if head < self.runs.leaves()
            && let Ok(cell) = self.runs.claim(head, class, 0)
        {
            let extent = self.extent(cell);
            // SAFETY: the cell was just taken, and it was free.
            if let Readiness::Ready = unsafe { extent.readiness() } {
                // SAFETY: it is ready too, and its class was chosen for the layout.
                return Some(unsafe { extent.hand_out(layout) });
            }
            self.reject(extent.start());
        }
        self.allocate_unhinted(shard, class, layout)
    }

    /// Goes on where the latest hint led to nothing.
    #[inline(never)]
    fn allocate_unhinted(
        &self,
        shard: &Shard,
        class: usize,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        let cell = self.take_unhinted(shard, class)?;
        // SAFETY: the cell was just taken and found ready; its class was chosen for the layout.
        Some(unsafe { self.extent(cell).hand_out(layout) })
    }

    /// Allocates what goes into no cell, or says why it cannot be.
    #[inline(never)]
    fn allocate_otherwise(&self, layout: Layout) -> Result<NonNull<u8>, AllocateError> {
        if layout.size() == 0 {
            return Ok(NonNull::without_provenance(layout.dangling_ptr().addr()));
        }
        self.allocate_block(layout).inspect_err(|_| {
            self.refused.fetch_add(1, Relaxed);
        })
    }

    /// Gives up the cell that begins at `start`, which was just taken and is not ready. (It is looked
    /// up again, so that the fast path need not have it in memory.)
    #[cold]
    fn reject(&self, start: usize) {
        if let Some(cell) = self.runs.cell_at(start)
            && !matches!(self.judge(cell), Verdict::Discard)
        {
            self.runs.put_back_cell(cell);
        }
    }

    /// Takes a ready cell of `class` or, if there is no room for that, of a greater one.
    fn take_unhinted(&self, shard: &Shard, class: usize) -> Option<Cell<'_>> {
        let recent = shard.recent(class);
        // The search goes on from where it last found something.
        let start = recent.first();
        if let Some(cell) = recent.rest().find_map(|head| self.take_from(head, class)) {
            return Some(cell);
        }
        let everywhere = 0..self.runs.leaves();
        let cell =
            self.search(class, start, &everywhere).or_else(|| self.cut_run(class, &everywhere));
        if let Some(cell) = cell {
            recent.push(cell.head);
            return Some(cell);
        }
        (class + 1..CLASSES).find_map(|class| self.search(class, start, &(0..self.runs.leaves())))
    }

    fn take_from(&self, head: usize, class: usize) -> Option<Cell<'_>> {
        self.runs.take_from(head, class, self)
    }

    /// What the calling thread remembers.
    #[inline(always)]
    fn shard(&self) -> &Shard {
        let shards = self.shards.as_ref();
        &shards[self.owner.shard() % shards.len()]
    }

    /// Waits until what was found frozen is not any more: `verify` freezes under the lock.
    #[cold]
    fn wait_for_thaw(&self) {
        drop(self.ledger.lock());
    }

    fn search(&self, class: usize, start: usize, zone: &Range<usize>) -> Option<Cell<'_>> {
        self.runs.take(class, start, zone, self)
    }

    #[cold]
    pub(crate) fn report(&self, kind: FaultKind, offset: Option<usize>) {
        (self.on_fault)(self.record(kind, offset));
    }

    /// # Safety
    /// As for [`deallocate`](Self::deallocate).
    unsafe fn release(&self, pointer: NonNull<u8>, layout: Layout) -> Result<(), FaultKind> {
        let _window = self.owner.open(Door::Allocate);
        // The canaries are read only when the bookkeeping has said where they are.
        prefetch(pointer.as_ptr().wrapping_sub(1));
        prefetch(pointer.as_ptr().wrapping_add(layout.size()));
        let Some(offset) = self.leaves.offset_of(pointer) else {
            // A secret of no bytes has no place.
            return if layout.size() == 0 { Ok(()) } else { Err(FaultKind::ForeignFree) };
        };
        match self.runs.cell_at(offset) {
            // SAFETY: the caller gives up the secret at this offset.
            Some(cell) => unsafe { self.release_cell(cell, offset, layout) },
            // SAFETY: likewise.
            None => unsafe { self.release_block(offset, layout) },
        }
    }

    /// # Safety
    /// The caller gives up the secret at `offset`.
    #[inline(always)]
    unsafe fn release_cell(
        &self,
        cell: Cell,
        offset: usize,
        layout: Layout,
    ) -> Result<(), FaultKind> {
        let extent = self.extent(cell);
        if !self.runs.is_taken(cell) {
            let once_live = offset == extent.secret_start(layout.align());
            return Err(if once_live { FaultKind::DoubleFree } else { FaultKind::ForeignFree });
        }
        // SAFETY: the secret is being released.
        if let Err(kind) = unsafe { extent.check_release(offset, layout) } {
            if kind.is_damage() {
                // SAFETY: the cell is the caller's, who gives it up.
                unsafe { self.quarantine(extent.start()) };
            }
            return Err(kind);
        }
        // Before the cell can be taken: `verify` must not look for slack in what is being wiped.
        // SAFETY: the secret is the caller's, who gives it up.
        unsafe { extent.give_up() };
        let returned = self.runs.give_back(cell).map_err(|_| FaultKind::DoubleFree)?;
        if returned.was_frozen {
            self.wait_for_thaw();
        }
        // SAFETY: the secret is released, and nobody hands the cell out until it is marked free.
        unsafe { extent.reset(State::FREE) };
        let class = usize::from(cell.shape.class);
        if returned.was_full {
            self.runs.advertise(cell.head, class);
        }
        self.shard().recent(class).push(cell.head);
        if returned.is_empty {
            self.runs.suspect_empty();
        }
        Ok(())
    }

    /// Wipes the damaged cell that begins at `start`, which stays taken for good.
    ///
    /// # Safety
    /// The cell is taken, by the caller.
    #[cold]
    unsafe fn quarantine(&self, start: usize) {
        // Under the lock, so that `verify` is not looking at the cell.
        let mut ledger = self.ledger.lock();
        if let Some(cell) = self.runs.cell_at(start) {
            // SAFETY: the cell is the caller's.
            unsafe { quarantine_in(&mut ledger, self.extent(cell), cell) };
        }
    }

    #[inline(always)]
    fn extent(&self, cell: Cell<'_>) -> Extent<'_> {
        let start = cell.head * LEAF + cell.shape.cell_offset(cell.index);
        let canary = Canary::new(cell.group.canary.load());
        // SAFETY: a cell stands for a run that was seen open with this shape; whoever holds one has
        // taken it, has frozen the run, or holds the lock, so the run is not closed meanwhile.
        unsafe { Extent::new(&self.leaves, canary, start, cell.shape.cell_size()) }
    }

    #[cold]
    fn record(&self, kind: FaultKind, offset: Option<usize>) -> Fault {
        self.faults.fetch_add(1, Relaxed);
        Fault { kind, offset: offset.map(|offset| self.leaves.region_offset(offset)) }
    }
}

impl<O: Owner> Judge for Arena<'_, O> {
    /// Says whether a cell that was just taken can be handed out; a damaged one is quarantined.
    fn judge(&self, cell: Cell<'_>) -> Verdict {
        let extent = self.extent(cell);
        // SAFETY: the cell was just taken, and it was free.
        match unsafe { extent.readiness() } {
            Readiness::Ready => Verdict::Take,
            Readiness::Busy => Verdict::PutBack,
            Readiness::Damaged(kind) => {
                // SAFETY: the cell was just taken, and it was free.
                unsafe { self.quarantine(extent.start()) };
                self.report(kind, Some(extent.start()));
                Verdict::Discard
            }
        }
    }

    fn wait_for_thaw(&self) {
        Arena::wait_for_thaw(self);
    }
}

impl<O: Owner> Debug for Arena<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

impl<O: Owner> Drop for Arena<'_, O> {
    fn drop(&mut self) {
        let _window = self.owner.open(Door::Whole);
        // SAFETY: secrets borrow the arena, so none is in use; the bookkeeping goes with it.
        unsafe { self.leaves.wipe_region() };
    }
}

/// Wipes a damaged cell, which stays taken for good, and notes it.
///
/// # Safety
/// The cell is taken, by the caller.
unsafe fn quarantine_in(ledger: &mut Ledger, extent: Extent<'_>, cell: Cell<'_>) {
    // SAFETY: the cell is the caller's.
    unsafe { extent.reset(State::QUARANTINED) };
    if cell.index == 0 {
        // The canary before belongs to no other cell: nobody else would repair it.
        extent.plant_edge();
    }
    ledger.quarantined[usize::from(cell.shape.class)] += 1;
}

/// The class whose cells hold `layout` wherever they lie.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    if layout.size() == 0 || layout.align() > LEAF {
        return None;
    }
    // A cell may begin at any multiple of a canary's size; the rest is the gap before the secret.
    class_for(layout.size().checked_add(layout.align().saturating_sub(CANARY))?)
}

/// The default fault handler.
fn panic_on_fault(fault: Fault) {
    panic!("{}", fault.kind.message());
}

#[cfg(test)]
mod tests;
