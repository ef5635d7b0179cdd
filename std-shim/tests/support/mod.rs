//! Running part of a test in a process of its own, some to its death.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};

#[cfg(target_os = "linux")]
mod confinement;
#[cfg(target_os = "linux")]
pub(crate) mod kernel;
#[cfg(target_os = "linux")]
pub(crate) mod memory;
#[cfg(target_os = "linux")]
pub(crate) mod sandbox;
pub(crate) mod tasks;
pub(crate) mod watchdog;

#[cfg(target_os = "linux")]
#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use confinement::{Confinement, User, confined};

/// Runs `body` in a child process of its own, with nothing changed.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    alone_in(name, "", body);
}

/// Likewise, for one of several cases of a test.
pub(crate) fn alone_in(name: &str, case: &str, body: impl FnOnce()) {
    let tag = format!("{name} {case}");
    if is_child(&tag) {
        reached();
        return body();
    }
    if env::var_os(CHILD).is_none() {
        passed(&tag, &again(name, &tag).output().unwrap());
    }
}

/// Runs `body` in a child process, which must die of SIGSEGV in the middle of it.
pub(crate) fn dies_of_segv(name: &str, case: &str, body: impl FnOnce()) {
    let tag = format!("{name} {case}");
    if is_child(&tag) {
        body();
        // The test harness would end with success.
        std::process::exit(SURVIVED);
    }
    if env::var_os(CHILD).is_some() {
        return;
    }
    let output = again(name, &tag).output().unwrap();
    let reached = String::from_utf8_lossy(&output.stdout).contains(REACHED);
    assert!(reached, "{tag} did not come to its part: {output:?}");
    assert!(is_segv(output.status), "{tag} ended with {}, not SIGSEGV", output.status);
}

/// Says to the parent that the part meant for the child was come to.
pub(crate) fn reached() {
    use std::io::Write;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{REACHED}").unwrap();
    stdout.flush().unwrap();
}

/// Forks, runs `body` in the child and returns how the child ended: 0 if `body` is true.
pub(crate) fn forked(body: impl FnOnce() -> bool) -> ExitStatus {
    // SAFETY: the child runs `body` and ends without unwinding or returning.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
        // SAFETY: ends the child at once, running no destructor of the parent's.
        unsafe { libc::_exit(i32::from(!held)) };
    }
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    ExitStatus::from_raw(status)
}

pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}

fn is_child(tag: &str) -> bool {
    env::var(CHILD).is_ok_and(|wanted| wanted == tag)
}

fn again(name: &str, tag: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, tag);
    command
}

/// A child that ran nothing at all would succeed too.
fn passed(tag: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tag} ended with {}\n{text}{errors}", output.status);
    assert!(text.contains(REACHED), "{tag} did not come to its part\n{text}");
    let is_report = |line: &&str| line.starts_with("skipped") || line.starts_with("counted");
    for line in errors.lines().filter(is_report) {
        eprintln!("{line}");
    }
}

/// Under a sanitizer the sanitizer reports the fault and exits with its own status.
fn is_segv(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGSEGV)
        || status.signal() == Some(libc::SIGBUS) && cfg!(target_os = "macos")
        || env::var_os("STRONGROOM_SANITIZER").is_some() && !status.success()
}

const CHILD: &str = "STRONGROOM_TEST_CHILD";
const REACHED: &str = "reached the part for the child";
const SURVIVED: i32 = 99;
