//! ECDSA signatures over NIST P-256 with SHA-256, by the crate `p256`.

use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Encode, Tag};
use pkcs8::spki::AlgorithmIdentifierRef;
use sec1::EcPrivateKey;
use signature::Signer;
use strongroom::Share;

use crate::error::{Format, KeyError};
use crate::key::{Algorithm, Found, INNER, Key, sealed};

/// ECDSA signatures over NIST P-256 with SHA-256 (FIPS 186-5), with nonces as in RFC 6979.
#[derive(Debug)]
pub enum P256 {}

/// A key that signs with ECDSA over NIST P-256, sealed at rest.
///
/// ```
/// use std::sync::Arc;
/// use p256::ecdsa::Signature;
/// use strongroom::Vault;
/// use strongroom_keys::P256Key;
/// use strongroom_keys::signature::{Signer, Verifier};
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let key = P256Key::generate(&vault.share(), b"tokens")?;
/// let signature: Signature = key.try_sign(b"a message")?;
/// key.public_key().verify(b"a message", &signature)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type P256Key = Key<P256>;

impl Key<P256> {
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
        self.with_private(|scalar| {
            let signed = signing_key(scalar)?.try_sign(message);
            signed.map_err(|_| KeyError::Refused { reason: "p256 made no signature" })
        })
    }
}

impl Signer<Signature> for Key<P256> {
    /// # Errors
    /// With a [`KeyError`] as its source.
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        Ok(self.sign_typed(message)?)
    }
}

impl Algorithm for P256 {
    type PublicKey = VerifyingKey;
}

impl sealed::Algorithm for P256 {
    type Public = VerifyingKey;

    const NAME: &'static str = "P-256";

    /// RFC 5480: an elliptic curve's, and which.
    const ALGORITHM: AlgorithmIdentifierRef<'static> = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
        parameters: match AnyRef::new(Tag::ObjectIdentifier, CURVE.as_bytes()) {
            Ok(curve) => Some(curve),
            Err(_) => None,
        },
    };

    const OPENSSH: Option<&'static str> = Some("ecdsa-sha2-nistp256");

    const FORMAT: Option<Format> = Some(Format::Sec1);

    /// Some write the number without its leading zeros, or with one more.
    fn whole<'k>(scalar: &'k [u8], place: &'k mut [u8; 32]) -> Result<&'k [u8], KeyError> {
        if scalar.len() == 32 {
            return Ok(scalar);
        }
        let length = KeyError::Length { expected: 32, found: scalar.len() };
        if let Some(([0], rest)) = scalar.split_first_chunk()
            && rest.len() == 32
        {
            return Ok(rest);
        }
        let (_, end) =
            place.split_at_mut_checked(32_usize.wrapping_sub(scalar.len())).ok_or(length)?;
        end.copy_from_slice(scalar);
        Ok(place)
    }

    fn public_of(scalar: &[u8]) -> Result<VerifyingKey, KeyError> {
        Ok(*signing_key(scalar)?.verifying_key())
    }

    /// Not compressed.
    fn public_bytes(public: &VerifyingKey) -> Vec<u8> {
        public.to_sec1_point(false).as_bytes().into()
    }

    fn from_inner(inner: &[u8]) -> Option<Found<'_>> {
        let key = EcPrivateKey::from_der(inner).ok()?;
        let is_other = |parameters: sec1::EcParameters| parameters.named_curve() != Some(CURVE);
        if key.parameters.is_some_and(is_other) {
            return None;
        }
        Some(Found { private: key.private_key, public: key.public_key })
    }

    fn to_inner<'k>(
        scalar: &'k [u8],
        public: &[u8],
        place: &'k mut [u8; INNER],
    ) -> Option<&'k [u8]> {
        let key = EcPrivateKey { private_key: scalar, parameters: None, public_key: Some(public) };
        key.encode_to_slice(place).ok()
    }

    /// The curve, the public key, the private key as a number.
    fn from_openssh<'k>(mut next: impl FnMut() -> Option<&'k [u8]>) -> Option<Found<'k>> {
        let (curve, public, private) = (next()?, next()?, next()?);
        (curve == b"nistp256").then_some(Found { private, public: Some(public) })
    }
}

fn signing_key(scalar: &[u8]) -> Result<SigningKey, KeyError> {
    SigningKey::from_slice(scalar).map_err(|_| KeyError::Invalid { algorithm: "P-256" })
}

/// `secp256r1` (RFC 5480).
const CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
