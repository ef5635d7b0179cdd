//! An open secret together with a share of the vault that it is open in.

use std::fmt::{self, Debug, Formatter};
use std::mem::{self, MaybeUninit};
use std::sync::Arc;

use strongroom_core::Fault;

use super::error::SealError;
use super::opened::{Exposed, ExposedMut, Opened};
use super::{Sealed, Vault};

/// A secret that is open in a vault's locked memory and owns a share of the vault: it can stand beside
/// it in a struct, go into a task or come out of a thread. Dropping it wipes it and makes room for those
/// who wait; the last share takes the vault along.
///
/// It comes from a [`Share`](super::Share), and does what an [`Opened`] does.
pub struct OwnedOpened {
    /// Always there but while it is being dropped. It borrows from the vault, which may go in the middle
    /// of a drop: as uninitialised memory nothing promises that it stays for longer.
    opened: MaybeUninit<Opened<'static>>,
    /// Goes after the secret.
    vault: Arc<Vault>,
}

impl OwnedOpened {
    /// # Panics
    /// If the secret is open in another vault.
    pub(super) fn new(vault: Arc<Vault>, opened: Opened<'_>) -> Self {
        assert!(opened.is_of(&vault.admission), "a share keeps its own vault alone");
        // SAFETY: only the lifetime changes. What the secret borrows is this vault, which is shared here
        // and stays where it is; and nothing of that lifetime is handed out.
        let opened = unsafe { mem::transmute::<Opened<'_>, Opened<'static>>(opened) };
        Self { opened: MaybeUninit::new(opened), vault }
    }

    #[inline]
    fn opened(&self) -> &Opened<'_> {
        // SAFETY: it is there until the drop.
        unsafe { self.opened.assume_init_ref() }
    }

    /// Not for others: who had this could put a secret of another vault in.
    #[inline]
    fn opened_mut(&mut self) -> &mut Opened<'static> {
        // SAFETY: it is there until the drop.
        unsafe { self.opened.assume_init_mut() }
    }

    /// The secret, for as long as the guard lives; see [`Opened::expose_secret`].
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_> {
        self.opened().expose_secret()
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_> {
        self.opened_mut().expose_secret_mut()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
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
    pub fn constant_time_eq(&self, other: &[u8]) -> bool {
        self.opened().constant_time_eq(other)
    }

    /// Seals the secret from where it is open; see [`Opened::seal`].
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.opened().seal(context)
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
        let secret = mem::ManuallyDrop::new(self);
        // SAFETY: the share is never dropped in the secret's place, so it is moved out just once. It
        // comes first, and so goes last, even if there is a panic.
        let _vault = unsafe { std::ptr::read(&raw const secret.vault) };
        // SAFETY: it is there, and as the drop does not run any more it is moved out just once.
        let opened = unsafe { secret.opened.assume_init_read() };
        opened.release()
    }
}

impl Drop for OwnedOpened {
    fn drop(&mut self) {
        // SAFETY: it is there, and nobody looks at it any more.
        unsafe { self.opened.assume_init_drop() }
    }
}

impl Debug for OwnedOpened {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedOpened").field("len", &self.len()).finish_non_exhaustive()
    }
}
