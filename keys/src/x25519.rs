//! X25519 key agreement (RFC 7748), by the crate `x25519-dalek`.

use pkcs8::ObjectIdentifier;
use pkcs8::spki::AlgorithmIdentifierRef;
use strongroom::{OwnedOpened, Share};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::error::KeyError;
use crate::kept::{check_intact, without_trace};
use crate::key::{Algorithm, Found, INNER, Key, curve, sealed};

/// X25519 key agreement (RFC 7748).
#[derive(Debug)]
pub enum X25519 {}

/// A key that agrees on secrets with X25519, sealed at rest.
///
/// ```
/// use std::sync::Arc;
/// use strongroom::Vault;
/// use strongroom_keys::X25519Key;
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let ours = X25519Key::generate(&vault.share(), b"ours")?;
/// let theirs = X25519Key::generate(&vault.share(), b"theirs")?;
///
/// // In locked memory: input for a key derivation function, not a key itself.
/// let secret = ours.agree(theirs.public_key())?;
/// assert!(theirs.agree(ours.public_key())?.constant_time_eq(&secret.expose_secret()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type X25519Key = Key<X25519>;

impl Key<X25519> {
    /// Makes a key, in locked memory, from the vault's generator. Waits up to
    /// [`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT) for room.
    ///
    /// # Errors
    /// [`KeyError::Open`], [`KeyError::Seal`].
    pub fn generate(share: &Share, context: &[u8]) -> Result<Self, KeyError> {
        Self::make(share, context)
    }

    /// The secret of 32 bytes that is shared with the owner of `theirs`, in locked memory.
    ///
    /// It takes the place of the open private key: no more room is needed. Derive keys from it (HKDF, say)
    /// together with both public keys; it is not itself one.
    ///
    /// # Errors
    /// [`KeyError::WeakPublicKey`] if `theirs` gives the same secret to everybody; [`KeyError::Open`].
    pub fn agree(&self, theirs: &PublicKey) -> Result<OwnedOpened, KeyError> {
        let mut place = self.open_private()?;
        without_trace(|| {
            let mut place = place.expose_secret_mut();
            let secret = private_key(&place)?.diffie_hellman(theirs);
            if !secret.was_contributory() {
                return Err(KeyError::WeakPublicKey);
            }
            place.copy_from_slice(secret.as_bytes());
            Ok(())
        })?;
        check_intact(self.share())?;
        Ok(place)
    }
}

impl Algorithm for X25519 {
    type PublicKey = PublicKey;
}

impl sealed::Algorithm for X25519 {
    type Public = PublicKey;

    const NAME: &'static str = "X25519";

    /// RFC 8410.
    const ALGORITHM: AlgorithmIdentifierRef<'static> = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.3.101.110"),
        parameters: None,
    };

    fn public_of(scalar: &[u8]) -> Result<PublicKey, KeyError> {
        Ok(PublicKey::from(&private_key(scalar)?))
    }

    fn public_bytes(public: &PublicKey) -> Vec<u8> {
        public.as_bytes().into()
    }

    fn from_inner(inner: &[u8]) -> Option<Found<'_>> {
        curve::from_inner(inner)
    }

    fn to_inner<'k>(
        scalar: &'k [u8],
        _public: &[u8],
        place: &'k mut [u8; INNER],
    ) -> Option<&'k [u8]> {
        curve::to_inner(scalar, place)
    }
}

fn private_key(scalar: &[u8]) -> Result<StaticSecret, KeyError> {
    let scalar = <[u8; 32]>::try_from(scalar);
    let scalar = scalar.map_err(|_| KeyError::Invalid { algorithm: "X25519" })?;
    Ok(StaticSecret::from(scalar))
}
