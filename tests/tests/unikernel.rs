//! Builds the kernel in `checks/unikernel`, boots it in QEMU, and reads what it says.
//!
//! Without QEMU, or on another host than x86-64 Linux, each test says that it is skipped, and why.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn it_keeps_five_thousand_secrets_in_sixteen_pages() {
    let Some(run) = boot("max", &[]) else { return };
    run.ends_with(PASSED);
    run.says("regions: 64 KiB for secrets, 1024 KiB for records");
    run.says("sealed: 5000 secrets of ");
    run.says("sealed: 1667 secrets of ");
    assert_eq!(run.lines("opened: 5000 secrets").count(), 2, "{run:?}");
    run.says("refused: a changed record, and two under each other's context");
    run.says("copies outside the region: 0; with one planted on the stack: 1");
    run.says("destroyed: the enclave was destroyed");
    assert_eq!(run.said.last().unwrap(), "passed");
}

#[test]
fn a_full_region_is_an_ordinary_answer() {
    let Some(run) = boot("max", &[]) else { return };
    run.ends_with(PASSED);
    let line = run.lines("full: ").next().unwrap();
    let open: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!((800..1200).contains(&open), "{line}");
    assert!(line.contains("no room for ") && line.contains(" bytes in an arena of "), "{line}");
}

#[test]
fn damage_that_is_asked_for_comes_as_a_value() {
    let Some(run) = boot("max", &[]) else { return };
    run.ends_with(PASSED);
    run.says("found: strongroom: canary behind a secret overwritten (byte ");
    assert_eq!(run.lines("fault: ").count(), 0, "{run:?}");
}

#[test]
fn damage_goes_to_the_fault_handler_and_ends_the_kernel() {
    for (violation, line) in [
        ("overflow", "fault: strongroom: canary behind a secret overwritten (byte "),
        ("underflow", "fault: strongroom: canary before a secret overwritten (byte "),
        ("double-free", "fault: strongroom: secret released twice (byte "),
        ("write-after-free", "error: strongroom: free memory written to (byte "),
    ] {
        let Some(run) = boot("max", &[violation]) else { return };
        run.ends_with(FAULT);
        assert!(run.said.last().unwrap().starts_with(line), "{violation}: {run:?}");
    }
}

#[test]
fn without_rdrand_nothing_starts() {
    let Some(run) = boot("qemu64,-rdrand", &[]) else { return };
    run.ends_with(NO_ENTROPY);
    assert_eq!(run.said.len(), 1, "{run:?}");
    run.says("error: this processor has no RDRAND: start the kernel on one that has");
}

#[test]
fn it_refuses_a_command_line_it_does_not_know() {
    let Some(run) = boot("max", &["overflow", "twice"]) else { return };
    run.ends_with(FAILED);
    assert_eq!(run.said.len(), 1, "{run:?}");
    run.says("error: the command line may name overflow, underflow, write-after-free or");
}

/// What a kernel said on its serial port, and the status it ended with.
#[derive(Debug)]
struct Run {
    said: Vec<String>,
    status: Option<i32>,
}

impl Run {
    fn lines(&self, start: &str) -> impl Iterator<Item = &String> {
        self.said.iter().filter(move |line| line.starts_with(start))
    }

    fn says(&self, start: &str) {
        assert!(self.lines(start).next().is_some(), "not said: {start}\n{self:?}");
    }

    fn ends_with(&self, status: i32) {
        assert_eq!(self.status, Some(status), "{self:?}");
    }
}

/// Boots the kernel on a processor that QEMU knows by this name; `None` if it cannot be done here.
fn boot(processor: &str, words: &[&str]) -> Option<Run> {
    let kernel = match KERNEL.as_ref() {
        Ok(kernel) => kernel,
        Err(missing) => {
            println!("skipped: {missing}");
            return None;
        }
    };
    let mut machine = Command::new(folder().join("boot"));
    machine.arg(kernel).args(words).env("CPU", processor).stdin(Stdio::null());
    Some(run(&mut machine).unwrap())
}

fn run(machine: &mut Command) -> io::Result<Run> {
    let mut machine = machine.stdout(Stdio::piped()).spawn()?;
    let mut serial = machine.stdout.take().unwrap();
    let listener = thread::spawn(move || {
        let mut said = Vec::new();
        serial.read_to_end(&mut said).map(|_| said)
    });
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        match machine.try_wait()? {
            Some(status) => break status.code(),
            None if Instant::now() > deadline => {
                machine.kill()?;
                machine.wait()?;
                break None;
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let said =
        String::from_utf8_lossy(&listener.join().unwrap()?).lines().map(Into::into).collect();
    Ok(Run { said, status })
}

/// The kernel, built once, or what is missing for it.
static KERNEL: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return Err("the kernel is made of an x86-64 Linux host's own core library".into());
    }
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return Err("qemu-system-x86_64 is not installed".into());
    }
    if !linker().exists() {
        return Err(format!("this Rust came without {}", linker().display()));
    }
    Ok(build())
});

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unikernel");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--locked", "--target-dir"]).arg(&target);
    // The kernel's own flags are in its folder; those of this build would replace them.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(flags);
    }
    for name in ["LINKER", "RUSTFLAGS", "RUNNER"] {
        cargo.env_remove(format!("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_{name}"));
    }
    let built = cargo.env_remove("CARGO_BUILD_TARGET").current_dir(folder()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("release/strongroom-unikernel")
}

/// The linker that comes with Rust.
fn linker() -> PathBuf {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checks/unikernel")
}

/// A kernel takes a second or two; on a busy machine, some more.
const LONGEST: Duration = Duration::from_mins(1);

/// What QEMU ends with for each of the kernel's statuses: see `checks/unikernel/src/boot.rs`.
const PASSED: i32 = 33;
const FAILED: i32 = 35;
const FAULT: i32 = 37;
const NO_ENTROPY: i32 = 39;
