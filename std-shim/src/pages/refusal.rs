//! From a refused system call to its cause.
//!
//! The kernel answers with few codes for many causes. What tells them apart are facts read after
//! it: who holds what, and who may.
//!
//! | call | Linux | macOS | cause |
//! |---|---|---|---|
//! | `mlock` | ENOMEM | EAGAIN | the limit, if `locked + requested` is past it |
//! | `mlock` | ENOMEM | | else `vm.max_map_count`: locking cuts one mapping in three |
//! | `mlock` | EAGAIN | ENOMEM | else a page could not be brought in: out of memory |
//! | `mlock` | EPERM | EPERM | a limit of zero without the capability, else a sandbox |
//! | `mlock` | ENOSYS | | a sandbox: the call is in every kernel that has memory management |
//! | `mmap`, `mprotect` | ENOMEM | ENOMEM | `vm.max_map_count` |
//! | `mmap` | ENOMEM | ENOMEM | else `RLIMIT_AS` or `RLIMIT_DATA`, else out of memory |
//! | `mmap` | EAGAIN | | the limit, after `mlockall(MCL_FUTURE)` (guards count) or for secret memory |
//! | `memfd_secret` | ENOSYS | | an old kernel, or one without it; else EPERM: a sandbox |
//! | `memfd_secret` | EMFILE | | `RLIMIT_NOFILE` |

use std::io::{self, ErrorKind};

use super::error::LockError;
use crate::limits::{IpcLock, Limit, Limits, Quota, Remedy, Resource};
#[cfg(target_os = "linux")]
use crate::sys;

/// A call that was refused, before anybody has asked why.
#[derive(Debug)]
pub(crate) struct Refusal {
    call: Call,
    error: io::Error,
}

impl Refusal {
    /// Attaches the call to its error, for `map_err`.
    pub(crate) fn of(call: Call) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { call, error }
    }

    /// A number for [`from_code`](Self::from_code), greater than zero. Of the error it keeps the kind,
    /// as far as kinds are told apart here.
    pub(crate) fn code(&self) -> u8 {
        let kind = KINDS.iter().position(|&kind| kind == self.error.kind()).unwrap_or(KINDS.len());
        let call = CALLS.iter().position(|&call| call == self.call).unwrap_or(CALLS.len());
        u8::try_from(1 + call * (KINDS.len() + 1) + kind).unwrap_or(u8::MAX)
    }

    /// The refusal with that number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        let number = usize::from(code).checked_sub(1)?;
        let call = *CALLS.get(number / (KINDS.len() + 1))?;
        let kind = KINDS.get(number % (KINDS.len() + 1)).copied().unwrap_or(ErrorKind::Other);
        Some(Self { call, error: kind.into() })
    }

    /// Reads the limits now and tells which of them `requested` bytes ran into.
    pub(crate) fn explain(&self, requested: usize) -> LockError {
        self.explain_by(&Limits::read(), requested as u64)
    }

    fn explain_by(&self, limits: &Limits, requested: u64) -> LockError {
        match (self.call, self.error.kind()) {
            (Call::Lock, ErrorKind::PermissionDenied) => not_permitted(limits, requested),
            (Call::Lock, ErrorKind::Unsupported) if cfg!(target_os = "linux") => forbidden(limits),
            // Secret memory is locked from its start, and refused like this whatever the reason.
            (Call::ReserveSecret, ErrorKind::WouldBlock) if limits.soft == Limit::Bytes(0) => {
                not_permitted(limits, requested)
            }
            (Call::ReserveSecret, _) if self.error.raw_os_error() == Some(libc::EMFILE) => {
                no_descriptors(limits)
            }
            // So is every mapping after mlockall(MCL_FUTURE), with its guards.
            (Call::Reserve, ErrorKind::WouldBlock) => {
                self.no_room_to_lock(limits, limits.with_guards(requested))
            }
            (Call::Lock, ErrorKind::OutOfMemory | ErrorKind::WouldBlock)
            | (Call::ReserveSecret, ErrorKind::WouldBlock) => {
                self.no_room_to_lock(limits, requested)
            }
            (_, ErrorKind::OutOfMemory) => self.no_room_to_map(limits, requested),
            _ => LockError::Unsupported { call: self.call.name(), code: self.error.raw_os_error() },
        }
    }

    fn no_room_to_lock(&self, limits: &Limits, requested: u64) -> LockError {
        // If it is not known whether the soft limit holds: who is not held by it is not refused so.
        let ((Limit::Bytes(limit), _) | (Limit::Unknown, Limit::Bytes(limit))) =
            (limits.lock_limit(), limits.soft)
        else {
            return self.no_room_to_map(limits, requested);
        };
        let past_limit = matches!(limits.available(), Limit::Bytes(left) if left < requested);
        // The limit it was, but others have unlocked since: nothing else answers like this.
        let must_be_limit = match self.call {
            Call::Reserve | Call::ReserveSecret => true,
            _ => self.error.kind() == LIMIT_REACHED && limits.mappings_exhausted().is_none(),
        };
        if !past_limit && !must_be_limit {
            return self.no_room_to_map(limits, requested);
        }
        let remedy = Remedy::for_lock(limits, requested);
        LockError::LimitReached { locked: limits.locked, limit, requested, remedy }
    }

    fn no_room_to_map(&self, limits: &Limits, requested: u64) -> LockError {
        if let Some((mappings, limit)) = limits.mappings_exhausted() {
            let remedy = Remedy::for_mappings(limits, limit);
            return LockError::MappingsReached { mappings, limit, remedy };
        }
        let mapped = limits.with_guards(requested);
        let cause = match self.call {
            Call::Reserve | Call::ReserveSecret => {
                limits.exhausted_by(mapped).or_else(|| limits.perhaps_exhausted())
            }
            _ => None,
        };
        match cause {
            Some((resource, quota)) => resource_reached(limits, resource, quota, mapped),
            None => LockError::OutOfMemory { requested },
        }
    }
}

/// The kinds of errors that are told apart.
const KINDS: [ErrorKind; 4] = [
    ErrorKind::PermissionDenied,
    ErrorKind::OutOfMemory,
    ErrorKind::WouldBlock,
    ErrorKind::Unsupported,
];

const CALLS: [Call; 6] = [
    Call::Reserve,
    Call::ReserveSecret,
    Call::ExcludeFromDumps,
    Call::HideFromChildren,
    Call::Lock,
    Call::ProtectGuards,
];

/// The calls that make locked pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Reserve,
    ReserveSecret,
    ExcludeFromDumps,
    HideFromChildren,
    Lock,
    ProtectGuards,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "mmap",
            Self::ReserveSecret => "memfd_secret",
            Self::ExcludeFromDumps => "madvise(MADV_DONTDUMP)",
            Self::HideFromChildren if cfg!(target_os = "macos") => "minherit(VM_INHERIT_NONE)",
            Self::HideFromChildren => "madvise(MADV_DONTFORK)",
            Self::Lock => "mlock",
            Self::ProtectGuards => "mprotect(PROT_NONE)",
        }
    }
}

fn not_permitted(limits: &Limits, requested: u64) -> LockError {
    let by_limit = limits.soft == Limit::Bytes(0) && limits.ipc_lock != IpcLock::InEffect;
    if by_limit {
        let remedy = Remedy::for_lock(limits, requested);
        LockError::NotPermitted { limit: limits.soft, remedy }
    } else {
        forbidden(limits)
    }
}

fn forbidden(limits: &Limits) -> LockError {
    let limit = match limits.lock_limit() {
        // That is another cause.
        Limit::Bytes(0) => Limit::Unknown,
        limit => limit,
    };
    LockError::NotPermitted { limit, remedy: Remedy::for_sandbox(limits) }
}

fn resource_reached(
    limits: &Limits,
    resource: Resource,
    quota: Quota,
    requested: u64,
) -> LockError {
    let remedy = Remedy::for_resource(limits, resource, quota, requested);
    LockError::ResourceReached { resource, quota, requested, remedy }
}

fn no_descriptors(limits: &Limits) -> LockError {
    #[cfg(target_os = "linux")]
    let quota = Quota::of(sys::descriptor_limit().ok(), None);
    #[cfg(not(target_os = "linux"))]
    let quota = Quota::of(None, None);
    resource_reached(limits, Resource::Descriptors, quota, 1)
}

/// What `mlock` answers at its limit: ENOMEM on Linux (where EAGAIN is a page that could not be
/// brought in), EAGAIN on macOS.
const LIMIT_REACHED: ErrorKind =
    if cfg!(target_os = "macos") { ErrorKind::WouldBlock } else { ErrorKind::OutOfMemory };

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::limits::{IpcLock, quota, small_limits};

    const REQUESTED: u64 = 8192;

    fn explain(call: Call, kind: ErrorKind, limits: &Limits) -> LockError {
        Refusal::of(call)(kind.into()).explain_by(limits, REQUESTED)
    }

    fn nearly_full() -> Limits {
        Limits { locked: Some(61_440), ..small_limits() }
    }

    fn many_mappings() -> Limits {
        Limits { mappings: Some(65_529), ..small_limits() }
    }

    #[test]
    fn the_limit_is_named_where_the_numbers_say_so() {
        for kind in [ErrorKind::OutOfMemory, ErrorKind::WouldBlock] {
            let error = explain(Call::Lock, kind, &nearly_full());
            let LockError::LimitReached { locked, limit, requested, .. } = error else {
                panic!("{kind}: {error}");
            };
            assert_eq!((locked, limit, requested), (Some(61_440), 65_536, REQUESTED));
        }
    }

    /// Full in both ways: the limit on locked bytes is the one that was asked about.
    #[test]
    fn the_limit_comes_before_the_mappings() {
        let both = Limits { mappings: Some(65_529), ..nearly_full() };
        let error = explain(Call::Lock, ErrorKind::OutOfMemory, &both);
        assert!(matches!(error, LockError::LimitReached { .. }), "{error}");
    }

    #[test]
    fn the_limit_is_named_even_if_others_have_unlocked_since() {
        let error = explain(Call::Lock, LIMIT_REACHED, &small_limits());
        assert!(matches!(error, LockError::LimitReached { .. }), "{error}");
        let unknown = Limits { locked: None, ..small_limits() };
        let error = explain(Call::Lock, LIMIT_REACHED, &unknown);
        assert!(matches!(error, LockError::LimitReached { locked: None, .. }), "{error}");
    }

    #[test]
    fn a_privileged_thread_never_hits_the_limit() {
        let root = Limits { ipc_lock: IpcLock::InEffect, ..nearly_full() };
        let error = explain(Call::Lock, ErrorKind::OutOfMemory, &root);
        assert_eq!(error, LockError::OutOfMemory { requested: REQUESTED });
        let root = Limits { ipc_lock: IpcLock::InEffect, ..many_mappings() };
        let error = explain(Call::Lock, ErrorKind::OutOfMemory, &root);
        assert!(matches!(error, LockError::MappingsReached { .. }), "{error}");
    }

    #[test]
    fn the_mappings_are_named_where_they_are_exhausted() {
        for call in [Call::Reserve, Call::Lock, Call::ProtectGuards, Call::HideFromChildren] {
            let error = explain(call, ErrorKind::OutOfMemory, &many_mappings());
            let LockError::MappingsReached { mappings, limit, .. } = error else {
                panic!("{call:?}: {error}");
            };
            assert_eq!((mappings, limit), (65_529, 65_530));
        }
        let error = explain(Call::Reserve, ErrorKind::OutOfMemory, &small_limits());
        assert_eq!(error, LockError::OutOfMemory { requested: REQUESTED });
    }

    #[test]
    fn a_mapping_locked_from_its_start_meets_the_limit_too() {
        for limits in [nearly_full(), small_limits()] {
            let error = explain(Call::Reserve, ErrorKind::WouldBlock, &limits);
            let LockError::LimitReached { requested, .. } = error else { panic!("{error}") };
            assert_eq!(requested, REQUESTED + 2 * 4096, "guards are charged");
        }
    }

    /// Its one refusal is told like those of `mlock`.
    #[test]
    fn secret_memory_meets_the_same_limit() {
        for limits in [nearly_full(), small_limits(), many_mappings()] {
            let error = explain(Call::ReserveSecret, ErrorKind::WouldBlock, &limits);
            assert!(matches!(error, LockError::LimitReached { .. }), "{error}");
        }
        let none = Limits { soft: Limit::Bytes(0), ..small_limits() };
        let error = explain(Call::ReserveSecret, ErrorKind::WouldBlock, &none);
        assert!(matches!(error, LockError::NotPermitted { .. }), "{error}");
        let refusal = Refusal::of(Call::ReserveSecret)(io::Error::from_raw_os_error(libc::EMFILE));
        let error = refusal.explain_by(&small_limits(), REQUESTED);
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        let error = explain(Call::ReserveSecret, ErrorKind::Unsupported, &small_limits());
        assert_eq!(error, LockError::Unsupported { call: "memfd_secret", code: None });
    }

    #[test]
    fn no_permission_is_a_zero_limit_or_a_sandbox() {
        for limit in [Limit::Bytes(0), Limit::Bytes(65_536), Limit::Unlimited] {
            let limits = Limits { soft: limit, ..small_limits() };
            let error = explain(Call::Lock, ErrorKind::PermissionDenied, &limits);
            assert!(matches!(error, LockError::NotPermitted { .. }), "{error}");
            let by_limit = error.to_string().contains("raise RLIMIT_MEMLOCK");
            assert_eq!(by_limit, limit == Limit::Bytes(0), "{error}");
            let privileged = Limits { ipc_lock: IpcLock::InEffect, ..limits };
            let error = explain(Call::Lock, ErrorKind::PermissionDenied, &privileged);
            assert!(error.to_string().contains("sandbox"), "{error}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_such_call_as_mlock_is_a_sandbox() {
        for limit in [Limit::Bytes(0), Limit::Bytes(65_536), Limit::Unlimited] {
            let limits = Limits { soft: limit, ..small_limits() };
            let error = explain(Call::Lock, ErrorKind::Unsupported, &limits);
            assert!(matches!(error, LockError::NotPermitted { .. }), "{error}");
            assert!(error.to_string().contains("forbidden here"), "{error}");
            assert!(error.to_string().contains("sandbox"), "{error}");
        }
    }

    #[test]
    fn limits_on_mapped_memory_are_named() {
        let address_space = Limits { address_space: quota(1 << 20, 1 << 20), ..small_limits() };
        let data = Limits { data: quota(1 << 20, (1 << 20) - REQUESTED), ..small_limits() };
        let unknown = Quota { used: None, ..quota(1 << 20, 0) };
        let unknown = Limits { data: unknown, ..small_limits() };
        for (limits, name) in
            [(address_space, "RLIMIT_AS"), (data, "RLIMIT_DATA"), (unknown, "RLIMIT_DATA")]
        {
            let error = explain(Call::Reserve, ErrorKind::OutOfMemory, &limits);
            assert!(matches!(error, LockError::ResourceReached { .. }), "{error}");
            let remedy = error.remedy().map(ToString::to_string).unwrap_or_default();
            assert!(remedy.contains(name), "{error}");
            let error = explain(Call::ProtectGuards, ErrorKind::OutOfMemory, &limits);
            assert_eq!(error, LockError::OutOfMemory { requested: REQUESTED });
        }
    }

    #[test]
    fn everything_else_is_unsupported_by_name() {
        let calls = [Call::Reserve, Call::ExcludeFromDumps, Call::HideFromChildren];
        for call in calls {
            let error = explain(call, ErrorKind::Unsupported, &small_limits());
            assert_eq!(error, LockError::Unsupported { call: call.name(), code: None });
        }
    }

    #[test]
    fn a_refusal_survives_as_a_number() {
        for call in CALLS {
            for kind in KINDS.into_iter().chain([ErrorKind::Other]) {
                let refusal = Refusal::of(call)(kind.into());
                let again = Refusal::from_code(refusal.code()).unwrap();
                assert_eq!((again.call, again.error.kind()), (call, kind));
            }
        }
        assert!(Refusal::from_code(0).is_none() && Refusal::from_code(u8::MAX).is_none());
    }
}
