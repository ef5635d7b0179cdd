//! A signal handler that uses the arena which it interrupts, as an interrupt handler on bare metal
//! would; what `tests/interrupts.rs` starts and watches.
//!
//! `interrupts masked SECONDS` brings a lock that is a critical section, `interrupts spin SECONDS`
//! the one that comes with the library. Both sides check their secrets byte by byte.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails by panicking")]

#[cfg(target_os = "linux")]
mod linux;

strongroom_tests::main_on_linux!(linux::main);
