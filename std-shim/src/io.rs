//! Reading secrets straight into locked memory, from files, pipes, terminals; and out again.
//!
//! ```text
//! reader ──read(2)──> chunk (locked) ──────────────────────────────> secret (locked)
//!                        └── full: seal ──> parked (ordinary) ── open ──┘
//! ```
//! A long secret is parked sealed, piece by piece, until its length is known. So reading takes
//! [`CHUNK`] bytes of the budget, however long the secret, and at the end the secret itself and
//! room for one piece; a buffer that doubles would take three times the secret.

mod chunk;
mod environment;
mod error;
mod prefix;
mod source;
mod terminal;

use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

pub use self::error::ReadError;
pub use self::source::{NoSource, SecretSource, SourceError};

use self::chunk::{CHUNK, Chunk};
use self::prefix::SealedPrefix;
use crate::vault::{OpenError, Opened, Vault};

/// Reads secrets from something that can be read, one after the other, and leaves no copy.
///
/// What is read lands in the vault's locked memory and nowhere else in this process; what was
/// handed out is wiped from the reader's own buffer. The reader holds 512 bytes of the budget from
/// the first call on.
///
/// ```
/// use strongroom::Vault;
///
/// # let file = &b"hunter2\ncorrect horse\n"[..];
/// let vault = Vault::new(64 * 1024)?;
/// let mut lines = vault.reader(file);
/// let mut sealed = Vec::new();
/// while let Some(line) = lines.read_line(1024)? {
///     sealed.push(line.seal(b"passwords")?);
/// }
/// assert_eq!(vault.try_open(&sealed[1], b"passwords")?.expose_secret(), b"correct horse");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors lose nothing
/// After an error the bytes that were read are still there, and the same call made again goes on:
/// with a higher limit, or when there is more room. A limit never cuts a secret short.
///
/// # What it cannot help
/// Give it a reader without a buffer of its own: a [`File`], a pipe, a socket, or
/// [`unbuffered_stdin`], but no `BufReader` and no [`std::io::Stdin`], which keep what they read
/// in ordinary memory. The kernel keeps a file it has read in its page cache.
pub struct SecretReader<'v, R> {
    reader: R,
    vault: &'v Vault,
    timeout: Duration,
    /// What was read ahead, from the first read on.
    chunk: Option<Chunk<'v>>,
    /// The beginning of the secret that is being read, which goes before the chunk.
    prefix: SealedPrefix,
}

impl<'v, R: Read> SecretReader<'v, R> {
    /// Waits up to `timeout` for room, each time that room is needed. Without this, a full vault
    /// is an error at once.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads a secret of at most `limit` bytes, up to the next `delimiter` or the end. The
    /// delimiter is not part of it. `None` if there is nothing more.
    ///
    /// # Errors
    /// [`ReadError`]. What was read so far is kept; call again to go on.
    pub fn read_until(
        &mut self,
        delimiter: u8,
        limit: usize,
    ) -> Result<Option<Opened<'v>>, ReadError> {
        self.read_part(limit, |ahead| {
            position(ahead, delimiter).map(|at| Part { secret: at, whole: at + 1 })
        })
    }

    /// Reads a line of at most `limit` bytes without its end, `\n` or `\r\n`. `None` if there is
    /// nothing more.
    ///
    /// # Errors
    /// As [`read_until`](Self::read_until).
    pub fn read_line(&mut self, limit: usize) -> Result<Option<Opened<'v>>, ReadError> {
        self.read_part(limit, |ahead| {
            let newline = position(ahead, b'\n')?;
            let secret = newline - usize::from(ahead[..newline].ends_with(b"\r"));
            Some(Part { secret, whole: newline + 1 })
        })
    }

    /// Reads all there is, at most `limit` bytes, as one secret. It may be empty.
    ///
    /// # Errors
    /// As [`read_until`](Self::read_until).
    pub fn read_to_end(&mut self, limit: usize) -> Result<Opened<'v>, ReadError> {
        match self.read_part(limit, |_| None)? {
            Some(secret) => Ok(secret),
            None => Ok(self.allocate(0)?),
        }
    }

    fn read_part(
        &mut self,
        limit: usize,
        find: impl Fn(&[u8]) -> Option<Part>,
    ) -> Result<Option<Opened<'v>>, ReadError> {
        loop {
            if let Some(part) = self.ahead(&find) {
                return self.take(part, limit).map(Some);
            }
            if self.read_more(limit)? == 0 {
                let rest = self.ahead(<[u8]>::len);
                let part = Part { secret: rest, whole: rest };
                return if rest == 0 { Ok(None) } else { self.take(part, limit).map(Some) };
            }
        }
    }

    /// Reads once; says how many bytes.
    fn read_more(&mut self, limit: usize) -> Result<usize, ReadError> {
        // In a forked child the chunk is not locked and may not even be mapped.
        self.vault.check()?;
        let read = self.prefix.len() + self.ahead(<[u8]>::len);
        // One more may be the first byte of a line's end.
        if read > limit.saturating_add(1) {
            return Err(ReadError::TooLong { limit });
        }
        let chunk = match &mut self.chunk {
            Some(chunk) => chunk,
            none => none.insert(Chunk::new(allocate(self.vault, CHUNK, self.timeout)?)),
        };
        if chunk.is_full() {
            self.prefix.seal(self.vault, chunk)?;
        }
        Ok(chunk.read_from(&mut self.reader)?)
    }

    /// Hands out what is parked and the front of the chunk, and only then forgets it.
    fn take(&mut self, part: Part, limit: usize) -> Result<Opened<'v>, ReadError> {
        let len = self.prefix.len() + part.secret;
        if len > limit {
            return Err(ReadError::TooLong { limit });
        }
        let mut secret = self.allocate(len)?;
        self.prefix.copy_to(&mut secret, self.vault, self.timeout)?;
        self.ahead(|ahead| {
            let back = &mut secret.expose_secret_mut()[self.prefix.len()..];
            back.copy_from_slice(&ahead[..part.secret]);
        });
        self.prefix.clear();
        if let Some(chunk) = &mut self.chunk {
            chunk.consume(part.whole);
        }
        Ok(secret)
    }

    /// Calls `look` with what was read ahead.
    fn ahead<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        match &self.chunk {
            Some(chunk) => look(&chunk.bytes()),
            None => look(&[]),
        }
    }

    fn allocate(&self, len: usize) -> Result<Opened<'v>, OpenError> {
        allocate(self.vault, len, self.timeout)
    }
}

impl<R> Debug for SecretReader<'_, R> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretReader").finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads secrets from `reader`, one after the other, straight into locked memory: see
    /// [`SecretReader`].
    pub fn reader<R: Read>(&self, reader: R) -> SecretReader<'_, R> {
        let timeout = Duration::ZERO;
        SecretReader { reader, vault: self, timeout, chunk: None, prefix: SealedPrefix::default() }
    }

    /// Reads all of `reader`, at most `limit` bytes, straight into locked memory. The secret may be
    /// empty.
    ///
    /// After an error what was read is lost: where it cannot be read again, keep a
    /// [`reader`](Self::reader).
    ///
    /// # Errors
    /// [`ReadError`], at once if the vault is full.
    pub fn read_to_end(&self, reader: impl Read, limit: usize) -> Result<Opened<'_>, ReadError> {
        self.reader(reader).read_to_end(limit)
    }

    /// Reads a whole file of at most `limit` bytes straight into locked memory. The secret may be
    /// empty.
    ///
    /// ```
    /// use strongroom::Vault;
    ///
    /// # let path = std::env::temp_dir().join(format!("strongroom-doc-{}", std::process::id()));
    /// # std::fs::write(&path, "-----BEGIN")?;
    /// let vault = Vault::new(64 * 1024)?;
    /// let key = vault.read_file(&path, 16 * 1024)?;
    /// assert!(key.expose_secret().starts_with(b"-----BEGIN"));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`], at once if the vault is full.
    pub fn read_file(&self, path: impl AsRef<Path>, limit: usize) -> Result<Opened<'_>, ReadError> {
        self.read_to_end(File::open(path)?, limit)
    }
}

impl Opened<'_> {
    /// Writes all of the secret to `writer`, straight from locked memory.
    ///
    /// Give it a writer without a buffer of its own: a [`File`], a socket, the standard input of a
    /// program that was started, but no `BufWriter` and no [`std::io::Stdout`].
    ///
    /// ```
    /// use std::process::{Command, Stdio};
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let sealed = vault.seal(b"hunter2", b"")?;
    /// let mut child = Command::new("wc").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let stdin = child.stdin.take().ok_or("piped")?;
    /// vault.try_open(&sealed, b"")?.write_to(stdin)?;
    /// assert_eq!(child.wait_with_output()?.stdout.trim_ascii(), b"7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The error of the writer, which may have taken a part.
    pub fn write_to(&self, mut writer: impl Write) -> io::Result<()> {
        writer.write_all(&self.expose_secret())?;
        writer.flush()
    }
}

/// Standard input without the buffer that [`std::io::Stdin`] keeps in ordinary memory.
///
/// What was read through that before, read ahead included, is not seen here.
///
/// # Errors
/// The error of `dup(2)`, if standard input is closed or there are too many open files.
pub fn unbuffered_stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// How much of the bytes ahead is the secret, and how much it is with the delimiter.
#[derive(Clone, Copy)]
struct Part {
    secret: usize,
    whole: usize,
}

fn allocate(vault: &Vault, len: usize, timeout: Duration) -> Result<Opened<'_>, OpenError> {
    if timeout.is_zero() { vault.try_allocate(len) } else { vault.allocate_timeout(len, timeout) }
}

fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().position(|&found| found == byte)
}

#[cfg(test)]
mod tests;
