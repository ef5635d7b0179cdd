//! A word that a thread can sleep on and lend its priority to whoever holds it: futex(2).

use std::ffi::{c_int, c_long};
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::unix::check;

/// The word is waited for: the kernel sets it, and then has to be asked to hand it over.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// The thread that the word names died.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;

/// Waits until the word names the calling thread, `FUTEX_LOCK_PI`; meanwhile the thread that it names
/// runs at the caller's priority, if that is higher.
pub(crate) fn lock_pi(word: &AtomicU32, patience: Duration) -> io::Result<()> {
    // The kernel wants the time of day, in numbers that this call has always taken.
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + patience;
    let until = [
        c_long::try_from(until.as_secs()).unwrap_or(c_long::MAX),
        c_long::from(until.subsec_nanos().cast_signed()),
    ];
    futex(word, libc::FUTEX_LOCK_PI, &raw const until)
}

/// Hands the word to the first of those who wait, or makes it zero, `FUTEX_UNLOCK_PI`.
pub(crate) fn unlock_pi(word: &AtomicU32) -> io::Result<()> {
    futex(word, libc::FUTEX_UNLOCK_PI, ptr::null())
}

/// The number that the kernel gave the calling thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: reads a number of the thread.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    // It is positive and below 2^22.
    u32::try_from(id).unwrap_or_default()
}

/// Whether this process has a thread of that number, as far as it may know.
pub(crate) fn has_thread(id: u32) -> bool {
    let process = std::process::id();
    // SAFETY: signal 0 is sent to nobody; it is only seen whether it could be.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, id, 0) };
    sent == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

fn futex(word: &AtomicU32, operation: c_int, until: *const [c_long; 2]) -> io::Result<()> {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is valid during the call, and is changed as an atomic one; `until` is null or
    // valid.
    let status = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 0, until) };
    check(c_int::try_from(status).unwrap_or(-1))
}
