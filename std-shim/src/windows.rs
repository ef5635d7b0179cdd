//! Memory that is shut but for the moments in which somebody uses it.
//!
//! ```text
//! keys     a register of the thread: its window opens the memory for it alone; two keys for the process,
//!          one for open secrets, one for vaults' own keys
//! pages    the page table: the first window of any thread opens the memory for all, the last one shuts it
//! ```

mod balance;

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use strongroom_core::Lock;

pub(crate) use self::balance::Balance;

use crate::debug::debug_as_displayed;
use crate::emergency::{self, Shut};
use crate::fork::Generation;
use crate::park::ParkLock;
use crate::sys::{ForkView, Mapping, NoKey, ProtectionKey, Shutter};

debug_as_displayed!(WindowError);

/// Whether a vault's memory is shut but for the moments in which somebody uses it.
///
/// Whoever reads a secret has a window on it as long as the guard lives
/// ([`Opened::expose_secret`](crate::Opened::expose_secret)); the vault has one while it opens, seals,
/// wipes and looks for damage. Whoever else touches the memory ends the process (SIGSEGV; with keys the
/// signal says `SEGV_PKUERR`).
///
/// **What you lend is as far as the window reaches.** With [`Keys`](Self::Keys) a program that hands
/// `&*guard` to another thread ends there, though it compiles, and only on processors that have keys: so
/// no vault has windows unless it is asked for. What hands out plain pointers for as long as it likes has
/// no windows and is refused: a vault's allocator for collections. A [`LockedArena`](crate::LockedArena) has
/// windows by [`with_windows`](crate::LockedArena::with_windows).
///
/// Under [`Policy::Prefer`](crate::Policy::Prefer) a vault goes on without windows where there can be none;
/// [`Protections::windows`](crate::Protections::windows) says what was achieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Windows {
    /// The memory is always open.
    #[default]
    None,
    /// By page protection, `mprotect(2)`, on every machine. While any thread has a window on any secret of
    /// the vault, all threads can read all of them; and the first window and the end of the last one are
    /// each a system call, some hundred times as dear as what is done through it.
    ///
    /// In a signal handler nothing may be read that is not exposed already: [`wipe_all`](crate::wipe_all)
    /// alone may be called.
    Pages,
    /// By memory protection keys, `pkeys(7)`, or an error: Intel's servers since Skylake, AMD's processors
    /// since Zen 3, and arm64 with permission overlays (Linux 6.12). A window is the thread's own, costs
    /// some tens of cycles and no system call. The vault's own key lies apart, under a key of its own.
    ///
    /// All vaults of the process share two of its fifteen keys. A thread that is made while its maker has a
    /// window is born with that, until it ends a window of its own: see SECURITY.md.
    Keys,
    /// [`Keys`](Self::Keys) where the machine has them, else [`Pages`](Self::Pages).
    KeysOrPages,
    /// [`Keys`](Self::Keys) where the machine has them, else [`None`](Self::None).
    KeysOrNone,
}

/// What shuts some memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WindowKind {
    /// Nothing.
    #[default]
    None,
    /// Page protection: [`Windows::Pages`].
    Pages,
    /// Memory protection keys: [`Windows::Keys`].
    Keys,
}

/// Windows could not be had.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// The processor or the kernel has no memory protection keys.
    NoKeysHere,
    /// Others in this process have taken all of its keys.
    NoKeyLeft,
    /// The system would not shut the memory, with this error number.
    Refused(i32),
    /// A vault with windows hands out no plain pointers.
    PlainPointers,
}

impl Windows {
    /// What memory has that was asked for none. The tests are run with the others, too: the flags change this
    /// constant, and nothing else.
    pub(crate) const WHERE_NOT_ASKED_FOR: Self = if cfg!(strongroom_test_windows = "pages") {
        Self::Pages
    } else if cfg!(strongroom_test_windows = "keys") {
        Self::Keys
    } else {
        Self::None
    };

    /// What shuts the memory, as far as it can be had.
    pub(crate) fn shuts(self) -> Result<Shuts, WindowError> {
        match self {
            Self::None => Ok(Shuts::Nothing),
            Self::Pages => Ok(Shuts::Pages),
            Self::Keys => Shuts::by_keys(),
            Self::KeysOrPages => Shuts::by_keys().or(Ok(Shuts::Pages)),
            Self::KeysOrNone => Shuts::by_keys().or(Ok(Shuts::Nothing)),
        }
    }
}

/// What shuts a vault's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shuts {
    Nothing,
    Pages,
    /// By [`Role`].
    Keys([ProtectionKey; 2]),
}

impl Shuts {
    fn by_keys() -> Result<Self, WindowError> {
        Ok(Self::Keys([Role::Secrets.key()?, Role::Key.key()?]))
    }
}

/// What some memory is shut with.
#[derive(Debug, Default)]
pub(crate) enum Gate {
    #[default]
    None,
    Keys(Role, ProtectionKey),
    Pages(Pages),
}

/// What memory is for: each has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Secrets,
    Key,
}

impl Role {
    /// The process's key for it.
    fn key(self) -> Result<ProtectionKey, WindowError> {
        let key = &mut KEYS.lock().unwrap_or_else(PoisonError::into_inner)[self as usize];
        match *key {
            Some(key) => Ok(key),
            None => Ok(*key.insert(ProtectionKey::take()?)),
        }
    }
}

impl Gate {
    /// Shuts a mapping's data by page protection.
    pub(crate) fn of_pages(mapping: &Mapping, fork_view: ForkView) -> io::Result<Self> {
        // SAFETY: gates are the owners of what is made in the mapping, and no longer used than it.
        unsafe { Pages::new(mapping.shutter(), fork_view) }.map(Self::Pages)
    }

    pub(crate) fn kind(&self) -> WindowKind {
        match self {
            Self::None => WindowKind::None,
            Self::Keys(..) => WindowKind::Keys,
            Self::Pages(_) => WindowKind::Pages,
        }
    }

    /// What opens the memory in an emergency.
    pub(crate) fn shut(&self) -> Shut {
        match *self {
            Self::None => Shut::Never,
            Self::Keys(_, key) => Shut::ByKey(key),
            Self::Pages(_) => Shut::ByPages,
        }
    }

    /// Opens the memory for as long as the window lives.
    #[inline]
    pub(crate) fn open(&self) -> Window<'_> {
        match self {
            Self::None => {}
            Self::Keys(role, key) => open_by_key(*role, *key),
            Self::Pages(pages) => pages.open(),
        }
        balance::count(|windows| windows + 1);
        Window { gate: self, thread: PhantomData }
    }
}

/// Keeps a gate open, of the thread that has it.
pub struct Window<'g> {
    gate: &'g Gate,
    thread: PhantomData<*const ()>,
}

impl Debug for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Window").field(&self.gate.kind()).finish()
    }
}

impl Drop for Window<'_> {
    #[inline]
    fn drop(&mut self) {
        balance::count(|windows| windows - 1);
        match self.gate {
            Gate::None => {}
            Gate::Keys(role, key) => shut_by_key(*role, *key),
            Gate::Pages(pages) => pages.shut(),
        }
    }
}

/// The process's keys, by [`Role`].
static KEYS: Mutex<[Option<ProtectionKey>; 2]> = Mutex::new([None; 2]);

thread_local! {
    /// How many windows this thread has, of each role. Nothing is dropped with it, so it is there to the
    /// thread's last moment.
    static WINDOWS: [Cell<usize>; 2] = const { [Cell::new(0), Cell::new(0)] };
}

/// The register is asked, not the count: the kernel shuts all keys for a signal handler, and opens those
/// that were open when the handler returns.
#[inline(never)]
fn open_by_key(role: Role, key: ProtectionKey) {
    WINDOWS.with(|windows| {
        let windows = &windows[role as usize];
        windows.set(windows.get() + 1);
    });
    if !key.is_open() {
        key.set_open(true);
    }
}

#[inline(never)]
fn shut_by_key(role: Role, key: ProtectionKey) {
    let left = WINDOWS.with(|windows| {
        let windows = &windows[role as usize];
        windows.set(windows.get() - 1);
        windows.get()
    });
    if left == 0 {
        key.set_open(false);
    }
}

/// Memory that is open for all threads or for none.
pub(crate) struct Pages {
    shutter: Shutter,
    /// The process that has it.
    process: Generation,
    /// What its children see of it.
    fork_view: ForkView,
    /// How many windows there are. From 0 and to 0 it is changed with the lock held.
    windows: AtomicUsize,
    turn: ParkLock,
}

impl Pages {
    /// Shuts memory.
    ///
    /// # Safety
    /// The mapping is there as long as windows are opened, and ended.
    pub(crate) unsafe fn new(shutter: Shutter, fork_view: ForkView) -> io::Result<Self> {
        // SAFETY: the mapping is there, as is promised.
        unsafe { shutter.set_open(false) }?;
        let (windows, turn) = (AtomicUsize::new(0), ParkLock::UNLOCKED);
        Ok(Self { shutter, process: Generation::current(), fork_view, windows, turn })
    }

    fn open(&self) {
        let more = |windows| (windows > 0).then(|| windows + 1);
        if self.windows.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok() {
            return;
        }
        if self.process != Generation::current() {
            // A forked child, in which the lock may be held by who is not there. Nothing in the memory is
            // worth shutting any more, and who reads it is to find zeros. What is mapped where a child has no
            // such memory is another's.
            if self.fork_view != ForkView::Absent {
                self.set_open(true);
            }
            return;
        }
        self.in_turn(|| {
            if self.windows.load(Ordering::Relaxed) == 0 {
                self.set_open(true);
            }
            self.windows.fetch_add(1, Ordering::Release);
        });
    }

    fn shut(&self) {
        let fewer = |windows| (windows > 1).then(|| windows - 1);
        if self.windows.fetch_update(Ordering::Release, Ordering::Relaxed, fewer).is_ok()
            || self.process != Generation::current()
        {
            return;
        }
        self.in_turn(|| {
            if self.windows.fetch_sub(1, Ordering::AcqRel) == 1 {
                // Who wipes in an emergency must not find it shut in the middle of that.
                emergency::unless_wiped(|| self.set_open(false));
            }
        });
    }

    fn set_open(&self, is_open: bool) {
        // SAFETY: the mapping is there, as was promised. What could not be opened ends the process when it
        // is touched; what could not be shut stays open.
        let _ = unsafe { self.shutter.set_open(is_open) };
    }

    fn in_turn(&self, act: impl FnOnce()) {
        self.turn.acquire();
        act();
        // SAFETY: it was acquired above, and nothing in between panics.
        unsafe { self.turn.release() };
    }
}

impl Debug for Pages {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("windows", &self.windows).finish_non_exhaustive()
    }
}

impl From<NoKey> for WindowError {
    fn from(no_key: NoKey) -> Self {
        match no_key {
            NoKey::NotHere => Self::NoKeysHere,
            NoKey::NoneLeft => Self::NoKeyLeft,
            NoKey::Refused(number) => Self::Refused(number),
        }
    }
}

impl From<io::Error> for WindowError {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.raw_os_error().unwrap_or(0))
    }
}

impl Display for WindowError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeysHere => f.write_str(
                "this machine has no memory protection keys (x86-64: the flag `ospke` in /proc/cpuinfo); \
                 ask for Windows::KeysOrPages or Windows::Pages, or run it where there are keys",
            ),
            Self::NoKeyLeft => f.write_str(
                "all 15 memory protection keys of this process are taken by others in it; two are needed: \
                 make the vault before them, or ask for Windows::KeysOrPages",
            ),
            Self::PlainPointers => f.write_str(
                "this vault has windows, and a collection in its memory would be used through none; make \
                 the collection in a vault with Windows::None, or use SecretVec or SecretString",
            ),
            Self::Refused(number) => write!(
                f,
                "the memory could not be shut: {}; ask for Windows::None, or allow pkey_alloc, \
                 pkey_mprotect and mprotect where a filter forbids them",
                io::Error::from_raw_os_error(*number)
            ),
        }
    }
}

impl Error for WindowError {}

impl Display for WindowKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no windows",
            Self::Pages => "windows by pages",
            Self::Keys => "windows by keys",
        })
    }
}
