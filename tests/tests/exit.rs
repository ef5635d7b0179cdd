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
use std::sync::mpsc;
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
        let mut search = Search::default();
        search.add("the secret", &secret);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let subject = Self { child, stderr, search };
        // One that stops too early says nothing.
        let (said, hears) = mpsc::channel();
        thread::spawn(move || said.send(BufReader::new(stdout).lines().next()));
        let line = hears.recv_timeout(Duration::from_mins(1)).unwrap().unwrap().unwrap();
        assert!(line.ends_with("holds a secret of 200 bytes"), "{line:?}");
        subject
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

/// Built here: as another package's example it may be an old one.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "strongroom", "--example", "signals"]);
    build.args((!cfg!(debug_assertions)).then_some("--release"));
    // What is built for a machine that was named lies in a directory of that name.
    let mut target = profile.parent().unwrap();
    let machine = target.file_name().unwrap().to_str().unwrap();
    if machine.contains("-linux-") {
        build.args(["--target", machine]);
        target = target.parent().unwrap();
    }
    build.arg("--target-dir").arg(target);
    assert!(build.status().unwrap().success());
    profile.join("examples/signals")
}
