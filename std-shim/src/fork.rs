//! Which process is this: the one that made a value, or a child forked since?
//!
//! `getpid(2)` is a system call on Linux, too dear to make each time a secret is opened, and a
//! process number can come round again. On Linux the answer is a word that the kernel sets to zero
//! in every forked child (`MADV_WIPEONFORK`): the child draws a number of its own, which none of
//! its ancestors had. Where there is no such word (macOS, where `getpid` is a library's memory
//! read, and Linux before 4.14) the process number serves.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

/// A process in a line of forks. Equal to [`Generation::current`] in the process that asked for it
/// and unequal in all processes forked from that. Threads share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    /// The generation of the process that calls. Takes no lock and allocates nothing.
    #[inline]
    pub(crate) fn current() -> Self {
        let Some(word) = sys::fork_word() else {
            return Self(process::id());
        };
        match word.load(Ordering::Acquire) {
            0 => Self::draw(word),
            number => Self(number),
        }
    }

    /// The number, for keeping in an atomic.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }

    /// The first number drawn after a fork stands; a thread that comes second takes it over.
    #[cold]
    fn draw(word: &AtomicU32) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let drawn = word.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
        Self(drawn.err().unwrap_or(number))
    }
}

/// In ordinary memory, so a child goes on counting where its parent was.
static NEXT: AtomicU32 = AtomicU32::new(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn threads_share_a_generation() {
        let here = Generation::current();
        assert_eq!(here, Generation::current());
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(Generation::current)).collect();
        for thread in threads {
            assert_eq!(thread.join().ok(), Some(here));
        }
    }
}
