//! The limits as Linux tells them, through `/proc`.

use std::env;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use super::host::{Signs, Surroundings};
use super::{IpcLock, Limit, Limits, Swap, proc};
use crate::sys;

pub(super) fn read(soft: Limit, hard: Limit) -> Limits {
    // Capabilities belong to the thread, and it is this thread that will lock.
    let status = text("/proc/thread-self/status");
    let cgroup = text("/proc/self/cgroup");
    let core = sys::core_limit().map(|limit| Limit::from_finite(limit.soft));
    Limits {
        soft,
        hard,
        locked: proc::status_bytes(&status, "VmLck"),
        ipc_lock: ipc_lock(&status),
        mappings: lines("/proc/self/maps").ok(),
        mappings_limit: proc::number(&text("/proc/sys/vm/max_map_count")),
        wire_limit: None,
        global_wire_limit: None,
        memory_limit: memory_limit(&cgroup),
        swap: fs::read_to_string("/proc/swaps").map_or(Swap::Unknown, |swaps| proc::swap(&swaps)),
        core_limit: core.unwrap_or(Limit::Unknown),
        core_pattern: proc::line(&text("/proc/sys/kernel/core_pattern")).map(Box::from),
        secret_memory: sys::has_secret_memory(),
        page_size: sys::page_size(),
        surroundings: surroundings(&cgroup),
    }
}

/// The lowest limit of the process's control group and those above it, as far as they can be seen
/// from here.
fn memory_limit(cgroup: &str) -> Limit {
    let Some(group) = proc::memory_cgroup(cgroup) else {
        return Limit::Unknown;
    };
    let (root, file) = match group.version {
        proc::CgroupVersion::V1 => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        proc::CgroupVersion::V2 => ("/sys/fs/cgroup", "memory.max"),
    };
    let limits = proc::ancestors(group.path)
        .filter_map(|path| fs::read_to_string(format!("{root}{path}/{file}")).ok())
        .filter_map(|text| proc::memory_limit(&text));
    // The host's own root group has no limit and no such file.
    let none = Path::new(root).join("cgroup.controllers").exists();
    let none = if none { Limit::Unlimited } else { Limit::Unknown };
    limits.reduce(Limit::lower).unwrap_or(none)
}

fn ipc_lock(status: &str) -> IpcLock {
    let effective = proc::status_mask(status, "CapEff").unwrap_or(0);
    if effective & CAP_IPC_LOCK == 0 {
        return IpcLock::Absent;
    }
    let link = fs::read_link("/proc/thread-self/ns/user").unwrap_or_default();
    match proc::namespace_inode(&link.to_string_lossy()) {
        Some(inode) if inode != INITIAL_USER_NAMESPACE => IpcLock::Namespaced,
        _ => IpcLock::InEffect,
    }
}

fn surroundings(cgroup: &str) -> Surroundings {
    let runtime = proc::container_cgroup(cgroup);
    let exists = |path| Path::new(path).exists();
    let has = |variable| env::var_os(variable).is_some();
    Surroundings::from_signs(Signs {
        lambda: has("AWS_LAMBDA_FUNCTION_NAME"),
        kubernetes: has("KUBERNETES_SERVICE_HOST")
            || exists("/var/run/secrets/kubernetes.io")
            || runtime == Some(proc::Runtime::Kubernetes),
        container: runtime.is_some()
            || exists("/.dockerenv")
            || exists("/run/.containerenv")
            || has("container"),
        service: proc::systemd_service(cgroup),
        terminal: io::stdin().is_terminal()
            || io::stdout().is_terminal()
            || io::stderr().is_terminal(),
        shell: has("SHLVL"),
    })
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
