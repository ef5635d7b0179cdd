//! Searches for the secrets of `src/bin/victim`: a disk and the memory of a machine that was switched off, or
//! the memory of the process.
//!
//! ```text
//! searcher machine SEED SECRETS OPEN LOG DISK MEMORY nothing|kept|found
//! searcher mem|process_vm_readv PID SEED SECRETS OPEN
//! ```
//!
//! LOG has what the victim told. On DISK there must be the controls, and nothing secret if it is `kept`; if it is
//! `found`, open secrets must be found there; if it is `nothing`, not even the controls. All open secrets must be found, on DISK or in MEMORY, which is that of
//! the whole machine, and there the shares of the key; but nothing that was at rest, nor the key.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails by panicking")]

#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod process;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments[0] == "machine" {
        return machine::main(&arguments[1..]);
    }
    process::main(&arguments);
    std::process::ExitCode::SUCCESS
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: the program is for Linux");
    std::process::exit(77);
}
