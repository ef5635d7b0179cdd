//! Whether a call has left a window open: looked at in debug builds, after each call of a vault's.

#[cfg(debug_assertions)]
use std::cell::Cell;

#[cfg(debug_assertions)]
use super::{KEYS, WINDOWS};

/// A call of a vault's. At its end the thread must have as many windows as at its beginning, or the call
/// panics; in a build without debug assertions this is nothing.
///
/// What is called meanwhile may open windows of its own, and must have ended them too.
#[must_use]
pub(crate) struct Balance {
    #[cfg(debug_assertions)]
    before: State,
}

impl Balance {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(debug_assertions)]
            before: State::now(),
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Balance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (before, now) = (self.before, State::now());
        let is_changed = |role: usize| match (before.is_open[role], now.is_open[role]) {
            // A handler has the windows of whom it interrupted, though the register is shut to it until it
            // opens one itself. The kernel puts that back.
            (Some(false), Some(true)) => now.by_key[role] == 0,
            (Some(true), Some(false)) => now.by_key[role] > 0,
            _ => false,
        };
        let is_balanced = before.windows == now.windows && !(0..2).any(is_changed);
        assert!(is_balanced, "a call left a window open: {before:?} before it, {now:?} after it");
    }
}

/// The windows of a thread.
#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug)]
struct State {
    /// How many there are, of any kind.
    windows: usize,
    /// How many of them by keys, by role.
    by_key: [usize; 2],
    /// What the register says, by role; `None` if there is no key.
    is_open: [Option<bool>; 2],
}

#[cfg(debug_assertions)]
impl State {
    fn now() -> Self {
        // While somebody makes a key, or where a fork interrupted that, the register is not looked at.
        let keys = KEYS.try_lock().map_or([None; 2], |keys| *keys);
        Self {
            windows: COUNT.get(),
            by_key: WINDOWS.with(|[secrets, key]| [secrets.get(), key.get()]),
            is_open: keys.map(|key| key.map(crate::sys::ProtectionKey::is_open)),
        }
    }
}

#[cfg(debug_assertions)]
thread_local! {
    /// How many windows this thread has, of any kind. Nothing is dropped with it.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts a window that begins or ends.
#[inline]
pub(super) fn count(change: impl FnOnce(usize) -> usize) {
    #[cfg(debug_assertions)]
    COUNT.set(change(COUNT.get()));
    #[cfg(not(debug_assertions))]
    let _ = change;
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::mem;

    use super::*;
    use crate::windows::Gate;

    #[test]
    #[should_panic = "a call left a window open"]
    fn a_window_that_is_left_open_is_found() {
        let _balance = Balance::new();
        mem::forget(Gate::None.open());
    }

    #[test]
    #[should_panic = "a call left a window open"]
    fn so_is_one_that_was_not_the_call_s_to_end() {
        let gate = Gate::None;
        let window = gate.open();
        let _balance = Balance::new();
        drop(window);
    }

    #[test]
    fn windows_that_end_are_no_matter() {
        let gate = Gate::None;
        let _outer = gate.open();
        let _balance = Balance::new();
        let (first, second) = (gate.open(), gate.open());
        drop(first);
        drop(second);
    }
}
