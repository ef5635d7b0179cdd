//! A kernel that keeps thousands of secrets in sixteen pages: how `strongroom-core` is embedded
//! where there is no operating system, no `std` and no `alloc`.
//!
//! ```text
//! entropy   RDRAND ──────────────┐
//! memory    .secrets, 16 pages ──┴─> Arena ──> Enclave ──> open secrets
//!           .records, 1 MiB ───────> Bulk ───────┘ sealed records
//! ```
//!
//! What an embedder needs is in `entropy` and `memory` and in [`run`] below. `boot` and `serial` are
//! there because a kernel has to start and to speak; `tour` is what this one does with its secrets.
//!
//! `cargo run` boots it in QEMU; `cargo run -- overflow` damages a secret, and the kernel stops.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "sets the processor up, and ends the machine")]
mod boot;
#[expect(unsafe_code, reason = "asks the processor for entropy")]
mod entropy;
mod error;
#[expect(unsafe_code, reason = "lends the linker's sections, once")]
mod memory;
#[expect(unsafe_code, reason = "drives the serial port")]
mod serial;
#[expect(clippy::large_stack_arrays, reason = "there is no heap, and the stack is long enough")]
mod tour;
#[expect(unsafe_code, reason = "does on purpose what a faulty program does")]
mod violation;

use strongroom_core::{Arena, Bulk, Enclave, Fault};

use crate::boot::{Status, exit};
use crate::entropy::RdRand;
use crate::error::KernelError;
use crate::memory::Regions;
use crate::serial::say;
use crate::tour::Tour;
use crate::violation::Violation;

/// Where the boot code goes, with the words on the kernel's command line.
fn kernel(command_line: &str) -> ! {
    match run(command_line) {
        Ok(()) => {
            say!("passed");
            exit(Status::Passed)
        }
        Err(error) => {
            say!("error: {error}");
            exit(error.status())
        }
    }
}

fn run(command_line: &str) -> Result<(), KernelError> {
    let violation = Violation::named(command_line)?;
    // Entropy comes first: without it there are no keys and no canaries, so nothing may start.
    let mut entropy = RdRand::new()?;
    let regions = Regions::take().ok_or(KernelError::RegionsTaken)?;
    let (secret_bytes, record_bytes) = (regions.secrets.len(), regions.records.len());

    // The arena takes over the region. Damage in it means that some code writes where it must not;
    // the default handler panics, and a kernel has something to say first.
    let arena = Arena::new(regions.secrets, &mut entropy)?.with_fault_handler(stop);
    // The key lies in the arena, and records lie in ordinary memory.
    let enclave = Enclave::new(&arena)?;
    let bulk = Bulk::new(regions.records)?;
    say!("regions: {} KiB for secrets, {} KiB for records", secret_bytes >> 10, record_bytes >> 10);

    Tour::new(&enclave, &bulk).go()?;
    violation.commit(&arena)?;

    // Entropy mixed in now and then heals the generator, should its state ever leak.
    arena.reseed(&mut entropy)?;
    Ok(arena.verify()?)
}

/// What happens when a secret that is dropped proves damaged.
fn stop(fault: Fault) {
    say!("fault: {fault}");
    exit(Status::Fault)
}
