//! What was achieved for some pages.

use std::fmt::{self, Display, Formatter};

use crate::sys::ForkView;
use crate::windows::WindowKind;

/// What the operating system has granted for some pages.
///
/// | | Linux | macOS |
/// |---|---|---|
/// | `locked` | `mlock` | `mlock` |
/// | `dump_excluded` | `MADV_DONTDUMP` | never: switch dumps off with `ulimit -c 0` |
/// | `fork_view` | `MADV_WIPEONFORK`, else `MADV_DONTFORK` | `VM_INHERIT_NONE` |
/// | `guarded` | `mprotect` | `mprotect` |
/// | `secret_memory` | `memfd_secret`, where [`Backing`](crate::Backing) asks for it | never |
/// | `windows` | protection keys or `mprotect`, where a vault's [`Windows`](crate::Windows) ask for them | `mprotect` |
/// | `sealed_mapping` | `mseal`, where [`Builder::sealed_mapping`](crate::Builder::sealed_mapping) asks for it | never |
///
/// Secret memory is locked, excluded from dumps and absent from children by its nature.
///
/// [`LockedPages::new`] gives what the table says or fails; [`LockedPages::prefer_locked`] may give
/// less.
///
/// [`LockedPages::new`]: crate::LockedPages::new
/// [`LockedPages::prefer_locked`]: crate::LockedPages::prefer_locked
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is granted or not by itself")]
pub struct Protections {
    /// The pages stay in memory and are never written to the swap device.
    pub locked: bool,
    /// The kernel leaves the pages out of core dumps.
    pub dump_excluded: bool,
    /// What a forked child finds in place of the pages.
    pub fork_view: ForkView,
    /// Touching the page before or the page after ends the process.
    pub guarded: bool,
    /// The pages are secret memory, `memfd_secret(2)`: gone from the kernel's own map of memory, so
    /// that no other process reads them through it, not even root by `ptrace` or `/proc/PID/mem`.
    pub secret_memory: bool,
    /// What shuts the pages but for the moments in which somebody uses them; see
    /// [`Windows`](crate::Windows).
    pub windows: WindowKind,
    /// Nobody can unmap or move the pages, or change their protection; see
    /// [`Builder::sealed_mapping`](crate::Builder::sealed_mapping).
    pub sealed_mapping: bool,
}

impl Protections {
    /// What holds for memory under these and for memory under `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.locked &= other.locked;
        self.dump_excluded &= other.dump_excluded;
        self.guarded &= other.guarded;
        self.secret_memory &= other.secret_memory;
        self.windows = self.windows.min(other.windows);
        self.sealed_mapping &= other.sealed_mapping;
        if self.fork_hidden() {
            self.fork_view = other.fork_view;
        }
        self
    }

    /// Whether a forked child is kept from seeing the contents.
    #[must_use]
    pub fn fork_hidden(&self) -> bool {
        self.fork_view != ForkView::Copied
    }
}

impl Display for Protections {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let without = |granted: bool| if granted { "" } else { "not " };
        write!(
            f,
            "{}locked, {}dump-excluded, {}fork-hidden, {}guarded",
            without(self.locked),
            without(self.dump_excluded),
            without(self.fork_hidden()),
            without(self.guarded)
        )?;
        f.write_str(if self.secret_memory { ", secret memory" } else { "" })?;
        match self.windows {
            WindowKind::None => {}
            kind => write!(f, ", {kind}")?,
        }
        f.write_str(if self.sealed_mapping { ", sealed mapping" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections_are_read_at_a_glance() {
        let all = Protections {
            locked: true,
            dump_excluded: true,
            fork_view: ForkView::Zeroed,
            guarded: true,
            secret_memory: true,
            windows: WindowKind::Keys,
            sealed_mapping: true,
        };
        let expected = "locked, dump-excluded, fork-hidden, guarded, secret memory, windows by keys, \
                        sealed mapping";
        assert_eq!(all.to_string(), expected);
        let none = Protections {
            locked: false,
            dump_excluded: false,
            fork_view: ForkView::Copied,
            guarded: false,
            secret_memory: false,
            windows: WindowKind::None,
            sealed_mapping: false,
        };
        assert_eq!(none.to_string(), "not locked, not dump-excluded, not fork-hidden, not guarded");
    }
}
