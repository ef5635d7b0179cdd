//! The arena as an allocator of the crate `allocator-api2`: collections whose memory is secrets.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::Arena;
use crate::canary::State;
use crate::classes::LEAF;
use crate::error::FaultKind;
use crate::kind::Kind;
use crate::owner::{Door, Owner};

/// With the feature `allocator-api2-0_2`: what a collection of `allocator-api2`, `hashbrown` and others
/// keeps in memory lies in the region, each allocation between canaries, and is wiped when it is
/// released.
///
/// - To grow and to shrink is to allocate, copy, and release: for a moment there are both, and the old
///   one is wiped. Shrinking needs room as well. Where the arena may be full, use what returns an error
///   (`try_reserve`): other methods call `handle_alloc_error`, which ends most programs.
/// - Damage goes to the fault handler, also when it is found by a collection that grows. If the handler
///   panics then, the collection is what it was before, but in wiped memory.
/// - What is pushed is moved: it was somewhere before. A collection shows its values to anybody, by
///   `Debug` for one: what is a secret belongs in a [`Buffer`](crate::Buffer), a
///   [`Secret`](crate::Secret), or a type of yours that refuses.
/// - Where the [`Owner`] has a gate, whoever looks at the values opens it.
/// - Where its memory [may be lost](Owner::MAY_BE_LOST), this does not compile: a collection would look at
///   values that are there no more.
///
/// ```
/// use core::mem::MaybeUninit;
/// use allocator_api2::vec::Vec; // with the feature `alloc` of that crate
/// use strongroom_core::Arena;
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
/// let mut line = Vec::new_in(&arena);
/// assert!(line.try_reserve(7).is_ok(), "there was no room");
/// line.extend_from_slice(b"hunter2");
/// assert_eq!(arena.stats().live, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0080
/// # use core::mem::MaybeUninit;
/// # use allocator_api2::vec::Vec;
/// # use strongroom_core::{Arena, Door, Entropy, EntropyError, Owner, Shards, SpinLock};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
/// #         Ok(())
/// #     }
/// # }
/// struct Loser;
///
/// impl Owner for Loser {
///     const MAY_BE_LOST: bool = true;
///     // …
/// #     type Lock = SpinLock;
/// #     type Shards = Shards<1>;
/// #     type Window<'o> = ();
/// #     fn open(&self, _: Door) {}
/// }
///
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// let arena = Arena::with_owner(&mut region, &mut Board, Loser)?;
/// let line: Vec<u8, _> = Vec::with_capacity_in(7, &arena);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// SAFETY: memory stays where it is until it is released, for nothing ends an arena that is borrowed;
// and copies of a reference are the same arena.
unsafe impl<O: Owner> Allocator for &Arena<'_, O> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        const { assert!(!O::MAY_BE_LOST, "a collection cannot tell that its memory is lost") };
        Arena::allocate(self, layout).map_err(|_| AllocError)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // It always is.
        Allocator::allocate(self, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { self.give_up(pointer, layout) };
    }

    unsafe fn grow(
        &self,
        pointer: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same.
        unsafe { self.relocate(pointer, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        pointer: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same; and what is allocated is zeroed in any case.
        unsafe { self.grow(pointer, old, new) }
    }

    unsafe fn shrink(
        &self,
        pointer: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same.
        unsafe { self.relocate(pointer, old, new) }
    }
}

impl<O: Owner> Arena<'_, O> {
    /// Copies what fits to memory of another layout, and releases what it was in.
    ///
    /// # Safety
    /// `pointer` was allocated for `old` and is live, and the caller uses it no more if this succeeds.
    unsafe fn relocate(
        &self,
        pointer: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old == new {
            return Ok(NonNull::slice_from_raw_parts(pointer, new.size()));
        }
        let memory = Arena::allocate(self, new).map_err(|_| AllocError)?;
        let copy = Copy { arena: self, memory: memory.cast(), layout: new };
        let window = self.owner.open(Door::Expose);
        // SAFETY: neither is shorter than this, and the second was just allocated.
        unsafe { copy.memory.copy_from_nonoverlapping(pointer, old.size().min(new.size())) };
        drop(window);
        // SAFETY: the memory is the caller's, who gives it up (contract).
        unsafe { self.give_up(pointer, old) };
        core::mem::forget(copy);
        Ok(memory)
    }

    /// Releases memory like [`deallocate`](Arena::deallocate), but tells of the same damage only once:
    /// a collection whose growth ended in the fault handler's panic releases what it grew from again.
    ///
    /// # Safety
    /// As for [`deallocate`](Arena::deallocate); or that very memory was found damaged before.
    unsafe fn give_up(&self, pointer: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        // SAFETY: the memory is the caller's; or quarantined, which is nobody's any more and stays so.
        let Err(kind) = (unsafe { self.release(pointer, layout) }) else { return };
        if kind != FaultKind::DoubleFree || !self.is_quarantined(pointer) {
            self.report(kind, self.cells.leaves.offset_of(pointer));
        }
    }

    /// Whether the secret at `pointer` was found damaged.
    #[cold]
    fn is_quarantined(&self, pointer: NonNull<u8>) -> bool {
        let _window = self.owner.open(Door::Inspect);
        let Some(offset) = self.cells.leaves.offset_of(pointer) else { return false };
        let occupancy = self.cells.runs.occupancy();
        let _held = self.ledger.lock();
        let Some(cell) = occupancy.cell_at(offset) else {
            return occupancy.kind(offset.saturating_sub(1) / LEAF) == Kind::BlockQuarantined;
        };
        // SAFETY: the run was found under the lock, which keeps it.
        unsafe { self.cells.between(cell) }.state() == Some(State::QUARANTINED)
    }
}

/// A copy that nobody knows of yet: it goes if the fault handler panics.
struct Copy<'a, 'r, O: Owner> {
    arena: &'a Arena<'r, O>,
    memory: NonNull<u8>,
    layout: Layout,
}

impl<O: Owner> Drop for Copy<'_, '_, O> {
    fn drop(&mut self) {
        // SAFETY: it was allocated for this layout, and nobody else knows of it.
        unsafe { self.arena.give_up(self.memory, self.layout) };
    }
}

#[cfg(test)]
mod tests;
