//! The tables about a store.

use super::cells::{beside, times};
use super::table::Table;
use crate::results::Results;
use crate::units::thousands;

pub(super) fn tables(results: &Results) -> [Table; 2] {
    let caption = results.stores.as_ref().map_or_else(String::new, |stores| {
        format!(
            "Secrets of 64 B, opened and dropped, in times of what a program would do without a store; \
             many are {}. Their records take {:.2} bytes each in the store's slabs, beside a word of \
             8 that says where; names and their entries are apart.",
            thousands(usize::try_from(stores.count).unwrap_or(usize::MAX)),
            stores.record_bytes
        )
    });
    let mut alone = Table::new("A store", &caption, &["", "Beside", "Times", "from", "to", "ns"]);
    let mut together = Table::new(
        "A store, two threads",
        "Opening again what lingers, in times of one thread in the same round; and what each does in its \
         processor time. The first row shares nothing: it says what the machine gave.",
        &["", "2 / 1", "each of 2"],
    );
    if let Some(stores) = &results.stores {
        alone.rows = stores.times.iter().map(beside).collect();
        for found in &stores.threads {
            let row = [found.peer.to_owned(), times(found.against_one), times(found.each)];
            together.rows.push(row.into());
        }
    }
    [alone, together]
}
