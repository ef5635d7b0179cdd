//! The vault: locked pages that grow with the load, an enclave, and a line for those who wait.

mod builder;
mod error;
mod metrics;
mod opened;
mod opener;
mod queue;
mod room;
mod rooms;
mod sync;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_core::{Arena, Buffer, Enclave, Fault, Sealed, Stats};

pub use self::builder::{Builder, Policy};
pub use self::error::{OpenError, SealError, Shortage, VaultError};
pub use self::metrics::Metrics;
pub use self::opened::Opened;
pub use self::opener::{Opening, Reserve};

use self::builder::Options;
use self::metrics::Counts;
use self::opener::{Opener, Reserved};
use self::queue::Queue;
use self::room::Room;
use self::rooms::{Held, Rooms};
use crate::emergency;
use crate::error::LockError;
use crate::pages::Protections;
use crate::park::Park;

/// Seals any number of secrets into ordinary memory, and opens them into locked memory under a
/// budget.
///
/// It is `Sync`; share it by reference or in an `Arc`, or [install](Builder::install) one for the
/// whole process.
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
/// # The budget
/// A vault locks its budget's floor from the start. When that is full it locks more, up to the
/// ceiling, and gives it back when nothing has been open there for a while. An open secret is never
/// moved.
///
/// # When the budget is full
/// [`try_open`](Self::try_open) answers at once; [`open_timeout`](Self::open_timeout) waits for
/// somebody to drop an open secret, and so does [`open`](Self::open), as a future. Those who wait are
/// served in the order in which they came, and nobody overtakes them: while anyone waits, `try_open`
/// says that the budget is full. So one who waits for room for a long secret holds up those who wait
/// for a short one behind it.
///
/// # Forked children
/// A forked child sees nothing of a vault's locked memory. There, every call that would need it
/// returns an error at once; dropping a vault or an open secret is harmless, and the child may make
/// a vault of its own.
pub struct Vault {
    /// Lies in the first room; goes before it.
    enclave: ManuallyDrop<Enclave<'static, Park>>,
    first: Arc<Room>,
    rooms: Rooms,
    reserves: BTreeMap<String, Reserved>,
    /// The longest secret in bytes that can ever be open.
    longest: usize,
    queue: Queue,
    counts: Counts,
}

impl Vault {
    /// A vault that locks `budget` bytes, rounded up to whole pages, no less and no more.
    ///
    /// # Errors
    /// [`VaultError`] if so much cannot be locked, with the numbers and what to change, or if it is
    /// too little to open anything.
    pub fn new(budget: usize) -> Result<Self, VaultError> {
        Self::builder().budget(budget..=budget).build()
    }

    /// A builder, for a budget that grows, for reserves and for policies.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn with(options: Options) -> Result<Self, VaultError> {
        let (floor, ceiling) = (options.floor, options.ceiling);
        if ceiling < floor {
            return Err(VaultError::CeilingBelowFloor { floor, ceiling });
        }
        let first = Arc::new(Room::new(floor, &options)?);
        // SAFETY: the enclave is dropped, or forgotten, before the first room (see `drop`).
        let arena = unsafe { first.arena_for_owner() };
        let enclave = Enclave::new(arena).map_err(VaultError::NoRoomForKey)?;
        let named = |(name, &bytes): (&String, &usize)| {
            let room = Arc::new(Room::new(bytes, &options)?);
            let longest = room.longest();
            Ok((name.clone(), Reserved { room, longest, queue: Queue::default() }))
        };
        let reserves = options.reserves.iter().map(named).collect::<Result<_, VaultError>>()?;
        // With the key in its place.
        let rooms = Rooms::new(Arc::clone(&first), options);
        Ok(Self {
            enclave: ManuallyDrop::new(enclave),
            reserves,
            longest: rooms.longest(),
            rooms,
            first,
            queue: Queue::default(),
            counts: Counts::default(),
        })
    }

    /// Seals `secret`. `context` says what it is for; opening takes the same again.
    ///
    /// The record is on the heap and takes 24 bytes more than the secret.
    ///
    /// # Errors
    /// [`SealError`].
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
        self.check_process()?;
        Ok(self.enclave.seal(secret, context, storage)?)
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
        let open = self.opening(sealed, context);
        self.everybody(Self::check_key).now(sealed.secret_len(), &open)
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
        let open = self.opening(sealed, context);
        self.everybody(Self::check_key).within(timeout, sealed.secret_len(), &open)
    }

    /// Opens a sealed secret as a future, which waits for room without end and without a thread.
    ///
    /// It works under any runtime. Dropping it at any point is safe and gives its place in line to
    /// the next; bound the wait with the runtime's own timeout.
    pub fn open<'v, 's, S: AsRef<[u8]>>(
        &'v self,
        sealed: &'s Sealed<S>,
        context: &'s [u8],
    ) -> Opening<'v, 's, S> {
        Opening::new(self, sealed, context)
    }

    /// Room for a new secret of `len` bytes, all zero, to be filled in place; or says at once why
    /// there is none.
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open`](Self::try_open).
    pub fn try_allocate(&self, len: usize) -> Result<Opened<'_>, OpenError> {
        self.everybody(Self::check_process).now(len, &|arena| Ok(Buffer::new(arena, len)?))
    }

    /// Room for a new secret of `len` bytes, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`OpenError`], as [`open_timeout`](Self::open_timeout).
    pub fn allocate_timeout(&self, len: usize, timeout: Duration) -> Result<Opened<'_>, OpenError> {
        let open = |arena| Ok(Buffer::new(arena, len)?);
        self.everybody(Self::check_process).within(timeout, len, &open)
    }

    /// The reserve of that name, if the vault was [built](Builder::reserve) with one.
    ///
    /// ```
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::builder().reserve("signer", 4096).build()?;
    /// let sealed = vault.seal(b"signing key", b"")?;
    /// let mut held = Vec::new();
    /// while let Ok(opened) = vault.try_open(&sealed, b"") {
    ///     held.push(opened);
    /// }
    /// // The common memory is full; the signer goes on.
    /// let key = vault.reserve("signer").ok_or("no such reserve")?.try_open(&sealed, b"")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reserve(&self, name: &str) -> Option<Reserve<'_>> {
        self.reserves.get(name).map(|own| Reserve { vault: self, own })
    }

    /// Fills `bytes` from the vault's generator.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency.
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.check_process()?;
        self.first.arena().fill_random(bytes);
        Ok(())
    }

    /// Draws new shares of the key; see [`Enclave::refresh`]. Does nothing in a forked child.
    pub fn refresh(&self) {
        if self.check_process().is_ok() {
            self.enclave.refresh();
        }
    }

    /// Wipes the key: all that was sealed is unreadable for good, and those who wait to open it are
    /// told at once. What is open stays open.
    pub fn destroy(&self) {
        if self.check_process().is_ok() {
            self.enclave.destroy();
            self.wake_lines();
        }
    }

    /// Gives back at once all memory beyond the floor that nothing is open in, without waiting
    /// until it has been empty for a while.
    pub fn trim(&self) {
        if self.check_process().is_ok() {
            self.rooms.trim(Duration::ZERO);
        }
    }

    /// Checks every canary and every free byte; see [`Arena::verify`]. There is nothing to check in
    /// a forked child.
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn verify(&self) -> Result<(), Fault> {
        self.all_rooms().iter().try_for_each(|room| room.arena().verify())
    }

    /// What each stretch of locked memory holds, oldest first, reserves last; see [`Arena::stats`].
    /// Two of the first one's secrets are the shares of the key. Empty in a forked child.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.all_rooms().iter().map(|room| room.arena().stats()).collect()
    }

    /// The most bytes that the vault locks, reserves not counted.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.rooms.options().ceiling.max(self.first.pages().bytes())
    }

    /// How many secrets are open now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.counts.held.load(Ordering::Relaxed)
    }

    /// How many callers are waiting for room now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.queue.len() + self.reserves.values().map(|own| own.queue.len()).sum::<usize>()
    }

    /// What the operating system has granted for all of the locked memory.
    #[must_use]
    pub fn protections(&self) -> Protections {
        let rooms = self.all_rooms();
        let each = rooms.iter().map(|room| room.pages().protections());
        each.reduce(weaker).unwrap_or(self.first.pages().protections())
    }

    /// Why some of the memory is not locked; `None` if all is, as under [`Policy::Require`] always.
    #[must_use]
    pub fn lock_refusal(&self) -> Option<LockError> {
        self.all_rooms().iter().find_map(|room| room.pages().lock_refusal().cloned())
    }

    /// Why the system would not lock more when the vault last had to grow within its budget, and
    /// what to change; `None` if it did, or was never asked. Waits while the vault is growing.
    #[must_use]
    pub fn growth_refusal(&self) -> Option<LockError> {
        self.check_process().ok().and_then(|()| self.rooms.refusal())
    }

    fn all_rooms(&self) -> Vec<Arc<Room>> {
        if self.check_process().is_err() {
            return Vec::new();
        }
        let mut rooms = self.rooms.read().clone();
        rooms.extend(self.reserves.values().map(|reserved| Arc::clone(&reserved.room)));
        rooms
    }

    fn everybody(&self, check: fn(&Self) -> Result<(), OpenError>) -> Opener<'_> {
        Opener { vault: self, own: None, check }
    }

    /// How `sealed` is opened into an arena.
    fn opening<'s, S: AsRef<[u8]>>(
        &'s self,
        sealed: &'s Sealed<S>,
        context: &'s [u8],
    ) -> impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError> + 's
    {
        move |arena| Ok(self.enclave.open_in(arena, sealed, context)?)
    }

    /// Whether this is the process that made the vault, and the vault is still there. Asks no lock.
    fn check_process(&self) -> Result<(), OpenError> {
        if self.first.is_inherited() {
            Err(OpenError::Forked)
        } else if emergency::is_wiped() {
            Err(OpenError::Destroyed)
        } else {
            Ok(())
        }
    }

    /// The same, and whether there still is a key to open anything with.
    fn check_key(&self) -> Result<(), OpenError> {
        self.check_process()?;
        if self.enclave.is_destroyed() { Err(OpenError::Destroyed) } else { Ok(()) }
    }

    fn opened(&self, held: Held) -> Opened<'_> {
        self.counts.opened();
        Opened::new(held, self)
    }

    /// Tells those who wait that a secret was dropped in `room`.
    fn make_room(&self, room: &Room) {
        room.release(|| self.rooms.now());
        self.counts.held.fetch_sub(1, Ordering::Relaxed);
        self.wake_lines();
    }

    /// Has the first of each line try again.
    fn wake_lines(&self) {
        self.queue.wake();
        self.reserves.values().for_each(|own| own.queue.wake());
    }

    fn shortage(&self, requested: usize, queue: &Queue) -> Shortage {
        let capacity = self.rooms.read().iter().map(|room| room.arena().capacity()).sum();
        Shortage {
            requested,
            held: self.held(),
            capacity,
            waiters: queue.len(),
            growth_refused: self.rooms.is_refused(),
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
        // In a forked child and after an emergency the enclave's cells hold nothing to give back.
        if self.check_process().is_ok() {
            // SAFETY: the enclave is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.enclave) };
        }
    }
}

/// What holds for memory under `one` and for memory under `other`.
fn weaker(mut one: Protections, other: Protections) -> Protections {
    one.locked &= other.locked;
    one.dump_excluded &= other.dump_excluded;
    one.guarded &= other.guarded;
    one.secret_memory &= other.secret_memory;
    if one.fork_hidden() {
        one.fork_view = other.fork_view;
    }
    one
}

#[cfg(test)]
mod tests;
