//! The limits as macOS tells them, through sysctl and `proc_pid_rusage`.

use std::env;
use std::io::{self, IsTerminal};

use super::surroundings::{Signs, Surroundings};
use super::{IpcLock, Limit, Limits};
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
