//! What the derive and the types that it makes refuse, and what they say then.

use std::process::Command;

/// The compiler's own part of the messages changes from one to the next: they are compared on the one
/// that they were written down with.
#[test]
fn what_must_not_compile() {
    let compiler = Command::new("rustc").arg("--version").output();
    let version = compiler.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    if version.as_ref().is_ok_and(|version| version.starts_with("rustc 1.95.")) {
        trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
    } else {
        eprintln!("skipped: messages were written down with rustc 1.95, and this is {version:?}");
    }
}
