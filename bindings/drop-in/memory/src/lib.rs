//! What the drop-ins have in common: a vault in a program that knows nothing of it.
//!
//! The program was written for another library, so this one has to do what that promises: it never waits,
//! it answers or ends the process, what was allocated stays readable in a forked child, and nothing is
//! wiped at the program's end before the program's own last handlers have run.

#![cfg(target_os = "linux")]

mod allocation;
mod fault;
mod fork;
mod locks;
mod pages;
mod settings;
mod table;
mod vault;

pub use self::allocation::{allocate, is_within, release, size, used};
pub use self::fault::end;
pub use self::fork::at_load;
pub use self::locks::{lock, unlock_wiped};
pub use self::settings::Settings;
pub use self::vault::{Readiness, prepare};

/// Overwrites memory with zeros, for good, by `explicit_bzero(3)`.
///
/// # Safety
/// `len` bytes may be written there.
pub unsafe fn wipe(first: *mut u8, len: usize) {
    // SAFETY: the caller promises it.
    unsafe { libc::explicit_bzero(first.cast(), len) };
}
