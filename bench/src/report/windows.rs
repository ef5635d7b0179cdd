//! The table about windows.

use super::cells::{nanoseconds, with_spread};
use super::table::Table;
use crate::measure::windows::SIZE;
use crate::results::Results;

pub(super) fn table(results: &Results) -> Table {
    let caption = format!(
        "What a vault with windows takes, in times of one without, for a secret of {SIZE} B. Protection \
         keys are measured where the processor has some."
    );
    let columns = ["", "Windows by", "Times", "from", "to", "ns"];
    let mut table = Table::new("Windows", &caption, &columns);
    for found in &results.windows {
        let mut row = vec![found.what.to_owned(), found.other.to_owned()];
        row.extend(with_spread(found.ratio));
        row.push(nanoseconds(found.ns));
        table.rows.push(row);
    }
    table
}
