//! A program that may hang, seen from outside.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With success, and with these words.
    Passed(String),
    /// It said that this machine lacks something.
    Skipped(String),
    /// It did not end in time, and was killed.
    Hung,
}

/// Runs `program` for at most so long. If it fails, so does the test.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A], longest: Duration) -> End {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let Some(status) = wait(&mut child, longest) else {
        child.kill().unwrap();
        child.wait().unwrap();
        return End::Hung;
    };
    let (mut text, mut errors) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    match status.code() {
        Some(0) => End::Passed(text),
        Some(SKIPPED) => End::Skipped(text),
        _ => panic!("{program} ended with {status}\n{text}{errors}"),
    }
}

/// The status of a child that ends in time; what it prints is too little to be held up by that.
fn wait(child: &mut Child, longest: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < longest {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

const SKIPPED: i32 = 77;
