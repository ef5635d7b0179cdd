//! Streams under tokio's traits.
#![cfg(feature = "tokio-1")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use strongroom::{Opener, OpeningStream, STREAM_CHUNK, SealingStream, StreamError, Vault};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::time::{sleep, timeout};

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// Two tasks, a narrow pipe between them, and the room of a share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_passes_between_tasks() {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let share = vault.share();
    let (to, from) = duplex(700);
    let [one, other] = share.allocate_all([STREAM_CHUNK; 2]).await.unwrap();
    let mut sealing = SealingStream::new(one, to, b"").unwrap();
    let writer = tokio::spawn(async move {
        sealing.write_all(&text(100_000)).await.unwrap();
        sealing.flush().await.unwrap();
        sealing.write_all(&text(5)).await.unwrap();
        sealing.shutdown().await.unwrap();
        let error = sealing.write(b"more").await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::Ended));
    });
    let mut opening = OpeningStream::new(other, from, b"");
    let mut read = Vec::new();
    opening.read_to_end(&mut read).await.unwrap();
    assert!(read == [text(100_000), text(5)].concat());
    writer.await.unwrap();
}

/// What one kind of call has sealed, the other opens; the chunk is shown in its place.
#[tokio::test]
async fn it_is_the_same_stream() {
    let vault = Vault::new(64 * 1024).unwrap();
    let room = vault.try_allocate(100).unwrap();
    let mut sealing = SealingStream::new(room, Vec::new(), b"").unwrap();
    AsyncWriteExt::write_all(&mut sealing, &text(250)).await.unwrap();
    let file = sealing.finish_async().await.unwrap();
    let mut read = Vec::new();
    let mut opening = OpeningStream::new(vault.try_allocate(100).unwrap(), &file[..], b"");
    Read::read_to_end(&mut opening, &mut read).unwrap();
    assert!(read == text(250));
    drop(opening);

    let mut sealing =
        SealingStream::new(vault.try_allocate(100).unwrap(), Vec::new(), b"").unwrap();
    Write::write_all(&mut sealing, &text(250)).unwrap();
    let file = sealing.finish().unwrap();
    let mut opening = OpeningStream::new(vault.try_allocate(100).unwrap(), &file[..], b"");
    let mut read = Vec::new();
    loop {
        let chunk = opening.chunk_async().await.unwrap();
        if chunk.is_empty() {
            break;
        }
        read.extend_from_slice(&chunk);
        let len = chunk.len();
        drop(chunk);
        opening.consume(len);
    }
    assert!(read == text(250));
}

#[tokio::test]
async fn what_is_cut_off_or_changed_is_refused() {
    let vault = Vault::new(64 * 1024).unwrap();
    let room = vault.try_allocate(100).unwrap();
    let mut sealing = SealingStream::new(room, Vec::new(), b"").unwrap();
    AsyncWriteExt::write_all(&mut sealing, &text(250)).await.unwrap();
    let mut file = sealing.finish_async().await.unwrap();
    for end in 0..file.len() {
        let mut opening = OpeningStream::new(vault.try_allocate(100).unwrap(), &file[..end], b"");
        let mut read = Vec::new();
        let error = AsyncReadExt::read_to_end(&mut opening, &mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(text(250).starts_with(&read));
    }
    for at in 0..file.len() {
        file[at] ^= 1;
        let mut opening = OpeningStream::new(vault.try_allocate(100).unwrap(), &file[..], b"");
        let mut read = Vec::new();
        AsyncReadExt::read_to_end(&mut opening, &mut read).await.unwrap_err();
        assert!(text(250).starts_with(&read));
        file[at] ^= 1;
    }
}

/// Is ready for a few bytes every other time it is asked.
struct Slow<T> {
    inner: T,
    is_ready: bool,
}

impl<T> Slow<T> {
    fn new(inner: T) -> Self {
        Self { inner, is_ready: false }
    }

    fn turn(&mut self, task: &Context<'_>) -> Poll<()> {
        self.is_ready = !self.is_ready;
        if self.is_ready {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Slow<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.turn(task));
        let mut few = buffer.take(7);
        let read = Pin::new(&mut self.inner).poll_read(task, &mut few);
        let count = few.filled().len();
        buffer.advance(count);
        read
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Slow<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.turn(task));
        Pin::new(&mut self.inner).poll_write(task, &bytes[..bytes.len().min(7)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.turn(task));
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }
}

/// Each call is dropped in the middle as often as it is not done at once.
#[test]
fn calls_that_are_dropped_lose_and_double_nothing() {
    let vault = Vault::new(64 * 1024).unwrap();
    let mut task = Context::from_waker(Waker::noop());
    let room = vault.try_allocate(100).unwrap();
    let mut sealing = SealingStream::new(room, Slow::new(Vec::new()), b"").unwrap();
    let text = text(1000);
    let mut written = 0;
    while written < text.len() {
        let write =
            Box::pin(AsyncWriteExt::write(&mut sealing, &text[written..])).as_mut().poll(&mut task);
        if let Poll::Ready(count) = write {
            written += count.unwrap();
        }
        if written % 3 == 0 {
            while Box::pin(AsyncWriteExt::flush(&mut sealing)).as_mut().poll(&mut task).is_pending()
            {
            }
        }
    }
    while Box::pin(sealing.shutdown()).as_mut().poll(&mut task).is_pending() {}
    let file = sealing.into_inner().inner;

    let mut opening =
        OpeningStream::new(vault.try_allocate(100).unwrap(), Slow::new(&file[..]), b"");
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 30];
        match Box::pin(AsyncReadExt::read(&mut opening, &mut piece)).as_mut().poll(&mut task) {
            Poll::Pending => {}
            Poll::Ready(count) => match count.unwrap() {
                0 => break,
                count => read.extend_from_slice(&piece[..count]),
            },
        }
    }
    assert!(read == text);
}

/// A read that a timeout has cut short goes on where it was.
#[tokio::test]
async fn a_read_that_times_out_loses_nothing() {
    let vault = Vault::new(64 * 1024).unwrap();
    let [one, other] = [(); 2].map(|()| vault.try_allocate(1000).unwrap());
    let (mut to, from) = duplex(10_000);
    let mut sealing = SealingStream::new(one, Vec::new(), b"").unwrap();
    AsyncWriteExt::write_all(&mut sealing, &text(1000)).await.unwrap();
    let file = sealing.finish_async().await.unwrap();
    let mut opening = OpeningStream::new(other, from, b"");
    let mut piece = [0; 10];
    let (front, back) = file.split_at(500);
    to.write_all(front).await.unwrap();
    let short = Duration::from_millis(20);
    assert!(timeout(short, opening.read(&mut piece)).await.is_err(), "a chunk that is not whole");
    to.write_all(back).await.unwrap();
    sleep(short).await;
    opening.read_exact(&mut piece).await.unwrap();
    assert!(piece == text(10)[..]);
}
