//! Waiting for what another thread is about to finish, where there is nothing to sleep on.

use std::thread;
use std::time::Duration;

/// Yields at first, then sleeps, each time longer.
///
/// A yield lets threads of the same priority go on. Only a sleep lets one of a lower priority.
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(0)
    }

    pub(crate) fn wait(&mut self) {
        match self.0.checked_sub(YIELDS) {
            None => thread::yield_now(),
            Some(doublings) => thread::sleep(SHORTEST * 2_u32.pow(doublings)),
        }
        self.0 = (self.0 + 1).min(YIELDS + DOUBLINGS);
    }
}

const YIELDS: u32 = 4;
const SHORTEST: Duration = Duration::from_micros(50);
const DOUBLINGS: u32 = 5;
