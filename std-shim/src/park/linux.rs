//! The lock on Linux: a word with the number of the thread that holds it.
//!
//! ```text
//! word:  0                  nobody holds it
//!        number             that thread does; it takes and gives up the word without the kernel
//!        number | WAITERS   threads sleep on it in the kernel, which hands it over
//! ```
//! The kernel hands it over in order of priority, then of arrival, to a thread that has yet to run.
//! So among many ordinary threads on one processor each handover is a change of threads; the few
//! yields before it let the holder finish, and are over at once where the waiter is more urgent.

use std::cell::Cell;
use std::fmt::{self, Debug, Formatter};
use std::hint;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::Duration;

use strongroom_core::Lock;

use crate::fork::Generation;
use crate::sys::{self, Backoff, OWNER_DIED, WAITERS};

/// The lock of [`Park`](crate::Park).
pub struct ParkLock(AtomicU32);

// SAFETY: only who has put its number where there was none, or was given the word by the kernel,
// returns from `acquire`; the word is given up by its holder alone. Both order memory, in the kernel
// too.
unsafe impl Lock for ParkLock {
    const UNLOCKED: Self = Self(AtomicU32::new(NOBODY));

    #[inline]
    fn acquire(&self) {
        let own = own_number();
        if self.0.compare_exchange(NOBODY, own, Acquire, Relaxed).is_err() {
            self.wait(own);
        }
    }

    #[inline]
    unsafe fn release(&self) {
        let word = self.0.load(Relaxed);
        if word == NOBODY
            || word & WAITERS != 0
            || self.0.compare_exchange(word, NOBODY, Release, Relaxed).is_err()
        {
            self.hand_over();
        }
    }
}

impl ParkLock {
    #[cold]
    fn wait(&self, own: u32) {
        // A signal handler in the middle of its own thread's call.
        assert_ne!(self.holder(), own, "{OWN}");
        for _ in 0..SPINS {
            hint::spin_loop();
            if self.take(own) {
                return;
            }
        }
        for _ in 0..YIELDS {
            thread::yield_now();
            if self.take(own) {
                return;
            }
        }
        let mut backoff = Backoff::new();
        while !self.sleep(own, &mut backoff) {}
    }

    fn take(&self, own: u32) -> bool {
        self.0.load(Relaxed) == NOBODY
            && self.0.compare_exchange(NOBODY, own, Acquire, Relaxed).is_ok()
    }

    /// Sleeps until the lock is handed over, or for a while; says whether it is this thread's now.
    fn sleep(&self, own: u32, backoff: &mut Backoff) -> bool {
        // The kernel would find a parent's thread and wait for it.
        self.check_holder();
        match sys::lock_pi(&self.0, PATIENCE).as_ref().map_err(io::Error::raw_os_error) {
            Ok(()) => {
                self.check_inheritance();
                true
            }
            Err(Some(libc::EINTR | libc::EAGAIN | libc::ETIMEDOUT)) => self.take(own),
            // There is no such call (ENOSYS), a sandbox refuses it (EPERM), or the word and what the
            // kernel remembers of it differ since an emergency's wipe (EINVAL).
            Err(_) => {
                backoff.wait();
                self.take(own)
            }
        }
    }

    /// Gives the lock to who sleeps on it.
    #[cold]
    fn hand_over(&self) {
        // It may lie in memory that was wiped in an emergency, and still be slept on.
        let named = own_number() | WAITERS;
        let _ = self.0.compare_exchange(NOBODY, named, Relaxed, Relaxed);
        // The kernel orders memory, but not where the compiler and the thread sanitizer see it. Whoever
        // is given the lock reads the word.
        self.0.fetch_or(0, Release);
        while let Err(error) = sys::unlock_pi(&self.0) {
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
                // The kernel has no such call any more (a sandbox begun meanwhile), or this is a
                // child that was forked inside the call. Sleepers look again when their time is up.
                return self.0.store(NOBODY, Release);
            }
        }
    }

    /// # Panics
    /// If the lock is held by a thread that this process does not have.
    fn check_holder(&self) {
        let holder = self.holder();
        let is_missing = || holder == self.holder() && !sys::has_thread(holder);
        // Twice, in case the thread has ended and another has got its number.
        assert!(holder == NOBODY || !is_missing() || !is_missing(), "{MISSING}");
    }

    /// # Panics
    /// If whoever held the lock has died, which leaves the bookkeeping as it was at that moment. All
    /// others panic then, too.
    fn check_inheritance(&self) {
        if self.0.load(Acquire) & OWNER_DIED != 0 {
            self.0.store(NO_THREAD, Relaxed);
            panic!("{MISSING}");
        }
    }

    fn holder(&self) -> u32 {
        self.0.load(Relaxed) & !(WAITERS | OWNER_DIED)
    }
}

impl Debug for ParkLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkLock").finish_non_exhaustive()
    }
}

/// The calling thread's number, which the kernel is asked for once in each process: a forked child's
/// thread has another. Takes no lock and allocates nothing.
fn own_number() -> u32 {
    let current = Generation::current().number();
    let (generation, number) = NUMBER.get();
    if generation == current { number } else { ask_number(current) }
}

#[cold]
fn ask_number(generation: usize) -> u32 {
    let number = sys::thread_id();
    NUMBER.set((generation, number));
    number
}

thread_local! {
    /// Without a destructor and made before the program, so that it is there in signal handlers and
    /// at a thread's end.
    static NUMBER: Cell<(usize, u32)> = const { Cell::new((NO_GENERATION, NOBODY)) };
}

const NOBODY: u32 = 0;

/// Generations are counted from 1, as processes are.
const NO_GENERATION: usize = 0;

/// A number that no thread has: the kernel's are below 2^22.
const NO_THREAD: u32 = !(WAITERS | OWNER_DIED);

/// Looks before the first yield: with eight threads on two processors they save nine changes of
/// threads in ten.
const SPINS: u32 = 100;

/// Yields before the first sleep: without them 128 ordinary threads on one processor do a twentieth of
/// what one does, with two nine tenths, with these as much.
const YIELDS: u32 = 8;

/// How long a sleeper believes the kernel: the word may lie in memory that is wiped meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

const OWN: &str = "strongroom: a signal handler called what its own thread was in the middle of";
const MISSING: &str = "strongroom: memory whose lock is held by a thread that this process does \
                       not have (a forked child uses its parent's memory, or the thread was killed)";
