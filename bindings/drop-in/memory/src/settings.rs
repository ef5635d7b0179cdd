//! What the person who starts the program may ask for.

use std::env;
use std::sync::OnceLock;

use strongroom::Policy;

/// Environment variables, as they were when they were first asked for. A program that runs with more
/// rights than its user (setuid) takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a variable of its own")]
pub struct Settings {
    /// `STRONGROOM_DROP_IN_UNLOCKED=allow`: where no more can be locked, memory is not locked.
    pub allows_unlocked: bool,
    /// `STRONGROOM_DROP_IN_EXPLAIN=1`: a refusal says why on the standard error.
    pub explains: bool,
    /// `STRONGROOM_DROP_IN_PROTECT=refuse`: a call that would protect one allocation's pages fails.
    pub refuses_protection: bool,
    /// `STRONGROOM_DROP_IN_SECURE_HEAP=always`: there is a secure heap before the program asks for one.
    pub always_has_heap: bool,
}

impl Settings {
    /// Those of this process.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Settings> = OnceLock::new();
        *CURRENT.get_or_init(Self::read)
    }

    fn read() -> Self {
        // SAFETY: it only reads what the kernel told the process.
        let is_privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        let is = |name: &str, value: &str| {
            !is_privileged && env::var_os(name).is_some_and(|set| set == value)
        };
        Self {
            allows_unlocked: is("STRONGROOM_DROP_IN_UNLOCKED", "allow"),
            explains: is("STRONGROOM_DROP_IN_EXPLAIN", "1"),
            refuses_protection: is("STRONGROOM_DROP_IN_PROTECT", "refuse"),
            always_has_heap: is("STRONGROOM_DROP_IN_SECURE_HEAP", "always"),
        }
    }

    pub(crate) fn policy(self) -> Policy {
        if self.allows_unlocked { Policy::Prefer } else { Policy::Require }
    }
}
