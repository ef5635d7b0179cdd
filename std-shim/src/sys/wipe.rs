//! Overwriting what is secret, and what is left to do when a process ends.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Has `function` called at the process's end, `atexit(3)`. If there is no room for that, the
/// kernel cleans up alone.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function takes nothing, returns nothing and does not unwind.
    let _ = unsafe { libc::atexit(function) };
}

/// Overwrites raw memory with zeros; async-signal-safe.
///
/// # Safety
/// The bytes are mapped and writable. Whoever else uses them can do with zeros.
pub(crate) unsafe fn wipe_raw(base: NonNull<MaybeUninit<u8>>, len: usize) {
    // SAFETY: the caller's contract. `memset(3)` is a call out of Rust, which is not left out.
    unsafe { libc::memset(base.as_ptr().cast(), 0, len) };
}

/// Overwrites bytes with zeros, in a way the compiler cannot leave out.
pub(crate) fn wipe_bytes(bytes: &mut [u8]) {
    let len = bytes.len();
    // SAFETY: the bytes are borrowed exclusively, and zeros are valid in them.
    unsafe { wipe_raw(NonNull::from(bytes).cast(), len) };
}
