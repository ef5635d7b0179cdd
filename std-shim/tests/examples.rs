//! The examples that run by themselves, and what they print.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn many_tasks_share_a_small_budget() {
    let output = Command::new(program("async_tokio")).arg("200").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = said.lines().collect();
    let [tasks, more] = lines[..] else { panic!("{said}") };
    assert!(tasks.starts_with("200000 bytes used by 200 tasks, "), "{tasks}");
    let held = more.strip_prefix("one more gave up while ").unwrap();
    let held = held.strip_suffix(" were held, 0 wait").unwrap();
    // How many fit depends on how the runs were cut, and so on who came when.
    for at_once in [tasks.split(' ').nth(6).unwrap(), held] {
        assert!((2..=8).contains(&at_once.parse::<usize>().unwrap()), "they did not share: {said}");
    }
}

#[test]
fn metrics_are_served_as_prometheus_reads_them() {
    let mut command = Command::new(program("metrics"));
    command.args(["127.0.0.1:0", "--once"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.trim_end().strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(child.wait().unwrap().success(), "it ends after one request");

    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let values = samples(body);
    assert_eq!(values["strongroom_budget_bytes"], 65_536);
    assert_eq!(values["strongroom_locked_bytes"], 8192);
    assert_eq!(values["strongroom_open_secrets"], 1);
    assert_eq!(values["strongroom_faults_total"], 0);
    assert_eq!(values.len(), if cfg!(target_os = "linux") { 15 } else { 14 });
}

#[test]
fn an_application_uses_what_it_was_given() {
    let mut command = Command::new(program("application"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"alice hunter2\nbob swordfish\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["alice: 7 bytes sent", "bob: 9 bytes sent"]);
    assert!(output.status.success());
}

/// What is wrong is said, and no secret is.
#[test]
fn a_service_that_is_configured_wrongly_says_so() {
    let settings = env::temp_dir().join(format!("strongroom-misconfigured-{}", std::process::id()));
    for (text, source, said) in [
        ("", "hunter2", "invalid value for --token-from <SOURCE>: this says not where"),
        ("", "file:/nowhere/at/all", "line 1: missing field `signing-key-from`"),
        (
            "signing-key-from = 'hunter2'\n",
            "-",
            "line 1: this says not where the secret comes from",
        ),
        ("[database]\nhost = 'db'\npasword = 'hunter2'\n", "-", "line 1: missing field `password`"),
        ("[database]\npassword = hunter2\n", "-", "line 2: "),
        (
            "[database]\npassword = 'hunter2'\nport = 'x'\n",
            "-",
            "line 3: invalid type: string \"x\"",
        ),
        (
            "sining-key = 'hunter2'\n",
            "-",
            "line 1: unknown field `sining-key`, expected one of `listen`",
        ),
        (
            "signing-key-from = '-'\n[database]\nhost = 'db'\npassword = 'hunter2'\n",
            "file:/nowhere/at/all",
            "the secret was not read from file:/nowhere/at/all: No such file",
        ),
    ] {
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(program_with("configured", "clap-4,derive,toml"));
        let command = command.arg("--config").arg(&settings).args(["--token-from", source]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
    fs::remove_file(settings).unwrap();
}

/// Reads the text format, strictly: help, type and value of each metric, in that order, once.
fn samples(text: &str) -> BTreeMap<&str, u64> {
    assert!(text.ends_with('\n'));
    let lines: Vec<_> = text.lines().collect();
    let metrics = lines.chunks(3).map(|metric| {
        let [help, kind, sample] = metric[..] else { panic!("{metric:?}") };
        let (name, value) = sample.split_once(' ').unwrap();
        let of_name = |line: &str, word: &str| {
            line.strip_prefix(&format!("# {word} {name} "))
                .unwrap_or_else(|| panic!("{line}"))
                .len()
        };
        assert!(of_name(help, "HELP") > 0 && of_name(kind, "TYPE") > 0);
        assert_eq!(kind.ends_with(" counter"), name.ends_with("_total"), "{kind}");
        // The only one that is not a whole number has not waited yet.
        (name, value.parse().unwrap())
    });
    metrics.collect()
}

/// Cargo builds examples next to the tests, unless it is told to build one test only.
fn program(name: &str) -> PathBuf {
    program_with(name, "")
}

fn program_with(name: &str, features: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "strongroom", "--example", name]);
        build.args(["--features", features]);
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(build.status().unwrap().success());
    }
    assert!(program.exists(), "build it with `cargo build --example {name}`");
    program
}
