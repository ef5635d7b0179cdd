//! Where memory goes that is not locked or not left out: to the swap device and into core dumps.

use std::fmt::{self, Display, Formatter};

use super::{Limit, Limits};

/// Where pages go that are not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swap {
    /// Nowhere: there is no swap now. Somebody may switch it on later.
    Off,
    /// To compressed memory (zram) only. It can have a disk behind it
    /// (`/sys/block/zram0/backing_dev`).
    InMemory,
    /// To a disk or a file.
    OnDisk,
    /// The system did not say.
    Unknown,
}

impl Display for Swap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::InMemory => "on, in memory only (zram)",
            Self::OnDisk => "on, to a disk or file",
            Self::Unknown => "unknown",
        })
    }
}

impl Limits {
    /// Whether the kernel writes a core dump when this process crashes. `None` if that cannot be
    /// told.
    ///
    /// A pattern that begins with `|` sends the dump to a program, whatever the limit (`core(5)`).
    /// Locked pages are left out of it either way where
    /// [`Protections::dump_excluded`](crate::Protections::dump_excluded) says so.
    #[must_use]
    pub fn dumps_core(&self) -> Option<bool> {
        if self.dumpable == Some(false) {
            return Some(false);
        }
        match (&self.core_pattern, self.core_limit) {
            (Some(pattern), _) if pattern.starts_with('|') => Some(true),
            (_, Limit::Bytes(1..) | Limit::Unlimited) => Some(true),
            // A pattern that cannot be read may name a program.
            (None, Limit::Bytes(0)) if cfg!(target_os = "linux") => None,
            (_, Limit::Bytes(0)) => Some(false),
            (_, Limit::Unknown) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::small_limits as small;
    use super::*;

    #[test]
    fn a_program_gets_the_dump_whatever_the_limit() {
        for (core_limit, pattern, dumps) in [
            (Limit::Bytes(0), "core", Some(false)),
            (Limit::Bytes(1), "core", Some(true)),
            (Limit::Unlimited, "core", Some(true)),
            (Limit::Bytes(0), "|/usr/lib/systemd/systemd-coredump %P", Some(true)),
            (Limit::Unknown, "core", None),
        ] {
            let core_pattern = Some(pattern.into());
            let limits = Limits { core_limit, core_pattern, ..small() };
            assert_eq!(limits.dumps_core(), dumps);
            let dumpable = Some(false);
            assert_eq!(Limits { dumpable, ..limits }.dumps_core(), Some(false));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pattern_that_cannot_be_read_may_name_a_program() {
        let hidden = Limits { core_pattern: None, ..small() };
        assert_eq!(hidden.dumps_core(), None);
        let finite = Limits { core_limit: Limit::Bytes(1), ..hidden };
        assert_eq!(finite.dumps_core(), Some(true));
    }
}
