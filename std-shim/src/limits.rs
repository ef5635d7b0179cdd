//! The pre-flight: how much memory this process may lock, and what to change if that is too little.
//!
//! Everything in [`Limits`] is read from the system when asked for and changes nothing. The numbers
//! explain; what decides is the answer of `mlock(2)`, because other threads lock and unlock in between,
//! and because nobody tells of filters: [`LockedPages::try_lock`](crate::LockedPages::try_lock) asks for
//! that answer.

use std::fmt::{self, Display, Formatter};
use std::io;

use crate::sys;

#[cfg(target_os = "linux")]
#[path = "limits/linux.rs"]
mod system;

#[cfg(target_os = "macos")]
#[path = "limits/macos.rs"]
mod system;

mod capability;
mod capacity;
mod exposure;
mod host;
#[cfg(any(target_os = "linux", test, feature = "internals"))]
pub(crate) mod proc;
mod quota;
mod remedy;
mod secret_memory;
mod table;
mod units;

pub use capability::{IpcLock, UserNamespace};
pub use capacity::Fit;
pub use exposure::Swap;
pub use host::Surroundings;
pub use quota::{Quota, Resource};
pub use remedy::Remedy;
pub use secret_memory::SecretMemory;
#[cfg(test)]
pub(crate) use tests::{quota, small as small_limits};
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
    /// Whether the process is in a user namespace of its own, where capabilities count for less.
    pub user_namespace: UserNamespace,
    /// The mappings this process has now, the lines of `/proc/self/maps`. Linux only.
    pub mappings: Option<u64>,
    /// The most mappings a process may have, `vm.max_map_count`. Linux only.
    pub mappings_limit: Option<u64>,
    /// The most bytes one process may lock, `vm.user_wire_limit`. macOS only.
    pub wire_limit: Option<u64>,
    /// The most bytes all processes together may lock, `vm.global_user_wire_limit`. macOS only.
    pub global_wire_limit: Option<u64>,
    /// Bytes of address space, `RLIMIT_AS`, beside `VmSize` of `/proc/self/status`.
    pub address_space: Quota,
    /// Bytes of private writable memory, `RLIMIT_DATA`, beside `VmData`.
    pub data: Quota,
    /// Bytes of memory that the process and its neighbours in the control group use, and may use: of
    /// the group, or the one above it, that leaves least (`memory.max`, `memory.limit_in_bytes`). What
    /// the kernel can take back at once, file pages that were not used lately, does not count as used.
    /// Linux only.
    pub memory: Quota,
    /// Where pages go that are not locked (`/proc/swaps`). Linux only.
    pub swap: Swap,
    /// The soft `RLIMIT_CORE`.
    pub core_limit: Limit,
    /// Where core dumps go, `/proc/sys/kernel/core_pattern` (`core(5)`). Linux only.
    pub core_pattern: Option<Box<str>>,
    /// Whether the process may dump core at all (`PR_GET_DUMPABLE`). Linux only.
    pub dumpable: Option<bool>,
    /// Whether the kernel has `memfd_secret(2)`, and is set to give it; see [`Backing`](crate::Backing).
    pub secret_memory: SecretMemory,
    /// Whether processor and kernel have memory protection keys, `pkeys(7)`; see
    /// [`Windows::Keys`](crate::Windows::Keys).
    pub protection_keys: bool,
    /// The size of a page in bytes. Locks are charged in whole pages.
    pub page_size: usize,
    /// Where the process runs, which decides how a limit is raised.
    pub surroundings: Surroundings,
}

impl Limits {
    /// Reads the limits of the calling thread's process.
    ///
    /// The kernel is asked by calls where there are any, so most of it is known in a `chroot` without
    /// `/proc` too. What cannot be read is [`Limit::Unknown`], `None`, or a variant of that name.
    #[must_use]
    pub fn read() -> Self {
        system::read()
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
        let too_little = |left| matches!(left, Limit::Bytes(left) if left < bytes);
        if too_little(self.available()) {
            return Some(Remedy::for_lock(self, bytes));
        }
        if too_little(self.memory_left()) {
            return Some(Remedy::for_memory(self, bytes));
        }
        if let Some((resource, quota)) = self.exhausted_by(self.with_guards(bytes)) {
            return Some(Remedy::for_resource(self, resource, quota, self.with_guards(bytes)));
        }
        self.mappings_exhausted().map(|(_, limit)| Remedy::for_mappings(self, limit))
    }

    /// The bytes that can be taken beyond what is used now, as far as resource limits and the control
    /// group go: what is beyond the group's limit gets a process killed, not refused.
    pub(crate) fn memory_left(&self) -> Limit {
        match self.memory.left() {
            // Page tables, and what a process needs besides.
            Limit::Bytes(left) => {
                Limit::Bytes(left.saturating_sub(left / PAGE_TABLES).saturating_sub(BESIDES))
            }
            left => left,
        }
    }

    /// The resource limit that leaves no room to map `bytes` bytes.
    pub(crate) fn exhausted_by(&self, bytes: u64) -> Option<(Resource, Quota)> {
        let too_little = |quota: Quota| matches!(quota.left(), Limit::Bytes(left) if left < bytes);
        self.limits_on_mapping().into_iter().find(|&(_, quota)| too_little(quota))
    }

    /// A resource limit that may be the cause where mapping was refused: what is used of it is not known.
    pub(crate) fn perhaps_exhausted(&self) -> Option<(Resource, Quota)> {
        let unknown =
            |quota: Quota| quota.left() == Limit::Unknown && quota.limit != Limit::Unknown;
        self.limits_on_mapping().into_iter().find(|&(_, quota)| unknown(quota))
    }

    /// The resource limits that a mapping counts towards.
    pub(crate) fn limits_on_mapping(&self) -> [(Resource, Quota); 2] {
        [(Resource::AddressSpace, self.address_space), (Resource::Data, self.data)]
    }

    /// What is mapped for so many bytes between guard pages.
    pub(crate) fn with_guards(&self, bytes: u64) -> u64 {
        bytes.saturating_add(2 * self.page_size as u64)
    }

    /// The limit on locked bytes that holds for this thread; the least of those there are.
    pub(crate) fn lock_limit(&self) -> Limit {
        match (self.ipc_lock, self.wire_limit) {
            (IpcLock::InEffect, _) => Limit::Unlimited,
            (IpcLock::Unknown, _) if self.soft != Limit::Unlimited => Limit::Unknown,
            (_, Some(wire)) if self.wire_limit_is_lower() => Limit::Bytes(wire),
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

    /// The bytes; 0 where there is no limit or it is not known.
    fn or_zero(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => 0,
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

/// A guard, the data, a guard.
const MAPPINGS_OF_PAGES: u64 = 3;

/// A page table of 8 bytes for each page of 4,096, and the tables above them: less than one in so many.
const PAGE_TABLES: u64 = 128;

/// What a process needs of its control group besides, in bytes.
const BESIDES: u64 = 256 * 1024;

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
            user_namespace: UserNamespace::Initial,
            mappings: Some(80),
            mappings_limit: Some(65_530),
            wire_limit: None,
            global_wire_limit: None,
            address_space: Quota::UNLIMITED,
            data: Quota::UNLIMITED,
            memory: Quota::UNLIMITED,
            swap: Swap::Off,
            core_limit: Limit::Bytes(0),
            core_pattern: Some("core".into()),
            dumpable: Some(true),
            secret_memory: SecretMemory::SwitchedOn,
            protection_keys: false,
            page_size: 4096,
            surroundings: Surroundings::Shell,
        }
    }

    /// A soft limit that the hard one does not exceed.
    pub(crate) fn quota(limit: u64, used: u64) -> Quota {
        Quota { limit: Limit::Bytes(limit), hard: Limit::Bytes(limit), used: Some(used) }
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
        let privileged = Limits { ipc_lock: IpcLock::Unknown, ..small() };
        assert_eq!(privileged.available(), Limit::Unknown);
    }

    #[test]
    fn a_remedy_is_offered_only_where_it_is_needed() {
        assert_eq!(small().remedy(65_536), None);
        assert!(small().remedy(65_537).is_some());
    }

    #[test]
    fn other_limits_have_a_say_in_what_is_offered() {
        let memory = Limits { memory: quota(1 << 20, 1 << 19), ..small() };
        assert_eq!(memory.remedy(65_536), None);
        let memory = Limits { memory: quota(1 << 20, 750_000), ..small() };
        assert!(memory.remedy(65_536).is_some(), "a process needs more than what it locks");
        let address_space = Limits { address_space: quota(100_000, 30_000), ..small() };
        assert_eq!(address_space.remedy(61_808), None);
        assert!(address_space.remedy(61_809).is_some(), "guards take address space");
        let data = Limits { data: quota(100_000, 30_000), ..small() };
        assert!(data.remedy(61_809).is_some());
        let mappings = Limits { mappings: Some(65_529), ..small() };
        assert!(mappings.remedy(1).is_some());
        assert_eq!(mappings.fits(64), Fit::Secrets(0));
    }
}
