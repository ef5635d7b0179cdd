//! Numbers about a vault, for those who watch it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::admission::Admission;
use crate::windows::WindowKind;

/// A snapshot of a vault; see [`Vault::metrics`](crate::Vault::metrics). Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The most that the vault locks, reserves included.
    pub budget: usize,
    /// What it has locked now, less what the kernel says is not locked any more.
    pub locked: usize,
    /// What the kernel says is not locked; see [`Vault::unlocked_bytes`](crate::Vault::unlocked_bytes).
    pub unlocked: Option<usize>,
    /// What lies in runs and blocks with a live secret, the shares of the key included.
    pub used: usize,
    /// Secrets that are open now.
    pub live: usize,
    /// The most that were seen open at once. Exact where one thread opens them; where several do, a
    /// moment between two looks may be missed.
    pub peak: usize,
    /// Callers that are waiting now.
    pub waiters: usize,
    /// Calls that waited.
    pub waits: usize,
    /// The longest of those waits.
    pub longest_wait: Duration,
    /// Calls that were told that there is no room: [`Full`](crate::OpenError::Full) or
    /// [`TimedOut`](crate::OpenError::TimedOut). Whoever waited and was served does not count.
    pub refusals: usize,
    /// Faults found.
    pub faults: usize,
    /// Stretches of locked memory now: one, one for each reserve, and those added under load.
    pub rooms: usize,
    /// Stretches that were added.
    pub grown: usize,
    /// Stretches that were given back.
    pub given_back: usize,
    /// Times the system would not lock more.
    pub growth_refusals: usize,
    /// What shuts the memory but for the moments in which somebody uses it.
    pub windows: WindowKind,
}

impl Metrics {
    pub(super) fn of(admission: &Admission) -> Self {
        let Admission { common, counts, .. } = admission;
        let live = admission.held();
        counts.saw(live);
        let mut metrics = Self {
            budget: admission
                .desks()
                .fold(0, |sum: usize, desk| sum.saturating_add(desk.pool.ceiling())),
            live,
            peak: counts.peak.load(Ordering::Relaxed),
            waiters: admission.waiters(),
            waits: counts.waits.load(Ordering::Relaxed),
            longest_wait: Duration::from_nanos(counts.longest_wait.load(Ordering::Relaxed)),
            refusals: counts.refusals.load(Ordering::Relaxed),
            grown: common.pool.grown.load(Ordering::Relaxed),
            given_back: common.pool.given_back.load(Ordering::Relaxed),
            growth_refusals: common.pool.growth_refusals.load(Ordering::Relaxed),
            unlocked: Some(0),
            windows: admission.windows(),
            ..Self::default()
        };
        metrics.rooms = admission.users().count();
        admission.look(|pages, arena| {
            let stats = arena.stats();
            let unlocked = pages.unlocked_bytes();
            metrics.unlocked = metrics.unlocked.zip(unlocked).map(|(sum, more)| sum + more);
            metrics.locked += match unlocked {
                Some(unlocked) => pages.bytes().saturating_sub(unlocked),
                None if pages.protections().locked => pages.bytes(),
                None => 0,
            };
            metrics.used += stats.used;
            metrics.faults += stats.faults;
        });
        metrics
    }
}
