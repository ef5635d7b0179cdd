//! What to change on this host, in one sentence.

use std::fmt::{self, Display, Formatter};

use super::{Grouped, IpcLock, Limit, Limits, Quota, Resource, Surroundings, UserNamespace};
use crate::debug::debug_as_displayed;

debug_as_displayed!(Remedy);

/// What to change so that a lock succeeds. Its text is one sentence that can follow a semicolon,
/// with the command or setting that fits the surroundings.
///
/// The limit it names is what is needed rounded up to a power of two, more than what is set, and of
/// locked memory no less than 8 MiB, Linux's own default since 5.16.
#[derive(Clone, PartialEq, Eq)]
pub struct Remedy(Box<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    change: Change,
    surroundings: Surroundings,
    /// No capability lifts the limit here, and nobody raises it beyond the hard one.
    nested: bool,
    /// There is a `CAP_IPC_LOCK` that people might expect to be enough.
    capability: bool,
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
    /// Another resource limit to `amount`, which its hard limit allows or not.
    Resource { resource: Resource, amount: u64, within_hard: bool },
    /// A filter that forbids `mlock`.
    Sandbox,
}

impl Remedy {
    /// For locking `more` bytes beyond those locked now.
    pub(crate) fn for_lock(limits: &Limits, more: u64) -> Self {
        let set = limits.lock_limit().or_zero();
        // What is locked, if that is not known, is all that may be; and others may have unlocked since.
        let total = limits.locked.unwrap_or(set).saturating_add(more).max(set.saturating_add(1));
        let total = total.checked_next_multiple_of(limits.page_size as u64).unwrap_or(total);
        let comfortable = power_of_two(total).max(SMALLEST);
        if limits.wire_limit_is_lower() {
            return Self::new(limits, Change::WireLimit { bytes: comfortable });
        }
        let (bytes, within_hard) = within(limits.hard, total, comfortable);
        Self::new(limits, Change::LockLimit { bytes, within_hard, available: limits.available() })
    }

    /// For a control group that may not have `more` bytes of memory.
    pub(crate) fn for_memory(limits: &Limits, more: u64) -> Self {
        let set = limits.memory.limit.or_zero();
        let bytes = limits.memory.used.unwrap_or(set).saturating_add(more).max(set);
        Self::new(limits, Change::Memory { bytes })
    }

    /// For a process that has as many mappings as it may.
    pub(crate) fn for_mappings(limits: &Limits, limit: u64) -> Self {
        Self::new(limits, Change::Mappings { count: limit.saturating_mul(2).max(FEWEST) })
    }

    /// For another resource limit that leaves less than `more`.
    pub(crate) fn for_resource(
        limits: &Limits,
        resource: Resource,
        quota: Quota,
        more: u64,
    ) -> Self {
        let set = quota.limit.or_zero();
        let total = quota.used.unwrap_or(set).saturating_add(more).max(set.saturating_add(1));
        let (amount, within_hard) = within(quota.hard, total, power_of_two(total));
        Self::new(limits, Change::Resource { resource, amount, within_hard })
    }

    /// For a sandbox that forbids `mlock`.
    pub(crate) fn for_sandbox(limits: &Limits) -> Self {
        Self::new(limits, Change::Sandbox)
    }

    fn new(limits: &Limits, change: Change) -> Self {
        Self(Box::new(Parts {
            change,
            surroundings: limits.surroundings.clone(),
            nested: limits.user_namespace == UserNamespace::Nested,
            capability: limits.ipc_lock == IpcLock::Namespaced,
        }))
    }
}

impl Display for Remedy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.sentence(f)
    }
}

impl Parts {
    fn sentence(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.change {
            Change::LockLimit { bytes, within_hard, available } => {
                self.lock_limit(f, bytes, within_hard, available)?;
                if self.capability {
                    f.write_str("; CAP_IPC_LOCK inside a user namespace does not lift the limit")?;
                }
                Ok(())
            }
            Change::WireLimit { bytes } => {
                write!(
                    f,
                    "raise vm.user_wire_limit: `sudo sysctl vm.user_wire_limit={bytes}` (bytes)"
                )
            }
            Change::Memory { bytes } => self.memory(f, bytes),
            Change::Mappings { count } => self.mappings(f, count),
            Change::Resource { resource, amount, within_hard } => {
                self.resource(f, resource, amount, within_hard)
            }
            Change::Sandbox => self.sandbox(f),
        }
    }

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
                match available {
                    Limit::Bytes(bytes) => write!(f, "the {} bytes that are left", Grouped(bytes)),
                    _ => f.write_str("it"),
                }
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
            Surroundings::Kubernetes if self.nested => write!(
                f,
                "raise RLIMIT_MEMLOCK: `LimitMEMLOCK={mib}M` for the container runtime's service on \
                 the node, or run the pod without a user namespace (`hostUsers: true`) and add \
                 IPC_LOCK under the container's securityContext.capabilities"
            ),
            Surroundings::Kubernetes => f.write_str(
                "Kubernetes has no field for RLIMIT_MEMLOCK: add IPC_LOCK under the container's \
                 securityContext.capabilities and, unless it runs as root, \
                 `setcap cap_ipc_lock=+ep` on the program in the image",
            ),
            Surroundings::Docker if self.nested => write!(
                f,
                "raise RLIMIT_MEMLOCK: `--ulimit memlock={bytes}:{bytes}` (bytes) for `docker run` or \
                 `podman run`; if a user without privilege starts it, that user's own hard limit \
                 comes first: `USER - memlock {kib}` (KiB) in /etc/security/limits.conf of the host"
            ),
            Surroundings::Docker => write!(
                f,
                "raise RLIMIT_MEMLOCK: `--ulimit memlock={bytes}:{bytes}` (bytes) for `docker run` \
                 or `podman run`"
            ),
            Surroundings::Lxc => write!(
                f,
                "raise RLIMIT_MEMLOCK: `lxc.prlimit.memlock = {bytes}` (bytes) in the container's \
                 configuration, with a colon for the equals sign in Proxmox's /etc/pve/lxc/ID.conf; \
                 and for a service in it `LimitMEMLOCK={mib}M`"
            ),
            Surroundings::Nspawn => write!(
                f,
                "raise RLIMIT_MEMLOCK: `--rlimit=RLIMIT_MEMLOCK={mib}M` for systemd-nspawn, or \
                 `LimitMEMLOCK={mib}M` in the [Exec] section of its .nspawn file; and for a service \
                 in it the same in the unit"
            ),
            Surroundings::Flatpak => write!(
                f,
                "raise RLIMIT_MEMLOCK of the session, which Flatpak passes on: `USER - memlock {kib}` \
                 (KiB) in /etc/security/limits.conf and a new login"
            ),
            Surroundings::Systemd { unit, user } => {
                let place = in_unit(unit, *user);
                write!(f, "raise RLIMIT_MEMLOCK: `LimitMEMLOCK={mib}M` {place}")?;
                if *user {
                    // Managers are started through PAM, whose limits come after those of their unit; and
                    // a manager that lingers outlives all logins.
                    write!(
                        f,
                        "; the user's own manager limits it: first the same by \
                         `sudo systemctl edit user@.service`, `USER - memlock {kib}` (KiB) in \
                         /etc/security/limits.conf, which comes after it, and a new login or \
                         `sudo systemctl restart user@$(id -u).service`"
                    )?;
                }
                Ok(())
            }
            Surroundings::Shell if cfg!(target_os = "macos") => {
                write!(f, "raise RLIMIT_MEMLOCK: `ulimit -l {kib}` (KiB) in a root shell")
            }
            Surroundings::Shell if self.nested => write!(
                f,
                "raise RLIMIT_MEMLOCK outside of the user namespace, before it is entered: \
                 `sudo prlimit --pid $$ --memlock={bytes}:{bytes}` (bytes) in the shell"
            ),
            Surroundings::Shell => write!(
                f,
                "raise RLIMIT_MEMLOCK: `sudo prlimit --pid $$ --memlock={bytes}:{bytes}` (bytes) in \
                 the shell, or at each login `USER - memlock {kib}` (KiB) in \
                 /etc/security/limits.conf"
            ),
            Surroundings::Plain if self.nested => write!(
                f,
                "raise RLIMIT_MEMLOCK to {bytes} bytes (`setrlimit`, `prlimit --memlock`) outside of \
                 the user namespace, in what starts the program"
            ),
            Surroundings::Plain => write!(
                f,
                "raise RLIMIT_MEMLOCK to {bytes} bytes (`setrlimit`, `prlimit --memlock`) in what \
                 starts the program, or give the program CAP_IPC_LOCK"
            ),
        }
    }

    fn resource(
        &self,
        f: &mut Formatter<'_>,
        resource: Resource,
        amount: u64,
        within_hard: bool,
    ) -> fmt::Result {
        // Shells count memory in KiB.
        let (letter, option, number, unit) = match resource {
            Resource::AddressSpace => ("v", "as", amount.div_ceil(1024), " (KiB)"),
            Resource::Data => ("d", "data", amount.div_ceil(1024), " (KiB)"),
            Resource::Descriptors => ("n", "nofile", amount, ""),
        };
        write!(f, "raise {resource}: ")?;
        match &self.surroundings {
            Surroundings::Shell if within_hard => {
                write!(f, "`ulimit -S -{letter} {number}`{unit} in the shell")
            }
            Surroundings::Shell => {
                write!(f, "`sudo prlimit --pid $$ --{option}={amount}:{amount}` in the shell")
            }
            Surroundings::Systemd { unit, user } => {
                write!(f, "`Limit{}={amount}` {}", resource.name(), in_unit(unit, *user))
            }
            // Docker has no such option for address space.
            Surroundings::Docker if resource != Resource::AddressSpace => {
                write!(f, "`--ulimit {option}={amount}:{amount}` for `docker run`")
            }
            _ => write!(
                f,
                "to {amount} (`setrlimit`, `prlimit --{option}`) in what starts the program"
            ),
        }
    }

    fn sandbox(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("allow the mlock system call in the sandbox's filter")?;
        match &self.surroundings {
            Surroundings::Systemd { unit, user } => {
                write!(f, ": `SystemCallFilter=@memlock` {}", in_unit(unit, *user))
            }
            Surroundings::Docker => {
                f.write_str(": `--security-opt seccomp=PROFILE` of `docker run`")
            }
            Surroundings::Kubernetes => {
                f.write_str(": the profile under the container's securityContext.seccompProfile")
            }
            Surroundings::Lxc => f.write_str(
                ": the file named by `lxc.seccomp.profile` in the container's configuration",
            ),
            Surroundings::Nspawn => {
                f.write_str(": `--system-call-filter=@memlock` of systemd-nspawn")
            }
            _ => Ok(()),
        }
    }

    fn memory(&self, f: &mut Formatter<'_>, bytes: u64) -> fmt::Result {
        f.write_str("raise ")?;
        match &self.surroundings {
            Surroundings::Lambda => f.write_str("the function's memory size"),
            Surroundings::Kubernetes => f.write_str("resources.limits.memory of the container"),
            Surroundings::Docker => f.write_str("the container's memory, `docker run --memory`,"),
            Surroundings::Systemd { unit, user } => {
                write!(f, "`MemoryMax=` {}", in_unit(unit, *user))
            }
            Surroundings::Lxc => {
                f.write_str("`lxc.cgroup2.memory.max` in the container's configuration")
            }
            _ => f.write_str("memory.max of the control group"),
        }?;
        write!(f, " to well above {} bytes", Grouped(bytes))
    }

    fn mappings(&self, f: &mut Formatter<'_>, count: u64) -> fmt::Result {
        let place = match self.surroundings {
            Surroundings::Lambda => {
                return f.write_str("AWS Lambda fixes vm.max_map_count: map fewer files and pages");
            }
            Surroundings::Kubernetes => " on the node",
            Surroundings::Docker | Surroundings::Lxc | Surroundings::Nspawn => " on the host",
            _ => "",
        };
        write!(f, "raise vm.max_map_count: `sudo sysctl vm.max_map_count={count}`{place}")
    }
}

/// Where a unit's settings are made, and by which command.
fn in_unit(unit: &str, user: bool) -> String {
    let user = if user { "--user " } else { "" };
    // What systemd escapes in names begins with a backslash, which shells take for their own.
    let quote = if unit.contains('\\') { "'" } else { "" };
    format!("in the unit's [Service] section (`systemctl {user}edit {quote}{unit}{quote}`)")
}

/// What the hard limit allows comes before what is comfortable.
fn within(hard: Limit, total: u64, comfortable: u64) -> (u64, bool) {
    let allows = |amount| !matches!(hard, Limit::Bytes(hard) if hard < amount);
    let amount = if allows(total) && !allows(comfortable) { total } else { comfortable };
    (amount, allows(amount))
}

/// The least power of two that is not lower.
fn power_of_two(amount: u64) -> u64 {
    amount.checked_next_power_of_two().unwrap_or(LARGEST)
}

/// 8 MiB: Linux's default since 5.16, more than a vault needs.
const SMALLEST: u64 = 8 << 20;

/// The largest power of two there is.
const LARGEST: u64 = 1 << 63;

/// Four times Linux's default, what databases ask for.
const FEWEST: u64 = 262_144;

#[cfg(test)]
mod tests {
    use super::super::{quota, small_limits as small};
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
            (
                Surroundings::Systemd { unit: "a.service".into(), user: false },
                "`LimitMEMLOCK=8M` in the unit",
            ),
            (
                Surroundings::Systemd { unit: "a.service".into(), user: false },
                "`systemctl edit a.service`",
            ),
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
        let rootless = Limits {
            ipc_lock: IpcLock::Namespaced,
            user_namespace: UserNamespace::Nested,
            ..small()
        };
        assert!(Remedy::for_lock(&rootless, 1).to_string().contains("user namespace"));
        assert!(!sentence(Surroundings::Shell).contains("user namespace"));
    }

    #[test]
    fn other_limits_have_other_remedies() {
        let full = Limits { memory: quota(100_000, 70_000), ..small() };
        let memory = Remedy::for_memory(&full, 65_530).to_string();
        assert_eq!(memory, "raise memory.max of the control group to well above 135,530 bytes");
        let surroundings = Surroundings::Systemd { unit: "a.service".into(), user: true };
        let memory = Remedy::for_memory(&Limits { surroundings, ..full }, 65_530).to_string();
        assert!(memory.contains("(`systemctl --user edit a.service`) to well above"), "{memory}");
        let mappings = Remedy::for_mappings(&small(), 65_530).to_string();
        assert!(mappings.contains("vm.max_map_count=262144"), "{mappings}");
        let wire = Limits { wire_limit: Some(8192), soft: Limit::Unlimited, ..small() };
        let wire = Remedy::for_lock(&wire, 16_384).to_string();
        assert!(wire.contains("vm.user_wire_limit=8388608"), "{wire}");
    }

    /// Every number after a sign that it is one.
    fn numbers(sentence: &str) -> Vec<u64> {
        let words = sentence.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).filter(|&number| number > 1).collect()
    }

    #[test]
    fn a_units_name_means_the_same_in_a_shell() {
        for (unit, command) in [
            (r"a@dev-sda\x2d1.service", r"`systemctl edit 'a@dev-sda\x2d1.service'`"),
            ("a@1.service", "`systemctl edit a@1.service`"),
        ] {
            let sentence = sentence(Surroundings::Systemd { unit: unit.into(), user: false });
            assert!(sentence.contains(command), "{sentence}");
        }
    }

    #[test]
    fn a_remedy_is_above_what_is_set() {
        let all = [
            Surroundings::Shell,
            Surroundings::Docker,
            Surroundings::Systemd { unit: "a.service".into(), user: false },
            Surroundings::Lxc,
            Surroundings::Nspawn,
            Surroundings::Plain,
        ];
        for surroundings in all {
            for (soft, locked) in [(65_536, None), (65_536, Some(0)), (64 << 20, None)] {
                for hard in [Limit::Bytes(soft), Limit::Bytes(soft + 16_384), Limit::Unlimited] {
                    let surroundings = surroundings.clone();
                    let soft = Limit::Bytes(soft);
                    let limits = Limits { soft, hard, locked, surroundings, ..small() };
                    let sentence = Remedy::for_lock(&limits, 16_384).to_string();
                    let Limit::Bytes(soft) = soft else { unreachable!() };
                    let set = if sentence.contains("LimitMEMLOCK")
                        || sentence.contains("RLIMIT_MEMLOCK=")
                    {
                        soft >> 20
                    } else if sentence.contains("(KiB) in the shell") {
                        soft >> 10
                    } else {
                        soft
                    };
                    assert!(numbers(&sentence).iter().any(|&number| number > set), "{sentence}");
                }
            }
        }
    }

    #[test]
    fn what_a_user_namespace_makes_useless_is_not_advised() {
        for (surroundings, advised, useless) in [
            (Surroundings::Kubernetes, "on the node", "setcap"),
            (Surroundings::Docker, "of the host", "IPC_LOCK"),
            (Surroundings::Plain, "outside of the user namespace", "CAP_IPC_LOCK"),
            (Surroundings::Shell, "before it is entered", "limits.conf"),
        ] {
            let user_namespace = UserNamespace::Nested;
            let limits = Limits { user_namespace, surroundings, ..small() };
            let sentence = Remedy::for_lock(&limits, 69_632).to_string();
            assert!(sentence.contains(advised) && !sentence.contains(useless), "{sentence}");
        }
    }

    #[test]
    fn other_resources_are_raised_in_their_own_unit() {
        let sentence = |surroundings, resource, quota, more| {
            let limits = Limits { surroundings, ..small() };
            Remedy::for_resource(&limits, resource, quota, more).to_string()
        };
        let raised = Quota { hard: Limit::Unlimited, ..quota(1 << 29, 1 << 28) };
        let unit = || Surroundings::Systemd { unit: "a.service".into(), user: true };
        for (surroundings, resource, quota, setting) in [
            (Surroundings::Shell, Resource::AddressSpace, raised, "`ulimit -S -v 2097152` (KiB)"),
            (Surroundings::Shell, Resource::Data, quota(1 << 29, 1 << 28), "--data=2147483648:"),
            (unit(), Resource::Data, raised, "`LimitDATA=2147483648` in the unit"),
            (unit(), Resource::AddressSpace, raised, "`systemctl --user edit a.service`"),
            (Surroundings::Docker, Resource::Data, raised, "`--ulimit data=2147483648:"),
            (Surroundings::Docker, Resource::AddressSpace, raised, "`prlimit --as`"),
        ] {
            let sentence = sentence(surroundings, resource, quota, 1 << 30);
            assert!(sentence.contains(setting), "{sentence}");
        }
        let descriptors = Quota { used: None, ..quota(1024, 0) };
        let sentence = sentence(Surroundings::Plain, Resource::Descriptors, descriptors, 1);
        assert!(sentence.contains("RLIMIT_NOFILE: to 2048"), "{sentence}");
    }

    #[test]
    fn a_filter_is_changed_where_it_is_set() {
        for (surroundings, setting) in [
            (Surroundings::Systemd { unit: "a.service".into(), user: false }, "@memlock"),
            (Surroundings::Docker, "seccomp=PROFILE"),
            (Surroundings::Kubernetes, "seccompProfile"),
            (Surroundings::Lxc, "lxc.seccomp.profile"),
            (Surroundings::Plain, "filter"),
        ] {
            let sentence = Remedy::for_sandbox(&Limits { surroundings, ..small() }).to_string();
            assert!(sentence.contains(setting), "{sentence}");
        }
    }
}
