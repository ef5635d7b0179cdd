//! The bytes of a stream that are not its chunks' records, and the context that a chunk is sealed under.

use std::io::{self, Read};

use super::error::StreamError;

/// The beginning of a stream, which says how much room it needs. It is not secret, and what it says is
/// authenticated with the first chunk, and with each.
///
/// [`OpeningStream::new`](super::OpeningStream::new) reads it by itself. Read it ahead where the chunk
/// length is not known:
///
/// ```
/// use strongroom::{OpeningStream, SealingStream, StreamHeader, Vault};
///
/// let vault = Vault::new(64 * 1024)?;
/// let sealing = SealingStream::new(vault.try_allocate(1000)?, Vec::new(), b"")?;
/// let file = sealing.finish()?;
///
/// let mut reader = &file[..];
/// let header = StreamHeader::read(&mut reader)?;
/// assert_eq!(header.chunk_len(), 1000);
/// let room = vault.try_allocate(header.chunk_len())?;
/// let mut opening = OpeningStream::after_header(room, header, reader, b"");
/// assert!(opening.chunk()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StreamHeader {
    bytes: [u8; Self::LEN],
}

impl StreamHeader {
    /// Its length in bytes.
    pub const LEN: usize = MAGIC.len() + IDENTITY + 4;

    /// Reads it from the beginning of a stream, and nothing more.
    ///
    /// # Errors
    /// Those of the reader, and [`StreamError::NotAStream`] in one.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; Self::LEN];
        reader.read_exact(&mut bytes)?;
        Ok(Self::from_bytes(bytes)?)
    }

    /// Takes the first bytes of a stream for it.
    ///
    /// # Errors
    /// [`StreamError::NotAStream`].
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, StreamError> {
        let header = Self { bytes };
        let is_one = bytes.starts_with(MAGIC) && (1..=MOST).contains(&header.chunk_len());
        if is_one { Ok(header) } else { Err(StreamError::NotAStream) }
    }

    /// The most bytes of plaintext in a chunk, as whoever made the header says: ask the vault for so much
    /// room and it may answer that it never has it.
    #[must_use]
    pub fn chunk_len(&self) -> usize {
        let [.., a, b, c, d] = self.bytes;
        u32::from_le_bytes([a, b, c, d]) as usize
    }

    /// # Panics
    /// If chunks would be longer than [`MOST`].
    pub(super) fn new(identity: [u8; IDENTITY], chunk_len: usize) -> Self {
        let mut bytes = [0; Self::LEN];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        rest[..IDENTITY].copy_from_slice(&identity);
        rest[IDENTITY..].copy_from_slice(&short(chunk_len).to_le_bytes());
        Self { bytes }
    }

    pub(super) fn bytes(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }
}

/// What stands before a chunk's record.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// The bytes of plaintext.
    pub(super) len: usize,
    pub(super) is_last: bool,
}

impl Frame {
    pub(super) const LEN: usize = 4;

    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let number = u32::from_le_bytes(bytes);
        Self { len: (number & !LAST) as usize, is_last: number & LAST != 0 }
    }

    /// # Panics
    /// If the chunk is longer than [`MOST`].
    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let flag = if self.is_last { LAST } else { 0 };
        (short(self.len) | flag).to_le_bytes()
    }
}

/// The context of a chunk: which stream, which place in it, whether it is the last, and the caller's own.
pub(super) struct ChunkContext {
    bytes: Vec<u8>,
}

impl ChunkContext {
    /// For a stream whose header is still to come.
    pub(super) fn new(context: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(FIXED + context.len());
        bytes.resize(FIXED, 0);
        bytes.extend_from_slice(context);
        Self { bytes }
    }

    pub(super) fn set_header(&mut self, header: &StreamHeader) {
        self.bytes[..StreamHeader::LEN].copy_from_slice(header.bytes());
    }

    /// The bytes for the chunk at a place.
    pub(super) fn at(&mut self, index: u64, is_last: bool) -> &[u8] {
        let place = &mut self.bytes[StreamHeader::LEN..FIXED];
        place[..INDEX].copy_from_slice(&index.to_le_bytes());
        place[INDEX] = u8::from(is_last);
        &self.bytes
    }
}

fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or_else(|_| unreachable!("chunks are at most {MOST} bytes long"))
}

/// Bytes of a stream's identity: random, so that no two of 2^64 streams have the same by chance.
pub(super) const IDENTITY: usize = 16;

/// The most bytes of plaintext in a chunk.
pub(super) const MOST: usize = (LAST - 1) as usize;

/// The name of the format, with its version.
const MAGIC: &[u8; 8] = b"strongr\x01";

const INDEX: usize = 8;

/// The bytes of a context before the caller's.
const FIXED: usize = StreamHeader::LEN + INDEX + 1;

/// The bit of a frame that says that a chunk is the last.
const LAST: u32 = 1 << 31;
