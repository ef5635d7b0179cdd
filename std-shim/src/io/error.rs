//! Why a secret was not read.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use crate::debug::debug_as_displayed;
use crate::vault::{OpenError, SealError};

debug_as_displayed!(ReadError);

/// A secret was not read. None of its bytes has left locked memory.
#[non_exhaustive]
pub enum ReadError {
    /// The file, pipe or terminal could not be read.
    Io(io::Error),
    /// The secret is longer than was allowed.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The vault has no room for the secret, or is of no use here.
    Open(OpenError),
    /// The vault cannot seal the pieces of a long secret.
    Seal(SealError),
}

impl Display for ReadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => Display::fmt(error, f),
            Self::TooLong { limit } => write!(
                f,
                "the secret is longer than the limit of {limit} bytes: raise the limit, or look \
                 whether this is the right input"
            ),
            Self::Open(error) => Display::fmt(error, f),
            Self::Seal(error) => Display::fmt(error, f),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::TooLong { .. } => None,
            Self::Open(error) => Some(error),
            Self::Seal(error) => Some(error),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<OpenError> for ReadError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for ReadError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}
