//! A store: names to sealed secrets.

#[expect(unsafe_code, reason = "shows one value to all who are counted as its readers")]
mod cell;
mod entry;
mod error;
mod name;
#[expect(unsafe_code, reason = "shows names to those who look, and frees them once nobody does")]
mod names;
mod shared;
mod sync;

use std::borrow::Borrow;
use std::fmt::{self, Debug, Formatter};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytemuck::{NoUninit, Pod};
use strongroom_core::Enclave;

pub use self::error::StoreError;
pub use self::name::Name;
pub use self::shared::SharedOpened;

use self::entry::{Entry, Hint, Identity, Word};
use self::names::{Looking, Names, NotInserted};
use self::shared::{Attempt, Current, SharedCells};
use crate::records::{Slab, still};
use crate::vault::{
    Chance, Keeper, OpenError, Opener, OwnedOpened, Sealed, Shape, Share, Topic, Vault, Waiting,
    Wish,
};

/// Names to secrets: sealed in ordinary memory, side by side, and opened in a vault.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use strongroom::{Store, Vault};
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let store = Store::new(vault.share());
///
/// store.insert("db/password".to_owned(), b"hunter2")?;
/// let password = store.open_timeout("db/password", Duration::from_secs(1))?;
/// assert_eq!(*password.expose_secret(), *b"hunter2");
///
/// // Rotation: from here on the name opens as the new one; what is open stays what it was.
/// let version = store.replace("db/password", b"correct horse")?;
/// assert_eq!((version, password.version()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is bound to a secret
/// Its name's bytes, its version, when it expires, and a number that no other name in the process ever
/// had, are authenticated with it. A record that is put in another's place, or an older one in the place
/// of a newer, does not open ([`OpenError::Tampered`]).
///
/// # Who reads together
/// Those who open the same name at the same time read the same memory: a thousand threads that use one
/// password take one place in the vault, and it is decrypted once. They read and cannot change; who
/// wants to change a secret, or to have it as a value, opens it [alone](Self::try_open_alone). When one
/// is just being opened another waits for that for some microseconds, and then opens it for itself.
///
/// # What it takes
/// A record takes what it is long (24 bytes more than the secret) rounded up to 8 bytes, a little more
/// beyond 128 bytes or if it expires. The name's entry is apart. Memory that was used for records once
/// is used again for others of about the same length, and is given back when the store is dropped.
///
/// # Threads
/// No lock is held while a name is looked up, while a secret is opened, or while a closure of the
/// caller's runs. A secret that is replaced opens as the old one or as the new at every moment; once
/// [`replace`](Self::replace), [`put`](Self::put) or [`remove`](Self::remove) has returned, nothing that
/// is begun opens the old one.
///
/// # Forked children
/// As for a [`Vault`]: there, every call that would open something returns [`OpenError::Forked`].
pub struct Store<N> {
    /// Goes before the vault's share in the cells.
    names: Names<N>,
    slab: Slab,
    cells: Arc<SharedCells>,
    secrets: AtomicUsize,
    most: usize,
    /// Something was put in for a time.
    may_expire: AtomicBool,
}

/// What a store holds and has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreMetrics {
    /// Names that stand for a secret; those that have expired count until they are found to have.
    pub secrets: usize,
    /// Bytes of ordinary memory for records, those that are free again included, names and their entries
    /// not.
    pub record_bytes: usize,
    /// Secrets that are open now, each counted once however many read it.
    pub open: usize,
    /// Of these, those that nobody reads and that [linger](Store::with_lingering).
    pub lingering: usize,
    /// How often a secret was decrypted to be read by whoever asks.
    pub decryptions: u64,
    /// How often one that lingered was given up because room was needed, or the vault was destroyed.
    pub given_up: u64,
}

impl<N> Store<N> {
    /// An empty store, whose secrets are sealed and opened in the share's vault, or, if it is that of a
    /// reserve, in that.
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self::with_capacity(share, 0)
    }

    /// The same, with room for the names of `capacity` secrets, if there is memory for that: the store
    /// does not grow for them. More can be put in.
    #[must_use]
    pub fn with_capacity(share: Share, capacity: usize) -> Self {
        Self {
            names: Names::with_capacity(capacity),
            slab: Slab::new(),
            cells: SharedCells::new(share, Duration::ZERO),
            secrets: AtomicUsize::new(0),
            most: usize::MAX,
            may_expire: AtomicBool::new(false),
        }
    }

    /// Lets a secret stay open for so long after its last reader has dropped it: whoever asks for it
    /// meanwhile has it at once, without decryption. In whole milliseconds; no secret does unless this is
    /// called, for it lengthens the time for which a plaintext can be found.
    ///
    /// What lingers is in nobody's way. When there is no room for another secret in the vault, whoever it
    /// is for, those that were not used for the longest time are given up at once (to within 20 milliseconds,
    /// and of each store on the vault its own). A secret that is replaced, is removed or expires lingers no longer,
    /// and after [`Vault::destroy`] none does. A thread (`strongroom-linger`) looks after them every 5 to
    /// 20 milliseconds, and ends a second after none is left; where none can be had, nothing lingers.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use strongroom::{Store, Vault};
    ///
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let store = Store::new(vault.share()).with_lingering(Duration::from_secs(1));
    /// store.insert("token", b"hunter2")?;
    /// for _ in 0..1000 {
    ///     store.try_open("token")?;
    /// }
    /// assert_eq!(store.metrics().decryptions, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_lingering(mut self, time: Duration) -> Self {
        self.cells = SharedCells::new(self.cells.share().clone(), time);
        self
    }

    /// Has the store refuse more than `most` secrets ([`StoreError::Full`]). Without this it holds what
    /// memory holds, and 2³² records at the most.
    #[must_use]
    pub fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        self.cells.share().vault()
    }

    /// How many names stand for a secret; those that have expired count until they are found to have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.secrets.load(Ordering::Relaxed)
    }

    /// Whether no name stands for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts what the store holds and has seen.
    #[must_use]
    pub fn metrics(&self) -> StoreMetrics {
        let (open, lingering) = self.cells.count();
        StoreMetrics {
            secrets: self.len(),
            record_bytes: self.slab.bytes(),
            open,
            lingering,
            decryptions: self.cells.decryptions(),
            given_up: self.cells.given_up.load(Ordering::Relaxed),
        }
    }
}

/// Putting in and taking out.
impl<N: Name> Store<N> {
    /// Seals a secret under a name that stands for none. It has version 1.
    ///
    /// What is to be read from elsewhere is read into the vault first
    /// ([`Vault::read_to_end`], [`Vault::reader`]) and inserted from there.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the name stands for one; [`StoreError::Full`]; [`StoreError::Seal`].
    pub fn insert(&self, name: N, secret: &[u8]) -> Result<u32, StoreError> {
        self.insert_until(name, secret, NEVER)
    }

    /// The same, for `time`: after that the name stands for nothing. In whole milliseconds. The record of
    /// a secret that has expired is dropped when somebody asks for it, or by
    /// [`remove_expired`](Self::remove_expired).
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub fn insert_for(&self, name: N, secret: &[u8], time: Duration) -> Result<u32, StoreError> {
        self.insert_until(name, secret, self.expiry(time))
    }

    /// Seals a value's bytes under a name that stands for nothing; see [`insert`](Self::insert) and
    /// [`Vault::seal_value`].
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub fn insert_value<T: NoUninit>(&self, name: N, value: &T) -> Result<u32, StoreError> {
        self.insert(name, bytemuck::bytes_of(value))
    }

    /// Puts another secret in the place of a name's, and says which version that is. At every moment the
    /// name opens as one of the two.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::VersionsUsedUp`], [`StoreError::Seal`].
    pub fn replace<Q>(&self, name: &Q, secret: &[u8]) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.replace_if(name.name_bytes(), secret, NEVER, None)
    }

    /// The same, for `time`: see [`insert_for`](Self::insert_for).
    ///
    /// # Errors
    /// As for [`replace`](Self::replace).
    pub fn replace_for<Q>(&self, name: &Q, secret: &[u8], time: Duration) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.replace_if(name.name_bytes(), secret, self.expiry(time), None)
    }

    /// The same, if the name's secret has this `version` still: for those who have read it and made the
    /// new one of it.
    ///
    /// # Errors
    /// [`StoreError::OtherVersion`] if it was replaced meanwhile; and as for [`replace`](Self::replace).
    pub fn replace_version<Q>(
        &self,
        name: &Q,
        version: u32,
        secret: &[u8],
    ) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.replace_if(name.name_bytes(), secret, NEVER, Some(version))
    }

    /// Seals a secret under a name, in the place of another or of none, and says which version it is.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert) and [`replace`](Self::replace), but never that it exists or does
    /// not.
    pub fn put<Q>(&self, name: &Q, secret: &[u8]) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ToOwned<Owned = N> + ?Sized,
    {
        self.put_until(name, secret, NEVER)
    }

    /// The same, for `time`: see [`insert_for`](Self::insert_for).
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn put_for<Q>(&self, name: &Q, secret: &[u8], time: Duration) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ToOwned<Owned = N> + ?Sized,
    {
        self.put_until(name, secret, self.expiry(time))
    }

    /// Removes a name and its secret; whether there was one. What is open of it stays open for those who
    /// have it.
    pub fn remove<Q>(&self, name: &Q) -> bool
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        if self.vault().is_inherited() {
            return false;
        }
        let names = self.names.look();
        let name = name.name_bytes();
        while let Some((entry, word)) = self.live(&names, name) {
            if self.end(&names, name, entry, word) {
                return true;
            }
        }
        false
    }

    /// Removes all whose time is over, and says how many those were: for names that nobody asks for any
    /// more. It walks over all names.
    pub fn remove_expired(&self) -> usize {
        if self.vault().is_inherited() {
            return 0;
        }
        let names = self.names.look();
        let expired = names.iter().filter(|(name, entry)| {
            let word = entry.word().filter(|&word| self.has_expired(entry, word));
            word.is_some_and(|word| self.end(&names, name.name_bytes(), entry, word))
        });
        expired.count()
    }

    /// Calls `look` with each name and the version of its secret, in no order. What is put in or removed
    /// meanwhile may be missed or not.
    pub fn for_each_name(&self, mut look: impl FnMut(&N, u32)) {
        for (name, entry) in self.names.look().iter() {
            if let Some(word) = entry.word().filter(|&word| !self.has_expired(entry, word)) {
                look(name, word.version());
            }
        }
    }

    /// The version of a name's secret; `None` if it stands for none.
    #[must_use]
    pub fn version<Q>(&self, name: &Q) -> Option<u32>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        if self.vault().is_inherited() {
            return None;
        }
        self.live(&self.names.look(), name.name_bytes()).map(|(_, word)| word.version())
    }

    /// Whether a name stands for a secret.
    #[must_use]
    pub fn contains<Q>(&self, name: &Q) -> bool
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.version(name).is_some()
    }

    fn insert_until(&self, name: N, secret: &[u8], expires: u64) -> Result<u32, StoreError> {
        self.cells.share().check()?;
        let names = self.names.look();
        let counted = Counted::new(&self.secrets, self.most);
        // Otherwise it is seen below, in one look at the name.
        if (counted.is_err() || self.may_expire.load(Ordering::Relaxed))
            && let Some((_, word)) = self.live(&names, name.name_bytes())
        {
            return Err(StoreError::Exists { version: word.version() });
        }
        let counted = counted?;
        let identity = Identity { birth: Entry::birth(), version: 1 };
        let word = self.seal(secret, identity, expires, name.name_bytes())?;
        if let Err(error) = names.insert(name, identity.birth, word) {
            self.slab.free(word.slot());
            return Err(match error {
                NotInserted::Present(present) => StoreError::Exists { version: present.version() },
                NotInserted::NoMemory => StoreError::Full { most: self.len() },
            });
        }
        counted.keep();
        Ok(identity.version)
    }

    fn put_until<Q>(&self, name: &Q, secret: &[u8], expires: u64) -> Result<u32, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ToOwned<Owned = N> + ?Sized,
    {
        loop {
            match self.replace_if(name.name_bytes(), secret, expires, None) {
                Err(StoreError::NotFound) => {}
                settled => return settled,
            }
            match self.insert_until(name.to_owned(), secret, expires) {
                Err(StoreError::Exists { .. }) => {}
                settled => return settled,
            }
        }
    }

    fn replace_if(
        &self,
        name: &[u8],
        secret: &[u8],
        expires: u64,
        version: Option<u32>,
    ) -> Result<u32, StoreError> {
        self.cells.share().check()?;
        let names = self.names.look();
        loop {
            let (entry, old) = self.live(&names, name).ok_or(StoreError::NotFound)?;
            if version.is_some_and(|version| version != old.version()) {
                return Err(StoreError::OtherVersion { version: old.version() });
            }
            let version = old.version().checked_add(1).ok_or(StoreError::VersionsUsedUp)?;
            let identity = Identity { birth: entry.birth, version };
            let new = self.seal(secret, identity, expires, name)?;
            if entry.replace(old, Some(new)) {
                names.note_record(name, entry.birth, new.slot());
                self.release(entry, old);
                return Ok(version);
            }
            self.slab.free(new.slot());
        }
    }

    /// What a name stands for. If its time is over, it is removed.
    #[inline]
    fn live<'g>(&self, names: &'g Looking<'_, N>, name: &[u8]) -> Option<(&'g Entry, Word)> {
        loop {
            let entry = names.get(name)?;
            let word = entry.word()?;
            if !self.has_expired(entry, word) {
                return Some((entry, word));
            }
            self.end(names, name, entry, word);
        }
    }

    #[inline]
    fn has_expired(&self, entry: &Entry, word: Word) -> bool {
        // Of another record, if this one's slot was given up meanwhile.
        self.cells.is_over(self.slab.expires(word.slot())) && still(&entry.word, word.0)
    }

    /// Ends what a name stands for, unless others have changed that.
    fn end(&self, names: &Looking<'_, N>, name: &[u8], entry: &Entry, word: Word) -> bool {
        if !entry.replace(word, None) {
            return false;
        }
        self.release(entry, word);
        names.remove(name, entry.birth);
        self.secrets.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Gives up what a name stands for no more.
    fn release(&self, entry: &Entry, old: Word) {
        self.cells.retire(&entry.hint, Identity { birth: entry.birth, version: old.version() });
        self.slab.free(old.slot());
    }

    fn seal(
        &self,
        secret: &[u8],
        identity: Identity,
        expires: u64,
        name: &[u8],
    ) -> Result<Word, StoreError> {
        let record_len = Enclave::record_len(secret.len());
        let (mut few, mut many) = ([0; SHORT_RECORD], Vec::new());
        let record = if let Some(few) = few.get_mut(..record_len) {
            few
        } else {
            many.resize(record_len, 0);
            &mut many[..]
        };
        let vault = self.vault();
        let sealed = with_context(identity, expires, name, |context| {
            vault.seal_into(secret, context, record)
        })?;
        if expires != NEVER {
            self.may_expire.store(true, Ordering::Relaxed);
        }
        let slot = self.slab.put(sealed.record(), expires);
        let slot = slot.ok_or(StoreError::Full { most: self.len() })?;
        Ok(Word::new(slot, identity.version))
    }

    /// The clock's time at which what is put in now expires.
    fn expiry(&self, time: Duration) -> u64 {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.cells.now().saturating_add(millis)
    }
}

/// Opening for all who ask: see [who reads together](Store#who-reads-together).
impl<N: Name> Store<N> {
    /// Opens a name's secret, or says at once why not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Open`] as [`Vault::try_open`], but what is open already
    /// needs no room.
    #[inline]
    pub fn try_open<Q>(&self, name: &Q) -> Result<SharedOpened<'_>, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.cells.share().at_once(Together::new(self, name.name_bytes(), false))
    }

    /// Opens a name's secret, waiting up to `timeout` for room, or for another to open it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Open`] as [`Vault::open_timeout`].
    pub fn open_timeout<Q>(
        &self,
        name: &Q,
        timeout: Duration,
    ) -> Result<SharedOpened<'_>, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.cells.share().in_time(Together::new(self, name.name_bytes(), true), timeout)
    }

    /// Opens a name's secret as a future; see [`Vault::open`].
    pub fn open<'s, 'q, Q>(&'s self, name: &'q Q) -> OpeningShared<'s, 'q, N>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        OpeningShared { together: Together::new(self, name.name_bytes(), false), waiting: None }
    }

    /// Calls `see` with what a name stands for.
    #[inline]
    fn see<R>(
        &self,
        name: &[u8],
        see: impl FnOnce(&Standing<'_, N>) -> R,
    ) -> Result<R, StoreError> {
        let names = self.names.look();
        let found = names.get_and_fetch(name, |slot| self.slab.fetch(slot));
        let entry = found.ok_or(StoreError::NotFound)?;
        let word = entry.word().ok_or(StoreError::NotFound)?;
        Ok(see(&Standing { store: self, entry, word, name }))
    }

    /// Ends what a name stands for if its time is over.
    fn end_expired(&self, name: &[u8]) {
        self.live(&self.names.look(), name);
    }
}

/// Opening for one alone, who may change what is open: that changes no record. What is open so has room
/// and is decrypted for itself, as by [`Share::try_open`]; it may outlive the store.
impl<N: Name> Store<N> {
    /// Opens a name's secret alone, or says at once why not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Open`] as [`Vault::try_open`].
    pub fn try_open_alone<Q>(&self, name: &Q) -> Result<OwnedOpened, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        let share = self.cells.share();
        self.open_in_place(name.name_bytes(), |record, context| share.try_open(record, context))
    }

    /// Opens a name's secret alone, waiting up to `timeout` for room.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Open`] as [`Vault::open_timeout`].
    pub fn open_alone_timeout<Q>(
        &self,
        name: &Q,
        timeout: Duration,
    ) -> Result<OwnedOpened, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.open_all_timeout([name], timeout).map(|[opened]| opened)
    }

    /// Opens a name's secret alone, as a future.
    ///
    /// # Errors
    /// [`StoreError`], from the future.
    pub async fn open_alone<Q>(&self, name: &Q) -> Result<OwnedOpened, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.open_all([name]).await.map(|[opened]| opened)
    }

    /// Opens the secrets of several names, all or none; or says at once why not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if one of them stands for nothing; [`StoreError::Open`] as
    /// [`Vault::try_open_all`].
    pub fn try_open_all<Q, const M: usize>(
        &self,
        names: [&Q; M],
    ) -> Result<[OwnedOpened; M], StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        self.while_current(names.map(Name::name_bytes), |records| {
            self.cells.share().try_open_all(records)
        })
    }

    /// Opens the secrets of several names, all or none, waiting up to `timeout` for room for all.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if one of them stands for nothing; [`StoreError::Open`] as
    /// [`Vault::open_all_timeout`].
    pub fn open_all_timeout<Q, const M: usize>(
        &self,
        names: [&Q; M],
        timeout: Duration,
    ) -> Result<[OwnedOpened; M], StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        let left = countdown(timeout);
        self.while_current(names.map(Name::name_bytes), |records| {
            self.cells.share().open_all_timeout(records, left())
        })
    }

    /// Opens the secrets of several names, all or none, as a future.
    ///
    /// # Errors
    /// [`StoreError`], from the future.
    pub async fn open_all<Q, const M: usize>(
        &self,
        names: [&Q; M],
    ) -> Result<[OwnedOpened; M], StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        let names = names.map(Name::name_bytes);
        loop {
            let taken = self.take_records(names)?;
            let opened = self.cells.share().open_all(taken.each_ref().map(Taken::lent)).await;
            if let Some(settled) = self.settled(names, &taken, opened) {
                return settled;
            }
        }
    }

    /// Opens a name's secret alone as a value; see [`Opener::try_open_value`].
    ///
    /// # Errors
    /// As for [`try_open_alone`](Self::try_open_alone), and [`strongroom_core::OpenError::OtherSize`] if the
    /// secret is not as long as a `T`.
    pub fn try_open_value<T: Pod, Q>(&self, name: &Q) -> Result<OwnedOpened<T>, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        let share = self.cells.share();
        self.open_in_place(name.name_bytes(), |record, context| {
            share.try_open_value(record, context)
        })
    }

    /// Opens a name's secret alone as a value, waiting up to `timeout` for room.
    ///
    /// # Errors
    /// As for [`try_open_value`](Self::try_open_value).
    pub fn open_value_timeout<T: Pod, Q>(
        &self,
        name: &Q,
        timeout: Duration,
    ) -> Result<OwnedOpened<T>, StoreError>
    where
        N: Borrow<Q>,
        Q: Name + ?Sized,
    {
        let left = countdown(timeout);
        let opened = self.while_current([name.name_bytes()], |[(record, context)]| {
            let opened = self.cells.share().open_value_timeout(record, context, left());
            opened.map(|opened| [opened])
        });
        opened.map(|[opened]| opened)
    }

    /// Opens what a name stands for with `open`, which does not wait.
    fn open_in_place<T>(
        &self,
        name: &[u8],
        open: impl Fn(&Sealed<&[u8]>, &[u8]) -> Result<T, OpenError>,
    ) -> Result<T, StoreError> {
        self.cells.share().check()?;
        let opened = self.with_record(name, |_, record, context| open(record, context))?;
        opened.map_err(StoreError::from)
    }

    /// Calls `with` with what a name stands for: whose it is, its record and its context.
    fn with_record<R>(
        &self,
        name: &[u8],
        with: impl Fn(Identity, &Sealed<&[u8]>, &[u8]) -> R,
    ) -> Result<R, StoreError> {
        loop {
            let called = self.see(name, |current| {
                current.record(|record, context, expires| {
                    let is_over = self.cells.is_over(expires);
                    (!is_over).then(|| with(current.identity(), record, context))
                })
            })?;
            if let Some(called) = called.flatten() {
                return Ok(called);
            }
            self.end_expired(name);
        }
    }

    /// Opens what the names stand for, again if that was replaced meanwhile. It may wait, so what is opened
    /// is a copy.
    fn while_current<T, const M: usize>(
        &self,
        names: [&[u8]; M],
        open: impl Fn([(&Sealed<&[u8]>, &[u8]); M]) -> Result<[T; M], OpenError>,
    ) -> Result<[T; M], StoreError> {
        loop {
            let taken = self.take_records(names)?;
            let records = taken.each_ref().map(|taken| Sealed::from_record(&*taken.record));
            let mut contexts = taken.iter().map(|taken| &*taken.context);
            let lent =
                records.each_ref().map(|record| (record, contexts.next().unwrap_or_default()));
            if let Some(settled) = self.settled(names, &taken, open(lent)) {
                return settled;
            }
        }
    }

    /// What was opened, or why not; `None` if a name stands for something else by now.
    fn settled<T, const M: usize>(
        &self,
        names: [&[u8]; M],
        taken: &[Taken; M],
        opened: Result<[T; M], OpenError>,
    ) -> Option<Result<[T; M], StoreError>> {
        let is_final = !matches!(opened, Ok(_) | Err(OpenError::Tampered));
        let are_current = || {
            names.iter().zip(taken).all(|(name, taken)| {
                let is_it = |current: &Standing<'_, N>| current.identity() == taken.identity;
                self.see(name, is_it).is_ok_and(|is_it| is_it)
            })
        };
        (is_final || are_current()).then(|| opened.map_err(StoreError::from))
    }

    fn take_records<const M: usize>(&self, names: [&[u8]; M]) -> Result<[Taken; M], StoreError> {
        self.cells.share().check()?;
        let mut taken = [const { None }; M];
        for (place, name) in taken.iter_mut().zip(names) {
            *place = Some(self.with_record(name, |identity, record, context| Taken {
                identity,
                record: record.record().into(),
                context: context.into(),
            })?);
        }
        Ok(taken.map(|taken| taken.unwrap_or_else(|| unreachable!("each was taken"))))
    }
}

/// A copy of a name's record, with its context.
struct Taken {
    identity: Identity,
    record: Box<[u8]>,
    context: Box<[u8]>,
}

impl Taken {
    fn lent(&self) -> (Sealed<&[u8]>, &[u8]) {
        (Sealed::from_record(&self.record), &self.context)
    }
}

/// What a name stands for at one moment.
struct Standing<'g, N> {
    store: &'g Store<N>,
    entry: &'g Entry,
    word: Word,
    name: &'g [u8],
}

impl<N> Current for Standing<'_, N> {
    #[inline]
    fn identity(&self) -> Identity {
        Identity { birth: self.entry.birth, version: self.word.version() }
    }

    #[inline]
    fn hint(&self) -> &Hint {
        &self.entry.hint
    }

    #[inline]
    fn is_current(&self) -> bool {
        self.entry.word() == Some(self.word)
    }

    #[inline]
    fn record<R>(&self, open: impl FnOnce(&Sealed<&[u8]>, &[u8], u64) -> R) -> Option<R> {
        let copied = self.store.slab.copy(self.word.slot());
        if !still(&self.entry.word, self.word.0) {
            return None;
        }
        // A slot that there is not, or a length that it has not, is damage; no record opens as tampered.
        let (record, expires) =
            copied.as_ref().map_or((&[][..], NEVER), |copied| (copied.as_ref(), copied.expires()));
        let record = Sealed::from_record(record);
        Some(with_context(self.identity(), expires, self.name, |context| {
            open(&record, context, expires)
        }))
    }
}

/// To open a name's secret together with whoever else does.
struct Together<'s, 'q, N> {
    store: &'s Store<N>,
    name: &'q [u8],
    may_sleep: bool,
    /// Of the record that was tried last.
    len: usize,
    topic: Topic,
}

impl<'s, 'q, N> Together<'s, 'q, N> {
    fn new(store: &'s Store<N>, name: &'q [u8], may_sleep: bool) -> Self {
        Self { store, name, may_sleep, len: 0, topic: 0 }
    }
}

impl<'s, N: Name> Wish<'s> for Together<'s, '_, N> {
    type Granted = SharedOpened<'s>;
    type Error = StoreError;

    #[inline]
    fn attempt(&mut self, chance: Chance<'s>) -> Option<Result<SharedOpened<'s>, StoreError>> {
        let store = self.store;
        loop {
            let attempt = store.see(self.name, |current| {
                self.topic = current.identity().birth;
                let attempt = store.cells.open(current, chance, self.may_sleep);
                if let Attempt::NotNow = attempt {
                    self.len = store
                        .slab
                        .copy(current.word.slot())
                        .map_or(0, |copied| Sealed::from_record(copied).secret_len());
                }
                attempt
            });
            match attempt {
                Err(error) => return Some(Err(error)),
                Ok(Attempt::Opened(opened)) => return Some(Ok(opened)),
                Ok(Attempt::Failed(error)) => return Some(Err(error.into())),
                Ok(Attempt::Expired) => store.end_expired(self.name),
                Ok(Attempt::NotNow) => return None,
                Ok(Attempt::Changed) => {}
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape { len: self.len, secrets: 1 }
    }

    fn topic(&self) -> Topic {
        self.topic
    }
}

/// The future of [`Store::open`]. It can be dropped at any point: its place in line goes to the next.
///
/// # Errors
/// It gives what [`Store::open_timeout`] does, but is never out of time.
#[must_use = "a future does nothing until it is polled"]
pub struct OpeningShared<'s, 'q, N> {
    together: Together<'s, 'q, N>,
    /// The place in line, once there is one.
    waiting: Option<Waiting<'s>>,
}

impl<'s, N: Name> Future for OpeningShared<'s, '_, N> {
    type Output = Result<SharedOpened<'s>, StoreError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { together, waiting } = &mut *self;
        together.store.cells.share().in_turn(together, waiting, task)
    }
}

impl<N> Debug for OpeningShared<'_, '_, N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let waits = self.waiting.is_some();
        f.debug_struct("OpeningShared").field("waits", &waits).finish_non_exhaustive()
    }
}

impl<N> Drop for Store<N> {
    fn drop(&mut self) {
        // At once, even if whoever looks after them has hold of them.
        if !self.vault().is_inherited() {
            self.cells.give_up_all();
        }
    }
}

impl<N> Debug for Store<N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("secrets", &self.len())
            .field("vault", self.vault())
            .finish_non_exhaustive()
    }
}

/// Says each time how much is left of `timeout`.
fn countdown(timeout: Duration) -> impl Fn() -> Duration {
    let deadline = Instant::now().checked_add(timeout);
    move || deadline.map_or(timeout, |end| end.saturating_duration_since(Instant::now()))
}

/// One more secret, counted before it is put in, and not any more if it is not.
struct Counted<'s>(&'s AtomicUsize);

impl<'s> Counted<'s> {
    fn new(secrets: &'s AtomicUsize, most: usize) -> Result<Self, StoreError> {
        let more = |count| (count < most).then_some(count + 1);
        let counted = secrets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map(|_| Self(secrets)).map_err(|_| StoreError::Full { most })
    }

    fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a secret of a store is for: all that must be as it was when it is opened. The name comes last, so
/// that no two are the same bytes.
#[inline]
fn with_context<R>(
    identity: Identity,
    expires: u64,
    name: &[u8],
    with: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut few = [0; HEAD + SHORT_NAME];
    few[..16].copy_from_slice(b"strongroom store");
    few[16..24].copy_from_slice(&identity.birth.to_le_bytes());
    few[24..32].copy_from_slice(&expires.to_le_bytes());
    few[32..HEAD].copy_from_slice(&identity.version.to_le_bytes());
    let many;
    let context = if let Some(rest) = few[HEAD..].get_mut(..name.len()) {
        rest.copy_from_slice(name);
        &few[..HEAD + name.len()]
    } else {
        many = [&few[..HEAD], name].concat();
        &many[..]
    };
    with(context)
}

/// Bytes.
const HEAD: usize = 36;
const SHORT_NAME: usize = 92;
const SHORT_RECORD: usize = 128;

const NEVER: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store<String> {
        let vault = Arc::new(Vault::new(64 << 10).unwrap());
        Store::new(vault.share())
    }

    impl Store<String> {
        fn word_of(&self, name: &str) -> Word {
            self.names.look().get(name.as_bytes()).unwrap().word().unwrap()
        }

        fn opens(&self, name: &str) -> Result<Vec<u8>, StoreError> {
            let shared = self.try_open(name).map(|opened| opened.expose_secret().to_vec());
            let alone = self.try_open_alone(name).map(|opened| opened.expose_secret().to_vec());
            assert_eq!(shared, alone);
            shared
        }
    }

    const TAMPERED: Result<Vec<u8>, StoreError> = Err(StoreError::Open(OpenError::Tampered));

    #[test]
    fn a_record_opens_under_its_own_name_and_as_its_own_version_alone() {
        let store = store();
        store.insert("a".into(), &[1; 64]).unwrap();
        store.insert("b".into(), &[2; 64]).unwrap();
        let (first, second) = (store.word_of("a").slot(), store.word_of("b").slot());
        let (of_first, of_second) = (store.slab.words_of(first), store.slab.words_of(second));
        store.slab.overwrite(first, &of_second);
        store.slab.overwrite(second, &of_first);
        assert_eq!((store.opens("a"), store.opens("b")), (TAMPERED, TAMPERED));
        store.slab.overwrite(first, &of_first);
        assert_eq!(store.opens("a"), Ok(vec![1; 64]));

        store.replace("a", &[3; 64]).unwrap();
        store.slab.overwrite(store.word_of("a").slot(), &of_first);
        assert_eq!(store.opens("a"), TAMPERED, "an older version");

        // Nor when the name was removed meanwhile, and has its first version again.
        store.remove("a");
        store.insert("a".into(), &[4; 64]).unwrap();
        store.slab.overwrite(store.word_of("a").slot(), &of_first);
        assert_eq!(store.opens("a"), TAMPERED, "an older secret's");
    }

    #[test]
    fn a_time_that_was_put_off_does_not_hold() {
        let store = store();
        store.insert_for("a".into(), &[1; 64], Duration::from_secs(3600)).unwrap();
        let slot = store.word_of("a").slot();
        let mut words = store.slab.words_of(slot);
        words[1] += 1;
        store.slab.overwrite(slot, &words);
        assert_eq!(store.opens("a"), TAMPERED);
    }

    #[test]
    fn contexts_of_different_secrets_are_different_bytes() {
        let mut seen = std::collections::HashSet::new();
        let long = "x".repeat(200);
        for name in ["", "a", "b", "ab", &long] {
            for (birth, version, expires) in
                [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 7), (1 << 32, 1, 0), (1, 1 << 31, 0)]
            {
                let identity = Identity { birth, version };
                let context = with_context(identity, expires, name.as_bytes(), <[u8]>::to_vec);
                assert!(seen.insert(context));
            }
        }
    }

    #[test]
    fn versions_are_counted_to_their_end_and_no_further() {
        let store = store();
        store.insert("a".into(), b"secret").unwrap();
        let names = store.names.look();
        let (entry, word) = (names.get(b"a").unwrap(), store.word_of("a"));
        let identity = Identity { birth: entry.birth, version: u32::MAX };
        let last = store.seal(b"last", identity, NEVER, b"a").unwrap();
        assert!(entry.replace(word, Some(last)));
        assert_eq!(store.opens("a"), Ok(b"last".to_vec()));
        assert_eq!(store.replace("a", b"more"), Err(StoreError::VersionsUsedUp));
        assert_eq!(store.opens("a"), Ok(b"last".to_vec()));
    }
}
