//! Windows that stay open beyond the call that opened them, until another call ends them.

use std::mem::{ManuallyDrop, transmute};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom::{Exposed, ExposedMut, OpenError, Vault, WindowKind};

use crate::status::Failure;

/// The windows on one open secret, where the vault has windows.
pub(crate) struct Windows {
    vault: Arc<Vault>,
    open: Mutex<Vec<Window>>,
}

/// One of them, which shows nothing itself: what it lets be seen is the program's. It is its thread's own.
pub(crate) struct Window {
    thread: u64,
    guard: ManuallyDrop<Guard>,
}

#[expect(dead_code, reason = "they are kept to be dropped")]
enum Guard {
    Reading(Exposed<'static>),
    Writing(ExposedMut<'static>),
}

// SAFETY: a guard stays in its thread because a window by keys is open for that one alone. It is dropped
// there, or nowhere.
unsafe impl Send for Window {}

impl Windows {
    /// `None` where the memory is always open: there an exposure ends with its count.
    pub(crate) fn of(vault: &Arc<Vault>) -> Option<Self> {
        let vault = (vault.windows() != WindowKind::None).then(|| Arc::clone(vault))?;
        Some(Self { vault, open: Mutex::default() })
    }

    pub(crate) fn keep(&self, window: Window) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// Ends one of this thread's.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        if self.vault.check() == Err(OpenError::Forked) {
            // Whoever held the lock is not here, and nothing in the memory is worth shutting.
            return Ok(());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.iter().rposition(Window::is_own);
        let ended = own.map(|own| open.swap_remove(own));
        let exposures = open.len();
        drop(open);
        match ended {
            Some(window) => {
                drop(window);
                Ok(())
            }
            None if exposures > 0 => Err(Failure::OtherThreads { exposures }),
            None => Err(Failure::NotExposed),
        }
    }
}

impl Window {
    /// # Safety
    /// What is exposed stays where it is until this is dropped.
    pub(crate) unsafe fn reading(exposed: Exposed<'_>) -> Self {
        // The program's pointer is the only way to the bytes from here on.
        let guard = Exposed::map(exposed, |_| &[][..]);
        // SAFETY: only the lifetime changes; the caller promises that it is long enough.
        let guard = unsafe { transmute::<Exposed<'_>, Exposed<'static>>(guard) };
        Self::new(Guard::Reading(guard))
    }

    /// # Safety
    /// As for [`reading`](Self::reading).
    pub(crate) unsafe fn writing(exposed: ExposedMut<'_>) -> Self {
        let guard = ExposedMut::map(exposed, |_| &mut [][..]);
        // SAFETY: only the lifetime changes; the caller promises that it is long enough.
        let guard = unsafe { transmute::<ExposedMut<'_>, ExposedMut<'static>>(guard) };
        Self::new(Guard::Writing(guard))
    }

    fn new(guard: Guard) -> Self {
        Self { thread: this_thread(), guard: ManuallyDrop::new(guard) }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.thread == this_thread()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Another thread would shut what that one has open: it stays open for that one.
        if self.is_own() {
            // SAFETY: it is dropped here alone.
            unsafe { ManuallyDrop::drop(&mut self.guard) };
        }
    }
}

/// A number that no other thread has, nor had.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Nothing is dropped with it, so it is there to the thread's last moment.
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}
