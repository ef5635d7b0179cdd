//! The picture of a region as a program: that it accounts for every byte, and what it says of bad
//! input.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

#[test]
fn every_byte_is_accounted_for() {
    for options in [&[][..], &["--release", "40"], &["--size", "5000"], &["--damage", "3"]] {
        let said = succeeds(options);
        let parts = table(&said, "what the bytes are");
        let sum: usize = parts.iter().map(|(_, numbers)| numbers[0]).sum();
        assert_eq!(sum, 65_536, "{said}");
        // What was forgotten would be taken for it: whole pages end with a leaf.
        assert!(!said.contains("behind the last leaf"), "{said}");
    }
}

#[test]
fn what_was_damaged_is_seen() {
    let said = succeeds(&["--size", "64", "--damage", "3"]);
    let cells = table(&said, "cells of");
    let [(class, numbers)] = &cells[..] else { panic!("one size, one class: {said}") };
    assert_eq!((class.as_str(), numbers[2]), ("64 B", 3), "{said}");
    assert!(said.contains("!  quarantined"), "{said}");
    assert!(!succeeds(&["--size", "64"]).contains('!'));
}

#[test]
fn released_cells_are_free() {
    let said = succeeds(&["--size", "64", "--count", "100", "--release", "100"]);
    let cells = table(&said, "cells of");
    assert!(cells.iter().all(|(_, numbers)| numbers[0] == 0 && numbers[1] > 0), "{said}");
}

#[test]
fn it_is_plain_unless_asked() {
    assert!(!succeeds(&[]).contains('\x1b'));
    assert!(succeeds(&["--color", "always"]).contains("\x1b[48;5;"));
}

#[test]
fn the_svg_shows_the_same() {
    let path = env::temp_dir().join(format!("strongroom-occupancy-{}.svg", std::process::id()));
    let said = succeeds(&["--damage", "2", "--svg", path.to_str().unwrap()]);
    let svg = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains(said.lines().find(|line| line.contains("bytes of payload")).unwrap()));
    assert!(svg.contains("fill=\"#e00000\""), "what was damaged is red");
}

#[test]
fn bad_input_is_answered() {
    for (options, status, answer) in [
        (&["--budget", "0"][..], 1, "zero bytes of locked memory"),
        (&["--budget", "1 KB"], 2, "use KiB, MiB, GiB or none"),
        (&["--release", "101"], 2, "101 is not in 0..=100"),
        (&["--beside", "pages.svg"], 2, "required arguments were not provided"),
        (
            &["--beside", "/nowhere/pages.svg", "--size", "64", "--budget", "1MiB"],
            1,
            "256 pages are too many to draw one by one: 64 at most",
        ),
        (&["--svg", "/nowhere/room.svg"], 1, "/nowhere/room.svg cannot be written"),
        (&["--damage", "1", "--size", "1MiB"], 1, "can never fit"),
    ] {
        let output = run(options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{options:?}: {said}");
        assert!(said.contains(answer), "{options:?}: {said}");
    }
}

fn succeeds(options: &[&str]) -> String {
    let output = run(options);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn run(options: &[&str]) -> Output {
    Command::new(program()).args(options).output().unwrap()
}

/// Cargo builds examples next to the tests, unless it is told to build one test only.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/occupancy");
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "strongroom", "--example", "occupancy"]);
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(build.status().unwrap().success());
    }
    assert!(program.exists(), "build it with `cargo build --example occupancy`");
    program
}

/// The rows below a heading: a name, and the numbers behind it.
fn table(said: &str, heading: &str) -> Vec<(String, Vec<usize>)> {
    let below = said.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let rows = below.take_while(|line| !line.is_empty());
    rows.map(|row| {
        let mut words = row.split("  ").map(str::trim).filter(|word| !word.is_empty());
        let name = words.next().unwrap().to_owned();
        let numbers = words.filter_map(|word| word.replace(',', "").parse().ok());
        (name, numbers.collect())
    })
    .collect()
}
