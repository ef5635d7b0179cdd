//! A short life in a child process, for calls that may end the one who makes them.

use std::ffi::c_int;
use std::io;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this answer.
    Answered(u8),
    /// By a signal.
    Killed(c_int),
}

/// Runs `work` in a forked child and gives its answer. Other threads do not come along: `work` makes
/// system calls and nothing else.
///
/// Fails if there is no child, or if somebody else has collected it (who ignores SIGCHLD, say).
pub(crate) fn in_child(work: impl FnOnce() -> u8) -> io::Result<Ended> {
    // SAFETY: the child makes system calls alone, by the contract, and ends by one.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let mut leave = Leave(FAILED);
            leave.0 = work().into();
            drop(leave);
            Err(io::ErrorKind::Other.into())
        }
        child => wait_for(child),
    }
}

fn wait_for(child: libc::pid_t) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer during the call.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let answer = u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX);
    let ended = libc::WIFEXITED(status);
    Ok(if ended { Ended::Answered(answer) } else { Ended::Killed(libc::WTERMSIG(status)) })
}

/// Ends the process when dropped, in an unwinding too: nothing of the parent's runs in the child.
struct Leave(c_int);

impl Drop for Leave {
    fn drop(&mut self) {
        // SAFETY: ends the process at once, and runs nothing.
        unsafe { libc::_exit(self.0) }
    }
}

/// The answer of a child that failed to give one.
const FAILED: c_int = 255;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn answers_and_signals_are_told_apart() {
        assert_eq!(in_child(|| 7).unwrap(), Ended::Answered(7));
        let killed = in_child(|| {
            // SAFETY: ends this child.
            unsafe { libc::raise(libc::SIGKILL) };
            7
        });
        assert_eq!(killed.unwrap(), Ended::Killed(libc::SIGKILL));
    }
}
