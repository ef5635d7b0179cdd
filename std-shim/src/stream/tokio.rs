//! The same under tokio's traits. Dropping a future in the middle loses nothing: what was read or sealed
//! is the stream's.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::opening::OpeningStream;
use super::sealing::SealingStream;
use crate::vault::{Exposed, HoldsBytes};

impl<W: AsyncWrite + Unpin, M: HoldsBytes> SealingStream<W, M> {
    /// Writes the last chunk, flushes, and gives the writer back, which is not shut down; see
    /// [`finish`](Self::finish).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use strongroom::{OpeningStream, STREAM_CHUNK, SealingStream, Vault};
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let share = vault.share();
    /// let room = share.allocate(STREAM_CHUNK).await?;
    /// let mut sealing = SealingStream::new(room, Vec::new(), b"upload")?;
    /// sealing.write_all(b"hunter2").await?;
    /// let file = sealing.finish_async().await?;
    ///
    /// let room = share.allocate(STREAM_CHUNK).await?;
    /// let mut opening = OpeningStream::new(room, &file[..], b"upload");
    /// assert_eq!(*opening.chunk_async().await?, *b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the writer, and a [`StreamError`](crate::StreamError) in one.
    pub async fn finish_async(mut self) -> io::Result<W> {
        poll_fn(|task| self.poll_end(task)).await?;
        Ok(self.writer)
    }

    fn poll_end(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(task))?;
        self.chunks.seal_last()?;
        ready!(self.poll_drain(task))?;
        Pin::new(&mut self.writer).poll_flush(task)
    }

    /// Writes what is pending.
    fn poll_drain(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let pending = self.chunks.pending()?;
            if pending.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(Pin::new(&mut self.writer).poll_write(task, pending))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            let count = super::check_count(count, pending.len())?;
            self.chunks.wrote(count);
        }
    }
}

impl<W: AsyncWrite + Unpin, M: HoldsBytes> AsyncWrite for SealingStream<W, M> {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.chunks.check()?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_drain(task))?;
        Poll::Ready(Ok(this.chunks.accept(bytes)?))
    }

    /// Seals what is there as a shorter chunk, writes it, and flushes the writer.
    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(task))?;
        this.chunks.seal_rest()?;
        ready!(this.poll_drain(task))?;
        Pin::new(&mut this.writer).poll_flush(task)
    }

    /// Writes the last chunk, and shuts the writer down.
    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_end(task))?;
        Pin::new(&mut this.writer).poll_shutdown(task)
    }
}

impl<R: AsyncRead + Unpin, M: HoldsBytes> OpeningStream<R, M> {
    /// What is left of the open chunk, or of the next one; see [`chunk`](Self::chunk). The guard stays in
    /// its thread: drop it before the next `.await`.
    ///
    /// # Errors
    /// Those of the reader, and a [`StreamError`](crate::StreamError) in one.
    pub async fn chunk_async(&mut self) -> io::Result<Exposed<'_>> {
        poll_fn(|task| self.poll_fill(task)).await?;
        Ok(self.chunks.bytes())
    }

    /// Reads until a chunk is open, or to the end.
    fn poll_fill(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(wanted) = self.chunks.wanted()? {
            let most = wanted.len();
            let mut wanted = ReadBuf::new(wanted);
            ready!(Pin::new(&mut self.reader).poll_read(task, &mut wanted))?;
            let count = super::check_count(wanted.filled().len(), most)?;
            self.chunks.took(count)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin, M: HoldsBytes> AsyncRead for OpeningStream<R, M> {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_fill(task))?;
        let start = buffer.filled().len();
        let copied = this.chunks.copy_out(|open| {
            let count = open.len().min(buffer.remaining());
            buffer.put_slice(&open[..count]);
            count
        });
        if let Err(error) = copied {
            buffer.set_filled(start);
            return Poll::Ready(Err(error.into()));
        }
        Poll::Ready(Ok(()))
    }
}
