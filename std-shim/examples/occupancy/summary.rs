//! The region in numbers: where its bytes went, and each class.

use std::fmt::{self, Display, Formatter};

use indicatif::HumanCount;

use crate::load::Load;
use crate::picture::{CANARY, Cell, Kind, Picture};

/// What the region's bytes are used for.
pub(crate) struct Summary {
    bytes: usize,
    parts: Vec<(&'static str, usize)>,
    classes: Vec<Class>,
    secrets: usize,
    refusal: Option<String>,
}

/// The cells of one class.
struct Class {
    cell_size: usize,
    live: usize,
    free: usize,
    quarantined: usize,
}

impl Summary {
    pub(crate) fn of(picture: &Picture, load: &Load<'_>) -> Self {
        let classes: Vec<Class> =
            picture.classes.iter().map(|&size| Class::of(picture, size)).collect();
        let sum = |of: fn(Kind, usize) -> usize| {
            picture.pieces.iter().map(|piece| of(piece.kind, piece.len)).sum::<usize>()
        };
        let held = sum(|kind, len| match kind {
            Kind::Cell(cell_size, Cell::Live) => cell_size,
            Kind::Block => len,
            _ => 0,
        });
        let canaries = sum(|kind, len| match kind {
            Kind::Cell(..) => CANARY,
            Kind::Edge => len,
            _ => 0,
        });
        let cells = |state: Cell| {
            let sizes = picture.pieces.iter().map(move |piece| match piece.kind {
                Kind::Cell(cell_size, found) if found == state => cell_size,
                _ => 0,
            });
            sizes.sum::<usize>()
        };
        let whole = |wanted: Kind| {
            let found = picture.pieces.iter().filter(|piece| piece.kind == wanted);
            found.map(|piece| piece.len).sum::<usize>()
        };
        let parts = vec![
            ("secrets", load.payload()),
            ("rounding up to cells and leaves", held.saturating_sub(load.payload())),
            ("canaries and ends of runs", canaries),
            ("free cells", cells(Cell::Free)),
            ("vacant leaves", whole(Kind::Vacant)),
            ("quarantined", cells(Cell::Quarantined) + whole(Kind::QuarantinedBlock)),
            ("bookkeeping", whole(Kind::Bookkeeping)),
            ("behind the last leaf", whole(Kind::Rest)),
        ];
        let refusal = load.refusal.map(|refusal| refusal.to_string());
        Self { bytes: picture.bytes, parts, classes, secrets: load.live(), refusal }
    }

    /// One line that says it all.
    pub(crate) fn headline(&self) -> String {
        let payload = self.parts.first().map_or(0, |&(_, bytes)| bytes);
        format!(
            "{} secrets, {} bytes of payload in {} bytes of locked memory ({})",
            thousands(self.secrets),
            thousands(payload),
            thousands(self.bytes),
            self.percent(payload)
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "a picture need not be exact beyond 2^52")]
    fn percent(&self, bytes: usize) -> String {
        format!("{:.1} %", 100.0 * bytes as f64 / self.bytes as f64)
    }
}

impl Class {
    fn of(picture: &Picture, cell_size: usize) -> Self {
        let count = |state| {
            let wanted = Kind::Cell(cell_size, state);
            picture.pieces.iter().filter(|piece| piece.kind == wanted).count()
        };
        let (live, free) = (count(Cell::Live), count(Cell::Free));
        Self { cell_size, live, free, quarantined: count(Cell::Quarantined) }
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.headline())?;
        if let Some(refusal) = &self.refusal {
            writeln!(f, "the next was refused: {refusal}")?;
        }
        writeln!(f, "\n{:<34} {:>12} {:>8}", "what the bytes are", "bytes", "share")?;
        for &(part, bytes) in self.parts.iter().filter(|&&(_, bytes)| bytes > 0) {
            writeln!(f, "{part:<34} {:>12} {:>8}", thousands(bytes), self.percent(bytes))?;
        }
        writeln!(f, "\n{:<16} {:>8} {:>8} {:>12}", "cells of", "live", "free", "quarantined")?;
        for class in &self.classes {
            let size = format!("{} B", thousands(class.cell_size));
            writeln!(
                f,
                "{size:<16} {:>8} {:>8} {:>12}",
                thousands(class.live),
                thousands(class.free),
                thousands(class.quarantined)
            )?;
        }
        Ok(())
    }
}

/// Writes `65,536`.
pub(crate) fn thousands(number: usize) -> String {
    HumanCount(number as u64).to_string()
}
