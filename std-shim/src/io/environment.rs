//! Secrets in environment variables, which is where they should not be.

use std::env;
use std::ffi::OsStr;

use super::ReadError;
use crate::sys;
use crate::vault::{Opened, Vault};

impl Vault {
    /// Reads an environment variable of at most `limit` bytes into locked memory; `None` if it is
    /// not set. The copy that was made on the way is wiped.
    ///
    /// **An environment variable is a poor place for a secret**: the original stays in this process's
    /// memory, unlocked, and anybody who may read `/proc/PID/environ` sees it, as does every program
    /// this one starts. Prefer a file or a pipe.
    ///
    /// # Errors
    /// [`ReadError`]: it is longer than `limit`, or the vault is full. Then too the copy is wiped.
    pub fn read_environment(
        &self,
        name: impl AsRef<OsStr>,
        limit: usize,
    ) -> Result<Option<Opened<'_>>, ReadError> {
        let Some(value) = env::var_os(name) else {
            return Ok(None);
        };
        let value = sys::Wiped(value.into_encoded_bytes());
        if value.0.len() > limit {
            return Err(ReadError::TooLong { limit });
        }
        let mut secret = self.try_allocate(value.0.len())?;
        secret.expose_secret_mut().copy_from_slice(&value.0);
        Ok(Some(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_read_or_told_apart() {
        let vault = Vault::new(16 * 1024).unwrap();
        let path = env::var_os("PATH").unwrap().into_encoded_bytes();
        let secret = vault.read_environment("PATH", 10_000).unwrap().unwrap();
        assert_eq!(secret.expose_secret(), path);
        assert!(vault.read_environment("STRONGROOM_IS_NOT_SET", 100).unwrap().is_none());
        let error = vault.read_environment("PATH", path.len() - 1).unwrap_err();
        assert!(matches!(error, ReadError::TooLong { .. }), "{error}");
    }
}
