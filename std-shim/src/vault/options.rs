//! What a vault was asked to be.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use strongroom_core::Fault;

use super::key_share::{KeyShare, Keyring};
use crate::pages::{Backing, LockError, LockedPages, Policy};
use crate::windows::{Shuts, WindowError, Windows};

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) floor: usize,
    pub(super) ceiling: usize,
    pub(super) reserves: BTreeMap<String, usize>,
    pub(super) linger: Duration,
    pub(super) on_fault: fn(Fault),
    pub(super) policy: Policy,
    pub(super) backing: Backing,
    pub(super) windows: Windows,
    /// What came of that.
    pub(super) shuts: Shuts,
    pub(super) sealed_mapping: bool,
    pub(super) key_share: KeyShare,
    pub(super) key_share_kept: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            floor: DEFAULT_BUDGET,
            ceiling: DEFAULT_BUDGET,
            reserves: BTreeMap::new(),
            linger: DEFAULT_LINGER,
            on_fault: panic_once,
            policy: Policy::Require,
            backing: Backing::Anonymous,
            windows: Windows::WHERE_NOT_ASKED_FOR,
            shuts: Shuts::Nothing,
            sealed_mapping: false,
            key_share: KeyShare::LockedMemory,
            key_share_kept: Duration::ZERO,
        }
    }
}

impl Options {
    /// Finds out whether there can be windows.
    pub(super) fn settle_windows(&mut self) -> Result<(), WindowError> {
        match (self.windows.shuts(), self.policy) {
            (Ok(shuts), _) => self.shuts = shuts,
            (Err(_), Policy::Prefer) => self.shuts = Shuts::Nothing,
            (Err(error), Policy::Require) => return Err(error),
        }
        Ok(())
    }

    /// The keyring that is asked for.
    pub(super) fn keyring(&self) -> Option<Keyring> {
        match self.key_share {
            KeyShare::LockedMemory => None,
            KeyShare::Keyring(keyring) | KeyShare::PreferKeyring(keyring) => Some(keyring),
        }
    }

    /// Whether it may be locked memory too.
    pub(super) fn prefers_keyring(&self) -> bool {
        self.policy == Policy::Prefer || matches!(self.key_share, KeyShare::PreferKeyring(_))
    }

    /// Pages of so many bytes; of fewer if that takes longer than until the deadline.
    pub(super) fn pages(
        &self,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<LockedPages, LockError> {
        LockedPages::until(deadline, bytes, self.policy, self.backing)
    }
}

/// Panics with the fault's fixed text, unless the thread is panicking already: then the process
/// would abort and the first panic's message would be lost. The fault stays in the statistics.
fn panic_once(fault: Fault) {
    assert!(thread::panicking(), "{}", fault.kind.message());
}

/// What most hosts let a process lock at least.
const DEFAULT_BUDGET: usize = 64 * 1024;

const DEFAULT_LINGER: Duration = Duration::from_secs(10);
