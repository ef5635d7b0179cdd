//! Readers and writers that move a few bytes at a time, with errors between.

use std::io::{self, ErrorKind, Read, Write};

use strongroom::StreamError;

use crate::noise::Noise;

pub(super) struct Fickle<T> {
    pub(super) inner: T,
    noise: Noise,
}

impl<T> Fickle<T> {
    pub(super) fn new(inner: T, seed: u64) -> Self {
        Self { inner, noise: Noise(!seed) }
    }

    /// How many of so many bytes this time.
    fn next(&mut self, len: usize) -> io::Result<usize> {
        match self.noise.below(16) {
            0 => Err(ErrorKind::WouldBlock.into()),
            1 => Err(ErrorKind::Interrupted.into()),
            2 => Err(io::Error::other("no space left")),
            3..8 => Ok(len.min(1 + self.noise.below(len))),
            _ => Ok(len),
        }
    }
}

impl<W: Write> Write for Fickle<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.next(bytes.len())?;
        self.inner.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next(0).map(drop)
    }
}

impl<R: Read> Read for Fickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.next(buffer.len())?;
        self.inner.read(&mut buffer[..count])
    }
}

/// Makes a call until it succeeds; no error may be the stream's own.
pub(super) fn insist<T>(mut call: impl FnMut() -> io::Result<T>) -> T {
    for _ in 0..10_000 {
        match call() {
            Ok(done) => return done,
            Err(error) => assert_eq!(StreamError::of(&error), None, "{error}"),
        }
    }
    panic!("it does not come to an end");
}
