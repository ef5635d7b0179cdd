//! One violation for each run, by name: what `tests/death.rs` looks at from outside.
//!
//! A violation that an arena finds ends in its panic, one that a guard page finds in `SIGSEGV`, and
//! a call that is refused in `error: …` and status 1. Status 0 says that nothing was found.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "Linux only"))]
#![allow(clippy::unwrap_used, reason = "a violation that cannot be set up fails by panicking")]

use std::env;
use std::error::Error;
use std::process::ExitCode;

mod arena;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod vault;

/// What a refused call answers.
type Outcome = Result<(), Box<dyn Error>>;

/// Violations by name.
type Table = &'static [(&'static str, fn() -> Outcome)];

#[cfg_attr(target_os = "linux", expect(unsafe_code, reason = "sets an alarm"))]
fn main() -> ExitCode {
    // One that never ends is ended by SIGALRM.
    #[cfg(target_os = "linux")]
    // SAFETY: changes nothing but when that signal comes.
    unsafe {
        libc::alarm(300)
    };
    let name = env::args().nth(1).unwrap_or_default();
    let mut all = TABLES.iter().flat_map(|table| table.iter());
    let Some((_, commit)) = all.find(|(known, _)| *known == name) else {
        eprintln!("error: no violation is named {name:?}");
        return ExitCode::from(2);
    };
    match commit() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Forgets what a call gave, and keeps what it refused.
fn answer<T, E: Into<Box<dyn Error>>>(call: Result<T, E>) -> Outcome {
    call.map(drop).map_err(Into::into)
}

#[cfg(target_os = "linux")]
const TABLES: &[Table] = &[arena::ALL, vault::ALL, process::ALL];
#[cfg(not(target_os = "linux"))]
const TABLES: &[Table] = &[arena::ALL];
