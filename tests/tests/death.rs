//! Violations, one in each process, and how each of them ends: its signal or status, and its words.
//!
//! The programs are in `src/bin/violation`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Status(i32),
    Signal(i32),
}

use End::{Signal, Status};

#[test]
fn overflows_and_underflows_by_one() {
    for name in [
        "overflow-cell",
        "overflow-block",
        "overflow-into-slack-of-cell",
        "overflow-into-slack-of-block",
        "overflow-open-secret",
    ] {
        ends(name, PANIC, "strongroom: canary behind a secret overwritten");
    }
    for name in ["underflow-cell", "underflow-block", "underflow-into-gap"] {
        ends(name, PANIC, "strongroom: canary before a secret overwritten");
    }
}

#[test]
fn writes_after_free() {
    for name in ["write-after-free-of-cell", "write-after-free-of-block"] {
        ends(name, PANIC, "strongroom: free memory written to");
    }
    let text = ended("write-to-free-memory-and-verify", REFUSED);
    assert!(is_fault_at(&text, "strongroom: free memory written to"), "{text}");
}

#[test]
fn releases_of_what_must_not_be_released() {
    for (name, message) in [
        ("double-free-of-cell", "strongroom: secret released twice"),
        ("double-free-of-block", "strongroom: secret released twice"),
        ("free-inside-a-secret", "strongroom: foreign pointer released"),
        ("free-of-another-arena", "strongroom: foreign pointer released"),
        ("free-of-the-stack", "strongroom: foreign pointer released"),
        ("free-with-wrong-size", "strongroom: secret released with another layout"),
        ("free-with-wrong-alignment", "strongroom: secret released with another layout"),
        ("free-a-block-as-a-cell", "strongroom: secret released with another layout"),
    ] {
        ends(name, PANIC, message);
    }
}

#[test]
fn damage_that_is_returned_as_a_value() {
    for name in ["neighbour-overflows-and-verify", "damage-as-a-value"] {
        let text = ended(name, REFUSED);
        assert!(is_fault_at(&text, "strongroom: canary behind a secret overwritten"), "{text}");
    }
    let text = "error: strongroom: canary behind a secret overwritten";
    ends("overflow-found-by-verify", REFUSED, text);
}

#[test]
fn guard_pages_and_returned_pages() {
    for name in ["touch-guard-below", "touch-guard-above", "use-of-returned-pages"] {
        ends(name, Signal(libc::SIGSEGV), "touching");
    }
}

#[test]
fn records_that_are_not_what_was_sealed_here() {
    for name in [
        "tampered-ciphertext",
        "tampered-tag",
        "tampered-counter",
        "cut-record",
        "extended-record",
        "record-of-nothing",
        "other-context",
        "other-vault",
    ] {
        let text = "error: the record was changed, or was sealed under another context or by \
                    another enclave";
        ends(name, REFUSED, text);
    }
}

#[test]
fn use_after_destroy_and_after_a_wipe() {
    let gone = "error: the enclave was destroyed: what it sealed cannot be opened any more";
    for name in [
        "open-after-destroy",
        "seal-after-destroy",
        "open-after-wipe",
        "seal-after-wipe",
        "allocate-after-wipe",
        "read-after-wipe",
        "random-after-wipe",
    ] {
        ends(name, REFUSED, gone);
    }
    ends("wipe-under-open-secrets", REFUSED, &format!("all zero: true\n{gone}"));
    ends("wait-through-a-wipe", REFUSED, gone);
}

#[test]
fn forked_children() {
    let forked = "error: this process was forked from the one that made the vault and sees nothing \
                  of it: make a vault of its own here";
    for (name, text) in [
        ("forked-child-reads-a-secret", "error: all zero: true"),
        ("forked-child-allocates", forked),
        ("forked-child-seals", forked),
        ("forked-child-wipes", "error: wiped its own"),
    ] {
        ends(name, REFUSED, &format!("{text}\nparent unharmed: true"));
    }
}

#[test]
fn a_panic_wipes_the_secrets_that_are_open() {
    ends("panic-with-secrets-open", PANIC, "a bug elsewhere\nsecrets wiped: true");
}

/// An arena's default handler panics, which then ends in an abort: after both have had their say.
#[test]
fn damage_found_during_another_panic() {
    let text = ended("damage-found-while-unwinding", Signal(libc::SIGABRT));
    let mut lines = text.lines();
    assert!(lines.any(|line| line == "a bug elsewhere"), "{text}");
    assert!(lines.any(|line| line == "strongroom: canary behind a secret overwritten"), "{text}");
}

/// A vault's does not: the first panic goes on, and the damage is counted.
#[test]
fn damage_found_by_a_vault_during_another_panic() {
    ends("overflow-found-while-unwinding", PANIC, "a bug elsewhere\nfaults: 1");
}

#[test]
fn a_second_vault_for_the_process() {
    let text = "error: a vault is installed for the process already: install one, in `main`, and \
                use strongroom::global() elsewhere";
    ends("second-install", REFUSED, text);
}

/// A name that is not in the table proves nothing, and says so.
#[test]
fn an_unknown_violation() {
    ends("none", Status(2), "error: no violation is named \"none\"");
}

/// Commits the violation, and finds that it ended so and said just this.
fn ends(name: &str, end: End, said: &str) {
    assert_eq!(ended(name, end), said, "{name}");
}

/// Commits the violation, finds that it ended so, and says what it said.
fn ended(name: &str, end: End) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_violation"));
    let output = command.arg(name).env("RUST_BACKTRACE", "0").output().unwrap();
    assert_eq!(end_of(&output), end, "{name}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"", "{name}");
    said(&output)
}

fn end_of(output: &Output) -> End {
    match output.status.signal() {
        Some(signal) => Signal(signal),
        None => Status(output.status.code().unwrap()),
    }
}

/// Standard error without the lines in which Rust says where a panic was, and an emulator that a
/// signal came.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let frame = |line: &&str| {
        let starts = ["thread '", "note: run with ", "qemu: uncaught target signal "];
        line.is_empty() || starts.iter().any(|start| line.starts_with(start))
    };
    text.lines().filter(|line| !frame(line)).collect::<Vec<_>>().join("\n")
}

/// Whether the text is a fault's, with its place.
fn is_fault_at(text: &str, message: &str) -> bool {
    let place = text.strip_prefix("error: ").and_then(|text| text.strip_prefix(message));
    let number =
        place.and_then(|place| place.strip_prefix(" (byte ")?.strip_suffix(" of the region)"));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

/// How the default fault handler ends a process.
const PANIC: End = Status(101);
/// How a refused call does, as an error that reaches `main`.
const REFUSED: End = Status(1);
