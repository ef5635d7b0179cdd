//! A terminal's echo, `termios(3)`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::unix::check;

/// How a terminal was set before.
pub(crate) struct Echo(libc::termios);

/// Keeps a terminal from showing what is typed, but for the end of a line, and drops what was typed
/// ahead.
pub(crate) fn echo_off(terminal: BorrowedFd<'_>) -> io::Result<Echo> {
    let mut settings = MaybeUninit::uninit();
    // SAFETY: `settings` is a valid place for the answer during the call.
    check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the settings.
    let before: libc::termios = unsafe { settings.assume_init() };
    let mut silent = before;
    silent.c_lflag &= !(libc::ECHO | libc::ECHONL);
    // SAFETY: the settings are valid during the call.
    check(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, &raw const silent) })?;
    Ok(Echo(before))
}

impl Echo {
    pub(crate) fn restore(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the settings are valid during the call.
        check(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, &raw const self.0) })
    }
}

/// A terminal for tests: the person's side and the program's.
#[cfg(test)]
pub(crate) fn pseudo_terminal() -> io::Result<(std::fs::File, std::fs::File)> {
    use std::os::fd::FromRawFd;
    use std::ptr::null_mut;
    let (mut person, mut program) = (0, 0);
    // SAFETY: both numbers are valid places for the answer; the rest may be null.
    check(unsafe {
        libc::openpty(&raw mut person, &raw mut program, null_mut(), null_mut(), null_mut())
    })?;
    // SAFETY: the call has just opened it, for us alone.
    let person = unsafe { std::fs::File::from_raw_fd(person) };
    // SAFETY: the call has opened this one too, for us alone.
    let program = unsafe { std::fs::File::from_raw_fd(program) };
    Ok((person, program))
}
