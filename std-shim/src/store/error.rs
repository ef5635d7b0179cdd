//! What a store answers when it cannot do what it was asked for.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use crate::debug::debug_as_displayed;
use crate::vault::{OpenError, SealError};

debug_as_displayed!(StoreError);

/// A store did not do what it was asked for. Everything is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The name stands for nothing: it was never put in, was removed, or has expired.
    NotFound,
    /// The name stands for a secret already.
    Exists {
        /// The version it has.
        version: u32,
    },
    /// The secret is not the version any more that was to be replaced.
    OtherVersion {
        /// The version it has.
        version: u32,
    },
    /// The store holds as many secrets as it may.
    Full {
        /// How many those are.
        most: usize,
    },
    /// The name's secret was replaced as often as versions can be counted.
    VersionsUsedUp,
    /// The secret was not sealed.
    Seal(SealError),
    /// The secret was not opened.
    Open(OpenError),
}

impl Display for StoreError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str(
                "the store has no secret of that name: it was never put in, was removed, or has expired",
            ),
            Self::Exists { version } => write!(
                f,
                "the name has a secret already, in version {version}: replace it, or put it whether or \
                 not there is one"
            ),
            Self::OtherVersion { version } => {
                write!(f, "the secret was replaced meanwhile: it has version {version} now")
            }
            Self::Full { most } => write!(
                f,
                "the store holds {most} secrets, as many as it may: remove some, or allow more when it \
                 is made"
            ),
            Self::VersionsUsedUp => write!(
                f,
                "the secret was replaced {} times, as often as can be counted: remove it and insert it \
                 again",
                u32::MAX - 1
            ),
            Self::Seal(error) => Display::fmt(error, f),
            Self::Open(error) => Display::fmt(error, f),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Seal(error) => Some(error),
            Self::Open(error) => Some(error),
            _ => None,
        }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}
