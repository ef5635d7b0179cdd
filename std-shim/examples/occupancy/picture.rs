//! The region as a row of pieces: what `Arena::map` says, cell by cell.

use strongroom::strongroom_core::{Arena, SpanKind};

/// A region, from its first byte to its last.
pub(crate) struct Picture {
    pub(crate) bytes: usize,
    pub(crate) pieces: Vec<Piece>,
    /// The cell sizes of the classes that have runs, smallest first.
    pub(crate) classes: Vec<usize>,
}

/// Neighbouring bytes of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bookkeeping,
    /// Whole leaves that nothing is in.
    Vacant,
    /// A cell of the class with this cell size, and the canary behind it.
    Cell(usize, Cell),
    /// The first canary of a run, and what is left at its end.
    Edge,
    /// A secret in leaves of its own, with its canaries.
    Block,
    /// Leaves that were damaged.
    QuarantinedBlock,
    /// Bytes behind the last leaf.
    Rest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Live,
    Free,
    Quarantined,
}

impl Picture {
    pub(crate) fn of(arena: &Arena<'_>) -> Self {
        let bytes = arena.region_len();
        let mut picture = Self { bytes, pieces: Vec::new(), classes: Vec::new() };
        for span in arena.map() {
            match span.kind {
                SpanKind::Bookkeeping => picture.push(span.len, Kind::Bookkeeping),
                SpanKind::Free => picture.push(span.len, Kind::Vacant),
                SpanKind::Block => picture.push(span.len, Kind::Block),
                SpanKind::Quarantined => picture.push(span.len, Kind::QuarantinedBlock),
                SpanKind::Run { cell_size, cells, live, quarantined } => {
                    picture.push_run(span.len, cell_size, cells, live, quarantined);
                }
                // A kind that this program does not know is drawn as what it cannot use.
                _ => picture.push(span.len, Kind::Rest),
            }
        }
        picture.push(bytes - picture.end(), Kind::Rest);
        picture.classes.sort_unstable();
        picture
    }

    fn push_run(&mut self, len: usize, cell_size: usize, cells: usize, live: u64, damaged: u64) {
        let end = self.end() + len;
        self.push(CANARY, Kind::Edge);
        for index in 0..cells {
            let state = match (live >> index & 1, damaged >> index & 1) {
                (_, 1) => Cell::Quarantined,
                (1, _) => Cell::Live,
                _ => Cell::Free,
            };
            self.push(cell_size + CANARY, Kind::Cell(cell_size, state));
        }
        self.push(end - self.end(), Kind::Edge);
        if !self.classes.contains(&cell_size) {
            self.classes.push(cell_size);
        }
    }

    fn push(&mut self, len: usize, kind: Kind) {
        if len > 0 {
            self.pieces.push(Piece { offset: self.end(), len, kind });
        }
    }

    fn end(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.offset + piece.len)
    }
}

/// Bytes in a canary.
pub(crate) const CANARY: usize = 8;

/// The place of a class among those that have runs.
pub(crate) fn number(picture: &Picture, cell_size: usize) -> usize {
    picture.classes.iter().position(|&class| class == cell_size).unwrap_or(0)
}

/// The hue of a class in degrees: from yellow for the smallest to purple for the greatest. Red is
/// for what was damaged.
pub(crate) fn hue(picture: &Picture, cell_size: usize) -> usize {
    let steps = picture.classes.len().saturating_sub(1).max(1);
    SMALLEST + (GREATEST - SMALLEST) * number(picture, cell_size) / steps
}

const SMALLEST: usize = 48;
const GREATEST: usize = 300;
