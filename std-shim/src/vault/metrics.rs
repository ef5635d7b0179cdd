//! Numbers about a vault, for those who watch it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Vault;

/// A snapshot of a vault; see [`Vault::metrics`]. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The most that the vault locks, reserves included.
    pub budget: usize,
    /// What it has locked now.
    pub locked: usize,
    /// What lies in runs and blocks with a live secret, the shares of the key included.
    pub used: usize,
    /// Secrets that are open now.
    pub live: usize,
    /// The most that were open at once.
    pub peak: usize,
    /// Callers that are waiting now.
    pub waiters: usize,
    /// Calls that waited.
    pub waits: usize,
    /// The longest of those waits.
    pub longest_wait: Duration,
    /// Calls that were told that there is no room.
    pub refusals: usize,
    /// Faults found.
    pub faults: usize,
    /// Stretches of locked memory now: one, one for each reserve, and those added under load.
    pub rooms: usize,
    /// Stretches that were added, and that were given back.
    pub grown: usize,
    /// Stretches that were given back.
    pub given_back: usize,
    /// Times the system would not lock more.
    pub growth_refusals: usize,
}

/// What is counted as it happens.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) held: AtomicUsize,
    peak: AtomicUsize,
    waits: AtomicUsize,
    longest_wait: AtomicU64,
    pub(super) refusals: AtomicUsize,
}

impl Counts {
    pub(super) fn opened(&self) {
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        if held > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
    }

    pub(super) fn waited(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.longest_wait.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Vault {
    /// Counts what the vault holds and has seen. All zero in a forked child.
    ///
    /// It walks the bookkeeping of the locked memory: some ten nanoseconds for each KiB.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        if self.check_process().is_err() {
            return Metrics::default();
        }
        let options = self.rooms.options();
        let (counts, rooms) = (&self.counts, self.rooms.read().clone());
        let reserves = self.reserves.values().map(|reserved| &reserved.room);
        let mut metrics = Metrics {
            budget: options.ceiling
                + reserves.clone().map(|room| room.pages().bytes()).sum::<usize>(),
            live: counts.held.load(Ordering::Relaxed),
            peak: counts.peak.load(Ordering::Relaxed),
            waiters: self.waiters(),
            waits: counts.waits.load(Ordering::Relaxed),
            longest_wait: Duration::from_nanos(counts.longest_wait.load(Ordering::Relaxed)),
            refusals: counts.refusals.load(Ordering::Relaxed),
            grown: self.rooms.grown.load(Ordering::Relaxed),
            given_back: self.rooms.given_back.load(Ordering::Relaxed),
            growth_refusals: self.rooms.growth_refusals.load(Ordering::Relaxed),
            ..Metrics::default()
        };
        for room in rooms.iter().chain(reserves) {
            let stats = room.arena().stats();
            metrics.rooms += 1;
            metrics.locked +=
                if room.pages().protections().locked { room.pages().bytes() } else { 0 };
            metrics.used += stats.used;
            metrics.faults += stats.faults;
        }
        metrics
    }
}
