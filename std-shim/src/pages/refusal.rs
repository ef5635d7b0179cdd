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
//! | `mlock` | EPERM | EPERM | a limit of zero, else a sandbox |
//! | `mmap`, `mprotect` | ENOMEM | ENOMEM | `vm.max_map_count`, else out of memory |
//! | `mmap` | EAGAIN | | the limit, after `mlockall(MCL_FUTURE)` or for secret memory |
//! | `memfd_secret` | ENOSYS | | an old kernel, or one without it; else EPERM: a sandbox |

use std::io::{self, ErrorKind};

use super::error::LockError;
use crate::limits::{Limit, Limits, Remedy};

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

    /// Reads the limits now and tells which of them `requested` bytes ran into.
    pub(crate) fn explain(&self, requested: usize) -> LockError {
        self.explain_by(&Limits::read(), requested as u64)
    }

    fn explain_by(&self, limits: &Limits, requested: u64) -> LockError {
        match (self.call, self.error.kind()) {
            (Call::Lock, ErrorKind::PermissionDenied) => not_permitted(limits, requested),
            // Secret memory is locked from its start, and refused like this whatever the reason.
            (Call::ReserveSecret, ErrorKind::WouldBlock) if limits.soft == Limit::Bytes(0) => {
                not_permitted(limits, requested)
            }
            // So is every mapping after mlockall(MCL_FUTURE).
            (Call::Lock, ErrorKind::OutOfMemory | ErrorKind::WouldBlock)
            | (Call::Reserve | Call::ReserveSecret, ErrorKind::WouldBlock) => {
                self.no_room_to_lock(limits, requested)
            }
            (_, ErrorKind::OutOfMemory) => no_room_to_map(limits, requested),
            _ => LockError::Unsupported { call: self.call.name(), code: self.error.raw_os_error() },
        }
    }

    fn no_room_to_lock(&self, limits: &Limits, requested: u64) -> LockError {
        let Limit::Bytes(limit) = limits.lock_limit() else {
            return no_room_to_map(limits, requested);
        };
        let past_limit = matches!(limits.available(), Limit::Bytes(left) if left < requested);
        // The limit it was, but others have unlocked since: nothing else answers like this.
        let must_be_limit = match self.call {
            Call::ReserveSecret => true,
            _ => self.error.kind() == LIMIT_REACHED && limits.mappings_exhausted().is_none(),
        };
        if !past_limit && !must_be_limit {
            return no_room_to_map(limits, requested);
        }
        let remedy = Remedy::for_lock(limits, requested);
        LockError::LimitReached { locked: limits.locked, limit, requested, remedy }
    }
}

/// The calls that make locked pages.
#[derive(Clone, Copy, Debug)]
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
    let remedy = match limits.soft {
        Limit::Bytes(0) => Remedy::for_lock(limits, requested),
        _ => Remedy::for_sandbox(limits),
    };
    LockError::NotPermitted { limit: limits.soft, remedy }
}

fn no_room_to_map(limits: &Limits, requested: u64) -> LockError {
    match limits.mappings_exhausted() {
        Some((mappings, limit)) => {
            let remedy = Remedy::for_mappings(limits, limit);
            LockError::MappingsReached { mappings, limit, remedy }
        }
        None => LockError::OutOfMemory { requested },
    }
}

/// What `mlock` answers at its limit: ENOMEM on Linux (where EAGAIN is a page that could not be
/// brought in), EAGAIN on macOS.
const LIMIT_REACHED: ErrorKind =
    if cfg!(target_os = "macos") { ErrorKind::WouldBlock } else { ErrorKind::OutOfMemory };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{IpcLock, small_limits};

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
        let error = explain(Call::Reserve, ErrorKind::WouldBlock, &nearly_full());
        assert!(matches!(error, LockError::LimitReached { .. }), "{error}");
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
        }
    }

    #[test]
    fn everything_else_is_unsupported_by_name() {
        let calls = [Call::Reserve, Call::Lock, Call::ExcludeFromDumps, Call::HideFromChildren];
        for call in calls {
            let error = explain(call, ErrorKind::Unsupported, &small_limits());
            assert_eq!(error, LockError::Unsupported { call: call.name(), code: None });
        }
    }
}
