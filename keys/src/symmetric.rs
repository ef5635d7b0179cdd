//! Keys that encrypt, as the traits of `aead` have them.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::time::Duration;

use aead::inout::InOutBuf;
use aead::{AeadCore, AeadInOut, KeyInit, KeySizeUser, Nonce, Tag, TagPosition};
use strongroom::{Sealed, Share};

use crate::error::KeyError;
use crate::kept::{DEFAULT_TIMEOUT, Kept, allocate, bound_to};

/// A key that encrypts, sealed at rest and opened for one text.
///
/// It is an [`AeadInOut`], and so an [`Aead`](aead::Aead), as the crate's own ciphers are. Those traits'
/// error says nothing ([`aead::Error`]); [`encrypt_detached`](Self::encrypt_detached) and
/// [`decrypt_detached`](Self::decrypt_detached) say whether the vault was full or the text was changed.
///
/// **A nonce that is used twice under one key gives both texts away** (and, with AES-GCM, the means to
/// forge). What only this vault opens again is better sealed: its nonces are not the caller's business
/// ([`Vault::seal`](strongroom::Vault::seal)).
///
/// Encrypting and decrypting in place leaves the plaintext where it is, in an open secret say;
/// [`Aead::decrypt`](aead::Aead::decrypt) makes a plaintext on the heap.
pub struct SymmetricKey<C: Cipher> {
    kept: Kept,
    cipher: PhantomData<fn() -> C>,
}

/// A cipher that a [`SymmetricKey`] is for. The crate implements it, and nobody else does.
pub trait Cipher: AeadInOut + KeyInit + sealed::Cipher + 'static {}

impl<C: AeadInOut + KeyInit + sealed::Cipher + 'static> Cipher for C {}

mod sealed {
    pub trait Cipher {
        const NAME: &'static str;
    }
}

impl<C: Cipher> SymmetricKey<C> {
    /// Makes a key, in locked memory, from the vault's generator. Waits up to [`DEFAULT_TIMEOUT`] for room.
    ///
    /// # Errors
    /// [`KeyError::Open`], [`KeyError::Seal`].
    pub fn generate(share: &Share, context: &[u8]) -> Result<Self, KeyError> {
        let mut key = allocate(share, <C as KeySizeUser>::key_size(), DEFAULT_TIMEOUT)?;
        key.fill_random()?;
        Self::from_bytes(share, &key.expose_secret(), context)
    }

    /// Seals a key that lies somewhere already; wiping it there is the caller's part.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::Seal`].
    pub fn from_bytes(share: &Share, key: &[u8], context: &[u8]) -> Result<Self, KeyError> {
        let (expected, found) = (<C as KeySizeUser>::key_size(), key.len());
        if expected != found {
            return Err(KeyError::Length { expected, found });
        }
        let bound_to = bound_to(C::NAME, &[], context);
        let sealed = share.vault().seal(key, &bound_to)?;
        Ok(Self { kept: Kept::new(share, sealed, bound_to), cipher: PhantomData })
    }

    /// A key whose record was kept elsewhere ([`sealed`](Self::sealed)). The record is opened once, for
    /// which this waits up to [`DEFAULT_TIMEOUT`].
    ///
    /// # Errors
    /// [`KeyError::Open`]: it is no record of this vault's under this cipher and context.
    pub fn from_sealed(share: &Share, sealed: Sealed, context: &[u8]) -> Result<Self, KeyError> {
        let kept = Kept::new(share, sealed, bound_to(C::NAME, &[], context));
        drop(kept.open()?);
        Ok(Self { kept, cipher: PhantomData })
    }

    /// The key, waiting for room for as long as `timeout` each time it is used; zero is not to wait.
    /// [`DEFAULT_TIMEOUT`] otherwise.
    ///
    /// A thread that holds open secrets of the same vault while it uses a key may wait for itself that
    /// long: plaintext that lies in the vault is one.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.kept.timeout = timeout;
        self
    }

    /// The record that the key rests in.
    #[must_use]
    pub fn sealed(&self) -> &Sealed {
        &self.kept.sealed
    }

    /// Encrypts `text` where it is, and returns the tag.
    ///
    /// # Errors
    /// [`KeyError::Open`], and the text is then as it was but after an emergency; [`KeyError::Inauthentic`]
    /// if it is too long.
    pub fn encrypt_detached(
        &self,
        nonce: &Nonce<C>,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<Tag<C>, KeyError> {
        self.with_cipher(|cipher| cipher.encrypt_inout_detached(nonce, associated, text.into()))
    }

    /// Decrypts `text` where it is, if it is what was encrypted.
    ///
    /// # Errors
    /// [`KeyError::Open`], [`KeyError::Inauthentic`]; the text is then as it was.
    pub fn decrypt_detached(
        &self,
        nonce: &Nonce<C>,
        associated: &[u8],
        text: &mut [u8],
        tag: &Tag<C>,
    ) -> Result<(), KeyError> {
        self.with_cipher(|cipher| {
            cipher.decrypt_inout_detached(nonce, associated, text.into(), tag)
        })
    }

    fn with_cipher<R>(&self, work: impl FnOnce(C) -> aead::Result<R>) -> Result<R, KeyError> {
        self.kept.with_secret(|key| {
            let length = |_| KeyError::Length { expected: C::key_size(), found: key.len() };
            let cipher = C::new_from_slice(key).map_err(length)?;
            work(cipher).map_err(|_| KeyError::Inauthentic)
        })
    }
}

impl<C: Cipher> AeadCore for SymmetricKey<C> {
    type NonceSize = C::NonceSize;
    type TagSize = C::TagSize;

    const TAG_POSITION: TagPosition = C::TAG_POSITION;
}

impl<C: Cipher> AeadInOut for SymmetricKey<C> {
    fn encrypt_inout_detached(
        &self,
        nonce: &Nonce<Self>,
        associated: &[u8],
        text: InOutBuf<'_, '_, u8>,
    ) -> aead::Result<Tag<Self>> {
        let encrypt = |cipher: C| cipher.encrypt_inout_detached(nonce, associated, text);
        self.with_cipher(encrypt).map_err(|_| aead::Error)
    }

    fn decrypt_inout_detached(
        &self,
        nonce: &Nonce<Self>,
        associated: &[u8],
        text: InOutBuf<'_, '_, u8>,
        tag: &Tag<Self>,
    ) -> aead::Result<()> {
        let decrypt = |cipher: C| cipher.decrypt_inout_detached(nonce, associated, text, tag);
        self.with_cipher(decrypt).map_err(|_| aead::Error)
    }
}

impl<C: Cipher> Debug for SymmetricKey<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymmetricKey").field("cipher", &C::NAME).finish_non_exhaustive()
    }
}

macro_rules! ciphers {
    ($($(#[$about:meta])* $feature:literal $key:ident = $cipher:ty, $name:literal;)*) => {
        $(
            #[cfg(feature = $feature)]
            impl sealed::Cipher for $cipher {
                const NAME: &'static str = $name;
            }

            $(#[$about])*
            #[cfg(feature = $feature)]
            pub type $key = SymmetricKey<$cipher>;
        )*
    };
}

ciphers! {
    /// A key of 32 bytes that encrypts with ChaCha20-Poly1305 (RFC 8439).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use strongroom::Vault;
    /// use strongroom_keys::ChaCha20Poly1305Key;
    ///
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let key = ChaCha20Poly1305Key::generate(&vault.share(), b"messages")?;
    ///
    /// // Never twice under one key: a counter.
    /// let nonce = [0; 12].into();
    /// let mut text = *b"hunter2";
    /// let tag = key.encrypt_detached(&nonce, b"to bob", &mut text)?;
    /// key.decrypt_detached(&nonce, b"to bob", &mut text, &tag)?;
    /// assert_eq!(&text, b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    "chacha20poly1305-0_11" ChaCha20Poly1305Key =
        chacha20poly1305::ChaCha20Poly1305, "ChaCha20-Poly1305";
    /// A key of 32 bytes that encrypts with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose nonces of 24
    /// bytes may be random.
    "chacha20poly1305-0_11" XChaCha20Poly1305Key =
        chacha20poly1305::XChaCha20Poly1305, "XChaCha20-Poly1305";
    /// A key of 16 bytes that encrypts with AES-128-GCM (NIST SP 800-38D).
    "aes-gcm-0_11" Aes128GcmKey = aes_gcm::Aes128Gcm, "AES-128-GCM";
    /// A key of 32 bytes that encrypts with AES-256-GCM (NIST SP 800-38D).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use strongroom::Vault;
    /// use strongroom_keys::Aes256GcmKey;
    /// use strongroom_keys::aead::Aead;
    ///
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let key = Aes256GcmKey::generate(&vault.share(), b"backups")?;
    /// let ciphertext = key.encrypt(&[0; 12].into(), &b"a text that is no secret"[..])?;
    /// # assert_eq!(ciphertext.len(), 24 + 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    "aes-gcm-0_11" Aes256GcmKey = aes_gcm::Aes256Gcm, "AES-256-GCM";
}
