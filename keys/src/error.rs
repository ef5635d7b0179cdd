//! What can go wrong with a key.

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};

use strongroom::{OpenError, SealError};

/// A key was not made, read or used. Nothing is lost: a key that rests is as it was.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The key, or room for it, could not be opened: the vault is full, the record was changed, ….
    Open(OpenError),
    /// The key could not be sealed.
    Seal(SealError),
    /// What should be a key in some format is none.
    Malformed(Format),
    /// The key is one for another algorithm.
    OtherAlgorithm {
        /// The algorithm that was asked for.
        expected: &'static str,
        /// The algorithm of the key, by the name or number that the file has for it.
        found: Box<str>,
    },
    /// The text holds something else than a private key in a known format.
    OtherLabel {
        /// What it says it holds.
        found: Box<str>,
    },
    /// The key is encrypted under a passphrase.
    Encrypted {
        /// The format that it is encrypted in.
        format: Format,
    },
    /// The key is not as long as its algorithm's keys are.
    Length {
        /// The length in bytes of a key.
        expected: usize,
        /// The length in bytes of this one.
        found: usize,
    },
    /// The bytes are no private key of the algorithm: zero, not below the group's order, numbers that do
    /// not fit each other.
    Invalid {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// The public key that came with the private key is another one's.
    OtherPublicKey,
    /// The other side's public key makes the same secret with every key (RFC 7748, section 6.1).
    WeakPublicKey,
    /// The text was changed, or was encrypted under another key, nonce or associated data; or it is longer
    /// than the cipher allows.
    Inauthentic,
    /// The algorithm's crate refused.
    Refused {
        /// What it says.
        reason: &'static str,
    },
}

/// What a private key is written down in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Text between `-----BEGIN` and `-----END` (RFC 7468).
    Pem,
    /// Any algorithm's, in DER (RFC 5958).
    Pkcs8,
    /// An elliptic curve's, in DER (RFC 5915): `EC PRIVATE KEY`.
    Sec1,
    /// RSA's, in DER (RFC 8017): `RSA PRIVATE KEY`.
    Pkcs1,
    /// OpenSSH's own (`PROTOCOL.key` of OpenSSH).
    OpenSsh,
}

impl Display for KeyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => Display::fmt(error, f),
            Self::Seal(error) => Display::fmt(error, f),
            Self::Malformed(format) => write!(
                f,
                "this is no private key in {format}, or it is damaged: look at how it was written"
            ),
            Self::OtherAlgorithm { expected, found } => write!(
                f,
                "this is a key for {found:?}, and one for {expected} was asked for: give another file, or \
                 read it as what it is"
            ),
            Self::OtherLabel { found } => write!(
                f,
                "the text begins with {found:?}, which is no private key that is read here: give PRIVATE \
                 KEY, EC PRIVATE KEY, RSA PRIVATE KEY or OPENSSH PRIVATE KEY alone"
            ),
            Self::Encrypted { format } => write!(
                f,
                "the key is encrypted under a passphrase, in {format}: decrypt it first, in memory that is \
                 no disk ({})",
                if *format == Format::OpenSsh { "ssh-keygen -p" } else { "openssl pkcs8" }
            ),
            Self::Length { expected, found } => {
                write!(f, "the key is {found} bytes long, and such a key has {expected}")
            }
            Self::Invalid { algorithm } => {
                write!(f, "the bytes are no private key for {algorithm}: make or read another one")
            }
            Self::OtherPublicKey => f.write_str(
                "the public key that came with the private key is another one's: use the two that were \
                 made together",
            ),
            Self::WeakPublicKey => f.write_str(
                "the other side's public key makes the same secret with every key: refuse whoever sent it",
            ),
            Self::Inauthentic => f.write_str(
                "the text was changed, was encrypted under another key, nonce or associated data, or is \
                 longer than the cipher allows",
            ),
            Self::Refused { reason } => write!(f, "the key was not used: {reason}"),
        }
    }
}

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "PEM (RFC 7468)",
            Self::Pkcs8 => "PKCS#8 (RFC 5958)",
            Self::Sec1 => "SEC 1 (RFC 5915)",
            Self::Pkcs1 => "PKCS#1 (RFC 8017)",
            Self::OpenSsh => "OpenSSH's format",
        })
    }
}

/// As displayed: people read it where an error is only printed for debugging.
impl Debug for KeyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Error for KeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Seal(error) => Some(error),
            _ => None,
        }
    }
}

impl From<OpenError> for KeyError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for KeyError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// What a signature's trait has for an error, with this one as its source.
#[cfg(any(feature = "ed25519", feature = "p256-0_14", feature = "rsa-0_10"))]
impl From<KeyError> for signature::Error {
    fn from(error: KeyError) -> Self {
        Self::from_source(error)
    }
}
