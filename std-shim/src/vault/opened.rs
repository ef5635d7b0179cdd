//! A secret that is open in a vault.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::str;
use std::time::Duration;

use bytemuck::Pod;
use strongroom_core::Fault;

use super::Sealed;
use super::admission::{Admission, Party};
use super::error::{OpenError, SealError};
use super::holding::Mark;
use super::lease::Lease;
use super::request::Requests;
use super::segment::{NO_GATE, VaultOwner};

/// A secret that is open in a vault's locked memory: bytes, or with a parameter a plain value
/// ([`Opener`](super::Opener)). Dropping it wipes it and makes room for those who wait.
pub struct Opened<'v, T: ?Sized = [u8]> {
    /// Ends before those who wait are told.
    lease: Lease<'v>,
    told: TellThoseWhoWait<'v>,
    mark: Mark,
    value: PhantomData<fn() -> *const T>,
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
    pub(super) fn try_all<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Result<R::Each<Opened<'v>>, OpenError> {
        self.now(requests).map(|leases| self.opened::<R>(leases))
    }

    pub(super) fn all_within<R: Requests + ?Sized>(
        self,
        requests: &R,
        timeout: Duration,
    ) -> Result<R::Each<Opened<'v>>, OpenError> {
        self.within(requests, timeout).map(|leases| self.opened::<R>(leases))
    }

    #[inline]
    pub(super) fn opened<R: Requests + ?Sized>(
        self,
        leases: R::Each<Lease<'v>>,
    ) -> R::Each<Opened<'v>> {
        R::map(leases, |lease| Opened::new(lease, self.admission))
    }
}

impl<'v> Opened<'v> {
    #[inline]
    fn new(lease: Lease<'v>, admission: &'v Admission) -> Self {
        let told = TellThoseWhoWait(admission);
        Self { lease, told, mark: Mark::new(), value: PhantomData }
    }

    /// One that is kept for whoever will read it.
    #[cfg(feature = "store")]
    #[inline]
    pub(super) fn kept(lease: Lease<'v>, admission: &'v Admission) -> Self {
        let told = TellThoseWhoWait(admission);
        Self { lease, told, mark: Mark::none(), value: PhantomData }
    }

    /// What was opened or allocated as `T`, or as several of it.
    pub(super) fn typed<T: ?Sized>(self) -> Opened<'v, T> {
        let Self { lease, told, mark, .. } = self;
        Opened { lease, told, mark, value: PhantomData }
    }
}

/// As memory that others are sealed from and opened into.
impl Opened<'_> {
    /// Whether there is anything left of it.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        self.told.0.check_process()
    }

    pub(super) fn draw(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.told.0.fill_random(bytes)
    }

    pub(super) fn seal_slice(
        &self,
        secret: &[u8],
        context: &[u8],
        record: &mut [u8],
    ) -> Result<(), SealError> {
        self.told.0.enclave_to_draw()?.seal(secret, context, record)?;
        // What was wiped meanwhile is not what was to be sealed.
        Ok(self.check()?)
    }

    pub(super) fn open_front(&mut self, record: &[u8], context: &[u8]) -> Result<(), OpenError> {
        let record = Sealed::from_record(record);
        let enclave = self.told.0.enclave()?;
        let mut memory = self.lease.expose_mut();
        let len = record.secret_len().min(memory.len());
        let opened = enclave.open_into(&record, context, &mut memory[..len]);
        drop(memory);
        // What was wiped meanwhile is no secret.
        self.check()?;
        Ok(opened?)
    }
}

impl<T: ?Sized> Opened<'_, T> {
    /// Whether the secret is open in the memory of this vault's.
    pub(super) fn is_of(&self, admission: &Admission) -> bool {
        std::ptr::eq(self.told.0, admission)
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> usize {
        self.lease.len()
    }

    /// Has the gate before the memory.
    pub(super) fn owner(&self) -> &VaultOwner {
        self.lease.owner()
    }

    /// Where the value is, as long as there is anything left of it.
    pub(super) fn intact(&self) -> Option<NonNull<u8>> {
        self.lease.intact()
    }

    /// Why there is nothing left of it.
    pub(super) fn gone(&self) -> OpenError {
        self.told.0.check_process().err().unwrap_or(OpenError::Destroyed)
    }

    pub(super) fn bytes(&self) -> Exposed<'_> {
        self.lease.expose()
    }

    fn fill_bytes(&mut self) -> Result<(), OpenError> {
        self.told.0.fill_random(&mut self.lease.expose_mut())
    }

    fn seal_bytes(&self, context: &[u8]) -> Result<Sealed, SealError> {
        super::seal(self.told.0, &self.lease.expose(), context)
    }

    /// Wipes the secret and makes room, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret.
    pub fn release(self) -> Result<(), Fault> {
        self.lease.release()
    }
}

/// Of bytes, or of other plain values in a row.
impl<T: Pod> Opened<'_, [T]> {
    /// The secret, for as long as the guard lives.
    ///
    /// In a forked child it reads as zeros, or is empty where a child has no such memory at all
    /// ([`ForkView`](crate::ForkView)).
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, [T]> {
        Exposed::map(self.lease.expose(), |bytes| bytemuck::cast_slice(bytes))
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, [T]> {
        ExposedMut::map(self.lease.expose_mut(), |bytes| bytemuck::cast_slice_mut(bytes))
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.expose_secret())
    }

    /// The secret's length in values, which are bytes unless said otherwise.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lease.len() / size_of::<T>().max(1)
    }

    /// Whether the secret has no values at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[T]) -> bool {
        self.lease.constant_time_eq(bytemuck::cast_slice(other))
    }

    /// Fills the secret with random bytes of the vault's.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency.
    pub fn fill_random(&mut self) -> Result<(), OpenError> {
        self.fill_bytes()
    }

    /// Seals the secret from where it is open; see [`Vault::seal`](crate::Vault::seal). It stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.seal_bytes(context)
    }
}

/// Of one plain value.
impl<T: Pod> Opened<'_, T> {
    /// The secret, for as long as the guard lives. In a forked child all of its bytes are zero.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, T> {
        if self.lease.is_absent() {
            return Exposed::new(&NO_GATE, zeros());
        }
        Exposed::map(self.lease.expose(), |bytes| bytemuck::from_bytes(bytes))
    }

    /// The secret, to be changed for as long as the guard lives.
    #[inline]
    pub fn expose_secret_mut(&mut self) -> ExposedMut<'_, T> {
        if self.lease.is_absent() {
            return ExposedMut::new(&NO_GATE, zeros());
        }
        ExposedMut::map(self.lease.expose_mut(), |bytes| bytemuck::from_bytes_mut(bytes))
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.expose_secret())
    }

    /// Whether the secret equals `other`, byte for byte, in a time that depends on the type alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &T) -> bool {
        self.lease.constant_time_eq(bytemuck::bytes_of(other))
    }

    /// Fills the secret with random bytes of the vault's.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency.
    pub fn fill_random(&mut self) -> Result<(), OpenError> {
        self.fill_bytes()
    }

    /// Seals the secret from where it is open; see [`Vault::seal_value`](crate::Vault::seal_value). It
    /// stays open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.seal_bytes(context)
    }
}

/// Of text.
impl Opened<'_, str> {
    /// The secret, for as long as the guard lives. In a forked child it reads as zeros, or is empty.
    ///
    /// It is looked at again whether it is UTF-8, in a time that depends on whether it is ASCII.
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_, str> {
        // It always is, but while an emergency wipes it.
        Exposed::map(self.lease.expose(), |bytes| str::from_utf8(bytes).unwrap_or_default())
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&str) -> R) -> R {
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
    pub fn constant_time_eq(&self, other: &str) -> bool {
        self.lease.constant_time_eq(other.as_bytes())
    }
}

/// What a forked child sees of a value whose memory it has not got. It has no other to show, and keeps
/// this for good.
#[cold]
fn zeros<T: Pod>() -> &'static mut T {
    Box::leak(Box::new(T::zeroed()))
}

impl<T: ?Sized> Debug for Opened<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.size()).finish_non_exhaustive()
    }
}
