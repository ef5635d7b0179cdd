//! Sealing a stream into a writer.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, ErrorKind, Write};

use super::check_count;
use super::error::StreamError;
use super::sealer::ChunkSealer;
use crate::vault::HoldsBytes;

/// Seals what is written to it, chunk by chunk, into a writer. **Only the vault that sealed a stream can
/// open it**, as long as it lives: this is for what a process writes to disk or sends to itself, and not for
/// a backup or another machine.
///
/// ```
/// use std::io::{Read, Write};
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// let mut sealing = vault.try_seal_stream(Vec::new(), b"upload")?;
/// for _ in 0..10_000 {
///     sealing.write_all(b"a line, and more than the vault could hold\n")?;
/// }
/// let file = sealing.finish()?;
///
/// let mut opening = vault.try_open_stream(&file[..], b"upload")?;
/// let mut lines = 0;
/// loop {
///     // The chunk, in locked memory.
///     let chunk = opening.chunk()?;
///     if chunk.is_empty() {
///         break;
///     }
///     lines += chunk.iter().filter(|&&byte| byte == b'\n').count();
///     let len = chunk.len();
///     drop(chunk);
///     opening.consume(len);
/// }
/// assert_eq!(lines, 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The end
/// [`finish`](Self::finish) writes the last chunk, which an empty stream has too. A stream that is only
/// dropped is a truncated one, which is refused when it is opened: so is what a program wrote that ended
/// in the middle.
///
/// # Room
/// A stream is made with the room for one chunk, which also says how long chunks are, and holds it for
/// its life: reading and writing never wait for room. So all ways of waiting are those of the vault, a
/// [`Reserve`](crate::Reserve) or a [`Share`](crate::Share):
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use strongroom::{SealingStream, Share, STREAM_CHUNK, Vault};
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let share: Share = vault.share();
/// let room = share.allocate_timeout(STREAM_CHUNK, Duration::from_secs(1))?;
/// // 'static and `Send`, as a share's room is.
/// let sealing = SealingStream::new(room, Vec::new(), b"upload")?;
/// # std::thread::spawn(move || sealing.finish().map(drop)).join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Who copies from one stream into another takes the room for both in one go, so that nobody waits for
/// what another holds who waits as well ([`Opener::allocate_all_timeout`](crate::Opener::allocate_all_timeout)).
/// [`OpeningStream::copy_to`](crate::OpeningStream::copy_to) has the example.
///
/// # Errors lose nothing
/// Bytes are taken or refused, and are never sealed twice. After an error of the writer the same call made
/// again goes on where it was: after a part that was written, after
/// [`WouldBlock`](ErrorKind::WouldBlock). What has been sealed waits in ordinary memory, one chunk at most.
/// [`flush`](Write::flush) seals what is there as a shorter chunk, for a reader at the other end: it takes
/// 28 bytes of the stream each time.
///
/// # Why it is as strong as STREAM
/// STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, *Online Authenticated-Encryption and its Nonce-Reuse
/// Misuse-Resistance*, 2015) seals each chunk under a nonce that is made of the stream's own, the chunk's
/// index and whether it is the last. Here that place stands in the context instead, with a random identity
/// of 16 bytes for the stream; the nonce is the next of the enclave's counter, like that of any record. An
/// authenticated cipher answers for nonce and context alike: a chunk that is moved, left out, sent twice or
/// taken from another stream is opened under another context than it was sealed under, which is as good as
/// a forgery. No nonce is ever used twice under the key, not even if two streams came to the same identity;
/// and no second key has to lie in locked memory, outlive its stream, or be reached by
/// [`destroy`](crate::Vault::destroy), [`refresh`](crate::Vault::refresh) and
/// [`renew`](crate::Vault::renew): a key for each stream would need all of that.
///
/// With the feature `tokio-1` it is a `tokio::io::AsyncWrite` where the writer is one. Shutting it down
/// writes the last chunk.
pub struct SealingStream<W, M: HoldsBytes> {
    pub(super) chunks: ChunkSealer<M>,
    pub(super) writer: W,
}

impl<W, M: HoldsBytes> SealingStream<W, M> {
    /// Begins a stream whose chunks are as long as `room`. Opening takes the same `context` again.
    ///
    /// # Errors
    /// [`StreamError::NoRoom`] if that is no byte; [`StreamError::Open`] in a forked child and after an
    /// emergency.
    pub fn new(room: M, writer: W, context: &[u8]) -> Result<Self, StreamError> {
        Ok(Self { chunks: ChunkSealer::new(room, context)?, writer })
    }

    /// The bytes of plaintext in a whole chunk.
    #[must_use]
    pub fn chunk_len(&self) -> usize {
        self.chunks.chunk_len()
    }

    /// The writer.
    pub fn writer(&self) -> &W {
        &self.writer
    }

    /// The writer; what is written to it in the middle of a stream spoils the stream.
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Gives the writer back as it is. Without [`end`](Self::end) the stream is a truncated one.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: Write, M: HoldsBytes> SealingStream<W, M> {
    /// Writes the last chunk, flushes, and gives the writer back.
    ///
    /// # Errors
    /// Those of [`end`](Self::end), and the stream is lost: call that first where an error can be mended.
    pub fn finish(mut self) -> io::Result<W> {
        self.end()?;
        Ok(self.writer)
    }

    /// Writes the last chunk and flushes. After an error, call it again to go on; when it is done, it does
    /// nothing more.
    ///
    /// # Errors
    /// Those of the writer, and a [`StreamError`] in one.
    pub fn end(&mut self) -> io::Result<()> {
        self.drain()?;
        self.chunks.seal_last()?;
        self.drain()?;
        self.writer.flush()
    }

    /// Writes what is pending.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            let pending = self.chunks.pending()?;
            if pending.is_empty() {
                return Ok(());
            }
            match self.writer.write(pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let count = check_count(count, pending.len())?;
                    self.chunks.wrote(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<W: Write, M: HoldsBytes> Write for SealingStream<W, M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunks.check()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        self.drain()?;
        Ok(self.chunks.accept(bytes)?)
    }

    /// Seals what is there as a shorter chunk, writes it, and flushes the writer.
    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.chunks.seal_rest()?;
        self.drain()?;
        self.writer.flush()
    }
}

impl<W, M: HoldsBytes> Debug for SealingStream<W, M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingStream")
            .field("chunk_len", &self.chunk_len())
            .finish_non_exhaustive()
    }
}
