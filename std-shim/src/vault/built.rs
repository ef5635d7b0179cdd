//! A value of any type in locked memory, built and dropped in its place.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use strongroom_core::{Door, Owner, wiping_stack};

use super::error::OpenError;
use super::opened::{Exposed, ExposedMut, Opened};
use super::owned::OwnedOpened;

/// A value of any type in a vault's locked memory, built there ([`Opener::try_build`]) and dropped there:
/// another crate's signing key, say. The second parameter is the memory: an [`Opened`], or an
/// [`OwnedOpened`] for structs, tasks and threads.
///
/// What the value points to is not in locked memory; nor is what its methods leave on the stack
/// ([`wiping_stack`]).
///
/// [`Opener::try_build`]: super::Opener::try_build
pub struct Built<T, S: Holds> {
    memory: S,
    value: PhantomData<T>,
}

impl<T, S: Holds> Built<T, S> {
    /// Builds a value in memory that is its alone and was allocated for it.
    pub(super) fn new(
        memory: S,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Result<Self, OpenError> {
        let mut pointer = place::<MaybeUninit<T>>(&memory)?;
        let window = memory.opened().owner().open(Door::Expose);
        // SAFETY: the memory was allocated for a `T` and is this function's alone.
        let place = unsafe { pointer.as_mut() };
        let value = wiping_stack::<STACK, _>(|| ptr::from_mut(build(place)));
        assert!(ptr::eq(value, pointer.as_ptr().cast()), "another place was built in");
        drop(window);
        Ok(Self { memory, value: PhantomData })
    }

    /// The value, for as long as the guard lives.
    ///
    /// # Errors
    /// There is nothing left of it: [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`]
    /// after [`wipe_all`](crate::wipe_all).
    #[inline]
    pub fn try_expose_secret(&self) -> Result<Exposed<'_, T>, OpenError> {
        let pointer = place::<T>(&self.memory)?;
        // SAFETY: `new` has built the value, which nothing has changed but through this guard's like.
        Ok(Exposed::new(self.memory.opened().owner(), unsafe { pointer.as_ref() }))
    }

    /// The value, to be changed for as long as the guard lives.
    ///
    /// # Errors
    /// As for [`try_expose_secret`](Self::try_expose_secret).
    #[inline]
    pub fn try_expose_secret_mut(&mut self) -> Result<ExposedMut<'_, T>, OpenError> {
        let mut pointer = place::<T>(&self.memory)?;
        // SAFETY: as above, and it is borrowed mutably.
        Ok(ExposedMut::new(self.memory.opened().owner(), unsafe { pointer.as_mut() }))
    }
}

/// Where a value is, as long as there is anything left of it.
fn place<T>(memory: &impl Holds) -> Result<NonNull<T>, OpenError> {
    let memory = memory.opened();
    memory.intact().map(NonNull::cast).ok_or_else(|| memory.gone())
}

impl<T, S: Holds> Drop for Built<T, S> {
    fn drop(&mut self) {
        if let Ok(pointer) = place::<T>(&self.memory) {
            let _window = self.memory.opened().owner().open(Door::Expose);
            // SAFETY: the value is there, and ends here; its memory goes after it.
            unsafe { pointer.drop_in_place() };
        }
    }
}

impl<T, S: Holds> Debug for Built<T, S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Built").finish_non_exhaustive()
    }
}

/// Holds an open secret's memory: [`Opened`] and [`OwnedOpened`].
pub trait Holds: sealed::Sealed {}

impl<T: ?Sized> Holds for Opened<'_, T> {}
impl<T: ?Sized> Holds for OwnedOpened<T> {}

mod sealed {
    use super::{Opened, OwnedOpened};

    pub trait Sealed {
        type Value: ?Sized;

        fn opened(&self) -> &Opened<'_, Self::Value>;
    }

    impl<T: ?Sized> Sealed for Opened<'_, T> {
        type Value = T;

        fn opened(&self) -> &Opened<'_, T> {
            self
        }
    }

    impl<T: ?Sized> Sealed for OwnedOpened<T> {
        type Value = T;

        fn opened(&self) -> &Opened<'_, T> {
            self.opened()
        }
    }
}

/// Bytes of the stack that are wiped after others have built.
const STACK: usize = 32 * 1024;
