//! The main job as a program: what it reports, where it stops, and what it says of bad input.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use strongroom::OsEntropy;
use strongroom::strongroom_core::Entropy;
use support::{Confinement, User, kernel, sandbox};

mod support;

#[test]
fn random_secrets_are_sealed_and_opened_and_leave_nothing() {
    let report = succeeds(fleet().args(["--count", "3000", "--scan"]));
    assert_eq!(report.line("secrets held"), "3,000 of 64 bytes");
    assert!(report.line("locked memory").starts_with("at most 65,536 bytes; "), "{report:?}");
    assert_eq!(report.line("waits for room"), "0");
    assert!(
        report.line("one page per secret").starts_with("would lock 12,288,000 bytes, 187 times")
    );
    let searched = report.line("memory searched");
    assert!(searched.starts_with("no plaintext of 9") || searched.contains(" of 1,000 "));
    for line in ["resident memory", "most open at once", "seal", "open", "done in"] {
        assert!(!report.line(line).is_empty());
    }
}

#[test]
fn the_lines_of_a_file_leave_nothing() {
    let directory = Directory::new("lines");
    let file = directory.file("tokens", lines(500).as_bytes());
    let report = succeeds(fleet().arg("--scan").arg("--input").arg(&file));
    assert_eq!(report.line("secrets held"), "500 of 40 bytes");
    assert!(report.line("memory searched").starts_with("no plaintext of "), "{report:?}");

    let report = succeeds(fleet().args(["--input", "-"]).stdin(File::open(&file).unwrap()));
    assert_eq!(report.line("secrets held"), "500 of 40 bytes");
}

#[test]
fn a_directory_of_keys_leaves_nothing() {
    let directory = Directory::new("keys");
    fs::create_dir(directory.path.join("passed over")).unwrap();
    for (name, count) in [("a.pem", 16), ("b.pem", 24), ("c.pem", 400)] {
        directory.file(name, pem(count).as_bytes());
    }
    let report = succeeds(fleet().arg("--scan").arg("--input").arg(&directory.path));
    assert_eq!(report.line("secrets held"), "3 of 1,094 to 26,054 bytes");
    assert!(report.line("memory searched").starts_with("no plaintext of 3 "), "{report:?}");
}

/// A copy of one line stands in the environment, where the search must find it.
#[test]
fn the_search_finds_a_copy() {
    let directory = Directory::new("copy");
    let text = lines(100);
    let file = directory.file("tokens", text.as_bytes());
    let copied = text.lines().nth(41).unwrap();
    let mut command = fleet();
    command.arg("--scan").arg("--input").arg(file).env("LEFT_BEHIND", copied);
    let (report, said) = fails(&mut command, 1);
    let searched = report.line("memory searched");
    assert!(searched.starts_with("FOUND PLAINTEXT of 100 sampled secrets 1 times"), "{searched}");
    assert!(report.0.contains("  40 bytes of secret 42 at 0x"), "{report:?}");
    assert!(report.0.contains(" in [stack]"), "{report:?}");
    assert_eq!(said, "error: there is stray plaintext in this process; the report says where\n");
    assert!(!report.0.contains(copied));
}

#[test]
fn more_at_once_than_fit_get_on_by_waiting() {
    let mut command = fleet();
    command.args(["--count", "300", "--threads", "100", "--budget", "4KiB", "--hold", "200000"]);
    let report = succeeds(&mut command);
    assert!(report.line("locked memory").starts_with("at most 4,096 bytes; "));
    assert!(report.line("waits for room").contains(", the longest "), "{report:?}");
    let most: usize = report.line("most open at once").parse().unwrap();
    assert!((20..100).contains(&most), "{most}");
}

#[test]
fn who_waits_too_long_gives_up_with_the_numbers() {
    let mut command = fleet();
    command.args(["--count", "20000", "--threads", "100", "--budget", "4KiB"]);
    command.args(["--hold", "3000000", "--timeout", "0.05"]);
    let begun = Instant::now();
    let (_, said) = fails(&mut command, 1);
    assert!(begun.elapsed() < Duration::from_secs(25), "one failure stops all threads");
    assert!(said.contains("no room for 64 bytes: "), "{said}");
    assert!(said.contains("; gave up after 0."), "{said}");
}

#[test]
fn sixty_four_kib_are_enough_for_all_but_one_page_each() {
    let mut command = under_limit(65_536, ["--count", "20000", "--scan", "--threads", "100"]);
    let report = succeeds(&mut command);
    assert_eq!(report.line("locked memory"), "at most 65,536 bytes; the limit is 65,536 bytes");

    let more = ["--page-each", "--budget", "1MiB"];
    let (report, said) = fails(&mut under_limit(65_536, more), 1);
    assert_eq!(report.line("secrets held"), "16 of 1,000,000, in locked pages of their own");
    assert_eq!(report.line("locked memory"), "65,536 bytes; the limit is 65,536 bytes");
    assert!(said.starts_with("error: one page for each stops at 16 secrets: "), "{said}");
    assert!(said.contains("RLIMIT_MEMLOCK"), "{said}");

    let (_, said) = fails(&mut under_limit(65_536, ["--budget", "68KiB"]), 1);
    assert!(said.contains("locked 0 of 65,536 bytes; 69,632 more were asked for"), "{said}");
}

/// Not even then does it die without a word.
#[test]
fn a_filter_that_kills_is_told() {
    for arguments in [&[][..], &["--page-each"]] {
        let mut command = fleet();
        command.args(arguments);
        // SAFETY: between fork and exec memory is allocated, as by the one thread that there is.
        unsafe { command.pre_exec(|| sandbox::kill(libc::SYS_mlock)) };
        let (_, said) = fails(&mut command, 1);
        assert!(said.starts_with("error: no memory can be locked: "), "{said}");
        assert!(said.contains("SIGSYS") && said.contains("allow the mlock system call"), "{said}");
    }
}

#[test]
fn a_limit_of_zero_is_told() {
    let (_, said) = fails(&mut under_limit(0, []), 1);
    assert!(
        said.starts_with("error: no memory may be locked: RLIMIT_MEMLOCK is 0 bytes"),
        "{said}"
    );
    let (report, said) = fails(&mut under_limit(0, ["--page-each"]), 1);
    assert!(report.line("secrets held").starts_with("0 of 1,000,000"));
    assert!(said.starts_with("error: one page for each stops at 0 secrets: "), "{said}");
}

/// Whatever the limit is: root has none, and a million pages are gigabytes.
#[test]
fn one_page_each_locks_no_more_than_the_budget() {
    for (budget, bytes, held) in [("64KiB", "65,536", "16"), ("200KiB", "204,800", "50")] {
        let (report, said) = fails(fleet().args(["--page-each", "--budget", budget]), 1);
        let all = "of 1,000,000, in locked pages of their own";
        assert_eq!(report.line("secrets held"), format!("{held} {all}"));
        assert!(
            report.line("locked memory").starts_with(&format!("{bytes} bytes; ")),
            "{report:?}"
        );
        assert_eq!(report.line("one page per secret"), "would lock 4,096,000,000 bytes");
        let why = format!("a budget of {bytes} bytes has no page left; give a larger --budget");
        let stop = format!("error: one page for each stops at {held} secrets: {why}\n");
        assert_eq!(said, stop);
    }
    // What is read in takes pages too.
    let directory = Directory::new("budget");
    let file = directory.file("tokens", lines(500).as_bytes());
    let mut command = fleet();
    let (report, _) = fails(command.arg("--page-each").arg("--input").arg(file), 1);
    assert_eq!(report.line("secrets held"), "14, in locked pages of their own");
}

#[test]
fn one_page_each_does_a_job_that_is_small_enough() {
    let directory = Directory::new("small");
    directory.file("a.pem", pem(30).as_bytes());
    directory.file("b", b"hunter2");
    for (arguments, held) in [
        (["--count", "3"].map(Into::into), "3 of 3"),
        (["--input".into(), directory.path.clone()], "2 of 2"),
    ] {
        let report = succeeds(fleet().arg("--page-each").args(arguments));
        assert_eq!(report.line("secrets held"), format!("{held}, in locked pages of their own"));
        assert!(report.line("checked").starts_with(&held[..2]), "{report:?}");
    }
}

#[test]
fn bad_options_are_told() {
    for (arguments, expected) in [
        (&["--count", "0"][..], "invalid value '0' for '--count <COUNT>'"),
        (&["--count", "-1"], "invalid value '-1' for '--count <COUNT>'"),
        (&["--count", "many"], "invalid value 'many' for '--count <COUNT>'"),
        (&["--size", "0"], "invalid value '0' for '--size <BYTES>': it must be 1 or more"),
        (&["--threads", "0"], "invalid value '0' for '--threads <THREADS>'"),
        (&["--threads", "10001"], "invalid value '10001' for '--threads <THREADS>'"),
        (&["--hold", "-1"], "invalid value '-1' for '--hold <MICROSECONDS>'"),
        (&["--timeout", "-1"], "invalid value '-1' for '--timeout <SECONDS>'"),
        (&["--budget", "64KB"], "`KB` is no unit"),
        (&["--budget", "lots"], "`lots` is no unit"),
        (&["--budget", "20000000000GiB"], "more than the address space has"),
        (&["--input", "x", "--count", "3"], "cannot be used with '--count <COUNT>'"),
        (&["--page-each", "--scan"], "cannot be used with '--scan'"),
        (&["--sacn"], "unexpected argument '--sacn' found"),
    ] {
        let (_, said) = fails(fleet().args(arguments), 2);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    for (arguments, expected) in [
        (&["--budget", "0"][..], "zero bytes of locked memory were asked for"),
        (&["--size", "70000"], "70000 bytes can never be opened: this budget holds secrets of at"),
        (&["--size", "4", "--scan", "--count", "9"], "no secret of 8 bytes or more to search for"),
    ] {
        let (_, said) = fails(fleet().args(arguments), 1);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn bad_input_is_told_with_its_place() {
    let directory = Directory::new("bad");
    let (none, keys) = (directory.path.join("none"), directory.path.join("keys"));
    fs::create_dir(&none).unwrap();
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("a.pem"), pem(20)).unwrap();
    fs::write(keys.join("b.pem"), "").unwrap();
    let long = "x".repeat(70_000);
    for (input, expected) in [
        (directory.path.join("absent"), "cannot read {}: No such file"),
        (none, "cannot read {}: there is no file in it"),
        (keys, "{}/b.pem is empty: there is no secret to keep"),
        (directory.file("empty", b""), "{} is empty: there is no secret to keep"),
        (directory.file("gap", b"one\n\nthree\n"), "line 2 of {} is empty: there is no secret"),
        (directory.file("cr", b"one\r\n\r\n"), "line 2 of {} is empty: there is no secret"),
        (
            directory.file("long", format!("one\ntwo\n{long}\n").as_bytes()),
            "line 3 of {} is longer than the budget of 65,536 bytes; give a larger --budget",
        ),
        (
            directory.file("nearly", &long.as_bytes()[..64_500]),
            "line 1 of {} does not fit the budget: 64500 bytes can never be opened",
        ),
        // Each C library has its own words for the reason.
        (PathBuf::from("/proc/self/mem"), "cannot read line 1 of {}: "),
        (PathBuf::from("/dev/zero"), "line 1 of {} is longer than the budget"),
    ] {
        let (report, said) = fails(fleet().arg("--input").arg(&input), 1);
        let expected = expected.replace("{}", &input.display().to_string());
        assert!(said.starts_with(&format!("error: {expected}")), "{said}");
        assert!(report.0.is_empty(), "{report:?}");
    }
}

#[test]
fn a_report_that_nobody_takes_is_no_panic() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = fleet();
    let output = command.args(["--count", "10"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: the report is lost: "), "{output:?}");
}

/// What the program wrote to standard output.
#[derive(Debug)]
struct Report(String);

impl Report {
    /// What stands behind `name`.
    fn line(&self, name: &str) -> &str {
        let starts =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        let Some(line) = self.0.lines().find(starts) else { panic!("no {name} in {self:?}") };
        line[name.len()..].trim_start()
    }
}

fn succeeds(command: &mut Command) -> Report {
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // No progress bar either: this is no terminal.
    assert_eq!(text(&output.stderr), "");
    Report(text(&output.stdout))
}

fn fails(command: &mut Command, code: i32) -> (Report, String) {
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    (Report(text(&output.stdout)), text(&output.stderr))
}

fn run(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn fleet() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(program));
    command.stdin(Stdio::null());
    command
}

/// The program with a real lock limit and without the privilege to pass it.
fn under_limit<const N: usize>(bytes: u64, arguments: [&str; N]) -> Command {
    let mut command = fleet();
    let confinement = Confinement::of(bytes, User::Same);
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(move || kernel::confine(confinement)) };
    command.args(arguments);
    command
}

/// Cargo builds examples next to the tests, unless it is told to build one test only.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/fleet");
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "strongroom", "--example", "fleet"]);
        assert!(build.status().unwrap().success());
    }
    assert!(program.exists(), "build it with `cargo build --example fleet`: {}", program.display());
    program
}

/// A directory for one test, removed at its end.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("strongroom-fleet-{name}-{}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        File::create_new(&path).unwrap().write_all(bytes).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.path));
    }
}

/// Lines of 40 random letters each.
fn lines(count: usize) -> String {
    (0..count).map(|_| random_letters(40) + "\n").collect()
}

/// What looks like a key of `count` lines.
fn pem(count: usize) -> String {
    let body: String = (0..count).map(|_| random_letters(64) + "\n").collect();
    format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n")
}

fn random_letters(count: usize) -> String {
    let mut bytes = vec![0; count];
    OsEntropy.fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| char::from(b'A' + byte % 58)).collect()
}
