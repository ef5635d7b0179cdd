//! The vault: locked pages that grow with the load, an enclave, and a line for those who wait.

mod admission;
#[cfg(feature = "allocator-api2-0_2")]
#[expect(unsafe_code, reason = "is an allocator, whose memory nobody keeps")]
mod allocator;
mod builder;
#[expect(unsafe_code, reason = "keeps values of any type in an open secret's memory")]
mod built;
mod bytes;
mod counts;
#[cfg(feature = "store")]
mod doors;
mod error;
mod field;
mod fit;
mod growing;
mod holding;
mod key_share;
#[expect(unsafe_code, reason = "keeps a share of the key in a page of its own for a time")]
mod keyring;
#[expect(unsafe_code, reason = "owns the memory of one secret, with the right to where it lies")]
mod lease;
mod lingering;
mod metrics;
mod opened;
mod opener;
mod opening;
mod options;
#[expect(unsafe_code, reason = "keeps a secret together with the vault that it borrows")]
mod owned;
mod pool;
mod queue;
mod request;
mod reserve;
#[expect(
    unsafe_code,
    reason = "keeps pages, their arena and their enclave, and counts who uses them"
)]
mod segment;
mod share;
mod sync;
pub(crate) mod watch;

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use bytemuck::NoUninit;
use strongroom_core::{Enclave, Fault, Stats};

#[cfg(feature = "allocator-api2-0_2")]
pub use self::allocator::{OwnedAllocator, VaultAllocator};
pub use self::builder::Builder;
pub use self::built::Built;
pub use self::bytes::HoldsBytes;
pub use self::error::{OpenError, SealError, Shortage, VaultError};
pub use self::field::{Field, OpenAs, SealedField};
pub use self::key_share::{KeyShare, KeyShareError, Keyring};
pub use self::metrics::Metrics;
pub use self::opened::{Exposed, ExposedMut, Opened};
pub use self::opener::Opener;
pub use self::opening::{Allocating, Opening, OpeningAll};
pub use self::owned::OwnedOpened;
pub use self::reserve::Reserve;
pub use self::segment::VaultOwner;
pub use self::share::Share;

#[cfg(feature = "store")]
pub(crate) use self::admission::{Chance, Waiting, Wish};
#[cfg(feature = "store")]
pub(crate) use self::holding::Mark;
#[cfg(feature = "store")]
pub(crate) use self::lingering::Keeper;
#[cfg(feature = "store")]
pub(crate) use self::queue::{Shape, Topic};

use self::admission::Admission;
use self::request::Request;
use crate::pages::{LockError, Protections};
use crate::sys;
use crate::windows::WindowKind;

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
/// says that the budget is full. There are two exceptions, for those who would otherwise hold up all
/// others:
///
/// - A future that is woken and not polled within 50 milliseconds is passed, as is a thread that does not
///   run within 500. It keeps its place, and is served when it comes.
/// - One who waits for a long secret, or for several, and is not served within 150 milliseconds as the
///   first in line lets those pass who wait for less, for a quarter of the time.
///
/// Where a future waits together with others, or for another length than they do, a thread
/// (`strongroom-line`) looks after the line every five milliseconds, and ends a second after it is not
/// needed any more.
///
/// **A thread or task that holds an open secret and waits for another may wait for ever**, together
/// with others that do the same: what all of them wait for is what they hold. Open what is needed at
/// the same time together ([`try_open_all`](Self::try_open_all),
/// [`open_all_timeout`](Self::open_all_timeout), [`open_all`](Self::open_all)), all or none.
///
/// A wait ends at its time, or as much later as it takes to finish what was asked of the system by then:
///
/// - to lock 16 MiB, which is done in any case, or to give back what was locked in vain. The latter takes
///   less time than it took to lock: a wait for very much memory may take up to twice its time.
/// - to give back one segment of the vault's memory that nothing is open in: as many bytes as a long
///   secret needed, or an eighth of what is locked, at most 1 GiB. Now and then `try_open` does that too.
///
/// What is done with the secret itself comes after the wait. Who waits in the other ways has the system
/// lock all that is needed in one go, a second's work for some GiB.
///
/// What no room would help is said before anybody waits, and before the vault grows: a record that was
/// forged or is another's, a secret that is too long. Whether a record is genuine is found out ahead
/// only for those who do not find room at once; they pay for it with about the time of opening it.
///
/// # Forked children
/// A forked child sees nothing of a vault's locked memory. There, every call that would need it
/// returns an error at once; dropping a vault or an open secret is harmless, and the child may make
/// a vault of its own.
pub struct Vault {
    admission: Admission,
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
        Builder::default()
    }

    /// Seals `secret`. `context` says what it is for; opening takes the same again.
    ///
    /// The record is on the heap and takes 24 bytes more than the secret.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Sealed, SealError> {
        seal(&self.admission, secret, context)
    }

    /// Seals `secret` like [`seal`](Self::seal), and wipes it where it was.
    ///
    /// ```
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let mut token = *b"hunter2";
    /// let sealed = vault.seal_and_wipe(&mut token, b"api")?;
    /// assert_eq!(token, [0; 7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError`]; the secret is then as it was.
    pub fn seal_and_wipe(&self, secret: &mut [u8], context: &[u8]) -> Result<Sealed, SealError> {
        let sealed = self.seal(secret, context)?;
        sys::wipe_bytes(secret);
        Ok(sealed)
    }

    /// Seals a value's bytes, like [`seal`](Self::seal). Plain data alone can be sealed: the record of a
    /// value with a pointer in it would be of no use, and the type system refuses it.
    /// [`Opener::try_open_value`] opens it as what it was.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_value<T: NoUninit>(&self, value: &T, context: &[u8]) -> Result<Sealed, SealError> {
        seal(&self.admission, bytemuck::bytes_of(value), context)
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
        Ok(self.admission.enclave_to_draw()?.seal(secret, context, storage)?)
    }

    /// Opens a sealed secret, or says at once why not.
    ///
    /// # Errors
    /// [`OpenError`]: the budget is full or others are waiting, the record does not belong here, or
    /// the vault was destroyed.
    #[inline]
    pub fn try_open<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Opened<'_>, OpenError> {
        self.admission.everybody().try_all(&Request::open(sealed, context))
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
        self.admission.everybody().all_within(&Request::open(sealed, context), timeout)
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
        Opening::new(self.admission.everybody(), sealed, context)
    }

    /// Opens several sealed secrets, each with its context, all or none; or says at once why not.
    ///
    /// ```
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let user = vault.seal(b"admin", b"db/user")?;
    /// let password = vault.seal(b"hunter2", b"db/password")?;
    ///
    /// let both = [(&user, &b"db/user"[..]), (&password, b"db/password")];
    /// let [user, password] = vault.try_open_all(both)?;
    /// assert!(user.expose_secret() == b"admin" && password.expose_secret() == b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open`](Self::try_open); and [`OpenError::NeverTogether`] if they could
    /// not be open together even if nothing else were.
    pub fn try_open_all<S: AsRef<[u8]>, const N: usize>(
        &self,
        sealed: [(&Sealed<S>, &[u8]); N],
    ) -> Result<[Opened<'_>; N], OpenError> {
        let requests = sealed.map(|(sealed, context)| Request::open(sealed, context));
        self.admission.everybody().try_all(&requests)
    }

    /// Opens several sealed secrets, all or none, waiting up to `timeout` for room for all: one place
    /// in line, and one wait.
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open_all`](Self::try_open_all), but for a full budget only when the time
    /// is up.
    pub fn open_all_timeout<S: AsRef<[u8]>, const N: usize>(
        &self,
        sealed: [(&Sealed<S>, &[u8]); N],
        timeout: Duration,
    ) -> Result<[Opened<'_>; N], OpenError> {
        let requests = sealed.map(|(sealed, context)| Request::open(sealed, context));
        self.admission.everybody().all_within(&requests, timeout)
    }

    /// Opens several sealed secrets, all or none, as a future; see [`open`](Self::open).
    pub fn open_all<'v, 's, S: AsRef<[u8]>, const N: usize>(
        &'v self,
        sealed: [(&'s Sealed<S>, &'s [u8]); N],
    ) -> OpeningAll<'v, 's, S, N> {
        OpeningAll::new(self.admission.everybody(), sealed)
    }

    /// Room for a new secret of `len` bytes, all zero, to be filled in place; or says at once why
    /// there is none.
    ///
    /// # Errors
    /// [`OpenError`], as [`try_open`](Self::try_open).
    #[inline]
    pub fn try_allocate(&self, len: usize) -> Result<Opened<'_>, OpenError> {
        self.admission.everybody().try_all(&Request::allocate(len))
    }

    /// Room for a new secret of `len` bytes, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`OpenError`], as [`open_timeout`](Self::open_timeout).
    pub fn allocate_timeout(&self, len: usize, timeout: Duration) -> Result<Opened<'_>, OpenError> {
        self.admission.everybody().all_within(&Request::allocate(len), timeout)
    }

    /// Room for a new secret of `len` bytes as a future; see [`open`](Self::open).
    pub fn allocate(&self, len: usize) -> Allocating<'_> {
        Allocating::new(self.admission.everybody(), len)
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
        let (_, own) = self.admission.reserves.iter().find(|(own, _)| own == name)?;
        Some(Reserve::new(self.admission.those_of(own)))
    }

    /// Whether this process can use the vault at all: what is open in it reads as zeros, or not at all, where
    /// this is an error. Of use to whoever keeps a pointer, a binding for another language say. It makes no
    /// system call and takes no lock.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency
    /// ([`wipe_all`](crate::wipe_all)).
    #[inline]
    pub fn check(&self) -> Result<(), OpenError> {
        self.admission.check_process()
    }

    /// Fills `bytes` from the vault's generator.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child, [`OpenError::Destroyed`] after an emergency;
    /// [`OpenError::NoEntropy`] if the machine may have been cloned and the system gives no random bytes.
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.admission.fill_random(bytes)
    }

    /// Draws new shares of the key; see [`Enclave::refresh`]. Does nothing in a forked child.
    pub fn refresh(&self) {
        if let Ok(enclave) = self.admission.enclave() {
            enclave.refresh();
        }
    }

    /// Goes on sealing under numbers that no copy of this machine uses; see [`Enclave::renew`]. Call it
    /// when a virtual machine is resumed from a snapshot, which may have been resumed before. What was
    /// sealed stays readable. [`renew_all`](crate::renew_all) does it for all vaults, and
    /// [`renew_when_cloned`](crate::renew_when_cloned) by itself.
    ///
    /// # Errors
    /// [`OpenError::Forked`] in a forked child; [`OpenError::Destroyed`] after an emergency;
    /// [`OpenError::NoEntropy`] if the system gives no random bytes, and then nothing has changed.
    pub fn renew(&self) -> Result<(), OpenError> {
        self.admission.renew()
    }

    /// Wipes the key: all that was sealed is unreadable for good, and those who wait to open it are
    /// told at once. What is open stays open.
    pub fn destroy(&self) {
        if let Ok(enclave) = self.admission.enclave() {
            enclave.destroy();
            self.admission.lingering.end_all();
            self.admission.call_all();
        }
    }

    /// Gives back at once all memory beyond the floor that nothing is open in, without waiting
    /// until it has been empty for a while.
    pub fn trim(&self) {
        if self.admission.check_process().is_ok() {
            self.admission.common.pool.trim();
            self.admission.released();
        }
    }

    /// Checks every canary and every free byte; see [`Arena::verify`](strongroom_core::Arena::verify).
    /// There is nothing to check in a forked child. With windows by pages the memory is open meanwhile.
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn verify(&self) -> Result<(), Fault> {
        if self.admission.check_process().is_err() {
            return Ok(());
        }
        let mut verified = Ok(());
        self.admission.look(|_, arena| {
            if verified.is_ok() {
                verified = arena.verify();
            }
        });
        verified
    }

    /// What each stretch of locked memory holds, oldest first, reserves last; see
    /// [`Arena::stats`](strongroom_core::Arena::stats). Two of the first one's secrets are the shares of
    /// the key. Empty in a forked child.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        if self.admission.check_process().is_err() {
            return Vec::new();
        }
        let mut stats = Vec::new();
        self.admission.look(|_, arena| stats.push(arena.stats()));
        stats
    }

    /// Whether this is a forked child, which sees nothing of the vault.
    pub(crate) fn is_inherited(&self) -> bool {
        self.admission.check_process() == Err(OpenError::Forked)
    }

    /// Counts what the vault holds and has seen. All zero in a forked child.
    ///
    /// It walks the bookkeeping of the locked memory, some ten nanoseconds for each KiB, and makes a
    /// system call for each page.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        match self.admission.check_process() {
            Ok(()) => Metrics::of(&self.admission),
            Err(_) => Metrics::default(),
        }
    }

    /// The most bytes that the vault locks, reserves not counted.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.admission.common.pool.ceiling()
    }

    /// How many secrets are open now; whoever looks for room at this very moment may count too.
    #[must_use]
    pub fn held(&self) -> usize {
        self.admission.held()
    }

    /// How many callers are waiting for room now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        if self.admission.check_process().is_err() { 0 } else { self.admission.waiters() }
    }

    /// What shuts the vault's memory but for the moments in which somebody uses it: what came of
    /// [`Builder::windows`]. Of use to whoever would hand out plain pointers. It takes no lock.
    #[must_use]
    pub fn windows(&self) -> WindowKind {
        self.admission.windows()
    }

    /// What the operating system has granted for all of the locked memory. Whether it is locked still
    /// says [`unlocked_bytes`](Self::unlocked_bytes).
    #[must_use]
    pub fn protections(&self) -> Protections {
        let mut all = self.admission.common.pool.lasting().pages().protections();
        self.admission.look(|pages, _| all = all.and(pages.protections()));
        all
    }

    /// How many bytes of the vault's memory are not locked now, as the kernel says: more than none if
    /// another part of the process has called `munlockall(2)`, or under
    /// [`Policy::Prefer`](crate::Policy::Prefer). `None` if the system does not say (macOS, a filter)
    /// and in a forked child.
    ///
    /// Nobody tells the vault when that happens: ask from time to time, or watch
    /// [`Metrics::unlocked`]. One system call for each page.
    #[must_use]
    pub fn unlocked_bytes(&self) -> Option<usize> {
        self.admission.check_process().ok()?;
        let mut unlocked = Some(0);
        self.admission.look(|pages, _| {
            unlocked = unlocked.zip(pages.unlocked_bytes()).map(|(sum, more)| sum + more);
        });
        unlocked
    }

    /// Why some of the memory is not locked; `None` if all is, as under [`Policy::Require`](crate::Policy::Require) always.
    #[must_use]
    pub fn lock_refusal(&self) -> Option<LockError> {
        let mut refusal = None;
        self.admission.look(|pages, _| {
            if refusal.is_none() {
                refusal = pages.lock_refusal().cloned();
            }
        });
        refusal
    }

    /// Where one of the two shares of the key rests: [`KeyShare::LockedMemory`], or a keyring that was
    /// [asked for](Builder::key_share) and had.
    #[must_use]
    pub fn key_share(&self) -> KeyShare {
        let (keyring, _) = self.admission.common.pool.lasting().keyring();
        keyring.map_or(KeyShare::LockedMemory, KeyShare::Keyring)
    }

    /// Why a share of the key is in no keyring, though one was preferred, and what to change; otherwise
    /// `None`.
    #[must_use]
    pub fn key_share_refusal(&self) -> Option<KeyShareError> {
        self.admission.common.pool.lasting().keyring().1
    }

    /// Why the system would not lock more when the vault last had to grow within its budget, and
    /// what to change; `None` if it did, or was never asked.
    #[must_use]
    pub fn growth_refusal(&self) -> Option<LockError> {
        self.admission.check_process().ok().and_then(|()| self.admission.common.pool.refusal())
    }
}

/// One sealed secret: a record, on the heap unless said otherwise; see
/// [`strongroom_core::Sealed`].
///
/// ```
/// use strongroom::{Sealed, Vault};
///
/// struct Account {
///     name: String,
///     password: Sealed,
/// }
///
/// let vault = Vault::new(64 * 1024)?;
/// let password = vault.seal(b"hunter2", b"alice")?;
/// let account = Account { name: "alice".into(), password };
/// let opened = vault.try_open(&account.password, account.name.as_bytes())?;
/// # assert_eq!(opened.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Sealed<S = Box<[u8]>> = strongroom_core::Sealed<S>;

/// Seals `secret` into a record on the heap.
fn seal(admission: &Admission, secret: &[u8], context: &[u8]) -> Result<Sealed, SealError> {
    let enclave = admission.enclave_to_draw()?;
    let record_len = Enclave::record_len(secret.len());
    let mut few = [0; SHORT_RECORD];
    // Copied to the heap: zeroed memory from there (`calloc`) costs more in glibc before 2.41.
    if let Some(few) = few.get_mut(..record_len) {
        let sealed = enclave.seal(secret, context, few)?;
        return Ok(Sealed::from_record((*sealed.record()).into()));
    }
    Ok(enclave.seal(secret, context, vec![0; record_len].into())?)
}

/// Bytes.
const SHORT_RECORD: usize = 256;

impl Builder {
    /// Makes the vault.
    ///
    /// # Errors
    /// [`VaultError`] if the floor and the reserves cannot be locked, with the numbers and what to
    /// change; if they are too little to open anything; or if the ceiling is below the floor.
    pub fn build(self) -> Result<Vault, VaultError> {
        let mut options = self.options;
        options.settle_windows()?;
        Ok(Vault { admission: Admission::new(&options)? })
    }
}

impl Debug for Vault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("budget", &self.budget())
            .field("held", &self.held())
            .field("key_share", &self.key_share())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
