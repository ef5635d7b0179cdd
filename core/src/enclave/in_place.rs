//! Sealing where the secret lies, for keys that stay in the region but are rarely used.

use core::fmt::{self, Debug, Formatter};

use super::Enclave;
use crate::buffer::Buffer;
use crate::crypto::aead::{self, TAG};
use crate::error::{OpenError, SealError};
use crate::exposed::{Exposed, ExposedMut};
use crate::owner::{Owner, Spin};
use crate::wipe::wipe;

/// A secret that was sealed in its own cell.
pub struct SealedInPlace<'a, O: Owner = Spin> {
    pub(super) ciphertext: Buffer<'a, O>,
    number: u64,
    tag: [u8; TAG],
}

/// The guard of a secret that is open in its own cell. Dropping it seals the secret again; a guard
/// that is forgotten ([`core::mem::forget`]) leaves it open in its cell until that is released.
pub struct OpenedInPlace<'s, 'a, O: Owner = Spin> {
    sealed: &'s mut SealedInPlace<'a, O>,
    enclave: &'s Enclave<'a, O>,
    context: &'s [u8],
    /// The number for sealing again, taken ahead so that the drop cannot lack one.
    next: u64,
}

impl<'a, O: Owner> Enclave<'a, O> {
    /// Seals `secret` where it lies. `context` is as for [`seal`](Self::seal).
    ///
    /// ```
    /// # use core::mem::MaybeUninit;
    /// # use strongroom_core::{Arena, Buffer, Enclave, Entropy, EntropyError};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
    /// # let arena = Arena::new(&mut region, &mut Board)?;
    /// # let enclave = Enclave::new(&arena)?;
    /// let key = Buffer::wiping(&arena, &mut [3; 32])?;
    /// let mut sealed = enclave.seal_in_place(key, b"signing key").map_err(|(_, error)| error)?;
    /// {
    ///     let opened = sealed.open(&enclave, b"signing key")?;
    ///     assert_eq!(opened.expose_secret(), [3; 32]);
    /// } // sealed again, under a fresh nonce
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError`], with the secret as it was.
    pub fn seal_in_place(
        &self,
        mut secret: Buffer<'a, O>,
        context: &[u8],
    ) -> Result<SealedInPlace<'a, O>, (Buffer<'a, O>, SealError)> {
        let sealed = self
            .take_number()
            .and_then(|number| Ok((number, self.seal_bytes(number, context, &mut secret)?)));
        match sealed {
            Ok((number, tag)) => Ok(SealedInPlace { ciphertext: secret, number, tag }),
            Err(error) => Err((secret, error)),
        }
    }

    fn seal_bytes(
        &self,
        number: u64,
        context: &[u8],
        secret: &mut Buffer<'_, O>,
    ) -> Result<[u8; TAG], SealError> {
        let (nonce, mut text) = (self.nonce(number), secret.expose_secret_mut());
        Ok(self.key.with(|key| aead::seal_in_place(key, &nonce, context, &mut text))?)
    }
}

impl<'a, O: Owner> SealedInPlace<'a, O> {
    /// Opens the secret where it lies, until the guard is dropped.
    ///
    /// # Errors
    /// [`OpenError`]: the context or enclave is another, the ciphertext was changed, or the enclave
    /// was destroyed or cannot seal again. The secret stays sealed.
    pub fn open<'s>(
        &'s mut self,
        enclave: &'s Enclave<'a, O>,
        context: &'s [u8],
    ) -> Result<OpenedInPlace<'s, 'a, O>, OpenError> {
        let next = enclave.take_number().map_err(|error| match error {
            SealError::Destroyed => OpenError::Destroyed,
            _ => OpenError::Exhausted,
        })?;
        let (nonce, mut text) = (enclave.nonce(self.number), self.ciphertext.expose_secret_mut());
        let tag = &self.tag;
        enclave.key.with(|key| aead::open_in_place(key, &nonce, context, &mut text, tag))??;
        drop(text);
        Ok(OpenedInPlace { sealed: self, enclave, context, next })
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ciphertext.len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ciphertext.is_empty()
    }
}

impl<O: Owner> OpenedInPlace<'_, '_, O> {
    /// The secret, for as long as the guard lives.
    pub fn expose_secret(&self) -> Exposed<'_, [u8], O> {
        self.sealed.ciphertext.expose_secret()
    }

    /// The secret, to be changed for as long as the guard lives; the change is sealed.
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [u8], O> {
        self.sealed.ciphertext.expose_secret_mut()
    }

    /// Calls `look` with the secret.
    pub fn with_secret<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.expose_secret())
    }
}

impl<O: Owner> Drop for OpenedInPlace<'_, '_, O> {
    fn drop(&mut self) {
        let SealedInPlace { ciphertext, number, tag } = &mut *self.sealed;
        if let Ok(made) = self.enclave.seal_bytes(self.next, self.context, ciphertext) {
            (*number, *tag) = (self.next, made);
        } else {
            // The enclave was destroyed meanwhile, and with it all that it sealed.
            wipe(&mut ciphertext.expose_secret_mut());
        }
    }
}

impl<O: Owner> Debug for SealedInPlace<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedInPlace").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<O: Owner> Debug for OpenedInPlace<'_, '_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedInPlace").field("len", &self.sealed.len()).finish_non_exhaustive()
    }
}
