//! An open secret together with a share of the vault that it is open in.

use std::fmt::{self, Debug, Formatter};
use std::mem::{self, MaybeUninit};
use std::sync::Arc;

use bytemuck::Pod;
use strongroom_core::Fault;

use super::error::{OpenError, SealError};
use super::opened::{Exposed, ExposedMut, Opened};
use super::{Sealed, Vault};

/// A secret that is open in a vault's locked memory and owns a share of the vault: it can stand beside
/// it in a struct, go into a task or come out of a thread. Dropping it wipes it and makes room for those
/// who wait; the last share takes the vault along.
///
/// It comes from a [`Share`](super::Share), and does what an [`Opened`] does.
pub struct OwnedOpened<T: ?Sized = [u8]> {
    /// Always there but while it is being dropped. It borrows from the vault, which may go in the middle
    /// of a drop: as uninitialised memory nothing promises that it stays for longer.
    opened: MaybeUninit<Opened<'static, T>>,
    /// Goes after the secret.
    vault: Arc<Vault>,
}

impl<T: ?Sized> OwnedOpened<T> {
    /// # Panics
    /// If the secret is open in another vault.
    #[inline]
    pub(super) fn new(vault: Arc<Vault>, opened: Opened<'_, T>) -> Self {
        assert!(opened.is_of(&vault.admission), "a share keeps its own vault alone");
        // SAFETY: only the lifetime changes. What the secret borrows is this vault, which is shared here
        // and stays where it is; and nothing of that lifetime is handed out.
        let opened = unsafe { mem::transmute::<Opened<'_, T>, Opened<'static, T>>(opened) };
        Self { opened: MaybeUninit::new(opened), vault }
    }

    #[inline]
    pub(super) fn opened(&self) -> &Opened<'_, T> {
        // SAFETY: it is there until the drop.
        unsafe { self.opened.assume_init_ref() }
    }

    /// Not for others: who had this could put a secret of another vault in.
    #[inline]
    fn opened_mut(&mut self) -> &mut Opened<'static, T> {
        // SAFETY: it is there until the drop.
        unsafe { self.opened.assume_init_mut() }
    }

    /// The vault that the secret is open in.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Wipes the secret and makes room, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret.
    pub fn release(self) -> Result<(), Fault> {
        // The share goes last, even if there is a panic.
        let (_vault, opened) = self.into_parts();
        opened.release()
    }

    /// The secret, to be used as long as the share is there and no longer.
    fn into_parts(self) -> (Arc<Vault>, Opened<'static, T>) {
        let secret = mem::ManuallyDrop::new(self);
        // SAFETY: the share is never dropped in the secret's place, so it is moved out just once.
        let vault = unsafe { std::ptr::read(&raw const secret.vault) };
        // SAFETY: it is there, and as the drop does not run any more it is moved out just once.
        let opened = unsafe { secret.opened.assume_init_read() };
        (vault, opened)
    }
}

impl OwnedOpened {
    pub(super) fn open_front(&mut self, record: &[u8], context: &[u8]) -> Result<(), OpenError> {
        self.opened_mut().open_front(record, context)
    }

    /// What was opened or allocated as `T`, or as several of it.
    pub(super) fn typed<T: ?Sized>(self) -> OwnedOpened<T> {
        let (vault, opened) = self.into_parts();
        OwnedOpened { opened: MaybeUninit::new(opened.typed()), vault }
    }
}

/// Of bytes, or of other plain values in a row.
impl<T: Pod> OwnedOpened<[T]> {
    /// The secret, for as long as the guard lives; see [`Opened::expose_secret`].
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, [T]> {
        self.opened().expose_secret()
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [T]> {
        self.opened_mut().expose_secret_mut()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        self.opened().with_secret(look)
    }

    /// The secret's length in values, which are bytes unless said otherwise.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opened().len()
    }

    /// Whether the secret has no values at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[T]) -> bool {
        self.opened().constant_time_eq(other)
    }

    /// Fills the secret with random bytes of the vault's.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency.
    pub fn fill_random(&mut self) -> Result<(), OpenError> {
        self.opened_mut().fill_random()
    }

    /// Seals the secret from where it is open; see [`Vault::seal`]. It stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.opened().seal(context)
    }
}

/// Of text.
impl OwnedOpened<str> {
    /// The secret, for as long as the guard lives; see [`Opened::expose_secret`].
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, str> {
        self.opened().expose_secret()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&str) -> R) -> R {
        self.opened().with_secret(look)
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opened().len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &str) -> bool {
        self.opened().constant_time_eq(other)
    }
}

/// Of one plain value.
impl<T: Pod> OwnedOpened<T> {
    /// The secret, for as long as the guard lives. In a forked child all of its bytes are zero.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, T> {
        self.opened().expose_secret()
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, T> {
        self.opened_mut().expose_secret_mut()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.opened().with_secret(look)
    }

    /// Whether the secret equals `other`, byte for byte, in a time that depends on the type alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &T) -> bool {
        self.opened().constant_time_eq(other)
    }

    /// Fills the secret with random bytes of the vault's.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency.
    pub fn fill_random(&mut self) -> Result<(), OpenError> {
        self.opened_mut().fill_random()
    }

    /// Seals the secret from where it is open; see [`Vault::seal_value`]. It stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.opened().seal(context)
    }
}

impl<T: ?Sized> Drop for OwnedOpened<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it is there, and nobody looks at it any more.
        unsafe { self.opened.assume_init_drop() }
    }
}

impl<T: ?Sized> Debug for OwnedOpened<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedOpened").field("len", &self.opened().size()).finish_non_exhaustive()
    }
}
