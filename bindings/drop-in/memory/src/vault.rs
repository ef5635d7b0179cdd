//! The vault of the process, made when memory is first asked for.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use strongroom::{OpenError, Vault, VaultError};

use crate::allocation::explain;
use crate::fault::on_fault;
use crate::settings::Settings;

/// What a vault is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Its memory is locked.
    Locked,
    /// Memory that is not locked was asked for by the environment, and it is what there is.
    Unlocked,
    /// There is none.
    Refused,
}

/// Makes the vault if there is none.
#[must_use]
pub fn prepare() -> Readiness {
    match vault() {
        Ok(vault) if vault.unlocked_bytes() == Some(0) => Readiness::Locked,
        Ok(_) => Readiness::Unlocked,
        Err(error) => {
            explain(&error);
            Readiness::Refused
        }
    }
}

/// The vault of this process: a forked child makes its own.
///
/// Not that which `Builder::install` gives: the process's end wipes it, before handlers of the program's
/// that were registered earlier have run. No lock either, which a child that is forked meanwhile would
/// find taken.
pub(crate) fn vault() -> Result<&'static Vault, VaultError> {
    let mut seen = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: the pointer is null, or that of a vault that is never dropped and only shared.
        let current = unsafe { seen.as_ref() };
        if let Some(vault) = current
            && !is_inherited(vault)
        {
            return Ok(vault);
        }
        let made = Vault::builder()
            .budget(FLOOR..=CEILING)
            .policy(Settings::current().policy())
            .on_fault(on_fault)
            .build();
        let made = match made {
            Ok(vault) => Box::into_raw(Box::new(vault)),
            Err(error) => {
                // Perhaps because another thread was quicker.
                let now = CURRENT.load(Ordering::Acquire);
                if now == seen {
                    return Err(error);
                }
                seen = now;
                continue;
            }
        };
        match CURRENT.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => seen = made,
            Err(now) => {
                // SAFETY: it was made above, and nobody has seen it.
                drop(unsafe { Box::from_raw(made) });
                seen = now;
            }
        }
    }
}

/// Whether it is the parent's.
pub(crate) fn is_inherited(vault: &Vault) -> bool {
    vault.check() == Err(OpenError::Forked)
}

static CURRENT: AtomicPtr<Vault> = AtomicPtr::new(ptr::null_mut());

/// The bytes that are locked from the first allocation on, and at most if the system allows as many.
const FLOOR: usize = 16 * 1024;
const CEILING: usize = 1 << 30;
