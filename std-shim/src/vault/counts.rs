//! What a vault counts as it happens: nothing that an open with room writes to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Counts {
    pub(super) peak: AtomicUsize,
    pub(super) waits: AtomicUsize,
    /// In nanoseconds.
    pub(super) longest_wait: AtomicU64,
    pub(super) refusals: AtomicUsize,
}

impl Counts {
    /// Notes how many are open at once.
    #[cold]
    pub(super) fn saw(&self, held: usize) {
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    pub(super) fn waited(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.longest_wait.fetch_max(nanos, Ordering::Relaxed);
    }
}
