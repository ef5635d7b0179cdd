//! Where the secrets come from: made at random, or read without leaving a copy behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use indicatif::HumanCount;
use strongroom::{OpenError, Opened, ReadError, Vault, unbuffered_stdin};

use crate::Failure;
use crate::options::Options;

pub(crate) enum Source {
    Random {
        count: usize,
        len: usize,
    },
    /// The lines of a file, with its name for messages.
    Lines {
        file: File,
        name: String,
    },
    /// Each file whole.
    Files(Vec<PathBuf>),
}

impl Source {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let Some(path) = &options.input else {
            return Ok(Self::Random { count: options.count as usize, len: options.size });
        };
        if path == Path::new("-") {
            let file = unbuffered_stdin().map_err(|error| unreadable("standard input", error))?;
            return Ok(Self::Lines { file, name: "standard input".to_owned() });
        }
        let name = path.display().to_string();
        if path.is_dir() {
            return files_in(path).map(Self::Files).map_err(|error| unreadable(&name, error));
        }
        let file = File::open(path).map_err(|error| unreadable(&name, error))?;
        Ok(Self::Lines { file, name })
    }

    /// How many secrets there are, if that is known before they are read.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Self::Random { count, .. } => Some(*count),
            Self::Lines { .. } => None,
            Self::Files(paths) => Some(paths.len()),
        }
    }

    /// Hands each secret to `take`, out of locked memory of `vault`.
    pub(crate) fn for_each(
        &self,
        vault: &Vault,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Random { count, len } => {
                let mut secret = vault.try_allocate(*len)?;
                for _ in 0..*count {
                    vault.fill_random(&mut secret.expose_secret_mut())?;
                    take(&secret.expose_secret())?;
                }
                Ok(())
            }
            Self::Lines { file, name } => each_line(vault, file, name, take),
            Self::Files(paths) => paths.iter().try_for_each(|path| {
                let name = path.display().to_string();
                take(&whole_file(vault, path, &name)?.expose_secret())
            }),
        }
    }
}

fn each_line(
    vault: &Vault,
    file: &File,
    name: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut lines = vault.reader(file);
    for number in 1.. {
        let place = || format!("line {} of {name}", HumanCount(number));
        let Some(line) =
            lines.read_line(vault.budget()).map_err(|error| explain(error, &place(), vault))?
        else {
            return if number == 1 { Err(empty(name)) } else { Ok(()) };
        };
        if line.is_empty() {
            return Err(empty(&place()));
        }
        take(&line.expose_secret())?;
    }
    Ok(())
}

fn whole_file<'v>(vault: &'v Vault, path: &Path, name: &str) -> Result<Opened<'v>, Failure> {
    let secret =
        vault.read_file(path, vault.budget()).map_err(|error| explain(error, name, vault))?;
    if secret.is_empty() { Err(empty(name)) } else { Ok(secret) }
}

/// The files in a directory, in the order of their names; directories in it are passed over.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Through symbolic links, as mounted secrets have them.
        if fs::metadata(&path)
            .map_err(|error| unreadable(&path.display().to_string(), error))?
            .is_file()
        {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() { Err("there is no file in it".into()) } else { Ok(paths) }
}

fn explain(error: ReadError, place: &str, vault: &Vault) -> Failure {
    match error {
        ReadError::TooLong { .. } => format!(
            "{place} is longer than the budget of {} bytes; give a larger --budget",
            HumanCount(vault.budget() as u64)
        )
        .into(),
        ReadError::Open(error @ (OpenError::TooLarge { .. } | OpenError::Full(_))) => {
            format!("{place} does not fit the budget: {error}").into()
        }
        error => unreadable(place, error),
    }
}

fn unreadable(place: &str, error: impl Into<Failure>) -> Failure {
    format!("cannot read {place}: {}", error.into()).into()
}

fn empty(place: &str) -> Failure {
    format!("{place} is empty: there is no secret to keep").into()
}
