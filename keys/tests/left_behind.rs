//! What is left of a private key after an operation, on the stack and on the heap: by each crate as it is
//! called plainly, and by strongroom-keys. Prints the table of docs/KEYS.md.
//!
//! A child, which is this program again, does one operation and stands still while all of its memory is
//! searched from outside: for the key, for what is derived from it, and for the one-time secrets of the
//! operation, which the parent computes from key and result.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[cfg(target_os = "linux")]
#[path = "left_behind/mod.rs"]
mod search;

#[cfg(target_os = "linux")]
fn main() {
    search::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: memory is searched through /proc");
}
