//! An SSH agent whose keys rest sealed, and are opened in locked memory for one signature. README.md
//! says how it is used.
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "this program is for Linux: it hides from debuggers and keeps time by Linux's own calls"
);

mod agent;
mod arguments;
mod clock;
mod confirm;
mod held;
mod key;
mod log;
mod message;
mod run;
mod server;
mod wire;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

use crate::arguments::Arguments;

/// Overwrites what is freed: the crate `rsa` computes with a key's numbers on the heap.
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match run::run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            log::say(|| error);
            ExitCode::FAILURE
        }
    }
}
