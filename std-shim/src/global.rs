//! One vault for the whole process.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::vault::{Builder, Vault, VaultError};
use crate::{sys, wipe_all};

/// The vault that was [installed](Builder::install) for the whole process.
///
/// ```standalone_crate
/// use strongroom::Vault;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// Vault::builder().budget(64 * 1024..=1024 * 1024).install()?;
/// let sealed = strongroom::global()?.seal(b"hunter2", b"db/password")?;
/// let opened = strongroom::global()?.try_open(&sealed, b"db/password")?;
/// # assert_eq!(opened.expose_secret(), b"hunter2");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`NotInstalled`] before that.
pub fn global() -> Result<&'static Vault, NotInstalled> {
    GLOBAL.get().ok_or(NotInstalled)
}

impl Builder {
    /// Makes the vault and installs it as the one that [`global`] gives.
    ///
    /// At the process's end (`exit(3)`, a return from `main`) [`wipe_all`] is called; a process that
    /// is killed, or ends by `_exit(2)`, is cleaned up by the kernel, which zeroes pages before it
    /// hands them to anybody else.
    ///
    /// # Errors
    /// [`InstallError`] if one is installed already, which then stays, or if the vault cannot be
    /// made.
    pub fn install(self) -> Result<&'static Vault, InstallError> {
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if GLOBAL.get().is_some() {
            return Err(InstallError::AlreadyInstalled);
        }
        let vault = self.build()?;
        sys::at_exit(wipe_all_at_exit);
        Ok(GLOBAL.get_or_init(|| vault))
    }
}

extern "C" fn wipe_all_at_exit() {
    wipe_all();
}

/// No vault has been installed for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInstalled;

impl Display for NotInstalled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("no vault is installed for the process: call Vault::builder().install() first")
    }
}

impl Error for NotInstalled {}

/// A vault was not installed for the process.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// There is one already; it stays.
    AlreadyInstalled,
    /// It could not be made.
    Vault(VaultError),
}

impl Display for InstallError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyInstalled => f.write_str(
                "a vault is installed for the process already: install one, in `main`, and use \
                 strongroom::global() elsewhere",
            ),
            Self::Vault(error) => Display::fmt(error, f),
        }
    }
}

impl Error for InstallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AlreadyInstalled => None,
            Self::Vault(error) => Some(error),
        }
    }
}

impl From<VaultError> for InstallError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

static GLOBAL: OnceLock<Vault> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());
