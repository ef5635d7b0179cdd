//! Secrets read from descriptors, line by line or whole.
//!
//! What is read lands in locked memory and is sealed from there. The thread waits without the interpreter's
//! lock, and looks for signals meanwhile.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use strongroom::{OpenError, ReadError, Share};

use crate::errors::IntoPython;
use crate::wait::SLICE;

/// What of that which can be read is the secret.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// All.
    Whole,
    /// All but the end of a line (`\n` or `\r\n`) that editors put behind it.
    Text,
    /// A line without its end.
    Line,
}

/// Reads a secret of at most `limit` bytes and seals it. `None` if a line was asked for and there is none.
///
/// # Errors
/// [`ReadError`]'s exceptions, and what a handler of a signal has raised.
pub(crate) fn read(
    python: Python<'_>,
    share: &Share,
    descriptor: OwnedFd,
    part: Part,
    limit: usize,
    context: &[u8],
    timeout: Option<Duration>,
) -> PyResult<Option<strongroom::Sealed>> {
    let read = python.detach(|| seal_from(share, descriptor.into(), part, limit, context, timeout));
    read.map_err(|error| error.into_python(python))
}

fn seal_from(
    share: &Share,
    file: File,
    part: Part,
    limit: usize,
    context: &[u8],
    timeout: Option<Duration>,
) -> Result<Option<strongroom::Sealed>, ReadError> {
    let vault = share.vault();
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut reader = vault.reader(Interruptible(file)).with_timeout(SLICE);
    let secret = loop {
        let read = match part {
            Part::Line => reader.read_line(limit),
            Part::Whole => reader.read_to_end(limit).map(Some),
            // The end of the line is not part of what the limit is for.
            Part::Text => reader.read_to_end(limit.saturating_add(2)).map(Some),
        };
        match read {
            // What was read is kept.
            Err(ReadError::Open(OpenError::TimedOut { .. }))
                if deadline.is_none_or(|deadline| Instant::now() < deadline) =>
            {
                look_for_signals()?;
            }
            read => break read?,
        }
    };
    let Some(secret) = secret else { return Ok(None) };
    let bytes = secret.expose_secret();
    let text = match part {
        Part::Text => without_line_end(&bytes),
        Part::Whole | Part::Line => &bytes,
    };
    if text.len() > limit {
        return Err(ReadError::TooLong { limit });
    }
    Ok(Some(vault.seal(text, context)?))
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let Some(line) = bytes.strip_suffix(b"\n") else { return bytes };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A file that is not read before there is something to read, so that a signal is seen meanwhile.
struct Interruptible(File);

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&PATIENCE));
            if matches!(ready, Ok(0) | Err(Errno::INTR)) {
                look_for_signals()?;
                continue;
            }
            ready?;
            match self.0.read(buffer) {
                // Somebody else was faster, or a signal came.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                read => return read,
            }
        }
    }
}

fn look_for_signals() -> io::Result<()> {
    Python::attach(|python| {
        python.check_signals()?;
        Ok(())
    })
    .map_err(|raised: PyErr| io::Error::other(raised))
}

/// As long as [`SLICE`].
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
