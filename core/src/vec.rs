//! A secret that grows.

use core::fmt::{self, Debug, Formatter};
use core::slice;

use bytemuck::Pod;

use crate::allocate::Allocate;
use crate::exposed::{Exposed, ExposedMut};
use crate::wipe::wipe;

/// A row of plain values that grows, in an arena's memory or a vault's: a password while it is typed, a
/// request with a token in it while it is put together.
///
/// When there is no room to grow in, that is an error, and all is as it was. Growing moves the values,
/// and wipes them where they were; for a moment there are both. What is cut off is wiped at once.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Entropy, EntropyError, SecretVec};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// # let arena = Arena::new(&mut region[..], &mut Board)?;
/// let mut line = SecretVec::new(&arena);
/// line.extend_from_slice(b"hunter22")?;
/// line.truncate(7);
/// line.push(b'!')?;
/// assert_eq!(line.expose_secret(), b"hunter2!");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SecretVec<T: Pod, A: Allocate> {
    /// Once there is one. Behind the values, all bytes are zero.
    buffer: Option<A::Buffer<T>>,
    len: usize,
    allocator: A,
}

impl<T: Pod, A: Allocate> SecretVec<T, A> {
    /// One without values, which takes no memory yet.
    pub fn new(allocator: A) -> Self {
        Self { buffer: None, len: 0, allocator }
    }

    /// One without values, and with room for `capacity` of them.
    ///
    /// # Errors
    /// There is no room for so many.
    pub fn with_capacity(allocator: A, capacity: usize) -> Result<Self, A::Error> {
        Ok(Self { buffer: Some(allocator.buffer(capacity)?), len: 0, allocator })
    }

    /// One of all the values in `buffer`, which are not moved: what was opened, say. It grows in the
    /// memory that `allocator` gives.
    pub fn from_buffer(allocator: A, buffer: A::Buffer<T>) -> Self {
        let len = A::expose(&buffer).len();
        Self { buffer: Some(buffer), len, allocator }
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// For how many values there is room without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| A::expose(buffer).len())
    }

    /// The values, for as long as the guard lives. None in a forked child that has not got the memory.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, [T], A::Owner> {
        match &self.buffer {
            Some(buffer) => Exposed::map(A::expose(buffer), |all| first(all, self.len)),
            None => Exposed::new(self.allocator.owner(), &[]),
        }
    }

    /// The values, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [T], A::Owner> {
        match &mut self.buffer {
            Some(buffer) => ExposedMut::map(A::expose_mut(buffer), |all| first_mut(all, self.len)),
            None => ExposedMut::new(self.allocator.owner(), &mut []),
        }
    }

    /// Calls `look` with the values.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.expose_secret())
    }

    /// Adds a value.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, mut value: T) -> Result<(), A::Error> {
        let added = self.extend_from_slice(slice::from_ref(&value));
        wipe(bytemuck::bytes_of_mut(&mut value));
        added
    }

    /// Adds values.
    ///
    /// # Errors
    /// There is no room for all of them, and none was added.
    pub fn extend_from_slice(&mut self, values: &[T]) -> Result<(), A::Error> {
        self.reserve(values.len())?;
        let end = self.len + values.len();
        if let Some(buffer) = &mut self.buffer
            && let Some(behind) = A::expose_mut(buffer).get_mut(self.len..end)
        {
            behind.copy_from_slice(values);
            self.len = end;
        }
        Ok(())
    }

    /// Adds values, and wipes them where they were.
    ///
    /// # Errors
    /// There is no room for all of them; then none was added, and they are as they were.
    pub fn extend_wiping(&mut self, values: &mut [T]) -> Result<(), A::Error> {
        self.extend_from_slice(values)?;
        wipe(bytemuck::cast_slice_mut(values));
        Ok(())
    }

    /// Makes room for `additional` values more, so that adding them cannot fail.
    ///
    /// It takes twice the room there was, or what is needed if there is not so much.
    ///
    /// # Errors
    /// There is no room for so many.
    pub fn reserve(&mut self, additional: usize) -> Result<(), A::Error> {
        let (capacity, needed) = (self.capacity(), self.len.saturating_add(additional));
        if needed <= capacity {
            return Ok(());
        }
        let ample = needed.max(capacity.saturating_mul(2)).max(SMALLEST / size_of::<T>().max(1));
        let mut larger = match self.allocator.buffer(ample) {
            Ok(larger) => larger,
            Err(_) if needed < ample => self.allocator.buffer(needed)?,
            Err(error) => return Err(error),
        };
        if let Some(buffer) = &self.buffer {
            let (mut to, from) = (A::expose_mut(&mut larger), A::expose(buffer));
            first_mut(&mut to, self.len).copy_from_slice(first(&from, self.len));
        }
        // The former one is wiped as it goes.
        self.buffer = Some(larger);
        Ok(())
    }

    /// Cuts off and wipes all values but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            if let Some(behind) = self.expose_secret_mut().get_mut(len..) {
                wipe(bytemuck::cast_slice_mut(behind));
            }
            self.len = len;
        }
    }

    /// Wipes all values, and keeps the room.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Wipes all values, and gives the memory back.
    pub fn give_back(&mut self) {
        self.buffer = None;
        self.len = 0;
    }

    /// Whether the values equal `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[T]) -> bool {
        let bytes = Exposed::map(self.expose_secret(), |values| bytemuck::cast_slice(values));
        bytes == bytemuck::cast_slice::<T, u8>(other)
    }

    /// What it grows in.
    #[must_use]
    pub fn allocator(&self) -> &A {
        &self.allocator
    }
}

impl<T: Pod, A: Allocate> Debug for SecretVec<T, A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVec").field("len", &self.len).finish_non_exhaustive()
    }
}

/// With the feature `std`. What there is no room for is an error of the kind `StorageFull` that says why;
/// of one call, all is written or nothing.
#[cfg(feature = "std")]
impl<A> std::io::Write for SecretVec<u8, A>
where
    A: Allocate,
    A::Error: core::error::Error + Send + Sync + 'static,
{
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let full = |why| std::io::Error::new(std::io::ErrorKind::StorageFull, why);
        self.extend_from_slice(bytes).map(|()| bytes.len()).map_err(full)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The first `len`, or all if there are not so many.
#[inline]
fn first<T>(values: &[T], len: usize) -> &[T] {
    &values[..len.min(values.len())]
}

/// As [`first`].
#[inline]
fn first_mut<T>(values: &mut [T], len: usize) -> &mut [T] {
    let len = len.min(values.len());
    &mut values[..len]
}

/// Bytes that are taken at least: a smaller cell is hardly ever what a secret that grows stays in.
const SMALLEST: usize = 32;

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::SecretVec;
    use crate::buffer::Buffer;
    use crate::field::SecretField;
    use crate::string::SecretString;
    use crate::testing::{rounds, with_arena};

    #[test]
    fn it_grows_where_there_is_room_and_is_what_it_was_where_not() {
        with_arena(rounds(4096, 1500), |arena| {
            let (mut words, mut model) = (SecretVec::<u128, _>::new(arena), Vec::new());
            while words.push(model.len() as u128).is_ok() {
                model.push(model.len() as u128);
                assert!(words.constant_time_eq(&model) && arena.stats().live == 1);
            }
            assert!(model.len() > rounds(64, 5) && words.constant_time_eq(&model));
            words.truncate(5);
            words.expose_secret_mut()[4] = 9;
            assert_eq!(words.expose_secret()[..], [0, 1, 2, 3, 9]);
            words.wipe();
            assert_eq!((words.capacity(), arena.stats().live, arena.verify()), (0, 0, Ok(())));
        });
    }

    #[test]
    fn text_is_cut_between_characters() {
        with_arena(4096, |arena| {
            let mut typed = String::from("größer");
            let opened = Buffer::wiping(arena, &mut typed.clone().into_bytes()).unwrap();
            let mut text = SecretString::from_utf8(SecretVec::from_buffer(arena, opened)).unwrap();
            while !typed.is_empty() {
                assert!(text.constant_time_eq(&typed));
                text.pop();
                typed.pop();
            }
            assert!(text.is_empty() && text.capacity() == 8);
            text.pop();
            drop(text);
            assert_eq!((arena.stats().live, arena.verify()), (0, Ok(())));
        });
    }
}
