//! Trying in a child process what may be forbidden, or end the one who tries.

use std::ffi::c_int;
use std::fmt::{self, Display, Formatter};

use super::error::LockError;
use super::policy::Policy;
use super::refusal::{Call, Refusal};
use super::{Backing, LockedPages};
use crate::debug::debug_as_displayed;
use crate::limits::{Limits, Remedy};
use crate::sys::{self, Ended};

debug_as_displayed!(Trial);

/// What came of trying, in a child process.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trial {
    /// It was granted, for a moment.
    Granted,
    /// It was refused.
    Refused(LockError),
    /// The child was killed while it tried.
    Killed {
        /// By which signal: `SIGSYS` by a filter (seccomp), `SIGKILL` for want of memory in the
        /// control group.
        signal: i32,
        /// What to change, if something can be.
        remedy: Option<Remedy>,
    },
    /// There was no child, or its end was not seen.
    Unknown,
}

impl Trial {
    /// What to change on this host, if there is something to change.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        match self {
            Self::Refused(error) => error.remedy(),
            Self::Killed { remedy, .. } => remedy.as_ref(),
            Self::Granted | Self::Unknown => None,
        }
    }

    fn of(bytes: usize, attempt: impl FnOnce() -> Result<(), Refusal>) -> Self {
        match sys::in_child(|| attempt().err().map_or(GRANTED, |refusal| refusal.code())) {
            Ok(Ended::Answered(GRANTED)) => Self::Granted,
            Ok(Ended::Answered(code)) => match Refusal::from_code(code) {
                Some(refusal) => Self::Refused(refusal.explain(bytes)),
                None => Self::Unknown,
            },
            Ok(Ended::Killed(signal)) => {
                Self::Killed { signal, remedy: remedy_for(signal, bytes as u64) }
            }
            Err(_) => Self::Unknown,
        }
    }
}

impl Display for Trial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::Refused(error) => Display::fmt(error, f),
            Self::Killed { signal, remedy } => {
                let cause = match *signal {
                    libc::SIGSYS => " (SIGSYS): a filter ends whoever tries",
                    libc::SIGKILL => " (SIGKILL): for want of memory, most likely",
                    _ => "",
                };
                write!(f, "the process that tried was killed by signal {signal}{cause}")?;
                remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
            }
            Self::Unknown => f.write_str("unknown: no child process could try"),
        }
    }
}

impl LockedPages {
    /// Tries, in a forked child and for a moment, to lock `bytes` bytes as [`new`](Self::new) would: the
    /// only way to know of filters, some of which end whoever tries. The child begins with nothing
    /// locked, whatever this process has locked already.
    ///
    /// It takes as long as a fork of this process, and makes all of the memory resident. In a program
    /// with several threads the child makes system calls only.
    ///
    /// ```
    /// use strongroom::{LockedPages, Trial};
    ///
    /// match LockedPages::try_lock(4096) {
    ///     Trial::Granted => {}
    ///     trial => eprintln!("no memory can be locked here: {trial}"),
    /// }
    /// ```
    #[must_use]
    pub fn try_lock(bytes: usize) -> Trial {
        let data = match super::whole_pages(bytes) {
            Ok(data) => data,
            Err(error) => return Trial::Refused(error),
        };
        Trial::of(data, || {
            Self::assemble(Policy::Require, Backing::Anonymous, data, None).map(drop)
        })
    }

    /// Asks, in a forked child, for secret memory (`memfd_secret(2)`) as [`Backing::SecretMemory`]
    /// would, but for none in particular: no computer hibernates while there is some.
    #[must_use]
    pub fn try_secret_memory() -> Trial {
        Trial::of(sys::page_size(), || {
            sys::ask_for_secret_memory().map_err(Refusal::of(Call::ReserveSecret))
        })
    }
}

fn remedy_for(signal: c_int, bytes: u64) -> Option<Remedy> {
    let limits = Limits::read();
    match signal {
        libc::SIGSYS => Some(Remedy::for_sandbox(&limits)),
        libc::SIGKILL => Some(Remedy::for_memory(&limits, bytes)),
        _ => None,
    }
}

/// What a child says that got what it asked for.
const GRANTED: u8 = 0;
