//! The limits as macOS tells them, through sysctl and `proc_pid_rusage`.

use std::env;
use std::io::{self, IsTerminal};

use super::host::{Signs, Surroundings};
use super::{IpcLock, Limit, Limits, Swap};
use crate::sys;

pub(super) fn read(soft: Limit, hard: Limit) -> Limits {
    Limits {
        soft,
        hard,
        locked: sys::wired_bytes().ok(),
        ipc_lock: IpcLock::Absent,
        mappings: None,
        mappings_limit: None,
        wire_limit: sys::read_control(c"vm.user_wire_limit").ok(),
        global_wire_limit: sys::read_control(c"vm.global_user_wire_limit").ok(),
        memory_limit: Limit::Unknown,
        swap: Swap::Unknown,
        core_limit: sys::core_limit()
            .map_or(Limit::Unknown, |limit| Limit::from_finite(limit.soft)),
        core_pattern: None,
        secret_memory: false,
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
