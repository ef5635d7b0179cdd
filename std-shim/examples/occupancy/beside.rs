//! The picture beside that of the same pages with one secret on each, as SVG.

use std::fmt::Write;

use crate::picture::{Cell, Kind, Picture};
use crate::summary::thousands;

/// Draws both, a bar for each page. `size` is the length of every secret.
pub(crate) fn draw(picture: &Picture, size: usize) -> Result<String, String> {
    let pages = picture.bytes.div_ceil(PAGE);
    if pages > MOST_PAGES {
        return Err(format!("{pages} pages are too many to draw one by one: {MOST_PAGES} at most"));
    }
    let for_each = size.max(1).div_ceil(PAGE);
    let alone: Vec<_> = (0..pages / for_each).map(|page| (page * for_each * PAGE, size)).collect();
    let packed = stretches(picture, |kind| match kind {
        Kind::Cell(cell_size, Cell::Live) => Some(cell_size),
        Kind::Block => Some(usize::MAX),
        _ => None,
    });
    let bookkeeping = stretches(picture, |kind| (kind == Kind::Bookkeeping).then_some(usize::MAX));

    let bottom = TOP + pages * ROW + 26;
    let (alone_count, packed_count) = (thousands(alone.len()), thousands(packed.len()));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"17\">\n\
         <title>{pages} locked pages of 4 KiB: a page for each secret holds {alone_count}, \
         packed they hold {packed_count}</title>\n{STYLE}\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" class=\"ground\"/>",
        height = bottom + 20,
    );
    heading(&mut text, LEFT, &alone_count, "secrets, a page for each");
    heading(&mut text, RIGHT, &packed_count, "secrets in the same pages, packed");
    for x in [LEFT, RIGHT] {
        let all: Vec<_> = (0..pages).map(|page| (page * PAGE, PAGE)).collect();
        bars(&mut text, x, "page", &all);
    }
    bars(&mut text, LEFT, "secret", &alone);
    bars(&mut text, RIGHT, "kept", &bookkeeping);
    bars(&mut text, RIGHT, "secret", &packed);
    let meanings = [
        ("secret", format!("a secret of {} bytes", thousands(size))),
        ("page", format!("the rest of {pages} pages of 4 KiB: unused, or canaries")),
        ("kept", "bookkeeping".to_owned()),
    ];
    for ((class, meaning), x) in meanings.iter().zip([LEFT, LEFT + 260, RIGHT + 260]) {
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\" class=\"{class}\"/>\
             <text x=\"{}\" y=\"{bottom}\">{meaning}</text>",
            bottom - 13,
            x + 22
        );
    }
    text.push_str("</svg>\n");
    Ok(text)
}

/// Offset and length of the pieces that `bytes` knows, without the canary behind a cell.
fn stretches(picture: &Picture, bytes: fn(Kind) -> Option<usize>) -> Vec<(usize, usize)> {
    let pieces = picture.pieces.iter();
    pieces.filter_map(|piece| Some((piece.offset, bytes(piece.kind)?.min(piece.len)))).collect()
}

fn heading(text: &mut String, x: usize, count: &str, meaning: &str) {
    let _ = writeln!(
        text,
        "<text x=\"{x}\" y=\"46\"><tspan font-size=\"36\" font-weight=\"bold\">{count}</tspan> \
         {meaning}</text>"
    );
}

/// Draws stretches of bytes as one path, cut where a page ends.
fn bars(text: &mut String, left: usize, class: &str, stretches: &[(usize, usize)]) {
    let mut path = String::new();
    for &(offset, len) in stretches {
        let end = offset + len;
        let mut start = offset;
        while start < end {
            let (page, stop) = (start / PAGE, end.min((start / PAGE + 1) * PAGE));
            let x = |byte: usize| (byte - page * PAGE) * ACROSS * 10 / PAGE;
            let width = tenths(x(stop) - x(start));
            let (x, y) = (tenths(left * 10 + x(start)), TOP + page * ROW);
            let _ = write!(path, "M{x} {y}h{width}v{BAR}h-{width}z");
            start = stop;
        }
    }
    let _ = writeln!(text, "<path class=\"{class}\" d=\"{path}\"/>");
}

fn tenths(value: usize) -> String {
    format!("{}.{}", value / 10, value % 10)
}

/// The ground is drawn too, so that the text is legible whatever the page around it is.
const STYLE: &str = "\
<style>
.ground{fill:#fff}text{fill:#1f2328}.page{fill:#d4dae1}.kept{fill:#8a939d}.secret{fill:#0b62c4}
@media(prefers-color-scheme:dark){
.ground{fill:#0d1117}text{fill:#e6edf3}.page{fill:#30373f}.kept{fill:#7a838d}.secret{fill:#5aa9ff}}
</style>";

/// Sizes in pixels.
const WIDTH: usize = RIGHT + ACROSS + LEFT;
const LEFT: usize = 20;
const RIGHT: usize = LEFT + ACROSS + 40;
const ACROSS: usize = 480;
const TOP: usize = 68;
const ROW: usize = 20;
const BAR: usize = 14;

const PAGE: usize = 4096;
const MOST_PAGES: usize = 64;
