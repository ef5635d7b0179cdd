//! The privilege that lifts the lock limit, and where it counts.

use std::fmt::{self, Display, Formatter};

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
    /// The system did not say whether the thread has it, or not in which namespace.
    Unknown,
}

impl IpcLock {
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn from_facts(has_it: Option<bool>, namespace: UserNamespace) -> Self {
        match (has_it, namespace) {
            (Some(false), _) => Self::Absent,
            (Some(true), UserNamespace::Initial) => Self::InEffect,
            (_, UserNamespace::Nested) => Self::Namespaced,
            _ => Self::Unknown,
        }
    }
}

impl Display for IpcLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InEffect => "in effect, the limit does not apply",
            Self::Namespaced => "only inside a user namespace, the limit applies",
            Self::Absent => "absent, the limit applies",
            Self::Unknown => "unknown, the limit may apply",
        })
    }
}

/// Whether the process is in a user namespace of its own (`user_namespaces(7)`), as in a rootless
/// container or a pod with `hostUsers: false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNamespace {
    /// The initial one: capabilities count. So it is on systems that have no such thing.
    Initial,
    /// Another: no capability lifts the lock limit.
    Nested,
    /// The system did not say.
    Unknown,
}

impl Display for UserNamespace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initial => "the initial one",
            Self::Nested => "one of its own, where no capability lifts the limit",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_counts_in_the_initial_namespace_alone() {
        use UserNamespace::{Initial, Nested, Unknown};
        for (has_it, namespace, told) in [
            (Some(true), Initial, IpcLock::InEffect),
            (Some(true), Nested, IpcLock::Namespaced),
            (Some(true), Unknown, IpcLock::Unknown),
            (Some(false), Unknown, IpcLock::Absent),
            (None, Initial, IpcLock::Unknown),
            (None, Nested, IpcLock::Namespaced),
        ] {
            assert_eq!(IpcLock::from_facts(has_it, namespace), told, "{has_it:?} {namespace:?}");
        }
    }
}
