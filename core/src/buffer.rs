//! A secret as bytes or other values in a row, released and wiped when dropped.

use core::alloc::Layout;
use core::fmt::{self, Debug, Formatter};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use bytemuck::{NoUninit, Pod};

use crate::arena::Arena;
use crate::constant_time::constant_time_eq;
use crate::error::{AllocateError, Fault};
use crate::exposed::{Exposed, ExposedMut};
use crate::owner::{Lost, Owner, Spin, lost};
use crate::wipe::wipe;

/// Secret bytes in an [`Arena`], between canaries; or, with a third parameter, other plain values in a
/// row.
///
/// Dropping it checks the canaries, wipes the bytes and gives the memory back. It cannot be cloned,
/// printed, compared with `==` or dereferenced by accident: [`expose_secret`](Self::expose_secret)
/// is the way in. What grows is a [`SecretVec`](crate::SecretVec).
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Buffer, Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// # let arena = Arena::new(&mut region, &mut Board)?;
/// let mut typed = *b"hunter2";
/// let password = Buffer::wiping(&arena, &mut typed)?;
/// assert_eq!(typed, [0; 7], "the source is wiped");
/// assert_eq!(password.expose_secret(), b"hunter2");
/// assert!(password.constant_time_eq(b"hunter2"));
/// assert_eq!(format!("{password:?}"), "Buffer { len: 7, .. }");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It cannot outlive its arena:
///
/// ```compile_fail,E0505
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Buffer, Entropy};
/// # fn outlive(arena: Arena<'_>) {
/// let secret = Buffer::new(&arena, 8);
/// drop(arena);
/// drop(secret);
/// # }
/// ```
pub struct Buffer<'a, O: Owner = Spin, T = u8> {
    memory: Memory<'a, T, O>,
}

impl<'a, O: Owner> Buffer<'a, O> {
    /// A secret of `len` bytes, all zero.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it.
    #[inline]
    pub fn new(arena: &'a Arena<'_, O>, len: usize) -> Result<Self, AllocateError> {
        Self::zeroed(arena, len)
    }

    /// A secret with the bytes of `source`, which is wiped.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it; then `source` is as it was.
    pub fn wiping(arena: &'a Arena<'_, O>, source: &mut [u8]) -> Result<Self, AllocateError> {
        let mut buffer = Self::new(arena, source.len())?;
        buffer.expose_secret_mut().copy_from_slice(source);
        wipe(source);
        Ok(buffer)
    }

    /// A secret of `len` random bytes from the arena's generator.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it.
    pub fn random(arena: &'a Arena<'_, O>, len: usize) -> Result<Self, AllocateError> {
        let mut buffer = Self::new(arena, len)?;
        arena.draw(&mut buffer.expose_secret_mut())?;
        Ok(buffer)
    }
}

impl<'a, O: Owner, T: Pod> Buffer<'a, O, T> {
    /// A secret of `len` values, all of whose bytes are zero.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it.
    #[inline]
    pub fn zeroed(arena: &'a Arena<'_, O>, len: usize) -> Result<Self, AllocateError> {
        Ok(Self { memory: Memory::new(arena, len)? })
    }
}

impl<O: Owner, T> Buffer<'_, O, T> {
    /// The secret, for as long as the guard lives. Where the memory may be lost
    /// ([`Owner::lost`]), it then reads as zeros, or is empty if there is no memory at all.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, [T], O> {
        let owner = self.memory.arena.owner();
        if lost(owner) == Some(Lost::Memory) {
            return Exposed::new(owner, &[]);
        }
        // SAFETY: the memory is this buffer's alone, was zeroed, and is only borrowed with it.
        Exposed::new(owner, unsafe { self.memory.values.as_ref() })
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [T], O> {
        let owner = self.memory.arena.owner();
        if lost(owner) == Some(Lost::Memory) {
            return ExposedMut::new(owner, &mut []);
        }
        // SAFETY: the memory is this buffer's alone, was zeroed, and is borrowed mutably with it.
        ExposedMut::new(owner, unsafe { self.memory.values.as_mut() })
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.expose_secret())
    }

    /// The secret's length in values, which are bytes unless said otherwise.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.memory.values.len()
    }

    /// Whether the secret has no values at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[T]) -> bool
    where
        T: NoUninit,
    {
        let exposed = self.expose_secret();
        constant_time_eq(bytemuck::cast_slice(&exposed), bytemuck::cast_slice(other))
    }

    /// Wipes the secret and gives its memory back, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret. Its memory has been wiped and
    /// is never handed out again.
    #[inline]
    pub fn release(self) -> Result<(), Fault> {
        self.memory.release()
    }
}

impl<O: Owner, T> Debug for Buffer<'_, O, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The memory of one secret, given back when dropped. It drops no value.
pub(crate) struct Memory<'a, T, O: Owner> {
    arena: &'a Arena<'a, O>,
    values: NonNull<[T]>,
}

// SAFETY: the memory belongs to this value alone, and an arena may be used from any thread.
unsafe impl<T, O: Owner> Send for Memory<'_, T, O> {}
// SAFETY: a shared `Memory` gives out nothing but the pointer's value.
unsafe impl<T, O: Owner> Sync for Memory<'_, T, O> {}

impl<'a, T, O: Owner> Memory<'a, T, O> {
    /// Memory of `len` values, all bytes zero.
    #[inline]
    pub(crate) fn new(arena: &'a Arena<'_, O>, len: usize) -> Result<Self, AllocateError> {
        let Ok(layout) = Layout::array::<T>(len) else {
            let requested = len.saturating_mul(size_of::<T>());
            return Err(AllocateError::TooLarge { requested, largest: arena.largest() });
        };
        let values = NonNull::slice_from_raw_parts(arena.allocate(layout)?.cast(), len);
        Ok(Self { arena, values })
    }

    /// Memory for one value that stays as long as the arena.
    pub(crate) fn aside(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let bytes = arena.allocate_aside(Layout::new::<T>())?;
        Ok(Self { arena, values: NonNull::slice_from_raw_parts(bytes.cast(), 1) })
    }

    #[inline]
    pub(crate) fn arena(&self) -> &'a Arena<'a, O> {
        self.arena
    }

    /// The first value.
    #[inline]
    pub(crate) fn pointer(&self) -> NonNull<T> {
        self.values.cast()
    }

    pub(crate) fn release(self) -> Result<(), Fault> {
        let memory = ManuallyDrop::new(self);
        let Some(layout) = memory.layout() else { return Ok(()) };
        // SAFETY: as in `drop`, which does not run any more.
        unsafe { memory.arena.try_deallocate(memory.values.cast(), layout) }
    }

    /// The memory's layout, which is some for all memory that there is.
    #[inline]
    fn layout(&self) -> Option<Layout> {
        Layout::array::<T>(self.values.len()).ok()
    }
}

impl<T, O: Owner> Drop for Memory<'_, T, O> {
    #[inline]
    fn drop(&mut self) {
        if let Some(layout) = self.layout() {
            // SAFETY: the memory was allocated from this arena with this layout, and ends here.
            unsafe { self.arena.deallocate(self.values.cast(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{MaybeUninit, forget};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::vec;

    use super::*;
    use crate::error::FaultKind;
    use crate::owner::Door;
    use crate::testing::{Counting, fill, with_arena};

    #[test]
    fn a_forgotten_secret_stays_and_goes_with_the_arena() {
        let mut region = vec![MaybeUninit::uninit(); 2500];
        let arena = Arena::new(&mut region[..], &mut Counting(1)).unwrap();
        let kept = Buffer::wiping(&arena, &mut [7; 64]).unwrap().memory;
        let bytes = kept.values;
        forget(kept);
        forget(Buffer::new(&arena, 1000).unwrap());
        for len in [64, 1000] {
            let others = fill(&arena, len);
            assert!(others.iter().all(|other| other.expose_secret().iter().all(|&b| b == 0)));
        }
        // SAFETY: the secret is still allocated, and nobody else has it.
        assert_eq!(unsafe { bytes.as_ref() }, [7; 64]);
        assert_eq!((arena.stats().live, arena.verify()), (2, Ok(())));
        drop(arena);
        // SAFETY: the arena has initialised the whole region, which is not lent any more.
        assert!(region.iter().all(|byte| unsafe { byte.assume_init() } == 0));
    }

    #[test]
    fn an_arena_goes_on_after_a_handler_panicked_in_a_drop() {
        for len in [64, 1000] {
            with_arena(2500, |arena| {
                let secret = Buffer::new(arena, len).unwrap();
                // SAFETY: the end of the secret is within the region.
                let behind = unsafe { secret.memory.pointer().add(len) };
                // All of a canary: Miri itself fails at an atomic word of which a part was written.
                let window = arena.owner().open(Door::Whole);
                // SAFETY: the canary after the secret, or slack of it, which nobody else uses now.
                unsafe { behind.cast::<[u8; 8]>().write([1; 8]) };
                drop(window);
                let panic = catch_unwind(AssertUnwindSafe(|| drop(secret))).unwrap_err();
                let message = FaultKind::CanaryAfter.message();
                assert_eq!(panic.downcast_ref::<std::string::String>().unwrap(), message);
                assert_goes_on(arena);
            });
        }
    }

    #[test]
    fn an_arena_goes_on_after_a_handler_panicked_in_an_allocation() {
        for len in [64, 500] {
            with_arena(2500, |arena| {
                // Beside another, so that the cell is met again before its run is taken apart.
                let _beside = Buffer::new(arena, len).unwrap();
                let secret = Buffer::new(arena, len).unwrap();
                let place = secret.memory.pointer();
                drop(secret);
                let window = arena.owner().open(Door::Whole);
                // SAFETY: memory of the region that nobody uses now.
                unsafe { place.write(1) };
                drop(window);
                assert!(catch_unwind(AssertUnwindSafe(|| drop(fill(arena, len)))).is_err());
                assert_goes_on(arena);
            });
        }
    }

    /// One place of the arena is out of use, and no other.
    fn assert_goes_on<O: Owner>(arena: &Arena<'_, O>) {
        drop(fill(arena, 8));
        drop(fill(arena, 300));
        let stats = arena.stats();
        assert_eq!((stats.faults, stats.quarantined, arena.verify()), (1, 1, Ok(())));
    }
}
