//! Ed25519 signatures (RFC 8032), by the crate `ed25519-dalek`.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use pkcs8::ObjectIdentifier;
use pkcs8::spki::AlgorithmIdentifierRef;
use signature::Signer;
use strongroom::Share;

use crate::error::KeyError;
use crate::key::{Algorithm, Found, INNER, Key, curve, sealed};

/// Ed25519 signatures (RFC 8032).
#[derive(Debug)]
pub enum Ed25519 {}

/// A key that signs with Ed25519, sealed at rest.
///
/// ```
/// use std::sync::Arc;
/// use strongroom::Vault;
/// use strongroom_keys::Ed25519Key;
/// use strongroom_keys::signature::{Signer, Verifier};
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let key = Ed25519Key::generate(&vault.share(), b"releases")?;
/// let signature = key.try_sign(b"a message")?;
/// key.public_key().verify(b"a message", &signature)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Ed25519Key = Key<Ed25519>;

impl Key<Ed25519> {
    /// Makes a key, in locked memory, from the vault's generator. Waits up to
    /// [`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT) for room.
    ///
    /// # Errors
    /// [`KeyError::Open`], [`KeyError::Seal`].
    pub fn generate(share: &Share, context: &[u8]) -> Result<Self, KeyError> {
        Self::make(share, context)
    }

    /// Signs, and says why not.
    pub(crate) fn sign_typed(&self, message: &[u8]) -> Result<Signature, KeyError> {
        self.with_private(|seed| Ok(signing_key(seed)?.sign(message)))
    }
}

impl Signer<Signature> for Key<Ed25519> {
    /// # Errors
    /// With a [`KeyError`] as its source.
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        Ok(self.sign_typed(message)?)
    }
}

impl Algorithm for Ed25519 {
    type PublicKey = VerifyingKey;
}

impl sealed::Algorithm for Ed25519 {
    type Public = VerifyingKey;

    const NAME: &'static str = "Ed25519";

    /// RFC 8410.
    const ALGORITHM: AlgorithmIdentifierRef<'static> = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.3.101.112"),
        parameters: None,
    };

    const OPENSSH: Option<&'static str> = Some("ssh-ed25519");

    fn public_of(seed: &[u8]) -> Result<VerifyingKey, KeyError> {
        Ok(signing_key(seed)?.verifying_key())
    }

    fn public_bytes(public: &VerifyingKey) -> Vec<u8> {
        public.to_bytes().into()
    }

    fn from_inner(inner: &[u8]) -> Option<Found<'_>> {
        curve::from_inner(inner)
    }

    fn to_inner<'k>(
        seed: &'k [u8],
        _public: &[u8],
        place: &'k mut [u8; INNER],
    ) -> Option<&'k [u8]> {
        curve::to_inner(seed, place)
    }

    /// The public key, then the seed with the public key behind it.
    fn from_openssh<'k>(mut next: impl FnMut() -> Option<&'k [u8]>) -> Option<Found<'k>> {
        let (public, both) = (next()?, next()?);
        let (private, again) = both.split_at_checked(32)?;
        (public == again).then_some(Found { private, public: Some(public) })
    }
}

fn signing_key(seed: &[u8]) -> Result<SigningKey, KeyError> {
    let seed = seed.try_into();
    let seed = seed.map_err(|_| KeyError::Invalid { algorithm: "Ed25519" })?;
    Ok(SigningKey::from_bytes(seed))
}
