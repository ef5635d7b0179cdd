//! What lies where in a region, for whoever wants to draw it.

use core::fmt::{self, Debug, Formatter};

use super::Arena;
use crate::canary::State;
use crate::classes::LEAF;
use crate::kind::Kind;
use crate::owner::{Door, Owner, Spin};

/// A stretch of a region; see [`Arena::map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Bytes from the start of the region.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
    /// What lies there.
    pub kind: SpanKind,
}

/// What lies in a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// The arena's tables, its generator and the padding to the first leaf.
    Bookkeeping,
    /// Leaves that nothing is in.
    Free,
    /// A run of equal cells. Bit `i` of a mask stands for cell `i`.
    Run {
        /// The longest secret in bytes that fits a cell.
        cell_size: usize,
        /// Cells.
        cells: usize,
        /// Which cells hold a live secret.
        live: u64,
        /// Which cells were damaged.
        quarantined: u64,
    },
    /// One secret in whole leaves of its own.
    Block,
    /// Leaves that were damaged.
    Quarantined,
}

/// An iterator over everything in a region, from its start to its last leaf.
pub struct Map<'a, O: Owner = Spin> {
    arena: &'a Arena<'a, O>,
    /// The next leaf; `None` before the bookkeeping.
    next: Option<usize>,
}

impl<O: Owner> Arena<'_, O> {
    /// Walks the region from its start to its last leaf.
    ///
    /// Other threads may go on; then each span is right for the moment in which it was looked at.
    ///
    /// ```
    /// # use core::mem::MaybeUninit;
    /// # use strongroom_core::{Arena, Buffer, Entropy, EntropyError, SpanKind};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
    /// let arena = Arena::new(&mut region, &mut Board)?;
    /// let secret = Buffer::new(&arena, 32)?;
    /// for span in arena.map() {
    ///     if let SpanKind::Run { cell_size, live, .. } = span.kind {
    ///         println!("{} of {cell_size} bytes at {}", live.count_ones(), span.offset);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map(&self) -> Map<'_, O> {
        Map { arena: self, next: None }
    }
}

impl<O: Owner> Debug for Map<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<O: Owner> Iterator for Map<'_, O> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let arena = self.arena;
        let Some(leaf) = self.next else {
            self.next = Some(0);
            let len = arena.cells.leaves.region_offset(0);
            return Some(Span { offset: 0, len, kind: SpanKind::Bookkeeping });
        };
        if arena.is_lost() || leaf >= arena.cells.runs.occupancy().leaves() {
            return None;
        }
        let _window = arena.owner.open(Door::Inspect);
        let (leaves, kind) = arena.span_at(leaf);
        self.next = Some(leaf + leaves);
        Some(Span {
            offset: arena.cells.leaves.region_offset(leaf * LEAF),
            len: leaves * LEAF,
            kind,
        })
    }
}

impl<O: Owner> Arena<'_, O> {
    /// How many leaves from `leaf` on belong together, and what they are.
    fn span_at(&self, leaf: usize) -> (usize, SpanKind) {
        let occupancy = self.cells.runs.occupancy();
        match occupancy.kind(leaf) {
            Kind::Vacant | Kind::RunRest(_) | Kind::BlockRest(_) => {
                (self.vacant_len(leaf), SpanKind::Free)
            }
            Kind::Block | Kind::BlockFrozen | Kind::BlockReleasing => {
                (occupancy.block_len(leaf), SpanKind::Block)
            }
            Kind::BlockQuarantined => (occupancy.block_len(leaf), SpanKind::Quarantined),
            kind @ Kind::Run(_) => match kind.shape() {
                Some(shape) => (usize::from(shape.leaves), self.run_at(leaf, shape)),
                None => (1, SpanKind::Free),
            },
        }
    }

    fn vacant_len(&self, leaf: usize) -> usize {
        let occupancy = self.cells.runs.occupancy();
        let mut rest = leaf + 1..occupancy.leaves();
        let end = rest.find(|&leaf| occupancy.kind(leaf) != Kind::Vacant);
        end.unwrap_or(occupancy.leaves()) - leaf
    }

    pub(super) fn run_at(&self, head: usize, shape: &'static crate::classes::Shape) -> SpanKind {
        let occupancy = self.cells.runs.occupancy();
        let (mut live, mut quarantined) = (0, 0);
        let _held = self.ledger.lock();
        if occupancy.kind(head).shape() != Some(shape) {
            return SpanKind::Free;
        }
        for index in 0..usize::from(shape.cells) {
            let cell = occupancy.cell(head, index, shape);
            // SAFETY: the lock is held, under which the run was seen.
            let between = unsafe { self.cells.between(cell) };
            if between.state() == Some(State::QUARANTINED) {
                quarantined |= 1 << index;
            } else if cell.is_taken() {
                live |= 1 << index;
            }
        }
        let cells = usize::from(shape.cells);
        SpanKind::Run { cell_size: shape.cell_size(), cells, live, quarantined }
    }
}
