//! The limits as macOS tells them, through sysctl and `proc_pid_rusage`.

use std::env;
use std::io::{self, IsTerminal};

use super::host::{Signs, Surroundings};
use super::{IpcLock, Limits, Quota, SecretMemory, Swap, UserNamespace};
use crate::sys;

pub(super) fn read() -> Limits {
    let lock = Quota::of(sys::memlock_limit().ok(), sys::wired_bytes().ok());
    let core = Quota::of(sys::core_limit().ok(), None);
    Limits {
        soft: lock.limit,
        hard: lock.hard,
        locked: lock.used,
        ipc_lock: IpcLock::Absent,
        user_namespace: UserNamespace::Initial,
        mappings: None,
        mappings_limit: None,
        wire_limit: sys::read_control(c"vm.user_wire_limit").ok(),
        global_wire_limit: sys::read_control(c"vm.global_user_wire_limit").ok(),
        address_space: Quota::of(sys::address_space_limit().ok(), None),
        data: Quota::of(sys::data_limit().ok(), None),
        memory: Quota::UNKNOWN,
        swap: Swap::Unknown,
        core_limit: core.limit,
        core_pattern: None,
        dumpable: None,
        secret_memory: SecretMemory::Absent,
        protection_keys: false,
        page_size: sys::page_size(),
        surroundings: surroundings(),
    }
}

fn surroundings() -> Surroundings {
    Surroundings::from_signs(Signs {
        terminal: io::stdin().is_terminal()
            || io::stdout().is_terminal()
            || io::stderr().is_terminal(),
        shell: env::var_os("SHLVL").is_some(),
        ..Signs::default()
    })
}
