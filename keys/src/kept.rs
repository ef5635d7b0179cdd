//! A secret at rest, opened for one operation.

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use strongroom::strongroom_core::wiping_stack;
use strongroom::{OpenError, OwnedOpened, Sealed, Share};

use crate::error::KeyError;

/// How long a key waits for room in its vault, unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// A sealed secret with what is needed to open it.
pub(crate) struct Kept {
    pub(crate) share: Share,
    pub(crate) sealed: Sealed,
    pub(crate) timeout: Duration,
    /// What the record is bound to.
    bound_to: Box<[u8]>,
}

impl Kept {
    pub(crate) fn new(share: &Share, sealed: Sealed, bound_to: Box<[u8]>) -> Self {
        Self { share: share.clone(), sealed, timeout: DEFAULT_TIMEOUT, bound_to }
    }

    /// The secret in locked memory.
    pub(crate) fn open(&self) -> Result<OwnedOpened, OpenError> {
        if self.timeout.is_zero() {
            self.share.try_open(&self.sealed, &self.bound_to)
        } else {
            self.share.open_timeout(&self.sealed, &self.bound_to, self.timeout)
        }
    }

    /// Does one thing with the secret, and wipes what that leaves on the stack.
    pub(crate) fn with_secret<R>(
        &self,
        work: impl FnOnce(&[u8]) -> Result<R, KeyError>,
    ) -> Result<R, KeyError> {
        let opened = self.open()?;
        let done = without_trace(|| work(&opened.expose_secret()));
        check_intact(&self.share)?;
        done
    }
}

/// Room for `len` bytes of secrets.
pub(crate) fn allocate(
    share: &Share,
    len: usize,
    timeout: Duration,
) -> Result<OwnedOpened, OpenError> {
    if timeout.is_zero() { share.try_allocate(len) } else { share.allocate_timeout(len, timeout) }
}

/// Does others' work, and wipes the stack that it went through.
pub(crate) fn without_trace<R>(work: impl FnOnce() -> R) -> R {
    wiping_stack::<STACK, R>(work)
}

/// Whether open secrets were whole up to now. An emergency wipes them while they are used, and zeros must
/// not pass for a key; it says that it has begun before it wipes the first byte.
pub(crate) fn check_intact(share: &Share) -> Result<(), OpenError> {
    fence(Ordering::SeqCst);
    share.vault().fill_random(&mut [])
}

/// What the record of a key is bound to: its algorithm, its public key if it has one, and its owner's
/// context.
pub(crate) fn bound_to(algorithm: &str, public: &[u8], context: &[u8]) -> Box<[u8]> {
    let len = (public.len() as u64).to_le_bytes();
    [b"strongroom-keys/", algorithm.as_bytes(), b"\0", &len, public, context].concat().into()
}

/// Bytes of the stack that are wiped after each use of a key.
const STACK: usize = if cfg!(debug_assertions) { 128 * 1024 } else { 32 * 1024 };

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use std::sync::Arc;

    use strongroom::{Vault, wipe_all};

    use super::*;

    /// The only test of this process that has a vault: there is none afterwards.
    #[test]
    fn what_was_made_while_all_was_wiped_is_not_returned() {
        let vault = Arc::new(Vault::new(64 * 1024).unwrap());
        let bound_to = bound_to("test", b"", b"");
        let sealed = vault.seal(b"hunter2", &bound_to).unwrap();
        let kept = Kept::new(&vault.share(), sealed, bound_to);
        assert_eq!(kept.with_secret(|secret| Ok(secret == b"hunter2")), Ok(true));
        let wiped = kept.with_secret(|secret| {
            wipe_all();
            Ok(secret.to_vec())
        });
        assert_eq!(wiped, Err(KeyError::Open(OpenError::Destroyed)));
    }
}
