//! Runs: stretches of leaves cut into equal cells, taken and given back by atomic operations alone.
//!
//! ```text
//! kind of each leaf:       run | rest | rest | rest | run | block | rest of block | vacant …
//! occupancy, one word to   ← one lane of 16 bits for each leaf; a run's cells use the bits from
//! each group of leaves       its first leaf's lane on, within that word
//! ```
//!
//! `occupancy` says which cells are taken, `search` where to look for one that is not. Opening and
//! closing runs happens under the arena's lock; taking and giving back cells does not. All of it
//! computes on numbers: no memory stands behind a cell here.

#[expect(unsafe_code, reason = "makes claims, and takes an owner's word for one")]
mod occupancy;
mod search;

pub(crate) use self::occupancy::{Cell, Claim, Group, NoCell, Occupancy, Returned};
pub(crate) use self::search::{EmptyRuns, SearchTables, search_tables_for};

use core::sync::atomic::Ordering::SeqCst;

use crate::classes::SHAPES;
use crate::index::{Index, KINDS};
use crate::lent::Lent;
use crate::sync::{AtomicUsize, fence};

/// Which leaves are runs, which of their cells are taken, and where to look for one.
pub(crate) struct Runs<'r> {
    occupancy: Occupancy<'r>,
    /// For each place of so many leaves, the first leaves of runs that may have room.
    heads: Lent<'r, [AtomicUsize]>,
    /// The classes of those runs.
    classes: Index<'r>,
    /// The runs that may have no taken cell: a kind for each leaf of a place.
    empty: Index<'r>,
}

impl<'r> Runs<'r> {
    /// Runs over closed tables: all leaves vacant, all groups closed, nothing marked.
    pub(crate) fn new(occupancy: Occupancy<'r>, tables: &SearchTables<'r>) -> Self {
        let places = occupancy.leaves().div_ceil(KINDS);
        Self {
            occupancy,
            heads: tables.heads.into(),
            classes: Index::new(tables.classes, tables.heads.len()),
            empty: Index::new(tables.empty, places),
        }
    }

    #[inline(always)]
    pub(crate) fn occupancy(&self) -> &Occupancy<'r> {
        &self.occupancy
    }

    /// Makes the leaves from `head` on into a run of which the first cell is taken, the rest free.
    pub(crate) fn open(&self, head: usize, number: usize) -> Claim<'r> {
        let claim = self.occupancy.open(head, number);
        // A search that takes a mark away after it was found here sees the kinds.
        fence(SeqCst);
        self.advertise(head, usize::from(SHAPES[number].class));
        claim
    }

    /// Claims a free cell of the run at `head`, if it is one of `class`; see [`Occupancy::claim`].
    #[inline(always)]
    pub(crate) fn claim(
        &self,
        head: usize,
        class: usize,
        passed_over: usize,
    ) -> Result<Claim<'r>, NoCell> {
        self.occupancy.claim(head, class, passed_over)?.map_err(|another| {
            self.put_back(another);
            NoCell::Full
        })
    }

    /// Gives a claimed cell back untouched. While it was claimed a search may have found its run full
    /// that was not, and a release may not have seen that it was the last: so what those do then is
    /// done here.
    #[cold]
    pub(crate) fn put_back(&self, claim: Claim<'_>) {
        let group = self.occupancy.put_back(claim);
        self.look_again(group);
    }
}

#[cfg(test)]
mod tests;
