//! Where a secret comes from, as a person writes it in an argument or a setting.

use std::error::Error;
use std::ffi::c_int;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{ReadError, unbuffered_stdin};
use crate::debug::debug_as_displayed;
use crate::sys;
use crate::vault::{OpenError, Opened, Vault};

debug_as_displayed!(NoSource, SourceError);

/// Where a secret comes from: what to give a program in an argument, in place of the secret itself.
///
/// Arguments are no place for secrets: everybody on the machine sees them (`ps`), and shells keep them in
/// their history.
///
/// | written | the secret is |
/// |---|---|
/// | `file:PATH` | what the file holds |
/// | `fd:NUMBER` | what can be read from a file descriptor that the process was started with |
/// | `-` | what can be read from standard input |
/// | `prompt`, `prompt:TEXT` | what a person types at the terminal, which is not shown |
/// | `env:NAME` | the value of an environment variable, a [poor place](Vault::read_environment) |
///
/// ```
/// use strongroom::{SecretSource, Vault};
///
/// # let path = std::env::temp_dir().join(format!("strongroom-doc-source-{}", std::process::id()));
/// # std::fs::write(&path, "hunter2\n")?;
/// let source: SecretSource = format!("file:{}", path.display()).parse()?;
///
/// let vault = Vault::new(64 * 1024)?;
/// let sealed = source.read_text(&vault, 1024)?.seal(b"db/password")?;
/// assert_eq!(vault.try_open(&sealed, b"db/password")?.expose_secret(), b"hunter2");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With `clap` it is the type of an argument. There the feature `clap-4` is needed: without, `clap` shows
/// what was given in its error, which may be the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretSource {
    /// A file, by its path.
    File(PathBuf),
    /// A file descriptor that the process was started with, by its number.
    Descriptor(u16),
    /// Standard input.
    StandardInput,
    /// The person at the terminal, asked with this text; with `Secret: ` if it is empty.
    Prompt(String),
    /// An environment variable, by its name.
    Environment(String),
}

impl SecretSource {
    /// Reads a text of at most `limit` bytes: all there is, without the one end of a line (`\n` or
    /// `\r\n`) that editors and `echo` put behind it.
    ///
    /// A descriptor is read from where it stands, and stays open. In locked memory the text takes its
    /// length twice for a moment, if it has such an end.
    ///
    /// # Errors
    /// [`SourceError`], at once if the vault is full. What was read is lost.
    pub fn read_text<'v>(&self, vault: &'v Vault, limit: usize) -> Result<Opened<'v>, SourceError> {
        // The end of the line is not part of what the limit is for.
        let read =
            self.read_bytes(vault, limit.saturating_add(2)).map_err(|error| match error {
                SourceError::Read { error: ReadError::TooLong { .. }, .. } => {
                    self.refuse(ReadError::TooLong { limit })
                }
                error => error,
            })?;
        let text = without_line_end(read, vault).map_err(|error| self.refuse(error.into()))?;
        if text.len() > limit {
            return Err(self.refuse(ReadError::TooLong { limit }));
        }
        Ok(text)
    }

    /// Reads at most `limit` bytes, all there are, as they are. What is typed is a line, whose end is
    /// not part of it.
    ///
    /// # Errors
    /// [`SourceError`], at once if the vault is full. What was read is lost.
    pub fn read_bytes<'v>(
        &self,
        vault: &'v Vault,
        limit: usize,
    ) -> Result<Opened<'v>, SourceError> {
        let read = match self {
            Self::File(path) => vault.read_file(path, limit),
            Self::Descriptor(number) => sys::duplicate(c_int::from(*number))
                .map_err(ReadError::from)
                .and_then(|file| vault.read_to_end(File::from(file), limit)),
            Self::StandardInput => unbuffered_stdin()
                .map_err(ReadError::from)
                .and_then(|file| vault.read_to_end(file, limit)),
            Self::Prompt(text) if text.is_empty() => vault.read_terminal("Secret: ", limit),
            Self::Prompt(text) => vault.read_terminal(&format!("{text}: "), limit),
            Self::Environment(name) => match vault.read_environment(name, limit) {
                Ok(None) => return Err(SourceError::NotSet { name: name.clone() }),
                Ok(Some(secret)) => Ok(secret),
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: ReadError) -> SourceError {
        SourceError::Read { source: self.clone(), error }
    }

    /// What to do when it could not be read, where that is not said yet.
    fn remedy(&self, error: &io::Error) -> &'static str {
        match (self, error.kind()) {
            (Self::File(_), io::ErrorKind::NotFound) => {
                "; write the path as seen from where the program runs"
            }
            (Self::File(_), io::ErrorKind::PermissionDenied) => {
                "; let the user that the program runs as read it, and no other"
            }
            (Self::Descriptor(_), _) => {
                "; start the program with it open, as a shell does with `3< FILE`"
            }
            (Self::Prompt(_), io::ErrorKind::UnexpectedEof) => "; nothing was typed",
            (Self::Prompt(_), _) => "; without a terminal, give file:PATH, fd:NUMBER or -",
            _ => "",
        }
    }
}

/// What takes no length from the end.
fn without_line_end<'v>(read: Opened<'v>, vault: &'v Vault) -> Result<Opened<'v>, OpenError> {
    let len = {
        let bytes = read.expose_secret();
        let line = bytes.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        line.map(<[u8]>::len)
    };
    let Some(len) = len else { return Ok(read) };
    let mut text = vault.try_allocate(len)?;
    text.expose_secret_mut().copy_from_slice(&read.expose_secret()[..len]);
    Ok(text)
}

/// As it is parsed.
impl Display for SecretSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::StandardInput => f.write_str("-"),
            Self::Prompt(text) if text.is_empty() => f.write_str("prompt"),
            Self::Prompt(text) => write!(f, "prompt:{text}"),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

impl FromStr for SecretSource {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        match text.split_once(':') {
            None if text == "-" => Ok(Self::StandardInput),
            None if text == "prompt" => Ok(Self::Prompt(String::new())),
            Some(("file", "")) => Err(NoSource::NoPath),
            Some(("file", path)) if path.contains('\0') => Err(NoSource::NoPath),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("fd", number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => {
                number.parse().map(Self::Descriptor).map_err(|_| NoSource::NoDescriptor)
            }
            Some(("fd", _)) => Err(NoSource::NoDescriptor),
            Some(("prompt", question)) => Ok(Self::Prompt(question.to_owned())),
            Some(("env", name)) if name.is_empty() || name.contains(['=', '\0']) => {
                Err(NoSource::NoVariable)
            }
            Some(("env", name)) => Ok(Self::Environment(name.to_owned())),
            _ => Err(NoSource::Unknown),
        }
    }
}

/// A text that says not where a secret comes from. It is not shown, for it may be the secret itself.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSource {
    /// It begins with none of the words.
    Unknown,
    /// No path follows `file:`.
    NoPath,
    /// No number of a descriptor follows `fd:`.
    NoDescriptor,
    /// No name of a variable follows `env:`.
    NoVariable,
}

impl Display for NoSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "this says not where the secret comes from: give file:PATH, fd:NUMBER, env:NAME, \
                 prompt, prompt:TEXT, or - for standard input. If it was the secret itself, others may \
                 have seen it: change it"
            }
            Self::NoPath => "a path must follow file:, as in file:/run/secrets/db",
            Self::NoDescriptor => "the number of an open file descriptor must follow fd:, as in fd:3",
            Self::NoVariable => "the name of a variable must follow env:, as in env:DB_PASSWORD",
        })
    }
}

impl Error for NoSource {}

/// A secret was not read from where it should come from.
#[non_exhaustive]
pub enum SourceError {
    /// The environment variable is not set.
    NotSet {
        /// Its name.
        name: String,
    },
    /// It could not be read.
    Read {
        /// Where it should come from.
        source: SecretSource,
        /// Why it could not be read.
        error: ReadError,
    },
}

impl Display for SourceError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { name } => write!(
                f,
                "the environment variable {name} is not set: set it where the program is started, or \
                 better give file:PATH"
            ),
            Self::Read { source, error } => {
                write!(f, "the secret was not read from {source}: {error}")?;
                match error {
                    ReadError::Io(error) => f.write_str(source.remedy(error)),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSet { .. } => None,
            Self::Read { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use proptest::prelude::*;

    use super::*;

    fn vault() -> Vault {
        Vault::new(16 * 1024).unwrap()
    }

    #[test]
    fn what_is_no_source_is_said_and_not_shown() {
        for (text, error) in [
            ("hunter2", NoSource::Unknown),
            ("hunter:2", NoSource::Unknown),
            ("", NoSource::Unknown),
            ("FILE:hunter2", NoSource::Unknown),
            ("file:", NoSource::NoPath),
            ("fd:", NoSource::NoDescriptor),
            ("fd:+3", NoSource::NoDescriptor),
            ("fd:hunter2", NoSource::NoDescriptor),
            ("fd:99999999999999999999", NoSource::NoDescriptor),
            ("env:", NoSource::NoVariable),
            ("env:hunter2=", NoSource::NoVariable),
        ] {
            let refused = text.parse::<SecretSource>().unwrap_err();
            assert!(refused == error, "{text}: {refused}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_source_is_shown_as_it_was_written(
            word in prop::sample::select(vec!["file:", "fd:", "env:", "prompt:", "prompt", "-", ""]),
            rest in any::<String>(),
        ) {
            let text = format!("{word}{rest}");
            if let Ok(source) = text.parse::<SecretSource>() {
                let again = source.to_string().parse::<SecretSource>();
                prop_assert_eq!(again.as_ref().ok(), Some(&source), "{}", text);
            }
        }
    }

    #[test]
    fn one_end_of_a_line_is_no_part_of_a_text() {
        let vault = vault();
        let path = std::env::temp_dir().join(format!("strongroom-source-{}", std::process::id()));
        let source = SecretSource::File(path.clone());
        for (written, text) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\n", b"hunter2"),
            (b"hunter2\n\n", b"hunter2\n"),
            (b"hunter2\r", b"hunter2\r"),
            (b"\n", b""),
            (b"", b""),
        ] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(source.read_text(&vault, text.len()).unwrap().expose_secret(), text);
            assert_eq!(source.read_bytes(&vault, written.len()).unwrap().expose_secret(), written);
            if let Some(less) = text.len().checked_sub(1) {
                let error = source.read_text(&vault, less).unwrap_err();
                assert!(error.to_string().contains(&format!("limit of {less} bytes")), "{error}");
            }
            if text.len() > 3 {
                let error = source.read_text(&vault, 3).unwrap_err();
                assert!(error.to_string().contains("limit of 3 bytes"), "{error}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        let error = source.read_text(&vault, 10).unwrap_err();
        assert!(error.to_string().contains("as seen from where"), "{error}");
        assert_eq!(vault.held(), 0);
    }

    #[test]
    fn a_descriptor_is_read_from_where_it_stands_and_stays_open() {
        let vault = vault();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"hunter2\n").unwrap();
        drop(writer);
        let source: SecretSource = format!("fd:{}", reader.as_raw_fd()).parse().unwrap();
        assert_eq!(source.read_text(&vault, 100).unwrap().expose_secret(), b"hunter2");
        assert_eq!(source.read_text(&vault, 100).unwrap().expose_secret(), b"");
        // No process has so many.
        let error = SecretSource::Descriptor(u16::MAX).read_text(&vault, 100).unwrap_err();
        assert!(error.to_string().contains("start the program with it open"), "{error}");
    }

    #[test]
    fn a_variable_is_read_or_said_to_be_missing() {
        let vault = vault();
        let path = std::env::var("PATH").unwrap();
        let source: SecretSource = "env:PATH".parse().unwrap();
        assert_eq!(source.read_text(&vault, 8192).unwrap().expose_secret(), path.as_bytes());
        let source = SecretSource::Environment("STRONGROOM_IS_NOT_SET".into());
        let error = source.read_text(&vault, 8192).unwrap_err();
        assert!(error.to_string().starts_with("the environment variable STRONGROOM_IS_NOT_SET"));
    }
}
