//! What to change on this host, in one sentence.

use std::fmt::{self, Display, Formatter};

use super::{Grouped, IpcLock, Limit, Limits, Surroundings};

/// What to change so that a lock succeeds. Its text is one sentence that can follow a semicolon,
/// with the command or setting that fits the surroundings.
///
/// The limit it names is what is needed rounded up to a power of two, and no less than 8 MiB,
/// Linux's own default since 5.16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    change: Change,
    surroundings: Surroundings,
    /// There is a `CAP_IPC_LOCK` that people might expect to be enough.
    namespaced: bool,
}

/// What is to be changed, with all it takes to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// `RLIMIT_MEMLOCK` to `bytes`, which the hard limit allows or not.
    LockLimit { bytes: u64, within_hard: bool, available: Limit },
    /// `vm.user_wire_limit` to `bytes`.
    WireLimit { bytes: u64 },
    /// The control group's memory limit to more than `bytes`.
    Memory { bytes: u64 },
    /// `vm.max_map_count` to `count`.
    Mappings { count: u64 },
    /// A filter that forbids `mlock`.
    Sandbox,
}

impl Remedy {
    /// For locking `more` bytes beyond those locked now.
    pub(crate) fn for_lock(limits: &Limits, more: u64) -> Self {
        let total = limits.locked.unwrap_or(0).saturating_add(more);
        let comfortable = total.checked_next_power_of_two().unwrap_or(LARGEST).max(SMALLEST);
        if limits.wire_limit_is_lower() {
            return Self::new(limits, Change::WireLimit { bytes: comfortable });
        }
        let hard_allows = |bytes| !matches!(limits.hard, Limit::Bytes(hard) if hard < bytes);
        // What the hard limit allows comes before what is comfortable.
        let bytes =
            if hard_allows(total) && !hard_allows(comfortable) { total } else { comfortable };
        let (within_hard, available) = (hard_allows(bytes), limits.available());
        Self::new(limits, Change::LockLimit { bytes, within_hard, available })
    }

    /// For a control group that may not have `bytes` bytes of memory.
    pub(crate) fn for_memory(limits: &Limits, bytes: u64) -> Self {
        Self::new(limits, Change::Memory { bytes })
    }

    /// For a process that has as many mappings as it may.
    pub(crate) fn for_mappings(limits: &Limits, limit: u64) -> Self {
        Self::new(limits, Change::Mappings { count: limit.saturating_mul(2).max(FEWEST) })
    }

    /// For a sandbox that forbids `mlock`.
    pub(crate) fn for_sandbox(limits: &Limits) -> Self {
        Self::new(limits, Change::Sandbox)
    }

    fn new(limits: &Limits, change: Change) -> Self {
        let namespaced = limits.ipc_lock == IpcLock::Namespaced;
        Self { change, surroundings: limits.surroundings.clone(), namespaced }
    }
}

impl Display for Remedy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.change {
            Change::LockLimit { bytes, within_hard, available } => {
                self.lock_limit(f, bytes, within_hard, available)
            }
            Change::WireLimit { bytes } => {
                write!(
                    f,
                    "raise vm.user_wire_limit: `sudo sysctl vm.user_wire_limit={bytes}` (bytes)"
                )
            }
            Change::Memory { bytes } => self.memory(f, bytes),
            Change::Mappings { count } => self.mappings(f, count),
            Change::Sandbox => f.write_str("allow the mlock system call in the sandbox's filter"),
        }
    }
}

impl Remedy {
    fn lock_limit(
        &self,
        f: &mut Formatter<'_>,
        bytes: u64,
        within_hard: bool,
        available: Limit,
    ) -> fmt::Result {
        let (kib, mib) = (bytes.div_ceil(1024), bytes.div_ceil(1024 * 1024));
        match &self.surroundings {
            Surroundings::Lambda => {
                write!(f, "AWS Lambda fixes RLIMIT_MEMLOCK: keep within ")?;
                return match available {
                    Limit::Bytes(bytes) => write!(f, "the {} bytes that are left", Grouped(bytes)),
                    _ => f.write_str("it"),
                };
            }
            Surroundings::Shell if within_hard => {
                write!(f, "raise RLIMIT_MEMLOCK: `ulimit -S -l {kib}` (KiB) in the shell")
            }
            _ if within_hard => write!(
                f,
                "raise the soft RLIMIT_MEMLOCK to {bytes} bytes, which the hard one allows: \
                 `strongroom::limits::raise_soft_limit()` before anything is locked, or `setrlimit` \
                 in what starts the program"
            ),
            Surroundings::Kubernetes => f.write_str(
                "Kubernetes has no field for RLIMIT_MEMLOCK: add IPC_LOCK under the container's \
                 securityContext.capabilities and, unless it runs as root, \
                 `setcap cap_ipc_lock=+ep` on the program in the image",
            ),
            Surroundings::Docker => write!(
                f,
                "raise RLIMIT_MEMLOCK: `--ulimit memlock={bytes}:{bytes}` (bytes) for `docker run`"
            ),
            Surroundings::Systemd { unit } => write!(
                f,
                "raise RLIMIT_MEMLOCK: `LimitMEMLOCK={mib}M` in the unit's [Service] section \
                 (`systemctl edit {unit}`)"
            ),
            Surroundings::Shell if cfg!(target_os = "macos") => {
                write!(f, "raise RLIMIT_MEMLOCK: `ulimit -l {kib}` (KiB) in a root shell")
            }
            Surroundings::Shell => write!(
                f,
                "raise RLIMIT_MEMLOCK: `sudo prlimit --pid $$ --memlock={bytes}:{bytes}` (bytes) in \
                 the shell, or at each login `USER - memlock {kib}` (KiB) in \
                 /etc/security/limits.conf"
            ),
            Surroundings::Plain => write!(
                f,
                "raise RLIMIT_MEMLOCK to {bytes} bytes (`setrlimit`, `prlimit --memlock`) in what \
                 starts the program, or give the program CAP_IPC_LOCK"
            ),
        }?;
        if self.namespaced {
            f.write_str("; CAP_IPC_LOCK inside a user namespace does not lift the limit")?;
        }
        Ok(())
    }

    fn memory(&self, f: &mut Formatter<'_>, bytes: u64) -> fmt::Result {
        let setting = match self.surroundings {
            Surroundings::Lambda => "the function's memory size",
            Surroundings::Kubernetes => "resources.limits.memory of the container",
            Surroundings::Docker => "the container's memory, `docker run --memory`,",
            Surroundings::Systemd { .. } => "`MemoryMax=` in the unit's [Service] section",
            _ => "memory.max of the control group",
        };
        write!(f, "raise {setting} to well above {} bytes", Grouped(bytes))
    }

    fn mappings(&self, f: &mut Formatter<'_>, count: u64) -> fmt::Result {
        let place = match self.surroundings {
            Surroundings::Lambda => {
                return f.write_str("AWS Lambda fixes vm.max_map_count: map fewer files and pages");
            }
            Surroundings::Kubernetes => " on the node",
            Surroundings::Docker => " on the host",
            _ => "",
        };
        write!(f, "raise vm.max_map_count: `sudo sysctl vm.max_map_count={count}`{place}")
    }
}

/// 8 MiB: Linux's default since 5.16, more than a vault needs.
const SMALLEST: u64 = 8 << 20;

/// The largest power of two there is.
const LARGEST: u64 = 1 << 63;

/// Four times Linux's default, what databases ask for.
const FEWEST: u64 = 262_144;

#[cfg(test)]
mod tests {
    use super::super::small_limits as small;
    use super::*;

    fn sentence(surroundings: Surroundings) -> String {
        Remedy::for_lock(&Limits { surroundings, ..small() }, 69_632).to_string()
    }

    #[test]
    fn each_surrounding_is_told_in_its_own_unit() {
        for (surroundings, setting) in [
            (Surroundings::Shell, "--memlock=8388608:8388608` (bytes)"),
            (Surroundings::Shell, "`USER - memlock 8192` (KiB)"),
            (Surroundings::Docker, "`--ulimit memlock=8388608:8388608` (bytes)"),
            (Surroundings::Systemd { unit: "a.service".into() }, "`LimitMEMLOCK=8M` in the unit"),
            (Surroundings::Systemd { unit: "a.service".into() }, "`systemctl edit a.service`"),
            (Surroundings::Kubernetes, "IPC_LOCK"),
            (Surroundings::Plain, "to 8388608 bytes"),
            (Surroundings::Lambda, "the 65,536 bytes that are left"),
        ] {
            let sentence = sentence(surroundings);
            assert!(sentence.contains(setting), "{sentence}");
        }
    }

    #[test]
    fn a_shell_raises_the_soft_limit_as_far_as_the_hard_one_allows() {
        for (hard, setting) in [
            (Limit::Unlimited, "`ulimit -S -l 8192` (KiB)"),
            (Limit::Bytes(8 << 20), "`ulimit -S -l 8192` (KiB)"),
            (Limit::Bytes(131_072), "`ulimit -S -l 68` (KiB)"),
            (Limit::Bytes(65_536), "sudo prlimit"),
        ] {
            let sentence = Remedy::for_lock(&Limits { hard, ..small() }, 69_632).to_string();
            assert!(sentence.contains(setting), "{sentence}");
        }
    }

    /// Nobody has to be asked for what the hard limit allows.
    #[test]
    fn a_program_is_told_of_the_limit_it_may_raise() {
        for surroundings in [Surroundings::Plain, Surroundings::Docker, Surroundings::Kubernetes] {
            let limits = Limits { hard: Limit::Unlimited, surroundings, ..small() };
            let sentence = Remedy::for_lock(&limits, 69_632).to_string();
            assert!(sentence.contains("to 8388608 bytes, which the hard one allows"), "{sentence}");
        }
    }

    #[test]
    fn the_limit_named_covers_what_is_locked_already() {
        let limits = Limits { locked: Some(5 << 20), hard: Limit::Unlimited, ..small() };
        let sentence = Remedy::for_lock(&limits, 5 << 20).to_string();
        assert!(sentence.contains("-l 16384`"), "{sentence}");
        let endless = Remedy::for_lock(&limits, u64::MAX).to_string();
        assert!(endless.contains("-l 9007199254740992`"), "{endless}");
    }

    #[test]
    fn a_capability_that_does_not_count_is_named() {
        let rootless = Limits { ipc_lock: IpcLock::Namespaced, ..small() };
        assert!(Remedy::for_lock(&rootless, 1).to_string().contains("user namespace"));
        assert!(!sentence(Surroundings::Shell).contains("user namespace"));
    }

    #[test]
    fn other_limits_have_other_remedies() {
        let memory = Remedy::for_memory(&small(), 65_530).to_string();
        assert_eq!(memory, "raise memory.max of the control group to well above 65,530 bytes");
        let mappings = Remedy::for_mappings(&small(), 65_530).to_string();
        assert!(mappings.contains("vm.max_map_count=262144"), "{mappings}");
        let wire = Limits { wire_limit: Some(8192), soft: Limit::Unlimited, ..small() };
        let wire = Remedy::for_lock(&wire, 16_384).to_string();
        assert!(wire.contains("vm.user_wire_limit=8388608"), "{wire}");
    }
}
