//! Why a stream was not sealed or opened.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

use crate::debug::debug_as_displayed;
use crate::vault::{OpenError, SealError};

debug_as_displayed!(StreamError);

/// A stream was not sealed or not opened. Reading and writing put it into an [`io::Error`], out of which
/// [`of`](Self::of) takes it; the reader's and the writer's own errors stay what they are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// What was read does not begin like a stream.
    NotAStream,
    /// A stream has chunks that the room does not hold.
    ChunkTooLong {
        /// The chunk length in bytes that its header says.
        chunk: usize,
        /// The bytes that there is room for.
        room: usize,
    },
    /// A chunk or the header was changed; a chunk stands at another's place or in another stream; or the
    /// stream is another vault's or was sealed under another context. Which of these, cannot be told.
    Tampered {
        /// The number of the chunk, from 0.
        chunk: u64,
    },
    /// The stream ends before its last chunk.
    Truncated {
        /// The number of the chunk, from 0, that is not there or not whole.
        chunk: u64,
    },
    /// Something follows the last chunk.
    Followed,
    /// Something is to be written to a stream that was ended.
    Ended,
    /// No room was given at all, and a chunk needs a byte.
    NoRoom,
    /// The vault has no room, or is of no use here.
    Open(OpenError),
    /// The vault does not seal.
    Seal(SealError),
}

impl StreamError {
    /// The stream's error in that of a reader or writer, if there is one.
    ///
    /// ```
    /// use std::io::Read;
    /// use strongroom::{StreamError, Vault};
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let mut opening = vault.try_open_stream(&[7; 100][..], b"")?;
    /// let error = opening.read(&mut [0]).unwrap_err();
    /// assert_eq!(StreamError::of(&error), Some(StreamError::NotAStream));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::NotAStream
            | Self::ChunkTooLong { .. }
            | Self::Tampered { .. }
            | Self::Followed => ErrorKind::InvalidData,
            Self::Truncated { .. } => ErrorKind::UnexpectedEof,
            Self::Ended | Self::NoRoom => ErrorKind::InvalidInput,
            Self::Open(_) | Self::Seal(_) => ErrorKind::Other,
        }
    }
}

impl Display for StreamError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAStream => f.write_str(
                "this is no sealed stream: it begins otherwise; look whether it is the right input",
            ),
            Self::ChunkTooLong { chunk, room } => write!(
                f,
                "the stream's chunks are up to {chunk} bytes long, and there is room for {room}: open it \
                 with as much room as its header says (StreamHeader::chunk_len)"
            ),
            Self::Tampered { chunk } => write!(
                f,
                "chunk {chunk} of the stream was changed or is from another place, or the stream was \
                 sealed under another context or by another vault"
            ),
            Self::Truncated { chunk } => write!(
                f,
                "the stream is cut off in chunk {chunk}: it was not finished, or a part was lost"
            ),
            Self::Followed => f.write_str(
                "something follows the end of the stream: remove it, or say that the stream is embedded \
                 (OpeningStream::embedded)",
            ),
            Self::Ended => f.write_str("the stream was ended: begin another to write more"),
            Self::NoRoom => {
                f.write_str("a stream takes room for one byte at least, and was given none")
            }
            Self::Open(error) => Display::fmt(error, f),
            Self::Seal(error) => Display::fmt(error, f),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Seal(error) => Some(error),
            _ => None,
        }
    }
}

impl From<OpenError> for StreamError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for StreamError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(error.kind(), error)
    }
}
