//! The vault: locked pages, an arena and an enclave, and a line for those who wait.

mod error;
mod queue;
mod room;

use std::fmt::{self, Debug, Formatter};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strongroom_core::{Buffer, Enclave, Fault, SealError, Sealed, Stats};

pub use self::error::{OpenError, Shortage, VaultError};

use self::queue::Queue;
use self::room::Room;
use crate::pages::Protections;

/// Seals any number of secrets into ordinary memory, and opens them into a fixed budget of locked
/// memory.
///
/// It is `Sync`; share it by reference or in an `Arc`.
///
/// ```
/// use std::time::Duration;
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// let sealed = vault.seal(b"hunter2", b"db/password")?;
///
/// let opened = vault.open_timeout(&sealed, b"db/password", Duration::from_secs(1))?;
/// assert_eq!(opened.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the budget is full
/// [`try_open`](Self::try_open) answers at once; [`open_timeout`](Self::open_timeout) waits for
/// somebody to drop an open secret. Those who wait are served in the order in which they came, and
/// nobody overtakes them: while anyone waits, `try_open` says that the budget is full.
///
/// # Forked children
/// A forked child sees nothing of a vault's locked memory. There, every call that would need it
/// returns an error at once; dropping a vault or an open secret is harmless.
pub struct Vault {
    /// Uses the room; goes before it.
    enclave: ManuallyDrop<Enclave<'static>>,
    room: ManuallyDrop<Room>,
    queue: Queue,
    held: AtomicUsize,
}

impl Vault {
    /// A vault that locks `budget` bytes, rounded up to whole pages, and never more.
    ///
    /// # Errors
    /// [`VaultError`] if so much cannot be locked, with the numbers and what to change, or if it is
    /// too little to open anything.
    pub fn new(budget: usize) -> Result<Self, VaultError> {
        let room = Room::new(budget)?;
        // SAFETY: the enclave is dropped, or forgotten, before the room (see `drop`).
        let arena = unsafe { room.arena_for_owner() };
        Ok(Self {
            enclave: ManuallyDrop::new(Enclave::new(arena).map_err(VaultError::NoRoomForKey)?),
            room: ManuallyDrop::new(room),
            queue: Queue::default(),
            held: AtomicUsize::new(0),
        })
    }

    /// Seals `secret`. `context` says what it is for; opening takes the same again.
    ///
    /// The record is on the heap and takes 24 bytes more than the secret.
    ///
    /// # Errors
    /// [`SealError`], as [`Enclave::seal`].
    pub fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Sealed<Box<[u8]>>, SealError> {
        self.seal_into(secret, context, vec![0; Enclave::record_len(secret.len())].into())
    }

    /// Seals `secret` into memory of the caller's choice; see [`Enclave::seal`].
    ///
    /// # Errors
    /// [`SealError`]; `storage` is then as it was.
    pub fn seal_into<S: AsMut<[u8]>>(
        &self,
        secret: &[u8],
        context: &[u8],
        storage: S,
    ) -> Result<Sealed<S>, SealError> {
        if self.room.is_inherited() {
            return Err(SealError::Destroyed);
        }
        self.enclave.seal(secret, context, storage)
    }

    /// Opens a sealed secret, or says at once why not.
    ///
    /// # Errors
    /// [`OpenError`]: the budget is full or others are waiting, the record does not belong here, or
    /// the vault was destroyed.
    pub fn try_open<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Opened<'_>, OpenError> {
        self.now(sealed.secret_len(), || {
            Ok(self.enclave.open_in(self.room.arena(), sealed, context)?)
        })
    }

    /// Opens a sealed secret, waiting up to `timeout` for room.
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open`](Self::try_open), but for a full budget only when the time is
    /// up. What is no matter of room is said at once.
    pub fn open_timeout<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
        timeout: Duration,
    ) -> Result<Opened<'_>, OpenError> {
        self.within(timeout, sealed.secret_len(), || {
            Ok(self.enclave.open_in(self.room.arena(), sealed, context)?)
        })
    }

    /// Room for a new secret of `len` bytes, all zero, to be filled in place; or says at once why
    /// there is none.
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open`](Self::try_open).
    pub fn try_allocate(&self, len: usize) -> Result<Opened<'_>, OpenError> {
        self.now(len, || Ok(Buffer::new(self.room.arena(), len)?))
    }

    /// Room for a new secret of `len` bytes, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`OpenError`], as [`open_timeout`](Self::open_timeout).
    pub fn allocate_timeout(&self, len: usize, timeout: Duration) -> Result<Opened<'_>, OpenError> {
        self.within(timeout, len, || Ok(Buffer::new(self.room.arena(), len)?))
    }

    /// Fills `bytes` from the vault's generator.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child.
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.check_process()?;
        self.room.arena().fill_random(bytes);
        Ok(())
    }

    /// Draws new shares of the key; see [`Enclave::refresh`]. Does nothing in a forked child.
    pub fn refresh(&self) {
        if !self.room.is_inherited() {
            self.enclave.refresh();
        }
    }

    /// Wipes the key: all that was sealed is unreadable for good. What is open stays open.
    pub fn destroy(&self) {
        if !self.room.is_inherited() {
            self.enclave.destroy();
        }
    }

    /// Checks every canary and every free byte; see [`Arena::verify`](strongroom_core::Arena::verify).
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn verify(&self) -> Result<(), Fault> {
        if self.room.is_inherited() { Ok(()) } else { self.room.arena().verify() }
    }

    /// What the locked memory holds; see [`Arena::stats`](strongroom_core::Arena::stats). Two of
    /// the live secrets are the shares of the key. `None` in a forked child.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        (!self.room.is_inherited()).then(|| self.room.arena().stats())
    }

    /// The bytes that are locked.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.room.bytes()
    }

    /// How many secrets are open now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many callers are waiting for room now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.queue.len()
    }

    /// What the operating system has granted for the locked memory.
    #[must_use]
    pub fn protections(&self) -> Protections {
        self.room.protections()
    }

    fn check_process(&self) -> Result<(), OpenError> {
        if self.room.is_inherited() { Err(OpenError::Forked) } else { Ok(()) }
    }

    fn now<'v>(
        &'v self,
        len: usize,
        open: impl Fn() -> Result<Buffer<'v>, OpenError>,
    ) -> Result<Opened<'v>, OpenError> {
        self.check_process()?;
        if !self.queue.is_empty() {
            return Err(OpenError::Full(self.shortage(len)));
        }
        open().map(|buffer| self.opened(buffer)).map_err(|error| self.explain(error, len))
    }

    fn within<'v>(
        &'v self,
        timeout: Duration,
        len: usize,
        open: impl Fn() -> Result<Buffer<'v>, OpenError>,
    ) -> Result<Opened<'v>, OpenError> {
        let begun = Instant::now();
        let settled = self.now(len, &open);
        if !matches!(settled, Err(OpenError::Full(_))) {
            return settled;
        }
        let opened = self.queue.wait(begun.checked_add(timeout), || match open() {
            Err(error) if error.is_shortage() => None,
            settled => Some(settled),
        });
        match opened {
            Some(settled) => settled.map(|buffer| self.opened(buffer)),
            None => {
                let waited = begun.elapsed();
                Err(OpenError::TimedOut { waited, shortage: self.shortage(len) })
            }
        }
    }

    fn opened<'v>(&'v self, buffer: Buffer<'v>) -> Opened<'v> {
        self.held.fetch_add(1, Ordering::Relaxed);
        Opened { buffer: ManuallyDrop::new(buffer), vault: self }
    }

    fn explain(&self, error: OpenError, len: usize) -> OpenError {
        if error.is_shortage() { OpenError::Full(self.shortage(len)) } else { error }
    }

    fn shortage(&self, requested: usize) -> Shortage {
        Shortage {
            requested,
            held: self.held(),
            capacity: self.room.arena().capacity(),
            waiters: self.queue.len(),
        }
    }
}

impl Debug for Vault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("budget", &self.budget())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if !self.room.is_inherited() {
            // SAFETY: the enclave is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.enclave) };
        }
        // SAFETY: the room is not used after this; the enclave, its user, is gone or forgotten.
        unsafe { ManuallyDrop::drop(&mut self.room) };
    }
}

/// A secret that is open in a vault's locked memory. Dropping it wipes it and makes room for those
/// who wait.
pub struct Opened<'v> {
    buffer: ManuallyDrop<Buffer<'v>>,
    vault: &'v Vault,
}

impl Opened<'_> {
    /// The secret.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        self.buffer.expose_secret()
    }

    /// The secret, to be changed.
    #[must_use]
    pub fn expose_secret_mut(&mut self) -> &mut [u8] {
        self.buffer.expose_secret_mut()
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[u8]) -> bool {
        self.buffer.constant_time_eq(other)
    }

    /// Seals the secret where it is open; see [`Vault::seal`].
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed<Box<[u8]>>, SealError> {
        self.vault.seal(self.expose_secret(), context)
    }

    /// Wipes the secret and makes room, like a drop, but returns damage as a value.
    ///
    /// # Errors
    /// The [`Fault`], if something wrote past an end of the secret.
    pub fn release(self) -> Result<(), Fault> {
        let mut opened = ManuallyDrop::new(self);
        if opened.vault.room.is_inherited() {
            return Ok(());
        }
        // SAFETY: `opened` is never dropped nor used after this.
        let released = unsafe { ManuallyDrop::take(&mut opened.buffer) }.release();
        opened.vault.make_room();
        released
    }
}

impl Vault {
    fn make_room(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.queue.wake();
    }
}

impl Debug for Opened<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        /// Makes room even if the fault handler panics.
        struct MakeRoom<'v>(&'v Vault);
        impl Drop for MakeRoom<'_> {
            fn drop(&mut self) {
                self.0.make_room();
            }
        }
        if self.vault.room.is_inherited() {
            return;
        }
        let _after = MakeRoom(self.vault);
        // SAFETY: the buffer is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.buffer) };
    }
}

#[cfg(test)]
mod tests;
