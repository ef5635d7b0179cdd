//! Commands that are looked up nowhere: what this host's own programs do, and what needs more.

use std::env::consts::ARCH;
use std::process::{Command, Stdio};

use crate::commands::cargo_at_root;
use crate::page::root;

pub enum Fate {
    /// Run by this test, with what stands for the words in capitals.
    Runs,
    /// Not run, and why.
    Not(&'static str),
}
use Fate::{Not, Runs};

pub const COMMANDS: &[(&str, Fate)] = &[
    ("ulimit -l", Runs),
    ("ulimit -c 0", Runs),
    ("ulimit -S -v", Runs),
    ("ulimit -S -v 65536", Runs),
    ("ulimit -S -d 16384", Runs),
    ("ulimit -S -l 8192", Runs),
    ("sudo prlimit --pid $$ --memlock=8388608:8388608", Runs),
    ("prlimit --memlock=65536:65536 PROGRAM", Runs),
    (
        "prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock --inh-caps=-all PROGRAM",
        Runs,
    ),
    (
        "setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all,+ipc_lock \
         --ambient-caps=-all,+ipc_lock PROGRAM",
        Runs,
    ),
    (
        "AWS_LAMBDA_FUNCTION_NAME=try prlimit --memlock=65536:65536 setpriv \
         --bounding-set=-ipc_lock --inh-caps=-all strongroom-doctor --open 500 --size 64",
        Runs,
    ),
    ("grep 'locked memory' /proc/PID/limits", Runs),
    ("grep 'core file' /proc/PID/limits", Runs),
    ("grep VmLck /proc/PID/status", Runs),
    ("grep CapEff /proc/PID/status", Runs),
    ("grep NoNewPrivs /proc/PID/status", Runs),
    ("wc -l < /proc/PID/maps", Runs),
    ("prlimit --memlock --pid PID", Runs),
    ("capsh --decode=NUMBER", Runs),
    ("sysctl vm.max_map_count", Runs),
    ("swapon --show", Runs),
    ("cat /proc/swaps", Runs),
    ("cat /proc/sys/kernel/core_pattern", Runs),
    ("cat /sys/fs/cgroup/memory.max", Not("is there with one version of control groups only")),
    ("su USER -c 'ulimit -l'", Not("asks for a password")),
    ("systemctl edit payments.service", Not("needs systemd, and changes the host")),
    ("sudo systemctl edit user@.service", Not("needs systemd, and changes the host")),
    ("systemctl --user edit agent.service", Not("needs systemd, and changes the host")),
    ("sudo systemctl restart user@$(id -u).service", Not("needs systemd, and changes the host")),
    (
        "systemctl show payments.service -p LimitMEMLOCK -p LimitMEMLOCKSoft",
        Not("needs systemd, and a unit"),
    ),
    ("systemd-run --pty -p LimitMEMLOCK=8M PROGRAM", Not("needs systemd")),
    ("docker run", Not("is named only, as what is written without an option")),
    ("docker run --ulimit memlock=8388608:8388608 --ulimit core=0 IMAGE", Not("needs docker")),
    ("docker run --ulimit memlock=8388608:8388608 IMAGE sh -c 'ulimit -l'", Not("needs docker")),
    ("docker run --cap-add IPC_LOCK IMAGE", Not("needs docker")),
    ("kubectl exec POD -- sh -c 'ulimit -l; grep CapEff /proc/1/status'", Not("needs a cluster")),
    ("pip install ./bindings/python", Not("needs Python and the package index")),
    ("setcap cap_ipc_lock=+ep /usr/local/bin/payments", Not("needs root, and that program")),
    ("getcap /usr/local/bin/payments", Not("needs that program")),
    ("sysctl vm.user_wire_limit vm.global_user_wire_limit", Not("is macOS's")),
    ("sudo sysctl vm.user_wire_limit=67108864", Not("is macOS's")),
    ("sudo sysctl vm.max_map_count=262144", Not("changes the host")),
];

/// Runs a command of this host as its page has it. What is missing or not permitted is told.
pub fn run(command: &str) {
    let doctor = format!("{} run -q --bin strongroom-doctor --", env!("CARGO"));
    let filled = command.replace("sudo ", "").replace("/proc/PID", "/proc/self");
    let filled = filled.replace("PROGRAM", "true").replace("PID", "$$");
    let filled = filled.replace("NUMBER", "0000000000004000").replace("strongroom-doctor", &doctor);
    let mut shell = Command::new("sh");
    shell.args(["-c", &filled]).current_dir(root()).stdin(Stdio::null());
    let output = shell.env_remove("RUSTFLAGS").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    if ["not permitted", "not found", "permission denied"].iter().any(|why| said.contains(why)) {
        eprintln!("skipped: {command}: {said}");
        return;
    }
    assert!(output.status.success(), "{command}: {said}");
    assert!(said.is_empty(), "{command}: {said}");
}

/// Whether Cargo builds programs here that this machine runs, as it does not where an emulator runs
/// this test.
pub fn is_native() -> bool {
    let output = cargo_at_root().arg("-vV").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().any(|line| line.starts_with(&format!("host: {ARCH}-")))
}
