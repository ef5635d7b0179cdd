//! Counting what an arena holds.

use core::sync::atomic::Ordering::Relaxed;

use super::leaves::Ledger;
use super::{Arena, SpanKind};
use crate::classes::{CELL_SIZES, CLASSES, LEAF};
use crate::kind::Kind;
use crate::owner::{Door, Owner};

/// What an arena holds, and what it has seen; see [`Arena::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes that secrets and their canaries share.
    pub capacity: usize,
    /// Bytes in runs and blocks that hold a live or quarantined secret.
    pub used: usize,
    /// The most bytes that runs and blocks ever took at once, runs kept for reuse included.
    pub peak: usize,
    /// Live secrets.
    pub live: usize,
    /// Live secrets that have whole leaves of their own.
    pub live_blocks: usize,
    /// Cells and blocks that were damaged and are never handed out again.
    pub quarantined: usize,
    /// Allocations that were refused.
    pub refused: usize,
    /// Faults found.
    pub faults: usize,
    /// The size classes, smallest first.
    pub classes: [ClassStats; CLASSES],
}

/// What the runs of one size class hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// The longest secret in bytes that fits a cell.
    pub cell_size: usize,
    /// Runs.
    pub runs: usize,
    /// Cells in those runs.
    pub cells: usize,
    /// Cells that hold a live secret.
    pub live: usize,
    /// Cells that were damaged.
    pub quarantined: usize,
}

impl<O: Owner> Arena<'_, O> {
    /// Counts what the arena holds.
    ///
    /// It walks the bookkeeping, so that allocations need not count; other threads may go on. The
    /// counts are exact when none of them allocates or releases meanwhile.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let _window = self.owner.open(Door::Inspect);
        let is_lost = self.is_lost();
        let ledger = if is_lost { Ledger::EMPTY } else { *self.ledger.lock() };
        let mut stats = Stats {
            capacity: self.capacity(),
            used: 0,
            peak: ledger.peak * LEAF,
            live: 0,
            live_blocks: 0,
            quarantined: ledger.quarantined_cells + ledger.quarantined_blocks,
            refused: self.refused.load(Relaxed),
            faults: self.faults.load(Relaxed),
            classes: core::array::from_fn(|class| ClassStats {
                cell_size: CELL_SIZES[class],
                ..ClassStats::default()
            }),
        };
        let leaves = 0..if is_lost { 0 } else { self.cells.runs.occupancy().leaves() };
        let any_quarantined = ledger.quarantined_cells > 0;
        leaves.for_each(|leaf| self.count_leaf(leaf, any_quarantined, &mut stats));
        stats.live = stats.live_blocks + stats.live.saturating_sub(ledger.quarantined_cells);
        stats.peak = stats.peak.max(stats.used);
        stats
    }

    fn count_leaf(&self, leaf: usize, any_quarantined: bool, stats: &mut Stats) {
        let occupancy = self.cells.runs.occupancy();
        match occupancy.kind(leaf) {
            Kind::Block | Kind::BlockFrozen | Kind::BlockReleasing => {
                stats.live_blocks += 1;
                stats.used += LEAF;
            }
            Kind::BlockRest(_) | Kind::BlockQuarantined => stats.used += LEAF,
            kind => {
                let Some(shape) = kind.shape() else { return };
                let taken = occupancy.taken(leaf, shape);
                let class = &mut stats.classes[usize::from(shape.class)];
                class.runs += 1;
                class.cells += usize::from(shape.cells);
                let mut quarantined = 0;
                // Most arenas are spared a look at each cell.
                if any_quarantined
                    && let SpanKind::Run { quarantined: cells, .. } = self.run_at(leaf, shape)
                {
                    quarantined = cells.count_ones() as usize;
                }
                class.quarantined += quarantined;
                class.live += taken.saturating_sub(quarantined);
                stats.live += taken;
                if taken > 0 {
                    stats.used += usize::from(shape.leaves) * LEAF;
                }
            }
        }
    }
}
