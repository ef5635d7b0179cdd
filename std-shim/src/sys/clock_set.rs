//! Somebody has set the clock: `timerfd_create(2)` with `TFD_TIMER_CANCEL_ON_SET` (Linux 3.0).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::unix::check;

/// A file that is read in vain, until the clock is set: then with `ECANCELED`, each time anew.
pub(crate) fn clock_set() -> io::Result<File> {
    // SAFETY: takes two numbers.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC) };
    if timer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this descriptor was not there before and is nobody else's.
    let timer = unsafe { OwnedFd::from_raw_fd(timer) };
    #[allow(deprecated, reason = "for musl, where the type will have 64 bits everywhere")]
    let never = libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 };
    let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let time = libc::itimerspec { it_interval: once, it_value: never };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: the time is valid during the call and only read, and no former one is asked for.
    check(unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const time, ptr::null_mut())
    })?;
    Ok(timer.into())
}
