//! Limits with what is used of them.

use std::fmt::{self, Display, Formatter};

use super::Limit;
use crate::sys::ResourceLimit;

/// A limit with what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// What may be used: the soft limit, which is the one that counts.
    pub limit: Limit,
    /// Up to where the process may raise the soft limit.
    pub hard: Limit,
    /// What is used now; `None` if that cannot be read.
    pub used: Option<u64>,
}

impl Quota {
    #[cfg(any(target_os = "linux", test))]
    pub(crate) const UNLIMITED: Self =
        Self { limit: Limit::Unlimited, hard: Limit::Unlimited, used: None };

    pub(super) const UNKNOWN: Self =
        Self { limit: Limit::Unknown, hard: Limit::Unknown, used: None };

    pub(crate) fn of(limit: Option<ResourceLimit>, used: Option<u64>) -> Self {
        limit.map_or(Self::UNKNOWN, |limit| Self {
            limit: Limit::from_finite(limit.soft),
            hard: Limit::from_finite(limit.hard),
            used,
        })
    }

    /// What can be used beyond what is used now.
    #[must_use]
    pub fn left(self) -> Limit {
        match (self.limit, self.used) {
            (Limit::Bytes(limit), Some(used)) => Limit::Bytes(limit.saturating_sub(used)),
            (Limit::Bytes(_), None) => Limit::Unknown,
            (limit, _) => limit,
        }
    }
}

impl Display for Quota {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.limit)?;
        match self.used {
            Some(used) => write!(f, ", {} used", Limit::Bytes(used)),
            None => Ok(()),
        }
    }
}

/// What a resource limit other than `RLIMIT_MEMLOCK` is about (`getrlimit(2)`). They hold for root too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Bytes of address space, `RLIMIT_AS`.
    AddressSpace,
    /// Bytes of private writable memory, `RLIMIT_DATA`.
    Data,
    /// Open file descriptors, `RLIMIT_NOFILE`: secret memory takes one for a moment.
    Descriptors,
}

impl Resource {
    /// The end of its names: `RLIMIT_AS`, `LimitAS=`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AddressSpace => "AS",
            Self::Data => "DATA",
            Self::Descriptors => "NOFILE",
        }
    }
}

impl Display for Resource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "RLIMIT_{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota;
    use super::*;

    #[test]
    fn what_is_left_is_known_if_both_are() {
        assert_eq!(quota(100, 30).left(), Limit::Bytes(70));
        assert_eq!(quota(100, 130).left(), Limit::Bytes(0), "lowered since");
        assert_eq!(Quota { used: None, ..quota(100, 0) }.left(), Limit::Unknown);
        assert_eq!(Quota::UNLIMITED.left(), Limit::Unlimited);
        assert_eq!(Quota::UNKNOWN.left(), Limit::Unknown);
    }

    #[test]
    fn both_numbers_are_shown() {
        assert_eq!(quota(65_536, 4096).to_string(), "65,536 bytes, 4,096 bytes used");
        assert_eq!(Quota::UNLIMITED.to_string(), "unlimited");
    }
}
