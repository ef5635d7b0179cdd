//! The picture as characters: one for each few bytes, a row for each page or few pages.

use std::fmt::Write;
use std::ops::Range;

use crate::picture::{Cell, Kind, Picture, hue, number};
use crate::summary::thousands;

/// Draws the region, then what the characters mean.
pub(crate) fn draw(picture: &Picture, in_colour: bool) -> String {
    let unit = unit(picture.bytes);
    let units = units(picture, unit);
    let mut text = String::new();
    let _ = writeln!(text, "each character is {} bytes\n", thousands(unit));
    for (row, kinds) in units.chunks(ROW).enumerate() {
        let _ = write!(text, "{:>9}  ", thousands(row * ROW * unit));
        kinds.iter().for_each(|&kind| put(&mut text, picture, kind, in_colour));
        text.push('\n');
    }
    text.push('\n');
    legend(&mut text, picture, in_colour);
    text
}

/// Bytes for each character: so many that the picture has at most [`MOST_ROWS`] rows.
fn unit(bytes: usize) -> usize {
    bytes.div_ceil(ROW * MOST_ROWS).next_multiple_of(LEAST_UNIT)
}

/// What most of the bytes of each unit are.
fn units(picture: &Picture, unit: usize) -> Vec<Kind> {
    let count = picture.bytes.div_ceil(unit);
    (0..count).map(|number| most(picture, number * unit..(number + 1) * unit)).collect()
}

/// What most of these bytes are.
fn most(picture: &Picture, bytes: Range<usize>) -> Kind {
    let first = picture.pieces.partition_point(|piece| piece.offset + piece.len <= bytes.start);
    let pieces = picture.pieces[first..].iter().take_while(|piece| piece.offset < bytes.end);
    let mut sums: Vec<(Kind, usize)> = Vec::new();
    for piece in pieces {
        let within = bytes.end.min(piece.offset + piece.len) - bytes.start.max(piece.offset);
        match sums.iter_mut().find(|(kind, _)| *kind == piece.kind) {
            Some((_, sum)) => *sum += within,
            None => sums.push((piece.kind, within)),
        }
    }
    // Of equals, the first.
    let most = sums.into_iter().rev().max_by_key(|&(_, sum)| sum);
    most.map_or(Kind::Rest, |(kind, _)| kind)
}

fn put(text: &mut String, picture: &Picture, kind: Kind, in_colour: bool) {
    let letter = letter(picture, kind);
    match colour(picture, kind) {
        Some(colour) if in_colour => {
            let _ = write!(text, "\x1b[{colour}m{letter}\x1b[0m");
        }
        _ => text.push(letter),
    }
}

fn letter(picture: &Picture, kind: Kind) -> char {
    match kind {
        Kind::Bookkeeping => '#',
        Kind::Vacant | Kind::Rest => ' ',
        Kind::Edge => '|',
        Kind::Block => '@',
        Kind::Cell(_, Cell::Free) => '.',
        Kind::Cell(_, Cell::Quarantined) | Kind::QuarantinedBlock => '!',
        Kind::Cell(cell_size, Cell::Live) => {
            LETTERS.chars().nth(number(picture, cell_size)).unwrap_or('?')
        }
    }
}

/// The parameters of the escape sequence (ECMA-48, Select Graphic Rendition; 256 colours).
fn colour(picture: &Picture, kind: Kind) -> Option<String> {
    match kind {
        Kind::Bookkeeping => Some("48;5;240;38;5;255".to_owned()),
        Kind::Vacant | Kind::Rest | Kind::Edge => None,
        Kind::Block => Some("48;5;250;38;5;16".to_owned()),
        Kind::Cell(_, Cell::Quarantined) | Kind::QuarantinedBlock => {
            Some("48;5;196;38;5;231;1".to_owned())
        }
        Kind::Cell(cell_size, Cell::Live) => {
            Some(format!("48;5;{};38;5;16", cube(hue(picture, cell_size))))
        }
        Kind::Cell(cell_size, Cell::Free) => {
            Some(format!("38;5;{}", cube(hue(picture, cell_size))))
        }
    }
}

/// The colour of this hue among the 216 of the terminal's cube.
fn cube(hue: usize) -> usize {
    // One of red, green and blue is full, one is low, and one is between.
    let (sector, within) = (hue % 360 / 60, hue % 60);
    let (low, full) = (1, 5);
    let rising = low + (full - low) * within / 60;
    let falling = full - (full - low) * within / 60;
    let (red, green, blue) = match sector {
        0 => (full, rising, low),
        1 => (falling, full, low),
        2 => (low, full, rising),
        3 => (low, falling, full),
        4 => (rising, low, full),
        _ => (full, low, falling),
    };
    16 + 36 * red + 6 * green + blue
}

fn legend(text: &mut String, picture: &Picture, in_colour: bool) {
    let mut line = |kind, meaning: &str| {
        text.push_str("  ");
        put(text, picture, kind, in_colour);
        let _ = writeln!(text, "  {meaning}");
    };
    line(Kind::Bookkeeping, "bookkeeping");
    for &cell_size in &picture.classes {
        let meaning = format!("live cells for up to {} bytes", thousands(cell_size));
        line(Kind::Cell(cell_size, Cell::Live), &meaning);
    }
    let has = |wanted: fn(&Kind) -> bool| picture.pieces.iter().any(|piece| wanted(&piece.kind));
    if let Some(&cell_size) = picture.classes.first() {
        line(Kind::Cell(cell_size, Cell::Free), "free cells, in the colour of their class");
    }
    if has(|kind| *kind == Kind::Block) {
        line(Kind::Block, "one secret in leaves of its own");
    }
    if has(|kind| matches!(kind, Kind::Cell(_, Cell::Quarantined) | Kind::QuarantinedBlock)) {
        line(Kind::QuarantinedBlock, "quarantined: damaged, and never handed out again");
    }
    if has(|kind| *kind == Kind::Vacant) {
        line(Kind::Vacant, "(blank) leaves that nothing is in");
    }
}

/// Characters in a row.
const ROW: usize = 64;

const MOST_ROWS: usize = 32;

/// The bytes of a character are a multiple of this.
const LEAST_UNIT: usize = 32;

/// One for each class.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
