//! Locked pages between two guard pages, from the operating system.
//!
//! ```text
//! | guard page | data pages …                                        | guard page |
//! | PROT_NONE  | mlock, out of core dumps, zeros in a forked child   | PROT_NONE  |
//! ```
//! One `mmap` reserves everything. The data is locked first and the guards are protected after:
//! `mlock` across a `PROT_NONE` page fails and leaves its charge behind.

mod error;
mod policy;
mod protections;
mod refusal;
mod sealed_mapping;
mod trial;

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::time::Instant;

pub use self::error::LockError;
pub(crate) use self::policy::PIECE;
pub use self::policy::Policy;
pub use self::protections::Protections;
pub use self::sealed_mapping::SealedMappingError;
pub use self::trial::Trial;

use self::policy::in_pieces;
use self::refusal::{Call, Refusal};
use crate::fork::Generation;
pub use crate::sys::ForkView;
use crate::sys::{self, Mapping, ProtectionKey};
use crate::windows::{Gate, Role, Shuts, WindowError, WindowKind};

/// Whole pages of memory that never reach the swap device, a core dump or a forked child, with a
/// guard page on each side that ends the process (SIGSEGV) when touched.
///
/// Having `LockedPages` from [`new`](Self::new) means the pages are locked. They start out zero;
/// on drop they are wiped, unlocked and given back, whatever they hold. However many secrets the
/// pages hold, they are three mappings of the process, and one more serves all `LockedPages`.
///
/// ```
/// use strongroom::LockedPages;
///
/// let mut pages = LockedPages::new(10_000)?;
/// assert!(pages.bytes() >= 10_000);
/// assert!(pages.protections().locked);
/// let region = pages.as_region();
/// region[0].write(7);
/// # Ok::<(), strongroom::LockError>(())
/// ```
///
/// # Forked children
/// A forked child never sees the contents. On Linux it sees zeros (`MADV_WIPEONFORK`) rather than
/// a hole (`MADV_DONTFORK`): the pages stay mapped in the child, so reading them by mistake is no
/// SIGSEGV, dropping them unmaps no stranger that moved into the hole, and a destructor that runs
/// at a daemon's exit is harmless. Where zeros cannot be had (macOS, Linux before 4.14) the pages
/// are absent in the child: [`as_region`](Self::as_region) is then empty, and a drop touches
/// nothing. Either way [`is_inherited`](Self::is_inherited) tells, without a lock and without
/// touching the pages: ask it before anything stored in them is believed.
///
/// # Secret memory
/// [`with`](Self::with) makes pages of secret memory too (`memfd_secret(2)`, Linux 5.14), which not
/// even root reads from outside. Like locked pages they count against `RLIMIT_MEMLOCK`; they are
/// absent in a forked child, and no computer hibernates while there are any.
#[derive(Debug)]
pub struct LockedPages {
    mapping: Mapping,
    /// The process whose pages these are.
    owner: Generation,
    protections: Protections,
    /// What shuts the pages, if that is a key.
    key: Option<ProtectionKey>,
    /// Why the pages are not locked; `Some` under [`Policy::Prefer`] only.
    lock_refusal: Option<Box<LockError>>,
    /// Why the pages are not secret memory, though that was asked for.
    secret_refusal: Option<Box<LockError>>,
}

impl LockedPages {
    /// Locks `bytes` bytes, rounded up to whole pages, with every protection the system offers:
    /// see [`Protections`] for which are offered where.
    ///
    /// # Errors
    /// [`LockError`], with the numbers and what to change. Nothing stays mapped, locked or charged.
    pub fn new(bytes: usize) -> Result<Self, LockError> {
        Self::with(bytes, Policy::Require, Backing::Anonymous)
    }

    /// Like [`new`](Self::new), but goes on with what could be had: pages that cannot be locked or
    /// hidden are handed out all the same. **What is kept in unlocked pages can be written to the
    /// swap device.** [`protections`](Self::protections) says what was achieved, and
    /// [`lock_refusal`](Self::lock_refusal) why locking failed.
    ///
    /// # Errors
    /// [`LockError`] if there are no pages at all: `bytes` is zero or beyond the address space, or
    /// memory or mappings have run out.
    pub fn prefer_locked(bytes: usize) -> Result<Self, LockError> {
        Self::with(bytes, Policy::Prefer, Backing::Anonymous)
    }

    /// `bytes` bytes, rounded up to whole pages, of the kind that `backing` says, with the
    /// protections that `policy` insists on.
    ///
    /// ```
    /// use strongroom::{Backing, LockedPages, Policy};
    ///
    /// let pages = LockedPages::with(4096, Policy::Require, Backing::PreferSecretMemory)?;
    /// if let Some(refusal) = pages.secret_memory_refusal() {
    ///     eprintln!("locked, but no secret memory: {refusal}");
    /// }
    /// assert!(pages.protections().locked);
    /// # Ok::<(), strongroom::LockError>(())
    /// ```
    ///
    /// # Errors
    /// [`LockError`], as [`new`](Self::new) or [`prefer_locked`](Self::prefer_locked). Nothing stays
    /// mapped, locked or charged.
    pub fn with(bytes: usize, policy: Policy, backing: Backing) -> Result<Self, LockError> {
        Self::until(None, bytes, policy, backing)
    }

    /// The same, but fewer pages if locking them takes longer than until `deadline`: as many as are
    /// locked by then, and at least as many as [`PIECE`] has.
    pub(crate) fn until(
        deadline: Option<Instant>,
        bytes: usize,
        policy: Policy,
        backing: Backing,
    ) -> Result<Self, LockError> {
        let data = whole_pages(bytes)?;
        // The numbers are read when the mapping is gone again, so they tell what others hold.
        // The system has decided; the numbers only explain.
        let explain = |refusal: Refusal| refusal.explain(data);
        let Made { mut pages, lock_refusal, secret_refusal } =
            Self::assemble(policy, backing, data, deadline).map_err(explain)?;
        pages.lock_refusal = lock_refusal.map(explain).map(Box::new);
        pages.secret_refusal = secret_refusal.map(explain).map(Box::new);
        Ok(pages)
    }

    /// Whether there is so much address space, and no obvious lack of memory: nothing is locked.
    pub(crate) fn try_reserving(bytes: usize) -> Result<(), LockError> {
        let data = whole_pages(bytes)?;
        let reserved = Mapping::reserve(data, sys::page_size()).map_err(Refusal::of(Call::Reserve));
        reserved.map(drop).map_err(|refusal| refusal.explain(data))
    }

    /// The length in bytes between the guards, a multiple of [`page_size`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.mapping.data().len()
    }

    /// What the operating system has granted for these pages.
    #[must_use]
    pub fn protections(&self) -> Protections {
        self.protections
    }

    /// How many of the bytes are not locked now, as the kernel says: more than none if another part of
    /// the process has called `munlockall(2)`, or under [`Policy::Prefer`]. `None` if the system does
    /// not say (macOS, a filter) and in a forked child.
    ///
    /// One system call for each page.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// let pages = strongroom::LockedPages::new(4096)?;
    /// assert_eq!(pages.unlocked_bytes(), Some(0));
    /// # }
    /// # Ok::<(), strongroom::LockError>(())
    /// ```
    #[must_use]
    pub fn unlocked_bytes(&self) -> Option<usize> {
        if self.is_inherited() {
            None
        } else if self.protections.secret_memory {
            // By its nature; not all kernels call it locked.
            Some(0)
        } else {
            self.mapping.unlocked_bytes().ok()
        }
    }

    /// Shuts the pages but for windows: what opens them.
    pub(crate) fn shut(&mut self, shuts: Shuts, role: Role) -> Result<Gate, WindowError> {
        let gate = match shuts {
            Shuts::Nothing => Ok(Gate::None),
            Shuts::Keys(keys) => {
                let key = keys[role as usize];
                self.key = Some(key);
                self.mapping.set_key(Some(key)).map(|()| Gate::Keys(role, key))
            }
            Shuts::Pages => Gate::of_pages(&self.mapping, self.protections.fork_view),
        };
        let gate = gate.map_err(WindowError::from)?;
        self.protections.windows = gate.kind();
        Ok(gate)
    }

    /// Why the pages are not locked. `None` if they are, as pages from [`new`](Self::new) always.
    #[must_use]
    pub fn lock_refusal(&self) -> Option<&LockError> {
        self.lock_refusal.as_deref()
    }

    /// Why the pages are not secret memory. `None` if they are, or if nobody asked for it.
    #[must_use]
    pub fn secret_memory_refusal(&self) -> Option<&LockError> {
        self.secret_refusal.as_deref()
    }

    /// Whether these pages came here by `fork(2)` from the process that made them. Their contents
    /// did not come along.
    ///
    /// A few nanoseconds; takes no lock and can be called in a signal handler.
    #[must_use]
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.owner != Generation::current()
    }

    /// The bytes between the guards, zero at first. Empty in a forked child from whom the pages are
    /// absent.
    pub fn as_region(&mut self) -> &mut [MaybeUninit<u8>] {
        if self.is_absent() {
            return &mut [];
        }
        self.mapping.bytes()
    }

    /// The bytes between the guards as a pointer, for an owner that keeps the pages beside what it
    /// builds in them.
    ///
    /// Valid for reads and writes until the pages are dropped: moving the `LockedPages` does not
    /// move the pages, and their length never changes. In a forked child it may point to nothing:
    /// see [`is_inherited`](Self::is_inherited).
    #[must_use]
    pub fn as_non_null(&self) -> NonNull<[MaybeUninit<u8>]> {
        self.mapping.data()
    }

    fn assemble(
        policy: Policy,
        backing: Backing,
        data: usize,
        deadline: Option<Instant>,
    ) -> Result<Made, Refusal> {
        let owner = Generation::current();
        let Reserved { mut mapping, secret_memory, refusal: secret_refusal } =
            backing.reserve(policy, data)?;
        let dumps = mapping.exclude_from_dumps().map_err(Refusal::of(Call::ExcludeFromDumps));
        let forks = mapping.hide_from_children().map_err(Refusal::of(Call::HideFromChildren));
        // Secret memory is locked by its nature; `mlock` fails on it.
        let (locked, lock_refusal) = if secret_memory {
            let touched = in_pieces(&mut mapping, deadline, Mapping::touch);
            match touched.map_err(Refusal::of(Call::ReserveSecret)) {
                Ok(()) => (true, None),
                Err(refusal) if backing.takes_no_other(policy) => return Err(refusal),
                Err(refusal) => {
                    drop(mapping);
                    let made = Self::assemble(policy, Backing::Anonymous, data, deadline)?;
                    return Ok(Made { secret_refusal: Some(refusal), ..made });
                }
            }
        } else {
            policy.lock(&mut mapping, deadline)?
        };
        let guards = mapping.protect_guards().map_err(Refusal::of(Call::ProtectGuards));
        let protections = Protections {
            locked,
            dump_excluded: policy.settle(dumps, false)?,
            fork_view: policy.settle(forks, ForkView::Copied)?,
            guarded: policy.settle(guards.map(|()| true), false)?,
            secret_memory,
            windows: WindowKind::None,
            sealed_mapping: false,
        };
        let pages = Self {
            mapping,
            owner,
            protections,
            key: None,
            lock_refusal: None,
            secret_refusal: None,
        };
        Ok(Made { pages, lock_refusal, secret_refusal })
    }

    /// Whether an address is in the pages.
    #[cfg(feature = "allocator-api2-0_2")]
    pub(crate) fn contains(&self, pointer: NonNull<u8>) -> bool {
        let data = self.as_non_null();
        let start = data.cast::<u8>().addr().get();
        (start..start + data.len()).contains(&pointer.addr().get())
    }

    /// The process whose pages these are.
    pub(crate) fn owner(&self) -> Generation {
        self.owner
    }

    /// Whether this is a forked child that has no such pages.
    #[inline]
    pub(crate) fn is_absent(&self) -> bool {
        self.protections.fork_view == ForkView::Absent && self.is_inherited()
    }
}

impl Drop for LockedPages {
    fn drop(&mut self) {
        if self.is_absent() {
            // What is mapped at this address now, if anything, is not ours.
            self.mapping.abandon();
            return;
        }
        if self.protections.sealed_mapping {
            return self.leave();
        }
        let opened = match self.protections.windows {
            WindowKind::None => Ok(()),
            WindowKind::Keys => self.mapping.set_key(None),
            WindowKind::Pages => self.mapping.open(),
        };
        if opened.is_ok() {
            self.mapping.wipe();
        }
        // Unmapping unlocks too, but could fail. Secret memory stays locked until it is unmapped.
        let _ = self.mapping.unlock();
    }
}

/// The size of one page in bytes: 4,096 on most systems, 16,384 on Apple silicon.
#[must_use]
pub fn page_size() -> usize {
    sys::page_size()
}

/// What kind of memory the pages are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Anonymous memory, locked by `mlock(2)`.
    #[default]
    Anonymous,
    /// Secret memory, `memfd_secret(2)`, or an error. Under [`Policy::Prefer`] the same as
    /// [`PreferSecretMemory`](Self::PreferSecretMemory).
    ///
    /// `read(2)`, `write(2)` and `send(2)` work with it. Calls that pin pages fail: `vmsplice(2)`,
    /// `O_DIRECT`, registered buffers.
    SecretMemory,
    /// Secret memory where the system gives it, else anonymous memory. `mlock` decides then, under
    /// the same policy; [`LockedPages::secret_memory_refusal`] says why it came to that.
    PreferSecretMemory,
}

impl Backing {
    fn reserve(self, policy: Policy, data: usize) -> Result<Reserved, Refusal> {
        let guard = sys::page_size();
        let anonymous = |refusal| {
            let mapping = Mapping::reserve(data, guard).map_err(Refusal::of(Call::Reserve))?;
            Ok(Reserved { mapping, secret_memory: false, refusal })
        };
        if self == Self::Anonymous {
            return anonymous(None);
        }
        match Mapping::reserve_secret(data, guard).map_err(Refusal::of(Call::ReserveSecret)) {
            Ok(mapping) => Ok(Reserved { mapping, secret_memory: true, refusal: None }),
            Err(refusal) if self.takes_no_other(policy) => Err(refusal),
            Err(refusal) => anonymous(Some(refusal)),
        }
    }

    /// Whether it is an error if there is no secret memory.
    fn takes_no_other(self, policy: Policy) -> bool {
        self == Self::SecretMemory && policy == Policy::Require
    }
}

/// Memory of the kind that could be had.
struct Reserved {
    mapping: Mapping,
    secret_memory: bool,
    /// Why it is not secret memory, though that was asked for.
    refusal: Option<Refusal>,
}

/// Pages, and what was refused on the way and is not explained yet.
struct Made {
    pages: LockedPages,
    lock_refusal: Option<Refusal>,
    secret_refusal: Option<Refusal>,
}

/// `bytes` rounded up to whole pages that fit the address space together with their guards.
fn whole_pages(bytes: usize) -> Result<usize, LockError> {
    if bytes == 0 {
        return Err(LockError::Zero);
    }
    let page = sys::page_size();
    let limit = isize::MAX.unsigned_abs() / page * page - 2 * page;
    if bytes > limit {
        return Err(LockError::TooLarge { requested: bytes, limit });
    }
    Ok(bytes.next_multiple_of(page))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_whole_pages() {
        let page = page_size();
        for (bytes, whole) in [(1, page), (page, page), (page + 1, 2 * page)] {
            assert_eq!(whole_pages(bytes), Ok(whole));
        }
        assert_eq!(whole_pages(0), Err(LockError::Zero));
    }

    #[test]
    fn the_largest_size_leaves_room_for_the_guards() {
        let page = page_size();
        let Err(LockError::TooLarge { requested, limit }) = whole_pages(usize::MAX) else {
            panic!("usize::MAX was taken");
        };
        assert_eq!(requested, usize::MAX);
        assert_eq!(whole_pages(limit), Ok(limit));
        assert!(limit + 2 * page <= isize::MAX.unsigned_abs());
        assert!(whole_pages(limit + 1).is_err());
    }

    /// They end with a guard page, where more was asked for at first.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_locked_in_time_is_given_back() {
        for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
            if let Err(error) = LockedPages::with(3 * PIECE, Policy::Require, backing) {
                return println!("skipped: {error}");
            }
            let now = Some(Instant::now());
            let pages = LockedPages::until(now, 3 * PIECE, Policy::Require, backing);
            let mut pages = pages.unwrap();
            assert_eq!(pages.bytes(), PIECE);
            assert!(pages.protections().locked && pages.protections().guarded);
            assert_eq!(pages.unlocked_bytes(), Some(0));
            pages.as_region().last_mut().unwrap().write(7);
            let data = pages.as_non_null();
            let end = data.cast::<u8>().addr().get() + data.len();
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let guard = format!("{end:x}-{:x} ---", end + page_size());
            assert!(maps.lines().any(|line| line.starts_with(&guard)), "{guard}\n{maps}");
        }
    }

    /// The doc's promise: the address stays while the owner moves.
    #[test]
    fn moving_the_owner_does_not_move_the_pages() {
        let pages = LockedPages::prefer_locked(1).unwrap();
        let before = pages.as_non_null();
        let boxed = Box::new(pages);
        assert_eq!(boxed.as_non_null(), before);
        assert_eq!(before.len(), boxed.bytes());
    }
}
