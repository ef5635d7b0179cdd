//! A secret that is open in a vault.

use std::fmt::{self, Debug, Formatter};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use strongroom_core::{Buffer, Fault, Sealed};

use super::room::Room;
use super::rooms::Held;
use super::{OpenError, SealError, Vault};
use crate::park::Park;

/// A secret that is open in a vault's locked memory. Dropping it wipes it and makes room for those
/// who wait.
pub struct Opened<'v> {
    /// Ends before the room it lies in.
    buffer: ManuallyDrop<Buffer<'static, Park>>,
    room: Arc<Room>,
    vault: &'v Vault,
}

impl<'v> Opened<'v> {
    pub(super) fn new(held: Held, vault: &'v Vault) -> Self {
        let Held { buffer, room } = held;
        Self { buffer: ManuallyDrop::new(buffer), room, vault }
    }

    /// The secret.
    ///
    /// In a forked child it reads as zeros, or is empty where a child has no such memory at all
    /// ([`ForkView`](crate::ForkView)).
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        if self.room.pages().is_absent() { &[] } else { self.buffer.expose_secret() }
    }

    /// The secret, to be changed.
    #[must_use]
    pub fn expose_secret_mut(&mut self) -> &mut [u8] {
        if self.room.pages().is_absent() { &mut [] } else { self.buffer.expose_secret_mut() }
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[u8]) -> bool {
        !self.room.pages().is_absent() && self.buffer.constant_time_eq(other)
    }

    /// Seals the secret from where it is open; see [`Vault::seal`]. It stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed<Box<[u8]>>, SealError> {
        self.vault.seal(self.expose_secret(), context)
    }

    /// Wipes the secret and makes room, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret.
    pub fn release(self) -> Result<(), Fault> {
        let mut opened = ManuallyDrop::new(self);
        // SAFETY: `opened` is never dropped nor used after this, so the buffer is taken once.
        let released = unsafe { opened.end(Buffer::release) };
        // SAFETY: `opened` is never dropped, so the room is let go once.
        unsafe { std::ptr::drop_in_place(&raw mut opened.room) };
        released.unwrap_or(Ok(()))
    }

    /// Ends the buffer by `end`, and then makes room, even if the fault handler panics.
    ///
    /// # Safety
    /// The buffer is not used after this.
    unsafe fn end<R>(&mut self, end: impl FnOnce(Buffer<'static, Park>) -> R) -> Option<R> {
        struct MakeRoom<'a>(&'a Vault, &'a Room);
        impl Drop for MakeRoom<'_> {
            fn drop(&mut self) {
                self.0.make_room(self.1);
            }
        }
        if let Err(error) = self.vault.check_process() {
            // There is nothing to wipe. A forked child has no line either; after an emergency those
            // in it learn of that.
            if error == OpenError::Destroyed {
                self.vault.wake_lines();
            }
            return None;
        }
        // SAFETY: the caller does not use the buffer after this.
        let buffer = unsafe { ManuallyDrop::take(&mut self.buffer) };
        let _after = MakeRoom(self.vault, &self.room);
        Some(end(buffer))
    }
}

impl Debug for Opened<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        // SAFETY: nothing is used after a drop.
        unsafe { self.end(drop) };
    }
}
