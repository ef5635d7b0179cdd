//! Why pages could not be had: the cause, its numbers and the remedy.
//!
//! Each text reads cause, numbers, remedy, in that order and on one line.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use crate::debug::debug_as_displayed;
use crate::limits::{Grouped, Limit, Quota, Remedy, Resource};

debug_as_displayed!(LockError);

/// Pages could not be locked or guarded. Nothing stays mapped, locked or charged.
///
/// ```
/// use strongroom::{LockError, LockedPages};
///
/// assert_eq!(LockedPages::new(0).err(), Some(LockError::Zero));
/// let error = LockedPages::new(usize::MAX).err();
/// assert!(matches!(error, Some(LockError::TooLarge { .. })));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// No bytes were asked for.
    Zero,
    /// More was asked for than fits the address space.
    TooLarge {
        /// The bytes asked for.
        requested: usize,
        /// The most bytes there can be.
        limit: usize,
    },
    /// The limit on locked memory leaves too little room.
    LimitReached {
        /// The bytes this process has locked, `None` if that cannot be read.
        locked: Option<u64>,
        /// The limit in bytes: the soft `RLIMIT_MEMLOCK`, or macOS's wire limit where lower.
        limit: u64,
        /// The bytes asked for, in whole pages.
        requested: u64,
        /// What to change.
        remedy: Remedy,
    },
    /// This process may not lock memory at all (`EPERM`, or `ENOSYS` from a sandbox): its limit is zero and it has no
    /// privilege, or a sandbox forbids it.
    NotPermitted {
        /// The limit on locked memory that holds for the thread, in bytes.
        limit: Limit,
        /// What to change.
        remedy: Remedy,
    },
    /// The process has as many mappings as it may.
    MappingsReached {
        /// The mappings of this process.
        mappings: u64,
        /// The most there may be, `vm.max_map_count`.
        limit: u64,
        /// What to change.
        remedy: Remedy,
    },
    /// Another resource limit leaves too little room.
    ResourceReached {
        /// What it is about.
        resource: Resource,
        /// The limit, and what is used of it.
        quota: Quota,
        /// What was asked for, in bytes with guards, or descriptors.
        requested: u64,
        /// What to change.
        remedy: Remedy,
    },
    /// The system has no memory or no address space left for it.
    OutOfMemory {
        /// The bytes asked for, in whole pages.
        requested: u64,
    },
    /// The system does not know, or refuses, a call that is needed.
    Unsupported {
        /// The call, such as `madvise(MADV_DONTDUMP)`.
        call: &'static str,
        /// The system's error number (`errno(3)`), if it gave one.
        code: Option<i32>,
    },
}

impl LockError {
    /// What to change on this host, if there is something to change.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        match self {
            Self::LimitReached { remedy, .. }
            | Self::NotPermitted { remedy, .. }
            | Self::ResourceReached { remedy, .. }
            | Self::MappingsReached { remedy, .. } => Some(remedy),
            _ => None,
        }
    }
}

impl Display for LockError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => {
                f.write_str("zero bytes of locked memory were asked for; ask for one or more")
            }
            Self::TooLarge { requested, limit } => write!(
                f,
                "{} bytes of locked memory were asked for; no address space holds more than {}",
                Grouped(*requested as u64),
                Grouped(*limit as u64)
            ),
            Self::LimitReached { locked, limit, requested, remedy } => {
                limit_reached(f, *locked, *limit, *requested)?;
                write!(f, "; {remedy}")
            }
            Self::NotPermitted { limit: Limit::Bytes(0), remedy } => write!(
                f,
                "no memory may be locked: RLIMIT_MEMLOCK is 0 bytes and CAP_IPC_LOCK is not in \
                 effect; {remedy}"
            ),
            Self::NotPermitted { limit, remedy } => write!(
                f,
                "mlock is forbidden here, though the limit on locked memory is {limit}; {remedy}"
            ),
            Self::ResourceReached { resource, quota, requested, remedy } => {
                resource_reached(f, *resource, *quota, *requested)?;
                write!(f, "; {remedy}")
            }
            Self::MappingsReached { mappings, limit, remedy } => write!(
                f,
                "the process has {} of {} mappings; {remedy}",
                Grouped(*mappings),
                Grouped(*limit)
            ),
            Self::OutOfMemory { requested } => write!(
                f,
                "the system has no {} bytes of memory to lock; ask for less, or free or add memory",
                Grouped(*requested)
            ),
            Self::Unsupported { call, code } => unsupported(f, call, *code),
        }
    }
}

impl Error for LockError {}

fn limit_reached(
    f: &mut Formatter<'_>,
    locked: Option<u64>,
    limit: u64,
    requested: u64,
) -> fmt::Result {
    let (limit_text, more) = (Grouped(limit), Grouped(requested));
    let Some(locked) = locked else {
        return write!(f, "{more} bytes were asked for under a limit of {limit_text} locked bytes");
    };
    let by_now = if locked.saturating_add(requested) <= limit { " by now" } else { "" };
    write!(
        f,
        "locked {} of {limit_text} bytes{by_now}; {more} more were asked for",
        Grouped(locked)
    )
}

fn resource_reached(
    f: &mut Formatter<'_>,
    resource: Resource,
    quota: Quota,
    requested: u64,
) -> fmt::Result {
    let limit = match quota.limit {
        Limit::Bytes(limit) => Grouped(limit).to_string(),
        limit => limit.to_string(),
    };
    let what = match resource {
        Resource::AddressSpace => "bytes of address space",
        Resource::Data => "bytes of private writable memory",
        Resource::Descriptors => return write!(f, "all descriptors below {limit} are open"),
    };
    match quota.used {
        Some(used) => write!(f, "{} of {limit} {what} are used", Grouped(used))?,
        None => write!(f, "the limit is {limit} {what}")?,
    }
    write!(f, "; {} more were asked for", Grouped(requested))
}

fn unsupported(f: &mut Formatter<'_>, call: &str, code: Option<i32>) -> fmt::Result {
    write!(f, "this system refuses {call}")?;
    if let Some(code) = code {
        write!(f, ": {}", io::Error::from_raw_os_error(code))?;
    }
    f.write_str("; Policy::Prefer goes on without it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, small_limits};

    fn remedy() -> Remedy {
        Remedy::for_lock(&small_limits(), 65_537)
    }

    #[test]
    fn a_reached_limit_is_told_in_one_line() {
        let error = |locked| LockError::LimitReached {
            locked,
            limit: 65_536,
            requested: 8192,
            remedy: remedy(),
        };
        for (locked, start) in [
            (Some(61_440), "locked 61,440 of 65,536 bytes; 8,192 more were asked for; raise"),
            (Some(0), "locked 0 of 65,536 bytes by now; 8,192 more were asked for; raise"),
            (None, "8,192 bytes were asked for under a limit of 65,536 locked bytes; raise"),
        ] {
            let text = error(locked).to_string();
            assert!(text.starts_with(start), "{text}");
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn two_reasons_for_no_permission_are_told_apart() {
        let zero = LockError::NotPermitted { limit: Limit::Bytes(0), remedy: remedy() };
        assert!(zero.to_string().contains("RLIMIT_MEMLOCK is 0 bytes"), "{zero}");
        let sandbox = LockError::NotPermitted { limit: Limit::Unlimited, remedy: remedy() };
        assert!(sandbox.to_string().contains("locked memory is unlimited"), "{sandbox}");
    }

    #[test]
    fn an_error_number_is_told_in_words() {
        let error = LockError::Unsupported { call: "mlock", code: Some(38) };
        assert!(error.to_string().contains("mlock: "), "{error}");
        assert!(error.to_string().contains("(os error 38)"), "{error}");
    }

    #[test]
    fn a_remedy_goes_with_what_can_be_changed() {
        let limit = LockError::NotPermitted { limit: Limit::Bytes(0), remedy: remedy() };
        assert_eq!(limit.remedy(), Some(&remedy()));
        assert_eq!(LockError::Zero.remedy(), None);
        assert_eq!(Limits { locked: None, ..small_limits() }.remedy(1), None);
    }
}
