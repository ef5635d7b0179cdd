//! What an arena holds of its region: shared, and reached by pointer.
//!
//! A reference would have to be good as long as any call to which its holder is passed; but an arena
//! that is passed to `drop` wipes its region in that call.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// A `&'r T` that only promises to be good when it is looked at.
pub(crate) struct Lent<'r, T: ?Sized> {
    value: NonNull<T>,
    lent: PhantomData<&'r T>,
}

// SAFETY: it gives out shared references and nothing else.
unsafe impl<T: ?Sized + Sync> Send for Lent<'_, T> {}
// SAFETY: it gives out shared references and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for Lent<'_, T> {}

impl<'r, T: ?Sized> From<&'r T> for Lent<'r, T> {
    fn from(value: &'r T) -> Self {
        Self { value: value.into(), lent: PhantomData }
    }
}

impl<'r, T: ?Sized> Lent<'r, T> {
    #[inline(always)]
    pub(crate) fn get(self) -> &'r T {
        // SAFETY: it was made of such a reference.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for Lent<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T: ?Sized> Clone for Lent<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Lent<'_, T> {}
