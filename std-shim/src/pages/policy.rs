//! What to insist on.

use super::refusal::{Call, Refusal};
use crate::sys::Mapping;

/// What to do when memory cannot be locked, hidden or guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It fails, or does not grow.
    #[default]
    Require,
    /// It goes on in unlocked memory, which can be written to the swap device, and says so:
    /// [`LockedPages::protections`](crate::LockedPages::protections),
    /// [`Vault::protections`](crate::Vault::protections).
    Prefer,
}

impl Policy {
    pub(super) fn settle<T>(self, granted: Result<T, Refusal>, otherwise: T) -> Result<T, Refusal> {
        match self {
            Self::Require => granted,
            Self::Prefer => Ok(granted.unwrap_or(otherwise)),
        }
    }

    /// Whether the mapping is locked now, and why not.
    pub(super) fn lock(self, mapping: &Mapping) -> Result<(bool, Option<Refusal>), Refusal> {
        let Err(refusal) = mapping.lock().map_err(Refusal::of(Call::Lock)) else {
            return Ok((true, None));
        };
        // A lock that failed half way stays charged. If this fails too, nothing was charged.
        let _ = mapping.unlock();
        match self {
            Self::Require => Err(refusal),
            Self::Prefer => Ok((false, Some(refusal))),
        }
    }
}
