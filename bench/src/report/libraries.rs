//! The table of other libraries for secrets.

use super::cells::beside;
use super::table::Table;
use crate::results::Results;

pub(super) fn table(results: &Results) -> Table {
    let caption = "What a vault or an arena takes, in times of another library that does the like, each \
                   through its own interface and with its default settings. memsafe keeps each \
                   secret as plaintext in a page of its own: nothing is decrypted, and one page changes \
                   its protection where a vault opens and shuts all of a segment's, four of them here.";
    let columns = ["", "Beside", "Times", "from", "to", "ns"];
    let mut table = Table::new("Beside other libraries for secrets", caption, &columns);
    table.rows = results.libraries.iter().map(beside).collect();
    table
}
