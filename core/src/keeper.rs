//! Somewhere else than in the region, where one share of a key may rest.

use crate::error::ShareError;

/// Keeps one of the two shares of an enclave's key somewhere else than in the region: in a kernel's
/// keyring, on a chip, in another process. Whoever reads the region alone has no key then.
///
/// [`Enclave::keep_share_with`](crate::Enclave::keep_share_with) hands the share over. From then on it is
/// loaded for each seal and each open, and is in memory no longer than that, as far as the library goes. An
/// enclave that is destroyed has it forgotten; one that is dropped leaves it, of use to nobody.
///
/// The calls come from any thread, several at a time, and with no lock held.
pub trait ShareKeeper: Send + Sync {
    /// Takes `share` in place of the one that is kept. It is a secret: leave no copy of it.
    ///
    /// # Errors
    /// [`ShareError`]; what was kept before is kept still.
    fn store(&self, share: &[u8; SHARE_BYTES]) -> Result<(), ShareError>;

    /// Gives what was stored last. The caller wipes it.
    ///
    /// # Errors
    /// [`ShareError`].
    fn load(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError>;

    /// Forgets the share for good: what was sealed is unreadable.
    fn forget(&self);
}

/// Bytes that a [`ShareKeeper`] keeps: a share of 32, and a number that says which of the region's own it
/// belongs to.
pub const SHARE_BYTES: usize = 40;
