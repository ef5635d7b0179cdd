//! What is left in a process that wiped everything, on a signal and on a panic: looked at from
//! outside, while it is stopped.
//!
//! The program is strongroom's example `signals`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_tests::noise::Noise;
use strongroom_tests::scan::Search;

#[test]
fn nothing_is_left_after_a_fatal_signal() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let mut subject = Subject::start(u64::try_from(signal).unwrap(), &["--stop"]);
        assert_ne!(subject.finds(), 0, "the search does not find what is open");
        subject.send(signal);
        subject.is_wiped();
        subject.send(libc::SIGCONT);
        let status = subject.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal), "it dies of what it was sent");
    }
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut subject = Subject::start(1, &["--stop", "--panic"]);
    subject.is_wiped();
    subject.send(libc::SIGCONT);
    assert_eq!(subject.child.wait().unwrap().code(), Some(101));
    let mut said = String::new();
    subject.stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("\na bug elsewhere\n"), "{said}");
}

/// A process that holds one secret open, which only this test knows.
struct Subject {
    child: Child,
    stderr: ChildStderr,
    search: Search,
}

impl Subject {
    fn start(seed: u64, arguments: &[&str]) -> Self {
        let secret = Noise(seed).bytes(200);
        let mut command = Command::new(program());
        command.args(arguments).env("RUST_BACKTRACE", "0").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&secret).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with("holds a secret of 200 bytes\n"), "{line:?}");
        let mut search = Search::default();
        search.add("the secret", &secret);
        Self { stderr: child.stderr.take().unwrap(), child, search }
    }

    #[expect(unsafe_code, reason = "sends a signal")]
    fn send(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the number is its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Waits until the process has stopped itself, and finds nothing.
    fn is_wiped(&self) {
        let begun = Instant::now();
        while !self.is_stopped() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not stop");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.finds(), 0);
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    fn finds(&self) -> usize {
        self.search.process(self.child.id()).unwrap().len()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds examples next to the tests, unless it is told to build one test or package only.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/signals");
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "strongroom", "--example", "signals"]);
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(build.status().unwrap().success());
    }
    assert!(program.exists(), "build it with `cargo build --example signals`");
    program
}
