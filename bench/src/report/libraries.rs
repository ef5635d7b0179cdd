//! The table of other libraries for secrets.

use super::cells::{nanoseconds, with_spread};
use super::table::Table;
use crate::results::Results;

pub(super) fn table(results: &Results) -> Table {
    let caption = "What a vault or an arena takes, in times of another library that does the like, each \
                   through its own interface and with its default settings. memsafe keeps each \
                   secret as plaintext in a page of its own: nothing is decrypted, and one page changes \
                   its protection where a vault opens and shuts all of a segment's, four of them here.";
    let columns = ["", "Beside", "Times", "from", "to", "ns"];
    let mut table = Table::new("Beside other libraries for secrets", caption, &columns);
    for found in &results.libraries {
        let mut row = vec![found.what.to_owned(), found.other.to_owned()];
        row.extend(with_spread(found.ratio));
        row.push(nanoseconds(found.ns));
        table.rows.push(row);
    }
    table
}
