//! A window that stays open beyond the call that opened it, until another call ends it. The Python package has it
//! too.

use std::mem::{ManuallyDrop, transmute};
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom::{Exposed, ExposedMut, WindowKind};

/// A window, which shows nothing itself: what it lets be seen is the program's. It is its thread's own.
pub(crate) struct Window {
    thread: u64,
    kind: WindowKind,
    guard: ManuallyDrop<Guard>,
}

#[expect(dead_code, reason = "they are kept to be dropped")]
enum Guard {
    Reading(Exposed<'static>),
    Writing(ExposedMut<'static>),
}

// SAFETY: a guard stays in its thread because a window by keys is open for that one alone. Such a one is
// dropped there, or nowhere.
unsafe impl Send for Window {}

impl Window {
    /// # Safety
    /// What is exposed stays where it is until this is dropped, in a vault whose windows are of this kind.
    pub(crate) unsafe fn reading(kind: WindowKind, exposed: Exposed<'_>) -> Self {
        // The program's pointer is the only way to the bytes from here on.
        let guard = Exposed::map(exposed, |_| &[][..]);
        // SAFETY: only the lifetime changes; the caller promises that it is long enough.
        let guard = unsafe { transmute::<Exposed<'_>, Exposed<'static>>(guard) };
        Self::new(kind, Guard::Reading(guard))
    }

    /// # Safety
    /// As for [`reading`](Self::reading).
    pub(crate) unsafe fn writing(kind: WindowKind, exposed: ExposedMut<'_>) -> Self {
        let guard = ExposedMut::map(exposed, |_| &mut [][..]);
        // SAFETY: only the lifetime changes; the caller promises that it is long enough.
        let guard = unsafe { transmute::<ExposedMut<'_>, ExposedMut<'static>>(guard) };
        Self::new(kind, Guard::Writing(guard))
    }

    fn new(kind: WindowKind, guard: Guard) -> Self {
        Self { thread: this_thread(), kind, guard: ManuallyDrop::new(guard) }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.thread == this_thread()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // By keys another thread would shut what that one has open: it stays open for that one.
        if self.kind != WindowKind::Keys || self.is_own() {
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
