//! The table about streams.

use super::cells::{nanoseconds, with_spread};
use super::table::Table;
use crate::results::Results;
use crate::units::{kib, thousands};

pub(super) fn table(results: &Results) -> Table {
    let text = results.streams.first().map_or(0, |found| found.text);
    let caption = format!(
        "A stream of {} from memory into a writer that takes everything, and back: in times of the \
         crate `aead-stream` with ChaCha20-Poly1305 and its key set up, which keeps each chunk in \
         ordinary memory; and between what the median lies. Ours takes its room in the vault, and wipes \
         each chunk.",
        kib(text)
    );
    let columns = ["", "Chunk", "Times", "from", "to", "ns a KiB"];
    let mut table = Table::new("Streams", &caption, &columns);
    for found in &results.streams {
        let mut row = vec![found.operation.to_owned(), thousands(found.chunk)];
        row.extend(with_spread(found.paired.ratio));
        row.push(nanoseconds(found.paired.own_ns / (found.text / 1024) as f64));
        table.rows.push(row);
    }
    table
}
