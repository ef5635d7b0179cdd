//! The windows on one open secret that last beyond a call.

use std::sync::{Arc, Mutex, PoisonError};

use strongroom::{OpenError, Vault, WindowKind};

use crate::status::Failure;
use crate::window::Window;

/// The windows on one open secret, where the vault has windows.
pub(crate) struct Windows {
    vault: Arc<Vault>,
    open: Mutex<Vec<Window>>,
}

impl Windows {
    /// `None` where the memory is always open: there an exposure ends with its count.
    pub(crate) fn of(vault: &Arc<Vault>) -> Option<Self> {
        let vault = (vault.windows() != WindowKind::None).then(|| Arc::clone(vault))?;
        Some(Self { vault, open: Mutex::default() })
    }

    pub(crate) fn kind(&self) -> WindowKind {
        self.vault.windows()
    }

    pub(crate) fn keep(&self, window: Window) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// Ends one of this thread's.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        if self.vault.check() == Err(OpenError::Forked) {
            // Whoever held the lock is not here, and nothing in the memory is worth shutting.
            return Ok(());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.iter().rposition(Window::is_own);
        let ended = own.map(|own| open.swap_remove(own));
        let exposures = open.len();
        drop(open);
        match ended {
            Some(window) => {
                drop(window);
                Ok(())
            }
            None if exposures > 0 => Err(Failure::OtherThreads { exposures }),
            None => Err(Failure::NotExposed),
        }
    }
}
