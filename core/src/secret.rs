//! A secret as a typed value, built in place.

use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use bytemuck::{NoUninit, Pod, Zeroable};

use crate::arena::Arena;
use crate::buffer::Memory;
use crate::error::{AllocateError, Fault};
use crate::exposed::{Exposed, ExposedMut};
use crate::owner::{Door, Owner, Spin};

/// A secret value in an [`Arena`], between canaries.
///
/// Dropping it drops the value, checks the canaries, wipes the memory and gives it back. It cannot
/// be cloned, printed, compared with `==` or dereferenced by accident:
/// [`expose_secret`](Self::expose_secret) is the way in.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Entropy, EntropyError, Secret};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// # let arena = Arena::new(&mut region, &mut Board)?;
/// let key = Secret::<[u8; 32]>::random(&arena)?;
/// let mut round_keys = Secret::<[u64; 16]>::zeroed(&arena)?;
/// round_keys.expose_secret_mut()[0] = u64::from(key.expose_secret()[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Secret<'a, T, O: Owner = Spin> {
    memory: Memory<'a, T, O>,
    value: PhantomData<T>,
}

impl<'a, T, O: Owner> Secret<'a, T, O> {
    /// A secret that `build` writes in its place.
    ///
    /// The way to keep every byte off the stack is to fill the place piece by piece; a value that
    /// is made first and moved in may leave a copy behind.
    ///
    /// ```
    /// # use core::mem::MaybeUninit;
    /// # use strongroom_core::{Arena, Entropy, EntropyError, Secret};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
    /// # let arena = Arena::new(&mut region, &mut Board)?;
    /// let pin = Secret::build(&arena, |place| place.write(1234_u16))?;
    /// assert_eq!(*pin.expose_secret(), 1234);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it; `build` is then not called.
    ///
    /// # Panics
    /// If `build` returns a reference to anything but its place. If `build` itself panics, the
    /// place is wiped and given back.
    pub fn build(
        arena: &'a Arena<'_, O>,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Result<Self, AllocateError> {
        Ok(Self::build_in(Memory::new(arena, 1)?, build))
    }

    /// Like [`build`](Self::build), where a secret that stays as long as the arena is least in the
    /// way.
    pub(crate) fn build_aside(
        arena: &'a Arena<'_, O>,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Result<Self, AllocateError> {
        Ok(Self::build_in(Memory::aside(arena)?, build))
    }

    fn build_in(
        memory: Memory<'a, T, O>,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Self {
        let _window = memory.arena().owner().open(Door::Expose);
        // SAFETY: the memory was allocated for a `T` and is this function's alone.
        let place = unsafe { memory.pointer().cast::<MaybeUninit<T>>().as_mut() };
        let value = core::ptr::from_mut(build(place));
        assert!(core::ptr::eq(value, memory.pointer().as_ptr()), "another place was built in");
        Self { memory, value: PhantomData }
    }

    /// The secret, for as long as the guard lives.
    ///
    /// # Panics
    /// If the memory is lost ([`Owner::lost`]): there is no value any more.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, T, O> {
        assert!(!self.memory.arena().is_lost(), "{LOST}");
        Exposed::new(self.memory.arena().owner(), self.value())
    }

    /// The secret, to be changed for as long as the guard lives.
    ///
    /// # Panics
    /// As for [`expose_secret`](Self::expose_secret).
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, T, O> {
        assert!(!self.memory.arena().is_lost(), "{LOST}");
        // SAFETY: `build` has initialised the value, which is this secret's alone.
        ExposedMut::new(self.memory.arena().owner(), unsafe { self.memory.pointer().as_mut() })
    }

    /// The secret, under a window that the caller has opened.
    #[inline]
    pub(crate) fn value(&self) -> &T {
        // SAFETY: `build` has initialised the value, which is this secret's alone.
        unsafe { self.memory.pointer().as_ref() }
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.expose_secret())
    }

    /// Drops the value, wipes it and gives its memory back, like a drop, but returns damage as a
    /// value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret. Its memory has been wiped and
    /// is never handed out again.
    pub fn release(self) -> Result<(), Fault> {
        let secret = core::mem::ManuallyDrop::new(self);
        // SAFETY: `secret` is never dropped, so the memory is moved out of it just once. It comes
        // first, so that it is given back even if the value's drop panics.
        let memory = unsafe { core::ptr::read(&raw const secret.memory) };
        if memory.arena().is_lost() {
            return Ok(());
        }
        let window = memory.arena().owner().open(Door::Expose);
        // SAFETY: the value is initialised, and is not dropped again: `secret` never is.
        unsafe { memory.pointer().drop_in_place() };
        drop(window);
        memory.release()
    }
}

impl<'a, T: Zeroable, O: Owner> Secret<'a, T, O> {
    /// A secret whose bytes are all zero, to be filled through
    /// [`expose_secret_mut`](Self::expose_secret_mut).
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it.
    pub fn zeroed(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let memory = Memory::new(arena, 1)?;
        Ok(Self { memory, value: PhantomData })
    }
}

impl<'a, T: Pod, O: Owner> Secret<'a, T, O> {
    /// A secret of random bytes from the arena's generator.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it.
    pub fn random(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let mut secret = Self::zeroed(arena)?;
        arena.draw(bytemuck::bytes_of_mut(&mut *secret.expose_secret_mut()))?;
        Ok(secret)
    }
}

impl<T: NoUninit, O: Owner> Secret<'_, T, O> {
    /// Whether the secret equals `other`, byte for byte, in a time that depends on the type alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &T) -> bool {
        self.expose_secret() == *other
    }
}

impl<T, O: Owner> Debug for Secret<'_, T, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl<T, O: Owner> Drop for Secret<'_, T, O> {
    fn drop(&mut self) {
        if self.memory.arena().is_lost() {
            return;
        }
        let _window = self.memory.arena().owner().open(Door::Expose);
        // SAFETY: the value is initialised and ends here; the memory goes after it.
        unsafe { self.memory.pointer().drop_in_place() };
    }
}

const LOST: &str = "strongroom: a secret whose memory is lost";

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::testing::with_arena;

    #[test]
    fn a_panic_while_building_drops_no_value_and_gives_the_place_back() {
        with_arena(2500, |arena| {
            for is_written in [false, true] {
                let built = catch_unwind(AssertUnwindSafe(|| {
                    Secret::<[Stubborn; 3], _>::build(arena, |place| {
                        if is_written {
                            place.write([7, 8, 9].map(Stubborn));
                        }
                        panic!("no key today")
                    })
                }));
                assert_eq!(built.unwrap_err().downcast_ref(), Some(&"no key today"));
                assert_eq!((arena.stats().live, arena.verify()), (0, Ok(())));
            }
        });
    }

    #[test]
    fn a_value_whose_drop_panics_is_given_back() {
        with_arena(2500, |arena| {
            let build = || Secret::build(arena, |place| place.write(Stubborn(7))).unwrap();
            for end in [drop, |secret: Secret<'_, Stubborn, _>| secret.release().unwrap()] {
                let secret = build();
                assert_eq!(secret.expose_secret().0, 7);
                assert!(catch_unwind(AssertUnwindSafe(|| end(secret))).is_err());
                assert_eq!((arena.stats().live, arena.verify()), (0, Ok(())));
            }
            core::mem::forget(build());
            assert_eq!((arena.stats().live, arena.verify()), (1, Ok(())));
        });
    }

    struct Stubborn(u64);

    impl Drop for Stubborn {
        fn drop(&mut self) {
            panic!("not yet");
        }
    }
}
