//! One private key: out of the message that adds it into a sealed record, and opened for one signature.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use sha2::{Sha256, Sha512};
use ssh_agent_lib::ssh_encoding::Encode;
use ssh_agent_lib::ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};
use ssh_agent_lib::ssh_key::{self, Algorithm, EcdsaCurve, HashAlg, Mpint, Signature};
use strongroom::Share;
use strongroom_keys::signature::{self, SignatureEncoding, Signer};
use strongroom_keys::{Ed25519Key, KeyError, P256Key, RsaKey, RsaNumbers};

use crate::wire::Reader;

/// A private key, sealed at rest.
#[derive(Debug)]
pub(crate) enum Key {
    Ed25519(Ed25519Key),
    P256(P256Key),
    Rsa(RsaKey),
}

impl Key {
    /// Reads the private key at the front of what is left of a message that adds one, seals it, and says
    /// which public key it has.
    pub(crate) fn read(
        share: &Share,
        message: &mut Reader<'_>,
    ) -> Result<(Self, KeyData), AddError> {
        let algorithm = message.string().ok_or(AddError::Malformed)?;
        let (key, public) = match algorithm {
            b"ssh-ed25519" => read_ed25519(share, message)?,
            b"ecdsa-sha2-nistp256" => read_p256(share, message)?,
            b"ssh-rsa" => read_rsa(share, message)?,
            other => return Err(AddError::Algorithm(name(other))),
        };
        Ok((key, public))
    }

    /// Opens the key and signs.
    pub(crate) fn sign(&self, data: &[u8], flags: u32) -> Result<Signature, SignError> {
        let signature = match self {
            Self::Ed25519(key) => {
                Signature::new(Algorithm::Ed25519, key.try_sign(data)?.to_bytes().as_slice())
            }
            Self::P256(key) => {
                let (first, second) = key.try_sign(data)?.split_bytes();
                let numbers = two_numbers(&first, &second)?;
                Signature::new(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, numbers)
            }
            Self::Rsa(key) => {
                // The longer one if both are allowed, as OpenSSH's agent chooses.
                let (hash, made) = if flags & RSA_SHA2_512 != 0 {
                    (HashAlg::Sha512, key.sign_pkcs1v15::<Sha512>(data)?)
                } else if flags & RSA_SHA2_256 != 0 {
                    (HashAlg::Sha256, key.sign_pkcs1v15::<Sha256>(data)?)
                } else {
                    return Err(SignError::Sha1);
                };
                Signature::new(Algorithm::Rsa { hash: Some(hash) }, made.to_vec())
            }
        };
        Ok(signature?)
    }
}

/// The public key, then the seed with the public key behind it.
fn read_ed25519(share: &Share, message: &mut Reader<'_>) -> Result<(Key, KeyData), AddError> {
    let (public, both) = message.string().zip(message.string()).ok_or(AddError::Malformed)?;
    let (seed, again) = both.split_first_chunk::<32>().ok_or(AddError::Malformed)?;
    let key = Ed25519Key::from_bytes(share, seed, CONTEXT)?;
    if key.public_key().as_bytes() != public || again != public {
        return Err(KeyError::OtherPublicKey.into());
    }
    let public = Ed25519PublicKey(*key.public_key().as_bytes());
    Ok((Key::Ed25519(key), KeyData::Ed25519(public)))
}

/// The curve, the public key, the private key as a number.
fn read_p256(share: &Share, message: &mut Reader<'_>) -> Result<(Key, KeyData), AddError> {
    let curve = message.string().ok_or(AddError::Malformed)?;
    let (public, scalar) = message.string().zip(message.string()).ok_or(AddError::Malformed)?;
    if curve != b"nistp256" {
        return Err(AddError::Malformed);
    }
    let key = P256Key::from_bytes(share, scalar, CONTEXT)?;
    if key.public_key().to_sec1_point(false).as_bytes() != public {
        return Err(KeyError::OtherPublicKey.into());
    }
    let public = EcdsaPublicKey::from_sec1_bytes(public).map_err(|_| AddError::Malformed)?;
    Ok((Key::P256(key), KeyData::Ecdsa(public)))
}

/// The modulus, the two exponents, the inverse of one prime, the primes. That the public ones belong to
/// the others is checked when the key is put together.
fn read_rsa(share: &Share, message: &mut Reader<'_>) -> Result<(Key, KeyData), AddError> {
    let mut next = || message.string().ok_or(AddError::Malformed);
    let (modulus, public_exponent, private_exponent) = (next()?, next()?, next()?);
    let _inverse = next()?;
    let primes = [next()?, next()?];
    let numbers = RsaNumbers { modulus, public_exponent, private_exponent, primes };
    let key = RsaKey::from_numbers(share, &numbers, CONTEXT)?;
    let number = |bytes| Mpint::from_positive_bytes(bytes).map_err(|_| AddError::Malformed);
    let public = RsaPublicKey { n: number(modulus)?, e: number(public_exponent)? };
    Ok((Key::Rsa(key), KeyData::Rsa(public)))
}

/// Two `mpint`s, which is what SSH has for a signature of ECDSA (RFC 5656, section 3.1.2).
fn two_numbers(first: &[u8], second: &[u8]) -> Result<Vec<u8>, ssh_key::Error> {
    let mut bytes = Vec::new();
    for number in [first, second] {
        Mpint::from_positive_bytes(number)?.encode(&mut bytes)?;
    }
    Ok(bytes)
}

/// A name out of a message, fit to be shown.
pub(crate) fn name(bytes: &[u8]) -> String {
    let shown = bytes.get(..MOST_SHOWN).unwrap_or(bytes);
    String::from_utf8_lossy(shown).escape_debug().to_string()
}

/// Why a key was not added.
#[derive(Debug)]
pub(crate) enum AddError {
    Malformed,
    /// It is for an algorithm that is not kept here.
    Algorithm(String),
    /// It came with a constraint that is not kept here.
    Constraint(String),
    Key(KeyError),
}

impl Display for AddError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the message is damaged: add the key again"),
            Self::Algorithm(name) if name.contains("-cert-") => {
                write!(
                    f,
                    "certificates ({name}) are not kept here: ssh takes them from its CertificateFile"
                )
            }
            Self::Algorithm(name) => write!(
                f,
                "keys for {name} are not kept here: use ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa"
            ),
            Self::Constraint(name) => write!(
                f,
                "the constraint {name} is not known here, and a key is not kept without what was asked \
                 for: add it with a lifetime (-t), confirmation (-c), or none"
            ),
            Self::Key(error) => Display::fmt(error, f),
        }
    }
}

impl Error for AddError {}

impl From<KeyError> for AddError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// Why nothing was signed.
#[derive(Debug)]
pub(crate) enum SignError {
    /// RSA with SHA-1 was asked for.
    Sha1,
    Key(signature::Error),
    Encoding(ssh_key::Error),
}

impl Display for SignError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha1 => f.write_str(
                "RSA with SHA-1 was asked for, which is not made here: use a client and a server that \
                 know rsa-sha2-512 (OpenSSH 7.2 or later)",
            ),
            Self::Key(error) => match error.source() {
                Some(source) => Display::fmt(source, f),
                None => Display::fmt(error, f),
            },
            Self::Encoding(error) => Display::fmt(error, f),
        }
    }
}

impl Error for SignError {}

impl From<signature::Error> for SignError {
    fn from(error: signature::Error) -> Self {
        Self::Key(error)
    }
}

impl From<KeyError> for SignError {
    fn from(error: KeyError) -> Self {
        Self::Key(error.into())
    }
}

impl From<ssh_key::Error> for SignError {
    fn from(error: ssh_key::Error) -> Self {
        Self::Encoding(error)
    }
}

/// What the records are for.
const CONTEXT: &[u8] = b"ssh-agent";

/// `SSH_AGENT_RSA_SHA2_256` (draft-miller-ssh-agent, section 3.6.1).
const RSA_SHA2_256: u32 = 2;
/// `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

/// Bytes of a name that are shown.
const MOST_SHOWN: usize = 80;
