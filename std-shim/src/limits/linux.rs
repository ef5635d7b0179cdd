//! The limits as Linux tells them, by calls where there are any, else through `/proc`.

use std::env;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use super::host::{Container, Service, Signs, Surroundings};
use super::{IpcLock, Limit, Limits, Quota, SecretMemory, Swap, UserNamespace, proc};
use crate::sys::{self, ProtectionKey};

pub(super) fn read() -> Limits {
    // Capabilities belong to the thread, and it is this thread that will lock.
    let status = first_of("/proc/thread-self/status", "/proc/self/status");
    let cgroup = text("/proc/self/cgroup");
    let user_namespace = user_namespace();
    let lock = Quota::of(sys::memlock_limit().ok(), proc::status_bytes(&status, "VmLck"));
    let core = Quota::of(sys::core_limit().ok(), None);
    let used = |key| proc::status_bytes(&status, key);
    Limits {
        soft: lock.limit,
        hard: lock.hard,
        locked: lock.used,
        ipc_lock: IpcLock::from_facts(has_ipc_lock(&status), user_namespace),
        user_namespace,
        mappings: lines("/proc/self/maps").ok(),
        mappings_limit: proc::number(&text("/proc/sys/vm/max_map_count")),
        wire_limit: None,
        global_wire_limit: None,
        address_space: Quota::of(sys::address_space_limit().ok(), used("VmSize")),
        data: Quota::of(sys::data_limit().ok(), used("VmData")),
        memory: memory(&cgroup),
        swap: fs::read_to_string("/proc/swaps").map_or(Swap::Unknown, |swaps| proc::swap(&swaps)),
        core_limit: core.limit,
        core_pattern: proc::line(&text("/proc/sys/kernel/core_pattern")).map(Box::from),
        dumpable: sys::is_dumpable().ok(),
        secret_memory: secret_memory(),
        protection_keys: ProtectionKey::are_here(),
        page_size: sys::page_size(),
        surroundings: surroundings(&cgroup),
    }
}

/// Of the process's control group and those above it, as far as they can be seen from here, the one
/// that leaves least.
fn memory(cgroup: &str) -> Quota {
    let Some(group) = proc::memory_cgroup(cgroup) else {
        return Quota::UNKNOWN;
    };
    let files = match group.version {
        proc::CgroupVersion::V1 => &MemoryFiles {
            root: "/sys/fs/cgroup/memory",
            limit: "memory.limit_in_bytes",
            used: "memory.usage_in_bytes",
            idle: "total_inactive_file",
        },
        proc::CgroupVersion::V2 => &MemoryFiles {
            root: "/sys/fs/cgroup",
            limit: "memory.max",
            used: "memory.current",
            idle: "inactive_file",
        },
    };
    // A container's own group may be mounted as the root, and its path be the host's.
    let groups = proc::ancestors(group.path).filter_map(|path| files.read(path));
    let least = groups.reduce(|one, other| match (one.left(), other.left()) {
        (Limit::Bytes(left), Limit::Bytes(others)) if others < left => other,
        (Limit::Bytes(_), _) => one,
        (_, Limit::Bytes(_)) => other,
        // A limit that is known is more than none.
        _ => {
            if matches!(one.limit, Limit::Bytes(_)) {
                one
            } else {
                other
            }
        }
    });
    // The host's own root group has no limit and no such file.
    let unlimited = || Path::new(files.root).join("cgroup.controllers").exists();
    least.unwrap_or_else(|| if unlimited() { Quota::UNLIMITED } else { Quota::UNKNOWN })
}

/// Where one version of control groups says what about memory.
struct MemoryFiles {
    root: &'static str,
    limit: &'static str,
    used: &'static str,
    /// The line of `memory.stat` with the bytes of file pages that were not used lately.
    idle: &'static str,
}

impl MemoryFiles {
    fn read(&self, group: &str) -> Option<Quota> {
        let text = |file| text(&format!("{}{group}/{file}", self.root));
        let limit = proc::memory_limit(&text(self.limit))?;
        let idle = proc::statistic(&text("memory.stat"), self.idle).unwrap_or(0);
        let used = proc::number(&text(self.used)).map(|used| used.saturating_sub(idle));
        Some(Quota { limit, hard: limit, used })
    }
}

fn has_ipc_lock(status: &str) -> Option<bool> {
    let effective = sys::effective_capabilities().map(u64::from).ok();
    let effective = effective.or_else(|| proc::status_mask(status, "CapEff"))?;
    Some(effective & CAP_IPC_LOCK != 0)
}

fn user_namespace() -> UserNamespace {
    let link = |path| fs::read_link(path).ok();
    let link = link("/proc/thread-self/ns/user").or_else(|| link("/proc/self/ns/user"));
    let inode = link.and_then(|link| proc::namespace_inode(&link.to_string_lossy()));
    match inode {
        Some(INITIAL_USER_NAMESPACE) => UserNamespace::Initial,
        Some(_) => UserNamespace::Nested,
        None => UserNamespace::Unknown,
    }
}

fn secret_memory() -> SecretMemory {
    let exists = |path| Path::new(path).exists();
    let enable = text("/sys/module/secretmem/parameters/enable");
    SecretMemory::from_signs(
        exists("/sys/module"),
        exists("/sys/module/secretmem"),
        proc::line(&enable),
    )
}

fn surroundings(cgroup: &str) -> Surroundings {
    let runtime = proc::container_cgroup(cgroup);
    let exists = |path| Path::new(path).exists();
    let has = |variable| env::var_os(variable).is_some();
    let user = proc::is_user_service(cgroup);
    Surroundings::from_signs(Signs {
        lambda: has("AWS_LAMBDA_FUNCTION_NAME"),
        kubernetes: has("KUBERNETES_SERVICE_HOST")
            || exists("/var/run/secrets/kubernetes.io")
            || runtime == Some(proc::Runtime::Kubernetes),
        container: container(runtime),
        service: proc::systemd_service(cgroup).map(|unit| Service { unit, user }),
        terminal: io::stdin().is_terminal()
            || io::stdout().is_terminal()
            || io::stderr().is_terminal(),
        shell: has("SHLVL"),
    })
}

/// What its manager says comes before what a control group's name tells.
fn container(runtime: Option<proc::Runtime>) -> Option<Container> {
    let told = env::var("container").ok().or_else(|| {
        let told = first_of("/run/systemd/container", "/run/host/container-manager");
        (!told.is_empty()).then_some(told)
    });
    if let Some(name) = told {
        return Container::named(&name);
    }
    match runtime {
        Some(proc::Runtime::Lxc) => Some(Container::Lxc),
        Some(_) => Some(Container::Engine),
        None => ["/.dockerenv", "/run/.containerenv"]
            .iter()
            .any(|path| Path::new(path).exists())
            .then_some(Container::Engine),
    }
}

/// The text of the first file, or else of the second.
fn first_of(path: &str, otherwise: &str) -> String {
    let first = text(path);
    if first.is_empty() { text(otherwise) } else { first }
}

/// A file's text; empty if it cannot be read. A process may have a name that is not UTF-8.
fn text(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Counts lines without keeping them: there may be as many as there may be mappings.
fn lines(path: &str) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default();
                count += piece.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bit 14 of a capability mask, `linux/capability.h`.
const CAP_IPC_LOCK: u64 = 1 << 14;

/// `PROC_USER_INIT_INO` of `linux/proc_ns.h`. The kernel asks for the capability in that namespace.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
