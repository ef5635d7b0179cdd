//! The table about windows.

use super::cells::beside;
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
    table.rows = results.windows.iter().map(beside).collect();
    table
}
