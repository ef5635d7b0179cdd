//! A secret that is open in a vault.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use strongroom_core::{Enclave, Fault};

use super::Sealed;
use super::admission::{Admission, Party};
use super::error::{OpenError, SealError};
use super::holding::Mark;
use super::lease::Lease;
use super::request::Request;
use super::segment::VaultOwner;

/// A secret that is open in a vault's locked memory. Dropping it wipes it and makes room for those
/// who wait.
pub struct Opened<'v> {
    /// Ends before those who wait are told.
    lease: Lease<'v>,
    told: TellThoseWhoWait<'v>,
    _mark: Mark,
}

/// A guard through which a vault's secret is read; see [`strongroom_core::Exposed`].
pub type Exposed<'s, T = [u8]> = strongroom_core::Exposed<'s, T, VaultOwner>;

/// A guard through which a vault's secret is read and changed; see [`strongroom_core::ExposedMut`].
pub type ExposedMut<'s, T = [u8]> = strongroom_core::ExposedMut<'s, T, VaultOwner>;

/// Tells them when it is dropped, even if the fault handler panics.
struct TellThoseWhoWait<'v>(&'v Admission);

impl Drop for TellThoseWhoWait<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.released();
    }
}

/// What a vault and a reserve answer, in the types that users have.
impl<'v> Party<'v> {
    #[inline]
    pub(super) fn try_all<const N: usize>(
        self,
        requests: &[Request<'_>; N],
    ) -> Result<[Opened<'v>; N], OpenError> {
        self.now(requests).map(|leases| self.opened(leases))
    }

    pub(super) fn all_within<const N: usize>(
        self,
        requests: &[Request<'_>; N],
        timeout: Duration,
    ) -> Result<[Opened<'v>; N], OpenError> {
        self.within(requests, timeout).map(|leases| self.opened(leases))
    }

    #[inline]
    pub(super) fn opened<const N: usize>(self, leases: [Lease<'v>; N]) -> [Opened<'v>; N] {
        leases.map(|lease| Opened::new(lease, self.admission))
    }
}

impl<'v> Opened<'v> {
    #[inline]
    fn new(lease: Lease<'v>, admission: &'v Admission) -> Self {
        Self { lease, told: TellThoseWhoWait(admission), _mark: Mark::new() }
    }

    /// Whether the secret is open in the memory of this vault's.
    pub(super) fn is_of(&self, admission: &Admission) -> bool {
        std::ptr::eq(self.told.0, admission)
    }

    /// The secret, for as long as the guard lives.
    ///
    /// In a forked child it reads as zeros, or is empty where a child has no such memory at all
    /// ([`ForkView`](crate::ForkView)).
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_> {
        self.lease.expose()
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_> {
        self.lease.expose_mut()
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.expose_secret())
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lease.len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[u8]) -> bool {
        self.lease.constant_time_eq(other)
    }

    /// Seals the secret from where it is open; see [`Vault::seal`](crate::Vault::seal). It stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        let record = vec![0; Enclave::record_len(self.len())].into();
        Ok(self.told.0.enclave()?.seal(&self.expose_secret(), context, record)?)
    }

    /// Wipes the secret and makes room, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret.
    pub fn release(self) -> Result<(), Fault> {
        self.lease.release()
    }
}

impl Debug for Opened<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.len()).finish_non_exhaustive()
    }
}
