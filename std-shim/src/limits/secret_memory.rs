//! Whether the kernel has secret memory, and is set to give it.

use std::fmt::{self, Display, Formatter};

/// What the kernel shows of its settings for `memfd_secret(2)`. Whether it gives any is found out by
/// [`LockedPages::try_secret_memory`](crate::LockedPages::try_secret_memory) alone: a machine may be
/// unable, and a filter may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretMemory {
    /// The kernel has it, and it is switched on (`secretmem.enable`).
    SwitchedOn,
    /// The kernel has it, and it is switched off.
    SwitchedOff,
    /// The kernel has it; whether it is switched on only root can read.
    Configured,
    /// The kernel does not have it: Linux before 5.14, one built without it, or another system.
    Absent,
    /// The system did not say.
    Unknown,
}

impl SecretMemory {
    /// From whether the system shows its modules, this one among them, and its parameter.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn from_signs(modules: bool, module: bool, enable: Option<&str>) -> Self {
        match (enable, module, modules) {
            (Some("Y"), ..) => Self::SwitchedOn,
            (Some("N"), ..) => Self::SwitchedOff,
            (_, true, _) => Self::Configured,
            (_, false, true) => Self::Absent,
            (_, false, false) => Self::Unknown,
        }
    }
}

impl Display for SecretMemory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SwitchedOn => "in the kernel and switched on",
            Self::SwitchedOff => "in the kernel, but switched off (secretmem.enable=1 at boot)",
            Self::Configured => "in the kernel; only root can see whether it is switched on",
            Self::Absent => "not in this kernel",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_and_switched_on_are_told_apart() {
        for (modules, module, enable, told) in [
            (true, true, Some("Y"), SecretMemory::SwitchedOn),
            (true, true, Some("N"), SecretMemory::SwitchedOff),
            (true, true, None, SecretMemory::Configured),
            (true, true, Some(""), SecretMemory::Configured),
            (true, false, None, SecretMemory::Absent),
            (false, false, None, SecretMemory::Unknown),
        ] {
            assert_eq!(SecretMemory::from_signs(modules, module, enable), told);
        }
    }
}
