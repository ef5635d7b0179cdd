//! Programs on a machine of which there will be copies: `tests/guest/run snapshot` takes a snapshot of the
//! machine when this says `told ready`, and resumes it more than once. What each copy draws then is told in
//! hexadecimal, a line for each way; the suite compares the lines of one copy with the other's.
//!
//! ```text
//! told ready
//! told log noticed MICROSECONDS     who waits for the kernel's log went on with other numbers, so late
//! told clock noticed MICROSECONDS   likewise who may not read the log, and waits for the clock to be set
//! told log NUMBER...                sealed there after all that
//! told clock NUMBER...
//! told plain NUMBER...              sealed by who waits for nothing
//! told renewed NUMBER...            likewise, after Vault::renew
//! ```
//! A number is the part of a nonce that stands in a record. Each line ends with eight random bytes. Some
//! seconds after `ready` the clock is set.
//!
//! About every millisecond `tick MICROSECONDS KERNEL OURS` is written to the console alone: how long it is
//! since the program began, and eight bytes each of the kernel's generator and of `OsEntropy`.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails by panicking")]

#[cfg(target_os = "linux")]
mod linux;

strongroom_tests::main_on_linux!(linux::main);
