//! The pre-flight: how much memory this process may lock, and what to change if that is too little.
//!
//! Everything here is read from the system when asked for and changes nothing. The numbers explain;
//! what decides is the answer of `mlock(2)`, because other threads lock and unlock in between.

use std::fmt::{self, Display, Formatter};
use std::io;

use crate::sys;

#[cfg(target_os = "linux")]
#[path = "limits/linux.rs"]
mod system;

#[cfg(target_os = "macos")]
#[path = "limits/macos.rs"]
mod system;

mod capacity;
mod exposure;
mod host;
#[cfg(any(target_os = "linux", test, feature = "internals"))]
pub(crate) mod proc;
mod remedy;
mod table;
mod units;

pub use capacity::Fit;
pub use exposure::Swap;
pub use host::Surroundings;
pub use remedy::Remedy;
#[cfg(test)]
pub(crate) use tests::small as small_limits;
pub(crate) use units::Grouped;

/// What limits locked memory for this process, as of one moment.
///
/// ```
/// use strongroom::Limits;
///
/// let limits = Limits::read();
/// println!("{limits}");
/// if let Some(remedy) = limits.remedy(64 * 1024) {
///     eprintln!("64 KiB of locked memory would not fit: {remedy}");
/// }
/// println!("{} secrets of 64 bytes can be open at one time", limits.fits(64));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The soft `RLIMIT_MEMLOCK`, the one that counts (`getrlimit(2)`).
    pub soft: Limit,
    /// The hard `RLIMIT_MEMLOCK`, up to which the process may raise the soft one.
    pub hard: Limit,
    /// The bytes this process has locked already: `VmLck` of `/proc/thread-self/status`, or
    /// `ri_wired_size` of `proc_pid_rusage` on macOS. `None` if that cannot be read.
    pub locked: Option<u64>,
    /// Whether the calling thread is above the limit.
    pub ipc_lock: IpcLock,
    /// The mappings this process has now, the lines of `/proc/self/maps`. Linux only.
    pub mappings: Option<u64>,
    /// The most mappings a process may have, `vm.max_map_count`. Linux only.
    pub mappings_limit: Option<u64>,
    /// The most bytes one process may lock, `vm.user_wire_limit`. macOS only.
    pub wire_limit: Option<u64>,
    /// The most bytes all processes together may lock, `vm.global_user_wire_limit`. macOS only.
    pub global_wire_limit: Option<u64>,
    /// The most memory that the process and its neighbours may use: the lowest limit of its
    /// control group and those above (`memory.max`, `memory.limit_in_bytes`). Linux only.
    pub memory_limit: Limit,
    /// Where pages go that are not locked (`/proc/swaps`). Linux only.
    pub swap: Swap,
    /// The soft `RLIMIT_CORE`.
    pub core_limit: Limit,
    /// Where core dumps go, `/proc/sys/kernel/core_pattern` (`core(5)`). Linux only.
    pub core_pattern: Option<Box<str>>,
    /// Whether `memfd_secret(2)` works here; see [`Backing`](crate::Backing).
    pub secret_memory: bool,
    /// The size of a page in bytes. Locks are charged in whole pages.
    pub page_size: usize,
    /// Where the process runs, which decides how a limit is raised.
    pub surroundings: Surroundings,
}

impl Limits {
    /// Reads the limits of the calling thread's process.
    ///
    /// What cannot be read, in a `chroot` without `/proc` say, is [`Limit::Unknown`] or `None`.
    #[must_use]
    pub fn read() -> Self {
        let (soft, hard) = sys::memlock_limit().map_or((Limit::Unknown, Limit::Unknown), |limit| {
            (Limit::from_finite(limit.soft), Limit::from_finite(limit.hard))
        });
        system::read(soft, hard)
    }

    /// How many bytes can be locked beyond what is locked now.
    ///
    /// The kernel counts whole pages: a limit that ends inside a page ends before it.
    #[must_use]
    pub fn available(&self) -> Limit {
        let Limit::Bytes(limit) = self.lock_limit() else {
            return self.lock_limit();
        };
        let whole_pages = limit - limit.checked_rem(self.page_size as u64).unwrap_or(0);
        self.locked
            .map_or(Limit::Unknown, |locked| Limit::Bytes(whole_pages.saturating_sub(locked)))
    }

    /// What to change so that `bytes` more bytes can be locked. `None` if they can be already, or
    /// if that cannot be told.
    #[must_use]
    pub fn remedy(&self, bytes: u64) -> Option<Remedy> {
        if matches!(self.available(), Limit::Bytes(available) if available < bytes) {
            return Some(Remedy::for_lock(self, bytes));
        }
        if matches!(self.memory_limit, Limit::Bytes(most) if most < bytes) {
            return Some(Remedy::for_memory(self, bytes));
        }
        self.mappings_exhausted().map(|(_, limit)| Remedy::for_mappings(self, limit))
    }

    /// The limit on locked bytes that holds for this thread; the least of those there are.
    pub(crate) fn lock_limit(&self) -> Limit {
        if self.ipc_lock == IpcLock::InEffect {
            return Limit::Unlimited;
        }
        match self.wire_limit {
            Some(wire) if self.wire_limit_is_lower() => Limit::Bytes(wire),
            _ => self.soft,
        }
    }

    fn wire_limit_is_lower(&self) -> bool {
        self.wire_limit.is_some_and(|wire| match self.soft {
            Limit::Bytes(soft) => wire < soft,
            _ => true,
        })
    }

    /// Whether there is no room for the mappings of one more [`LockedPages`](crate::LockedPages).
    pub(crate) fn mappings_exhausted(&self) -> Option<(u64, u64)> {
        let (mappings, limit) = (self.mappings?, self.mappings_limit?);
        (mappings.saturating_add(MAPPINGS_OF_PAGES) >= limit).then_some((mappings, limit))
    }
}

/// Raises the soft `RLIMIT_MEMLOCK` to the hard one, and says what it is now. For the whole process,
/// and for what it starts from then on. The library never does this by itself.
///
/// ```
/// use strongroom::limits::{self, Limits};
///
/// let soft = limits::raise_soft_limit()?;
/// assert_eq!(soft, Limits::read().hard);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `setrlimit(2)`'s, where a sandbox forbids it.
pub fn raise_soft_limit() -> io::Result<Limit> {
    Ok(Limit::from_finite(sys::raise_memlock_limit()?.soft))
}

/// A limit in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// So many bytes.
    Bytes(u64),
    /// `RLIM_INFINITY`, or a privilege that lifts the limit. Memory is finite all the same.
    Unlimited,
    /// The system did not say.
    Unknown,
}

impl Limit {
    fn from_finite(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unlimited, Self::Bytes)
    }

    #[cfg(target_os = "linux")]
    fn lower(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(other)) => Self::Bytes(one.min(other)),
            (Self::Bytes(_), _) => self,
            _ => other,
        }
    }

    fn from_known(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unknown, Self::Bytes)
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", Grouped(*bytes)),
            Self::Unlimited => f.write_str("unlimited"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whether the capability `CAP_IPC_LOCK` lifts `RLIMIT_MEMLOCK` (`capabilities(7)`, `mlock(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpcLock {
    /// The calling thread has it: the limit does not apply to it.
    InEffect,
    /// The calling thread has it inside a user namespace, as in a rootless container. The kernel
    /// asks for it in the initial namespace: the limit applies.
    Namespaced,
    /// The calling thread does not have it, or the system has no such thing: the limit applies.
    Absent,
}

impl Display for IpcLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InEffect => "in effect, the limit does not apply",
            Self::Namespaced => "only inside a user namespace, the limit applies",
            Self::Absent => "absent, the limit applies",
        })
    }
}

/// A guard, the data, a guard.
const MAPPINGS_OF_PAGES: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 KiB with nothing locked, in a shell.
    pub(crate) fn small() -> Limits {
        Limits {
            soft: Limit::Bytes(65_536),
            hard: Limit::Bytes(65_536),
            locked: Some(0),
            ipc_lock: IpcLock::Absent,
            mappings: Some(80),
            mappings_limit: Some(65_530),
            wire_limit: None,
            global_wire_limit: None,
            memory_limit: Limit::Unlimited,
            swap: Swap::Off,
            core_limit: Limit::Bytes(0),
            core_pattern: Some("core".into()),
            secret_memory: true,
            page_size: 4096,
            surroundings: Surroundings::Shell,
        }
    }

    #[test]
    fn available_is_what_the_soft_limit_leaves() {
        let hard_is_no_help = Limits { hard: Limit::Unlimited, ..small() };
        assert_eq!(hard_is_no_help.available(), Limit::Bytes(65_536));
        let some_locked = Limits { locked: Some(61_440), ..small() };
        assert_eq!(some_locked.available(), Limit::Bytes(4096));
        let lowered_since = Limits { locked: Some(100_000), ..small() };
        assert_eq!(lowered_since.available(), Limit::Bytes(0));
    }

    #[test]
    fn available_counts_whole_pages() {
        for (limit, available) in [(0, 0), (4095, 0), (4096, 4096), (10_000, 8192)] {
            let limits = Limits { soft: Limit::Bytes(limit), ..small() };
            assert_eq!(limits.available(), Limit::Bytes(available), "{limit}");
        }
    }

    #[test]
    fn a_capability_lifts_the_limit_only_in_the_initial_namespace() {
        let root = Limits { ipc_lock: IpcLock::InEffect, ..small() };
        assert_eq!(root.available(), Limit::Unlimited);
        let rootless = Limits { ipc_lock: IpcLock::Namespaced, ..small() };
        assert_eq!(rootless.available(), Limit::Bytes(65_536));
    }

    #[test]
    fn the_wire_limit_counts_where_it_is_the_lower() {
        let lower = Limits { soft: Limit::Unlimited, wire_limit: Some(8192), ..small() };
        assert_eq!(lower.available(), Limit::Bytes(8192));
        let higher = Limits { wire_limit: Some(1 << 30), ..small() };
        assert_eq!(higher.available(), Limit::Bytes(65_536));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let no_proc = Limits { locked: None, ..small() };
        assert_eq!(no_proc.available(), Limit::Unknown);
        assert_eq!(no_proc.remedy(1 << 40), None);
        let no_limit = Limits { soft: Limit::Unknown, ..small() };
        assert_eq!(no_limit.available(), Limit::Unknown);
    }

    #[test]
    fn a_remedy_is_offered_only_where_it_is_needed() {
        assert_eq!(small().remedy(65_536), None);
        assert!(small().remedy(65_537).is_some());
    }

    #[test]
    fn other_limits_have_a_say_in_what_is_offered() {
        let memory = Limits { memory_limit: Limit::Bytes(8192), ..small() };
        assert_eq!(memory.remedy(8192), None);
        assert!(memory.remedy(8193).is_some());
        let mappings = Limits { mappings: Some(65_529), ..small() };
        assert!(mappings.remedy(1).is_some());
        assert_eq!(mappings.fits(64), Fit::Secrets(0));
    }
}
