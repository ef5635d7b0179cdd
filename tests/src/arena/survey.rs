//! What lies where, worked out from the arena's map.
//!
//! ```text
//! run:    | canary | cell 0 | canary | cell 1 | canary | end |
//! block:  | canary | cell ........................... | canary |
//! ```
//!
//! The model knows this geometry by itself: that the map, the statistics, the pointers handed out
//! and the damage found all agree with it is what is tested.

use std::ops::Range;

use strongroom_core::{Arena, SpanKind};

/// Bytes in a leaf.
pub(super) const LEAF: usize = 256;
/// Bytes in a canary.
pub(super) const CANARY: usize = 8;

/// What lies in a region.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The cells of all runs and the inside of all blocks, by offset.
    pub places: Vec<Place>,
    /// Leaves that nothing is in, by offset.
    pub vacant: Vec<Range<usize>>,
    /// What is left of each run behind its last canary, where anything is.
    pub ends: Vec<Range<usize>>,
    /// Stretches that are vacant or would be if they were needed, joined.
    pub usable: Vec<Range<usize>>,
    /// Bytes in runs and blocks with a live or quarantined secret.
    pub used: usize,
    /// Cells of runs by cell size: runs, cells, live, quarantined.
    pub classes: Vec<(usize, [usize; 4])>,
    /// The leaves.
    pub leaves: Range<usize>,
}

/// A cell of a run, or the inside of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the region's start, canaries excluded.
    pub bytes: Range<usize>,
    /// The cell's number in its run; `None` for a block.
    pub index: Option<usize>,
    /// What is in it.
    pub state: State,
}

/// What is in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Free,
    /// A secret.
    Live,
    /// Zeros, for good.
    Quarantined,
}

impl Survey {
    /// Looks at all of an arena, and finds that its map covers everything once.
    #[must_use]
    pub fn of(arena: &Arena<'_>) -> Self {
        let mut survey = Self::default();
        let mut next = 0;
        for span in arena.map() {
            assert_eq!(span.offset, next, "the map has a gap or an overlap");
            next += span.len;
            survey.add(span.offset..next, span.kind);
        }
        survey.leaves.end = next;
        assert!(next <= arena.region_len());
        assert_eq!(survey.leaves.len(), arena.capacity());
        survey
    }

    /// The place that holds the byte `offset`, canaries excluded.
    #[must_use]
    pub fn place_at(&self, offset: usize) -> Option<&Place> {
        let after = self.places.partition_point(|place| place.bytes.start <= offset);
        self.places[..after].last().filter(|place| place.bytes.contains(&offset))
    }

    /// The cells on both sides of one, which share its canaries.
    #[must_use]
    pub fn neighbours(&self, place: &Place) -> [Option<&Place>; 2] {
        let at = self.places.iter().position(|other| other == place).unwrap();
        let beside = |other: &&Place| place.index.is_some() && other.index.is_some();
        let before = at.checked_sub(1).and_then(|before| self.places.get(before)).filter(beside);
        let after = self.places.get(at + 1).filter(beside);
        [
            before.filter(|before| before.bytes.end + CANARY == place.bytes.start),
            after.filter(|after| place.bytes.end + CANARY == after.bytes.start),
        ]
    }

    /// All places of one kind.
    pub fn places_in(&self, state: State) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| place.state == state)
    }

    fn add(&mut self, bytes: Range<usize>, kind: SpanKind) {
        match kind {
            SpanKind::Bookkeeping => self.leaves.start = bytes.end,
            SpanKind::Free => {
                let before = self.vacant.last().map(|vacant| vacant.end);
                assert_ne!(before, Some(bytes.start), "one span in two");
                self.vacant.push(bytes.clone());
                self.add_usable(bytes);
            }
            SpanKind::Block | SpanKind::Quarantined => {
                self.used += bytes.len();
                let live = matches!(kind, SpanKind::Block);
                let state = if live { State::Live } else { State::Quarantined };
                let bytes = bytes.start + CANARY..bytes.end - CANARY;
                self.places.push(Place { bytes, index: None, state });
            }
            SpanKind::Run { cell_size, cells, live, quarantined } => {
                assert_eq!(live & quarantined, 0);
                assert_eq!((live | quarantined) >> cells, 0, "a cell too many");
                self.count_run(cell_size, [1, cells, ones(live), ones(quarantined)]);
                if live | quarantined == 0 {
                    self.add_usable(bytes.clone());
                } else {
                    self.used += bytes.len();
                }
                self.add_cells(bytes, cell_size, cells, [live, quarantined]);
            }
            other => panic!("a kind of span that the model does not know: {other:?}"),
        }
    }

    fn add_cells(
        &mut self,
        bytes: Range<usize>,
        cell_size: usize,
        cells: usize,
        [live, quarantined]: [u64; 2],
    ) {
        for index in 0..cells {
            let start = bytes.start + CANARY + index * (cell_size + CANARY);
            let state = match (live >> index & 1, quarantined >> index & 1) {
                (0, 0) => State::Free,
                (0, _) => State::Quarantined,
                _ => State::Live,
            };
            self.places.push(Place { bytes: start..start + cell_size, index: Some(index), state });
        }
        let end = bytes.start + CANARY + cells * (cell_size + CANARY);
        assert!(end <= bytes.end, "cells beyond the run's leaves");
        if end < bytes.end {
            self.ends.push(end..bytes.end);
        }
    }

    fn add_usable(&mut self, bytes: Range<usize>) {
        match self.usable.last_mut() {
            Some(last) if last.end == bytes.start => last.end = bytes.end,
            _ => self.usable.push(bytes),
        }
    }

    fn count_run(&mut self, cell_size: usize, counts: [usize; 4]) {
        let known = self.classes.iter_mut().find(|(size, _)| *size == cell_size);
        match known {
            Some((_, sums)) => sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
            None => self.classes.push((cell_size, counts)),
        }
    }
}

fn ones(mask: u64) -> usize {
    mask.count_ones() as usize
}
