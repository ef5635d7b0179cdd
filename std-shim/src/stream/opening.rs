//! Opening a stream from a reader.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, ErrorKind, Read, Write};

use super::check_count;
use super::format::StreamHeader;
use super::opener::ChunkOpener;
use crate::vault::{Exposed, HoldsBytes};

/// Opens a stream chunk by chunk, as it is read. **Only the vault that sealed a stream can open it**; see
/// [`SealingStream`](crate::SealingStream).
///
/// [`chunk`](Self::chunk) shows the open chunk where it is, in locked memory, and
/// [`copy_to`](Self::copy_to) hands it to a writer from there. [`Read`] copies it into the caller's
/// memory, which is the caller's to keep and to wipe: give it an open secret's, and neither
/// [`read_to_end`](Read::read_to_end), whose vector leaves a copy wherever it grows, nor [`io::copy`],
/// which has a buffer on the stack.
///
/// ```
/// use std::io::Read;
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// # use std::io::Write;
/// # let mut sealing = vault.try_seal_stream(Vec::new(), b"upload")?;
/// # sealing.write_all(&[7; 100_000])?;
/// # let file = sealing.finish()?;
/// let mut opening = vault.try_open_stream(&file[..], b"upload")?;
/// let mut piece = vault.try_allocate(1000)?;
/// for _ in 0..100 {
///     opening.read_exact(&mut piece.expose_secret_mut())?;
///     // …
/// }
/// assert_eq!(opening.read(&mut [0])?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is refused
/// No plaintext is given of a chunk that was changed, moved, left out, sent twice or taken from another
/// stream: [`StreamError::Tampered`](crate::StreamError::Tampered); nor an end before the last chunk:
/// [`StreamError::Truncated`](crate::StreamError::Truncated). What came before was authentic. **Whether
/// there is an end is known at the end**: do not act on a part as if it were the whole. After one of these
/// errors the stream gives nothing any more. After an error of the reader, the same call made again goes on.
///
/// The reader must end with the stream, otherwise
/// [`StreamError::Followed`](crate::StreamError::Followed) is the answer where the end was expected; a
/// stream inside others, or on a connection that stays open, is [`embedded`](Self::embedded). Nothing is
/// read beyond the stream but one byte to find that out.
///
/// # Room
/// As for sealing: one chunk, taken once. A header that asks for more than the room is refused, and no
/// other memory is taken for what it or a chunk says than a record for that room needs.
///
/// With the feature `tokio-1` it is a `tokio::io::AsyncRead` where the reader is one, and has
/// `chunk_async`.
pub struct OpeningStream<R, M: HoldsBytes> {
    pub(super) chunks: ChunkOpener<M>,
    pub(super) reader: R,
}

impl<R, M: HoldsBytes> OpeningStream<R, M> {
    /// Opens the stream that `reader` is about to give, if its chunks are no longer than `room` and it was
    /// sealed under the same `context`. Nothing is read yet.
    #[must_use]
    pub fn new(room: M, reader: R, context: &[u8]) -> Self {
        Self { chunks: ChunkOpener::new(room, context), reader }
    }

    /// Opens a stream whose header was already read from `reader`; see [`StreamHeader`].
    #[must_use]
    pub fn after_header(room: M, header: StreamHeader, reader: R, context: &[u8]) -> Self {
        let mut stream = Self::new(room, reader, context);
        stream.chunks.begin(&header);
        stream
    }

    /// The stream stands in the middle of something else: it ends with its last chunk, and what follows
    /// stays in the reader, for [`into_inner`](Self::into_inner). Say so before reading.
    #[must_use]
    pub fn embedded(mut self) -> Self {
        self.chunks.embed();
        self
    }

    /// Wipes the first `count` bytes of the open [`chunk`](Self::chunk), which are then not shown again.
    pub fn consume(&mut self, count: usize) {
        self.chunks.consume(count);
    }

    /// The reader.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The reader; what is read from it in the middle of a stream is missing there.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Gives the reader back. At the end of an [embedded](Self::embedded) stream it stands right behind it.
    pub fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: Read, M: HoldsBytes> OpeningStream<R, M> {
    /// What is left of the open chunk, in its place; of the next one, if nothing is. It is empty at the
    /// stream's end only. [`consume`](Self::consume) says what of it is done with.
    ///
    /// This is [`BufRead`](std::io::BufRead) with a guard in place of the reference: a secret's exposure
    /// has an end.
    ///
    /// # Errors
    /// Those of the reader, and a [`StreamError`](crate::StreamError) in one.
    pub fn chunk(&mut self) -> io::Result<Exposed<'_>> {
        self.fill()?;
        Ok(self.chunks.bytes())
    }

    /// Writes all that is left to `writer`, from where it is in locked memory, and says how many bytes that
    /// was. Into a [`SealingStream`](crate::SealingStream), it is sealed anew:
    ///
    /// ```
    /// # use std::io::Write;
    /// # use std::time::Duration;
    /// use strongroom::{OpeningStream, Opener, SealingStream, Vault, STREAM_CHUNK};
    ///
    /// # let soon = Duration::from_secs(1);
    /// let vault = Vault::new(64 * 1024)?;
    /// # let mut sealing = vault.try_seal_stream(Vec::new(), b"old")?;
    /// # sealing.write_all(&[7; 100_000])?;
    /// # let file = sealing.finish()?;
    /// // The room for both in one go.
    /// let [from, to] = vault.allocate_all_timeout([STREAM_CHUNK; 2], soon)?;
    /// let mut opening = OpeningStream::new(from, &file[..], b"old");
    /// let mut sealing = SealingStream::new(to, Vec::new(), b"new")?;
    /// assert_eq!(opening.copy_to(&mut sealing)?, 100_000);
    /// let file = sealing.finish()?;
    /// # assert_eq!(vault.try_open_stream(&file[..], b"new")?.copy_to(&mut std::io::sink())?, 100_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of both sides. What was written is consumed, and the same call made again goes on.
    pub fn copy_to(&mut self, writer: &mut impl Write) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(total);
            }
            let count = match writer.write(&chunk) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => check_count(count, chunk.len())?,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            drop(chunk);
            self.consume(count);
            total += count as u64;
        }
    }

    /// Reads until a chunk is open, or to the end.
    fn fill(&mut self) -> io::Result<()> {
        while let Some(wanted) = self.chunks.wanted()? {
            match self.reader.read(wanted) {
                Ok(count) => {
                    let count = check_count(count, wanted.len())?;
                    self.chunks.took(count)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read, M: HoldsBytes> Read for OpeningStream<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        Ok(self.chunks.copy_out(|open| {
            let count = open.len().min(buffer.len());
            buffer[..count].copy_from_slice(&open[..count]);
            count
        })?)
    }
}

impl<R, M: HoldsBytes> Debug for OpeningStream<R, M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningStream").finish_non_exhaustive()
    }
}
