//! The arena: many canaried secrets in one region.
//!
//! ```text
//! region:  | bookkeeping | leaf 0 | leaf 1 | …                           | leaf n-1 |
//! run:     | canary | cell | canary | cell | canary | …  | cell | canary |          one size class
//! block:   | canary | secret ................. | canary fills the slack | canary |  whole leaves
//! ```
//!
//! This file finds a cell and gives it back, without a lock. `leaves` takes leaves for new runs and
//! takes empty runs apart, under the lock; `blocks` makes secrets of whole leaves. `plan` divides the
//! region. `verify`, `stats` and `map` look on.

#[cfg(feature = "allocator-api2-0_2")]
mod allocator;
mod blocks;
mod leaves;
mod map;
mod plan;
mod stats;
mod verify;

use core::alloc::Layout;
use core::fmt::{self, Debug, Formatter};
use core::mem::MaybeUninit;
use core::num::NonZero;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;

pub use self::map::{Map, Span, SpanKind};
pub use self::stats::{ClassStats, Stats};

use self::leaves::{Ledger, Room};
use self::plan::{Plan, Tables};
use crate::arch::processor::prefetch;
use crate::buddy::Buddy;
use crate::cells::{Cells, Claimed, ReadyCell};
use crate::classes::{CANARY, LEAF, class_for};
use crate::crypto::drbg::{Drbg, Seed};
use crate::entropy::Entropy;
use crate::error::{AllocateError, ArenaError, EntropyError, Fault, FaultKind};
use crate::guarded::{NotReady, secret_start};
use crate::lent::Lent;
use crate::lock::Mutex;
use crate::owner::{Door, Owner, Spin, lost};
use crate::region::Region;
use crate::runs::{EmptyRuns, NoCell};
use crate::shards::Shard;
use crate::sync::AtomicUsize;
use crate::wipe::wipe;

/// An allocator over one region, with canaries on both sides of every secret.
///
/// It is `Sync`: secrets can be allocated and released from any thread. The region is zeroed when
/// the arena is made and again when it is dropped.
///
/// The value itself holds no secret and may lie in ordinary memory. It is some 10 KiB long, most of
/// it what threads remember of where there was room; with one shard ([`Spin<1>`](Spin)) it is less than
/// one. Where the stack is short, [`new_in`](Self::new_in) makes it where it stays.
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
/// let arena = Arena::new(&mut region, &mut Board)?;
///
/// let mut token = Buffer::new(&arena, 21)?;
/// token.expose_secret_mut().copy_from_slice(b"correct horse battery");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arena<'r, O: Owner = Spin> {
    cells: Cells<'r>,
    buddy: Buddy<'r>,
    drbg: Lent<'r, Mutex<Drbg, O::Lock>>,
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
        let mut place = MaybeUninit::uninit();
        Self::new_in(&mut place, region, entropy, owner)?;
        // SAFETY: an arena was just made there.
        Ok(unsafe { place.assume_init() })
    }

    /// Makes an arena as [`with_owner`](Self::with_owner) does, in its place: the value is on the
    /// stack at no time, so that a short one will do. A [`Place`](crate::Place) is one in a static.
    /// The generator needs a few KiB of stack in any case, all of which it wipes.
    ///
    /// Like any value in a [`MaybeUninit`] it is not dropped by itself, and then the region is not
    /// wiped at its end: for an arena that is to have an end, call [`MaybeUninit::assume_init_drop`].
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use strongroom_core::{Arena, Buffer, Spin};
    /// # use strongroom_core::{Entropy, EntropyError};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    ///
    /// let mut region = MaybeUninit::<[u8; 8192]>::uninit();
    /// let mut place = MaybeUninit::uninit();
    /// let arena = Arena::new_in(&mut place, &mut region, &mut Board, Spin::<1>)?;
    /// arena.set_fault_handler(|fault| eprintln!("{fault}"));
    /// assert_eq!(Buffer::random(arena, 32)?.len(), 32);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`new`](Arena::new); nothing was made in the place then.
    pub fn new_in<'p>(
        place: &'p mut MaybeUninit<Self>,
        region: impl Into<Region<'r>>,
        entropy: &mut impl Entropy,
        owner: O,
    ) -> Result<&'p mut Self, ArenaError> {
        let mut region = region.into();
        let plan = Plan::for_region::<O>(&region)?;
        let mut seed = Seed::zero();
        let seeded = seed.fill(entropy);
        let window = owner.open(Door::Whole);
        seeded.inspect_err(|_| region.wipe())?;
        let tables = plan.carve::<O>(region, &seed)?;
        drop(window);
        Ok(Self::write_in(place, tables, owner))
    }

    /// Writes an arena piece by piece: what the compiler makes whole it may make on the stack first.
    fn write_in<'p>(
        place: &'p mut MaybeUninit<Self>,
        tables: Tables<'r, O::Lock>,
        owner: O,
    ) -> &'p mut Self {
        let arena = place.as_mut_ptr();
        macro_rules! write {
            ($($field:ident: $value:expr,)*) => {
                $(
                    // SAFETY: the field lies in the place, which is borrowed for writing.
                    unsafe { (&raw mut (*arena).$field).write($value) };
                )*
                // SAFETY: the field lies in the place, which is borrowed for writing.
                unsafe { (&raw mut (*arena).shards).write_bytes(0, 1) };
                // Does not compile unless all fields are named.
                let _: fn(&Self) = |Self { shards: _, $($field: _),* }| ();
            };
        }
        write! {
            cells: tables.cells,
            buddy: tables.buddy,
            drbg: tables.drbg.into(),
            ledger: Mutex::new(Ledger::EMPTY),
            owner: owner,
            refused: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            on_fault: panic_on_fault,
        }
        // SAFETY: each field was written just now; shards may be zeros.
        let arena = unsafe { place.assume_init_mut() };
        arena.shards.as_ref().iter().for_each(Shard::forget);
        arena
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
        self.set_fault_handler(on_fault);
        self
    }

    /// Sets what is called when damage is found, as [`with_fault_handler`](Self::with_fault_handler)
    /// does, for an arena that stays where it is.
    pub fn set_fault_handler(&mut self, on_fault: fn(Fault)) {
        self.on_fault = on_fault;
    }

    /// Allocates memory for one secret of `layout`: zeroed, between canaries.
    ///
    /// A size of zero takes no memory. It has the shape of [`core::alloc::GlobalAlloc::alloc`]; most
    /// callers want [`Buffer`](crate::Buffer) or [`Secret`](crate::Secret), which release
    /// themselves.
    ///
    /// # Errors
    /// [`AllocateError`]: the arena is full, the secret would not fit even into an empty arena, the
    /// alignment is greater than [`GREATEST_ALIGN`](Arena::GREATEST_ALIGN), or the memory is lost.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocateError> {
        self.allocate_from(layout, || self.allocate_cell(layout))
    }

    /// Allocates the cell that `find` finds, or what goes into none.
    #[inline]
    fn allocate_from(
        &self,
        layout: Layout,
        find: impl FnOnce() -> Option<NonNull<u8>>,
    ) -> Result<NonNull<[u8]>, AllocateError> {
        self.check_not_lost()?;
        let _window = self.owner.open(Door::Allocate);
        let start = match find() {
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
            self.report(kind, self.cells.leaves.offset_of(pointer));
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
        match released {
            // What was wiped meanwhile looks like damage.
            Err(kind) if !self.is_lost_by_now() => {
                Err(self.record(kind, self.cells.leaves.offset_of(pointer)))
            }
            _ => Ok(()),
        }
    }

    /// Fills `bytes` with random bytes from the generator in the region.
    ///
    /// # Panics
    /// If the memory is lost ([`Owner::lost`]): there is no generator any more. See
    /// [`try_fill_random`](Self::try_fill_random).
    pub fn fill_random(&self, bytes: &mut [u8]) {
        let filled = self.try_fill_random(bytes);
        assert!(filled.is_ok(), "strongroom: random bytes of an arena whose memory is lost");
    }

    /// As [`fill_random`](Self::fill_random), where the memory may be lost.
    ///
    /// # Errors
    /// [`EntropyError`] if it is ([`Owner::lost`]), and the generator with it; `bytes` is then zero, or as
    /// it was.
    pub fn try_fill_random(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        if self.is_lost() {
            return Err(EntropyError);
        }
        let window = self.owner.open(Door::Random);
        // The lock is given up now and then, so that others need not wait for a long fill.
        bytes.chunks_mut(LEAF).for_each(|chunk| self.drbg.lock().fill(chunk));
        drop(window);
        if self.is_lost_by_now() {
            // What a wiped generator gives, everybody can compute.
            wipe(bytes);
            return Err(EntropyError);
        }
        Ok(())
    }

    /// As [`try_fill_random`](Self::try_fill_random), with the error of an allocation.
    pub(crate) fn draw(&self, bytes: &mut [u8]) -> Result<(), AllocateError> {
        self.try_fill_random(bytes).map_err(|EntropyError| AllocateError::Lost)
    }

    /// Mixes 32 fresh bytes of entropy into the generator.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails; the generator then goes on as before. Also if the memory is
    /// lost ([`Owner::lost`]) and the generator with it.
    pub fn reseed(&self, entropy: &mut impl Entropy) -> Result<(), EntropyError> {
        if self.is_lost() {
            return Err(EntropyError);
        }
        let mut seed = Seed::zero();
        seed.fill(entropy)?;
        let _window = self.owner.open(Door::Random);
        self.drbg.lock().reseed(&seed);
        Ok(())
    }

    /// Gives back what runs keep in which nothing is live, so that it serves any size again. An
    /// allocation that finds no room does so by itself; but where several are needed at once, the first
    /// ones find room between such runs and may be in the way of the last.
    pub fn reclaim(&self) {
        if self.is_lost() {
            return;
        }
        let _window = self.owner.open(Door::Allocate);
        let mut walk = EmptyRuns::default();
        while self.return_empty_runs(&mut self.ledger.lock(), &mut walk) {}
    }

    /// The bytes that secrets and their canaries share: the region without the bookkeeping.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.cells.leaves.len()
    }

    /// The longest secret in bytes that an empty arena could hold.
    pub(crate) fn largest(&self) -> usize {
        self.capacity() - 2 * CANARY
    }

    /// The length of the region in bytes, bookkeeping included.
    #[must_use]
    pub fn region_len(&self) -> usize {
        self.cells.leaves.region_len()
    }

    /// Allocates like [`allocate`](Self::allocate), but as near to the first leaf as there is room,
    /// whichever thread calls: what stays for good must not part what is free.
    pub(crate) fn allocate_aside(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocateError> {
        self.allocate_from(layout, || Some(self.find_cell(class_of(layout)?, 0)?.hand_out(layout)))
    }

    /// Whether the owner says that the memory is lost.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        lost(&self.owner).is_some()
    }

    /// The same, after something was read of it that may have been wiped meanwhile.
    #[inline]
    pub(crate) fn is_lost_by_now(&self) -> bool {
        // It is read before the owner is asked.
        fence(Acquire);
        self.is_lost()
    }

    #[inline]
    pub(crate) fn check_not_lost(&self) -> Result<(), AllocateError> {
        if self.is_lost() { Err(AllocateError::Lost) } else { Ok(()) }
    }

    /// Allocates a cell of a run, if there is one that `layout` fits.
    fn allocate_cell(&self, layout: Layout) -> Option<NonNull<u8>> {
        let class = class_of(layout)?;
        let shard = self.shard();
        let head = shard.recent(class).first();
        if head < self.cells.runs.occupancy().leaves()
            && let Ok(claimed) = self.cells.claim(head, class, 0)
        {
            match claimed.check() {
                Ok(ready) => return Some(ready.hand_out(layout)),
                Err((claimed, why)) => self.reject(claimed, why),
            }
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
        let recent = shard.recent(class);
        // The search goes on from where it last found something.
        let start = recent.first();
        let hinted = recent.rest().find_map(|head| self.take_from(head, class).ok());
        let ready = hinted.or_else(|| {
            let knows_none = start >= self.cells.runs.occupancy().leaves();
            let apart = knows_none.then(|| self.open_run_apart(class)).flatten();
            let found = apart.or_else(|| self.find_cell(class, start))?;
            recent.push(found.head);
            Some(found)
        });
        Some(ready?.hand_out(layout))
    }

    /// Allocates what goes into no cell, or says why it cannot be.
    #[inline(never)]
    fn allocate_otherwise(&self, layout: Layout) -> Result<NonNull<u8>, AllocateError> {
        if layout.size() == 0 {
            let aligned = NonZero::new(layout.align()).unwrap_or(NonZero::<usize>::MIN);
            return Ok(NonNull::without_provenance(aligned));
        }
        self.allocate_block(layout).inspect_err(|_| {
            self.refused.fetch_add(1, Relaxed);
        })
    }

    /// Takes a ready cell of `class`: of a run that has room, of a new one or, if there are no leaves
    /// for that, of a greater class.
    fn find_cell(&self, class: usize, start: usize) -> Option<ReadyCell<'_>> {
        let mut tried = None;
        loop {
            for head in self.cells.runs.runs_with_room(class, start) {
                match self.take_from(head, class) {
                    Ok(ready) => return Some(ready),
                    Err(_) => self.withdraw(head, class),
                }
            }
            match self.find_room(class, tried)? {
                Room::Leaves(spare, number) => {
                    if let Some(spare) = self.if_untouched(spare) {
                        return Some(self.cells.open_run(spare, number));
                    }
                }
                Room::Run(class, head) => match self.take_from(head, class) {
                    Ok(ready) => return Some(ready),
                    // Others are wiping its cells, and may never be done: it is passed over.
                    Err(NoneReady::Busy) => tried = Some((class, head)),
                    // Others were quicker: there may be room again where there was none.
                    Err(NoneReady::Full) => {
                        self.withdraw(head, class);
                        tried = None;
                    }
                },
            }
        }
    }

    /// Takes a ready cell of the run at `head`, if it is one of `class`.
    fn take_from(&self, head: usize, class: usize) -> Result<ReadyCell<'_>, NoneReady> {
        let (mut passed_over, mut none) = (0, NoneReady::Full);
        loop {
            let claimed = match self.cells.claim(head, class, passed_over) {
                Ok(claimed) => claimed,
                Err(NoCell::Full) => return Err(none),
                Err(NoCell::Frozen) => {
                    self.wait_for_thaw();
                    continue;
                }
            };
            passed_over |= claimed.cell().bit();
            match claimed.check() {
                Ok(ready) => return Ok(ready),
                Err((claimed, why)) => {
                    if why == NotReady::Busy {
                        none = NoneReady::Busy;
                    }
                    self.reject(claimed, why);
                }
            }
        }
    }

    /// Lets searches pass a run in which nothing was found.
    #[cold]
    fn withdraw(&self, head: usize, class: usize) {
        let _held = self.ledger.lock();
        self.cells.runs.withdraw(head, class);
    }

    /// Gives up a claimed cell that is not ready; a damaged one is quarantined.
    #[cold]
    fn reject(&self, claimed: Claimed<'_>, why: NotReady) {
        match why {
            NotReady::Busy => self.cells.put_back(claimed),
            NotReady::Damaged(kind) => {
                let start = claimed.cell().start();
                self.quarantine(claimed);
                self.report(kind, Some(start));
            }
        }
    }

    /// What the calling thread remembers.
    #[inline(always)]
    fn shard(&self) -> &Shard {
        let shards = self.shards.as_ref();
        &shards[self.owner.shard(shards.len()) % shards.len()]
    }

    /// Waits until what was found frozen is not any more: `verify` freezes under the lock.
    #[cold]
    fn wait_for_thaw(&self) {
        drop(self.ledger.lock());
    }

    /// Tells the fault handler; called with no lock held.
    #[cold]
    pub(crate) fn report(&self, kind: FaultKind, offset: Option<usize>) {
        // What was wiped meanwhile looks like damage.
        if !self.is_lost_by_now() {
            (self.on_fault)(self.record(kind, offset));
        }
    }

    /// # Safety
    /// As for [`deallocate`](Self::deallocate).
    unsafe fn release(&self, pointer: NonNull<u8>, layout: Layout) -> Result<(), FaultKind> {
        if self.is_lost() {
            return Ok(());
        }
        let _window = self.owner.open(Door::Allocate);
        // The canaries are read only when the bookkeeping has said where they are.
        prefetch(pointer.as_ptr().wrapping_sub(1));
        prefetch(pointer.as_ptr().wrapping_add(layout.size()));
        let Some(offset) = self.cells.leaves.offset_of(pointer) else {
            // A secret of no bytes has no place.
            return if layout.size() == 0 { Ok(()) } else { Err(FaultKind::ForeignFree) };
        };
        let Some(cell) = self.cells.runs.occupancy().cell_at(offset) else {
            // SAFETY: the caller gives up the secret at this offset, and no cell is there.
            return unsafe { self.release_block(offset, layout) };
        };
        if !cell.is_taken() {
            return Err(why_not_taken(offset == secret_start(cell.start(), layout.align())));
        }
        // SAFETY: the caller gives up the secret at this offset, which is in this cell.
        let claimed = unsafe { self.cells.take_back(cell) };
        if let Err(kind) = claimed.check_release(offset, layout) {
            if kind.is_damage() {
                self.quarantine(claimed);
            }
            return Err(kind);
        }
        let returned = claimed.release(|| self.wait_for_thaw())?;
        let class = usize::from(cell.shape.class);
        if returned.was_full {
            self.cells.runs.advertise(cell.head, class);
        }
        self.shard().recent(class).push(cell.head);
        if returned.is_empty {
            self.cells.runs.note_empty(cell.head);
        }
        Ok(())
    }

    /// Wipes a damaged cell, which stays taken for good.
    #[cold]
    fn quarantine(&self, claimed: Claimed<'_>) {
        // Under the lock, so that `verify` is not looking at the cell.
        self.ledger.lock().quarantine(claimed);
    }

    #[cold]
    fn record(&self, kind: FaultKind, offset: Option<usize>) -> Fault {
        self.faults.fetch_add(1, Relaxed);
        Fault { kind, offset: offset.map(|offset| self.cells.leaves.region_offset(offset)) }
    }
}

/// Why there was no ready cell in a run.
enum NoneReady {
    /// All are taken.
    Full,
    /// Some are still being wiped.
    Busy,
}

impl<O: Owner> Debug for Arena<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

impl<O: Owner> Drop for Arena<'_, O> {
    fn drop(&mut self) {
        if self.is_lost() {
            return;
        }
        let _window = self.owner.open(Door::Whole);
        // SAFETY: secrets borrow the arena, so none is in use; the bookkeeping goes with it.
        unsafe { self.cells.leaves.wipe_region() };
    }
}

/// What is wrong when a secret is released from a cell that is not taken.
#[cold]
fn why_not_taken(begins_there: bool) -> FaultKind {
    if begins_there { FaultKind::DoubleFree } else { FaultKind::ForeignFree }
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
