//! The picture as SVG: a row for each page or few pages, a rectangle for each cell.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::picture::{Cell, Kind, Picture, Piece, hue, number};
use crate::summary::{Summary, thousands};

/// Draws the region, a headline above it and what the colours mean below.
pub(crate) fn draw(picture: &Picture, summary: &Summary) -> String {
    let scale = Scale::new(picture.bytes);
    let rows = picture.bytes.div_ceil(scale.row);
    let bottom = TOP + rows * ROW_HEIGHT + 16;
    let entries = entries(picture);
    let height = bottom + entries.len().div_ceil(COLUMNS) * LINE + 16;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"44\" fill=\"#555\">each row is {} bytes; lighter cells are free</text>",
        summary.headline(),
        thousands(scale.row)
    );
    for row in 0..rows {
        let y = TOP + row * ROW_HEIGHT + ROW_HEIGHT - 4;
        let offset = thousands(row * scale.row);
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\" font-size=\"10\" fill=\"#555\">{offset}</text>",
            LEFT - 6
        );
    }
    pieces(&mut text, picture, &scale);
    legend(&mut text, &entries, bottom);
    text.push_str("</svg>\n");
    text
}

/// How bytes become places.
struct Scale {
    /// Bytes of a row: whole pages.
    row: usize,
}

impl Scale {
    fn new(bytes: usize) -> Self {
        Self { row: bytes.div_ceil(MOST_ROWS).next_multiple_of(PAGE) }
    }

    /// Tenths of a pixel from the start of a row.
    fn x(&self, within_row: usize) -> usize {
        within_row * ACROSS * 10 / self.row
    }
}

/// Draws every piece; neighbours of one kind that would be too narrow to see become one.
fn pieces(text: &mut String, picture: &Picture, scale: &Scale) {
    let mut drawing = Drawing { picture, scale, text, narrow: BTreeMap::new() };
    let mut waiting: Option<Piece> = None;
    for &piece in picture.pieces.iter().filter(|piece| !is_blank(piece.kind)) {
        waiting = match waiting {
            Some(before) if joins(before, piece, scale) => {
                Some(Piece { len: piece.offset + piece.len - before.offset, ..before })
            }
            before => {
                before.into_iter().for_each(|before| drawing.draw(before));
                Some(piece)
            }
        };
    }
    waiting.into_iter().for_each(|last| drawing.draw(last));
    drawing.finish();
}

fn joins(before: Piece, piece: Piece, scale: &Scale) -> bool {
    let follows = before.offset + before.len == piece.offset;
    scale.x(piece.len) < NARROW && follows && before.kind == piece.kind
}

struct Drawing<'a> {
    picture: &'a Picture,
    scale: &'a Scale,
    text: &'a mut String,
    /// The path of all that is narrow, by its colour: much shorter than a rectangle for each.
    narrow: BTreeMap<String, String>,
}

impl Drawing<'_> {
    /// Draws a piece, cut where a row ends.
    fn draw(&mut self, piece: Piece) {
        let (mut offset, end) = (piece.offset, piece.offset + piece.len);
        while offset < end {
            let row = offset / self.scale.row;
            let stop = end.min((row + 1) * self.scale.row);
            let x = self.scale.x(offset - row * self.scale.row);
            let width = self.scale.x(stop - row * self.scale.row) - x;
            self.rectangle(LEFT * 10 + x, TOP + row * ROW_HEIGHT, width, piece.kind);
            offset = stop;
        }
    }

    /// `x` and `width` in tenths of a pixel.
    fn rectangle(&mut self, x: usize, y: usize, width: usize, kind: Kind) {
        let colour = colour(self.picture, kind);
        if width < 4 * NARROW {
            let path = self.narrow.entry(colour).or_default();
            let least = if is_damaged(kind) { LEAST_DAMAGED } else { LEAST };
            let (x, width) = (tenths(x), tenths(width.max(least)));
            let _ = write!(path, "M{x} {y}h{width}v{BAR}h-{width}");
            return;
        }
        // A line of white between neighbours.
        let (x, width) = (tenths(x), tenths(width - GAP));
        let _ = writeln!(
            self.text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" fill=\"{colour}\">\
             <title>{}</title></rect>",
            meaning(kind)
        );
    }

    fn finish(self) {
        // Red is `#…`, which sorts before `hsl(…)`: what was damaged comes last, on top.
        for (colour, path) in self.narrow.into_iter().rev() {
            let _ = writeln!(self.text, "<path fill=\"{colour}\" d=\"{path}\"/>");
        }
    }
}

fn tenths(value: usize) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn is_damaged(kind: Kind) -> bool {
    matches!(kind, Kind::Cell(_, Cell::Quarantined) | Kind::QuarantinedBlock)
}

fn is_blank(kind: Kind) -> bool {
    matches!(kind, Kind::Edge | Kind::Vacant | Kind::Rest)
}

fn colour(picture: &Picture, kind: Kind) -> String {
    match kind {
        Kind::Bookkeeping => "#777".to_owned(),
        Kind::Block => "#222".to_owned(),
        Kind::Cell(_, Cell::Quarantined) | Kind::QuarantinedBlock => "#e00000".to_owned(),
        // Neighbours in size differ in lightness too.
        Kind::Cell(cell_size, Cell::Live) => {
            let lightness = [40, 54][number(picture, cell_size) % 2];
            format!("hsl({},65%,{lightness}%)", hue(picture, cell_size))
        }
        Kind::Cell(cell_size, Cell::Free) => format!("hsl({},65%,89%)", hue(picture, cell_size)),
        Kind::Edge | Kind::Vacant | Kind::Rest => "none".to_owned(),
    }
}

fn meaning(kind: Kind) -> String {
    match kind {
        Kind::Bookkeeping => "bookkeeping".to_owned(),
        Kind::Block => "one secret in leaves of its own".to_owned(),
        Kind::QuarantinedBlock => "quarantined".to_owned(),
        Kind::Cell(cell_size, state) => {
            let state = match state {
                Cell::Live => "live",
                Cell::Free => "free",
                Cell::Quarantined => "quarantined",
            };
            format!("up to {} B, {state}", thousands(cell_size))
        }
        Kind::Edge => "canary".to_owned(),
        Kind::Vacant | Kind::Rest => "nothing".to_owned(),
    }
}

/// Colours and what they mean.
fn entries(picture: &Picture) -> Vec<(String, String)> {
    let cells = picture.classes.iter().map(|&cell_size| Kind::Cell(cell_size, Cell::Live));
    let others = [Kind::Block, Kind::QuarantinedBlock];
    let others = others.into_iter().filter(|&kind| {
        picture.pieces.iter().any(|piece| match (kind, piece.kind) {
            (Kind::QuarantinedBlock, Kind::Cell(_, Cell::Quarantined)) => true,
            (kind, found) => kind == found,
        })
    });
    let kinds = [Kind::Bookkeeping].into_iter().chain(cells).chain(others);
    kinds.map(|kind| (colour(picture, kind), meaning(kind))).collect()
}

fn legend(text: &mut String, entries: &[(String, String)], top: usize) {
    for (number, (colour, meaning)) in entries.iter().enumerate() {
        let x = LEFT + number % COLUMNS * (ACROSS / COLUMNS);
        let y = top + number / COLUMNS * LINE;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{meaning}</text>",
            x + 20,
            y + 12
        );
    }
}

/// Sizes in pixels.
const WIDTH: usize = LEFT + ACROSS + 20;
const LEFT: usize = 76;
const ACROSS: usize = 1024;
const TOP: usize = 60;
const ROW_HEIGHT: usize = 18;
const BAR: usize = ROW_HEIGHT - 3;
const LINE: usize = 22;
/// Columns of the legend.
const COLUMNS: usize = 4;

/// Tenths of a pixel. Narrower than this, neighbours of one kind are drawn as one.
const NARROW: usize = 15;
const LEAST: usize = 5;
const LEAST_DAMAGED: usize = 40;
const GAP: usize = 6;

const MOST_ROWS: usize = 64;
const PAGE: usize = 4096;
