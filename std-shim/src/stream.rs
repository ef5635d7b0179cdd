//! Streams: what is longer than the budget, sealed and opened chunk by chunk.
//!
//! ```text
//! stream:   | header | chunk 0 | chunk 1 | … | last chunk |
//! header:   | "strongr" 1 (8 bytes) | identity (16) | chunk length (4) |
//! chunk:    | length and last flag (4) | record: number (8), ciphertext, tag (16) |
//! context:  | header (28) | index (8) | last flag (1) | the caller's context |
//! ```
//! Numbers are little-endian. A chunk is an ordinary record of the vault's, under a nonce of the enclave's
//! own counter; what the tag covers besides is its context, of which all but the last part has a fixed
//! length, so that no two say the same. [`SealingStream`] says what follows from that.
//!
//! `sealer` and `opener` take bytes and give bytes, and know no reader or writer; `sealing`, `opening` and
//! `tokio` move the bytes.

mod error;
mod format;
mod opener;
mod opening;
mod sealer;
mod sealing;
#[cfg(feature = "tokio-1")]
mod tokio;

use std::io::{self, ErrorKind};

pub use self::error::StreamError;
pub use self::format::StreamHeader;
pub use self::opening::OpeningStream;
pub use self::sealing::SealingStream;

use crate::vault::{Opened, Vault};

impl Vault {
    /// Seals a stream into `writer`, with room for [`STREAM_CHUNK`] bytes, or says at once that there is
    /// none; see [`SealingStream`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn try_seal_stream<W>(
        &self,
        writer: W,
        context: &[u8],
    ) -> Result<SealingStream<W, Opened<'_>>, StreamError> {
        SealingStream::new(self.try_allocate(STREAM_CHUNK)?, writer, context)
    }

    /// Opens the stream that `reader` gives, with room for [`STREAM_CHUNK`] bytes, or says at once that
    /// there is none; see [`OpeningStream`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn try_open_stream<R>(
        &self,
        reader: R,
        context: &[u8],
    ) -> Result<OpeningStream<R, Opened<'_>>, StreamError> {
        Ok(OpeningStream::new(self.try_allocate(STREAM_CHUNK)?, reader, context))
    }
}

/// The bytes of plaintext in a chunk unless said otherwise: two of them fit 64 KiB of locked memory, and to
/// seal one takes some ten microseconds.
pub const STREAM_CHUNK: usize = 16 * 1024;

/// A reader or writer that says it has moved more bytes than it was given.
fn check_count(count: usize, most: usize) -> io::Result<usize> {
    if count <= most {
        return Ok(count);
    }
    Err(io::Error::new(
        ErrorKind::InvalidData,
        "it says that it has moved more bytes than there were",
    ))
}
