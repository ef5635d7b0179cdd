//! One vault for the whole process.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::debug::debug_as_displayed;
use crate::emergency::wipe_all;
use crate::fork::Generation;
use crate::sys;
use crate::vault::{Builder, Vault, VaultError};

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
/// [`NotInstalled`] before that, and in a forked child, which may install its own.
pub fn global() -> Result<&'static Vault, NotInstalled> {
    installed().ok_or(NotInstalled)
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
        let _turn = Turn::take();
        if installed().is_some() {
            return Err(InstallError::AlreadyInstalled);
        }
        let vault = Box::leak(Box::new(self.build()?));
        sys::at_exit(wipe_all_at_exit);
        GLOBAL.store(vault, Ordering::Release);
        Ok(vault)
    }
}

fn installed() -> Option<&'static Vault> {
    // SAFETY: the pointer is null, or that of a vault that is never dropped and only shared.
    let vault = unsafe { GLOBAL.load(Ordering::Acquire).as_ref() };
    // A forked child sees nothing of its parent's.
    vault.filter(|vault| !vault.is_inherited())
}

/// The right to install, which one thread of a process has at a time.
///
/// No `Mutex`: in a child that is forked while another thread holds it, that would never be free.
/// Those who wait sleep, so that a holder of any priority goes on; it happens once in a process.
struct Turn;

impl Turn {
    fn take() -> Self {
        let own = Generation::current().number();
        loop {
            let holder = INSTALLING.load(Ordering::Relaxed);
            if holder == own {
                thread::sleep(Duration::from_millis(1));
            } else if INSTALLING
                .compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                // It was nobody's, or that of a thread that did not come along to this process.
                return Self;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        INSTALLING.store(NOBODY, Ordering::Release);
    }
}

extern "C" fn wipe_all_at_exit() {
    wipe_all();
}

/// No vault has been installed for the process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotInstalled;

debug_as_displayed!(NotInstalled, InstallError);

impl Display for NotInstalled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no vault is installed for this process (a forked child has none of its parent's): call \
             Vault::builder().install() first",
        )
    }
}

impl Error for NotInstalled {}

/// A vault was not installed for the process.
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

static GLOBAL: AtomicPtr<Vault> = AtomicPtr::new(ptr::null_mut());

/// The generation of the process in which a vault is being installed.
static INSTALLING: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = 0;
