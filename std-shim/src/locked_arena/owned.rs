//! A secret together with a share of the arena that it lies in.

use std::fmt::{self, Debug, Formatter};
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytemuck::Pod;
use strongroom_core::{AllocateError, Buffer, Exposed, ExposedMut};

use super::{LockedArena, LockedOwner};

/// A [`Buffer`] that owns a share of its [`LockedArena`]: it can stand beside it in a struct, go into a
/// task or come out of a thread. It comes from [`LockedArena::buffer`]; the last share takes the pages
/// along.
///
/// ```
/// use std::sync::Arc;
///
/// use strongroom::{LockedArena, OwnedBuffer};
///
/// struct Signer {
///     arena: Arc<LockedArena>,
///     key: OwnedBuffer,
/// }
///
/// let arena = Arc::new(LockedArena::new(16 * 1024)?);
/// let mut signer = Signer { key: arena.buffer(32)?, arena };
/// signer.arena.arena()?.fill_random(&mut signer.key.expose_secret_mut());
/// assert_eq!(signer.key.len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedBuffer<T: Pod = u8> {
    /// Always there but while it is being dropped. It borrows from the arena, which may go in the middle
    /// of a drop: as uninitialised memory nothing promises that it stays for longer.
    buffer: MaybeUninit<Buffer<'static, LockedOwner, T>>,
    /// Goes after the secret.
    arena: Arc<LockedArena>,
}

impl<T: Pod> OwnedBuffer<T> {
    pub(super) fn zeroed(arena: Arc<LockedArena>, len: usize) -> Result<Self, AllocateError> {
        // SAFETY: the arena is kept by the share that stands beside the secret and goes after it; and
        // nothing of this lifetime is handed out.
        let borrowed = unsafe { arena.pointer().as_ref() };
        Ok(Self { buffer: MaybeUninit::new(Buffer::zeroed(borrowed, len)?), arena })
    }

    /// The arena that the secret lies in.
    #[must_use]
    pub fn arena(&self) -> &Arc<LockedArena> {
        &self.arena
    }

    /// The secret, for as long as the guard lives; see [`Buffer::expose_secret`].
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, [T], LockedOwner> {
        self.buffer().expose_secret()
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [T], LockedOwner> {
        // SAFETY: it is there until the drop.
        unsafe { self.buffer.assume_init_mut() }.expose_secret_mut()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        self.buffer().with_secret(look)
    }

    /// The secret's length in values, which are bytes unless said otherwise.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer().len()
    }

    /// Whether the secret has no values at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[T]) -> bool {
        self.buffer().constant_time_eq(other)
    }

    #[inline]
    fn buffer(&self) -> &Buffer<'_, LockedOwner, T> {
        // SAFETY: it is there until the drop.
        unsafe { self.buffer.assume_init_ref() }
    }
}

impl<T: Pod> Drop for OwnedBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: it is there, and nobody looks at it any more.
        unsafe { self.buffer.assume_init_drop() }
    }
}

impl<T: Pod> Debug for OwnedBuffer<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}
