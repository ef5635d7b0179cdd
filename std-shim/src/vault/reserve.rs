//! A part of a vault's memory for those who name it.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use strongroom_core::Sealed;

use super::admission::Party;
use super::error::OpenError;
use super::opened::Opened;
use super::opening::{Allocating, Opening, OpeningAll};
use super::request::Request;

/// A part of a vault's locked memory that only those who name it can use; see
/// [`Vault::reserve`](crate::Vault::reserve).
///
/// Its openers use the common memory while there is room and nobody waits for it, and the reserve
/// when not. They have a line of their own. The calls are the vault's.
#[derive(Clone, Copy)]
pub struct Reserve<'v> {
    pub(super) party: Party<'v>,
}

impl<'v> Reserve<'v> {
    pub(super) fn new(party: Party<'v>) -> Self {
        Self { party }
    }

    /// Opens a sealed secret, or says at once why not; see [`Vault::try_open`](crate::Vault::try_open).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open<S: AsRef<[u8]>>(
        self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Opened<'v>, OpenError> {
        self.party.try_all(&Request::open(sealed, context))
    }

    /// Opens a sealed secret, waiting up to `timeout` for room; see
    /// [`Vault::open_timeout`](crate::Vault::open_timeout).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_timeout<S: AsRef<[u8]>>(
        self,
        sealed: &Sealed<S>,
        context: &[u8],
        timeout: Duration,
    ) -> Result<Opened<'v>, OpenError> {
        self.party.all_within(&Request::open(sealed, context), timeout)
    }

    /// Opens a sealed secret as a future; see [`Vault::open`](crate::Vault::open).
    pub fn open<'s, S: AsRef<[u8]>>(
        self,
        sealed: &'s Sealed<S>,
        context: &'s [u8],
    ) -> Opening<'v, 's, S> {
        Opening::new(self.party, sealed, context)
    }

    /// Opens several sealed secrets, all or none; see
    /// [`Vault::try_open_all`](crate::Vault::try_open_all).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open_all<S: AsRef<[u8]>, const N: usize>(
        self,
        sealed: [(&Sealed<S>, &[u8]); N],
    ) -> Result<[Opened<'v>; N], OpenError> {
        self.party.try_all(&sealed.map(|(sealed, context)| Request::open(sealed, context)))
    }

    /// Opens several sealed secrets, all or none, waiting up to `timeout` for room; see
    /// [`Vault::open_all_timeout`](crate::Vault::open_all_timeout).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_all_timeout<S: AsRef<[u8]>, const N: usize>(
        self,
        sealed: [(&Sealed<S>, &[u8]); N],
        timeout: Duration,
    ) -> Result<[Opened<'v>; N], OpenError> {
        let requests = sealed.map(|(sealed, context)| Request::open(sealed, context));
        self.party.all_within(&requests, timeout)
    }

    /// Opens several sealed secrets, all or none, as a future; see
    /// [`Vault::open_all`](crate::Vault::open_all).
    pub fn open_all<'s, S: AsRef<[u8]>, const N: usize>(
        self,
        sealed: [(&'s Sealed<S>, &'s [u8]); N],
    ) -> OpeningAll<'v, 's, S, N> {
        OpeningAll::new(self.party, sealed)
    }

    /// Room for a new secret, or says at once why there is none; see
    /// [`Vault::try_allocate`](crate::Vault::try_allocate).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_allocate(self, len: usize) -> Result<Opened<'v>, OpenError> {
        self.party.try_all(&Request::allocate(len))
    }

    /// Room for a new secret as a future; see [`Vault::allocate`](crate::Vault::allocate).
    pub fn allocate(self, len: usize) -> Allocating<'v> {
        Allocating::new(self.party, len)
    }

    /// Room for a new secret, waiting up to `timeout` for it; see
    /// [`Vault::allocate_timeout`](crate::Vault::allocate_timeout).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn allocate_timeout(self, len: usize, timeout: Duration) -> Result<Opened<'v>, OpenError> {
        self.party.all_within(&Request::allocate(len), timeout)
    }
}

impl Debug for Reserve<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bytes = self.party.own.map_or(0, |own| own.pool.ceiling());
        f.debug_struct("Reserve").field("bytes", &bytes).finish()
    }
}
