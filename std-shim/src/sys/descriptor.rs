//! A file descriptor that this process was given by number, `dup(2)`.

use std::ffi::c_int;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Another descriptor of the same open file, for whatever is open under a number; `EBADF` if nothing is.
pub(crate) fn duplicate(number: c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes any number. It makes a descriptor above those of standard input, output and
    // errors, which no program that is started inherits.
    let duplicate = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if duplicate < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is a descriptor that was not there before and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}
