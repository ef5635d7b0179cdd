//! What windows by keys add, as a table on the terminal and in docs/BENCHMARKS.md.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::callgrind::Counted;
use crate::page::Markers;

/// What a call of a vault's takes without windows, and with windows by keys.
pub(super) struct Added {
    what: &'static str,
    without: f64,
    with: f64,
    windows: f64,
}

impl Added {
    pub(super) fn new(what: &'static str, without: &Counted, with: &Counted) -> Self {
        let windows = with.windows;
        Self { what, without: without.instructions, with: with.instructions, windows }
    }
}

/// As lines for the terminal.
pub(super) fn plain(added: &[Added]) -> String {
    let head = ["a vault, 64 B", "no windows", "by keys", "added", "windows"];
    let [what, without, with, more, windows] = head;
    let mut text = format!("{what:<40} {without:>12} {with:>12} {more:>9} {windows:>9}\n");
    for Added { what, without, with, windows } in added {
        let more = with - without;
        let _ =
            writeln!(text, "{what:<40} {without:>12.1} {with:>12.1} {more:>9.1} {windows:>9.1}");
    }
    text
}

/// Puts the table into the page.
pub(super) fn write(added: &[Added]) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARKS.md");
    let mut table = String::from(
        "| a vault, 64 B | no windows | by keys | added | windows |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for Added { what, without, with, windows } in added {
        let more = with - without;
        writeln!(table, "| {what} | {without:.0} | {with:.0} | {more:.0} | {windows:.0} |")?;
    }
    fs::write(&path, MARKERS.replace(&fs::read_to_string(&path)?, &table))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Whether this program was built for it: valgrind does not know the instructions, and few machines have
/// keys. See std-shim/src/sys/keys.rs.
pub(super) const ARE_COUNTED: bool = cfg!(strongroom_counted_keys);

const MARKERS: Markers = Markers {
    begin: "<!-- counted: begin (written by bench/instructions --save) -->",
    end: "<!-- counted: end -->",
};
