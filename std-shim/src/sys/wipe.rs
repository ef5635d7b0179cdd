//! Overwriting what is secret, and what is left to do when a process ends.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::wipe_raw;

/// Has `function` called at the process's end, `atexit(3)`. If there is no room for that, the
/// kernel cleans up alone.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function takes nothing, returns nothing and does not unwind.
    let _ = unsafe { libc::atexit(function) };
}

/// Overwrites memory with zeros, in a way the compiler cannot leave out.
pub(super) fn wipe(bytes: &mut [MaybeUninit<u8>]) {
    let len = bytes.len();
    // SAFETY: the bytes are borrowed exclusively, and zeros are valid in them.
    unsafe { wipe_raw(NonNull::from(bytes).cast(), len) };
}

/// Overwrites bytes with zeros, in a way the compiler cannot leave out.
pub(crate) fn wipe_bytes(bytes: &mut [u8]) {
    let len = bytes.len();
    // SAFETY: the bytes are borrowed exclusively, and zeros are valid in them.
    unsafe { wipe_raw(NonNull::from(bytes).cast(), len) };
}

/// Bytes in ordinary memory that are wiped when they go.
pub(crate) struct Wiped(pub(crate) Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe_bytes(&mut self.0);
    }
}
