//! What gives memory for secrets that grow.

use bytemuck::Pod;

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::error::AllocateError;
use crate::exposed::{Exposed, ExposedMut};
use crate::owner::Owner;

/// Gives memory for secrets that grow ([`SecretVec`](crate::SecretVec),
/// [`SecretString`](crate::SecretString)): a reference to an arena, or what a vault hands out.
pub trait Allocate {
    /// The owner of the memory.
    type Owner: Owner;

    /// A row of values between canaries, wiped when it is dropped.
    type Buffer<T: Pod>;

    /// Why there is no memory.
    type Error;

    /// The owner of the memory.
    fn owner(&self) -> &Self::Owner;

    /// Memory for `len` values, all bytes zero.
    ///
    /// # Errors
    /// There is no room for so many now, or never.
    fn buffer<T: Pod>(&self, len: usize) -> Result<Self::Buffer<T>, Self::Error>;

    /// Shows a buffer's values: all of them, or none if the memory is gone (in a forked child).
    fn expose<T: Pod>(buffer: &Self::Buffer<T>) -> Exposed<'_, [T], Self::Owner>;

    /// Shows a buffer's values, to be changed.
    fn expose_mut<T: Pod>(buffer: &mut Self::Buffer<T>) -> ExposedMut<'_, [T], Self::Owner>;
}

impl<'a, O: Owner> Allocate for &'a Arena<'_, O> {
    type Owner = O;
    type Buffer<T: Pod> = Buffer<'a, O, T>;
    type Error = AllocateError;

    fn owner(&self) -> &O {
        Arena::owner(self)
    }

    fn buffer<T: Pod>(&self, len: usize) -> Result<Buffer<'a, O, T>, AllocateError> {
        Buffer::zeroed(self, len)
    }

    #[inline]
    fn expose<'b, T: Pod>(buffer: &'b Buffer<'a, O, T>) -> Exposed<'b, [T], O> {
        buffer.expose_secret()
    }

    #[inline]
    fn expose_mut<'b, T: Pod>(buffer: &'b mut Buffer<'a, O, T>) -> ExposedMut<'b, [T], O> {
        buffer.expose_secret_mut()
    }
}
