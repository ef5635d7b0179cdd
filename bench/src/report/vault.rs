//! The tables about a vault.

use super::cells::{nanoseconds, times, with_spread};
use super::table::Table;
use crate::measure::{vault_threads, waiters};
use crate::results::{Line, Results};
use crate::units::thousands;

/// The vault's calls, and the work of threads on it.
pub(super) fn tables(results: &Results) -> [Table; 3] {
    [threads(results), waiting(results), calls(results)]
}

fn threads(results: &Results) -> Table {
    let size = vault_threads::SIZE;
    let caption = format!(
        "Secrets of {size} B, opened or allocated and dropped, by one thread and by two on the same \
         vault, or on what a vault is made of: the work of two in times of one's, by the clock, and \
         between what the median lies with a confidence of 95 in 100. The first row shares nothing: \
         it says what the machine gave. Last column: what each of two does in its processor time, in \
         times of one alone."
    );
    let columns = ["", "2 / 1", "from", "to", "each of 2"];
    let mut table = Table::new(VAULT_THREADS, &caption, &columns);
    for found in &results.vault_threads {
        let mut row = vec![found.peer.to_owned()];
        row.extend(with_spread(found.against_one));
        row.push(times(found.each));
        table.rows.push(row);
    }
    table
}

fn waiting(results: &Results) -> Table {
    let (count, size) = (thousands(waiters::THREADS), waiters::SIZE);
    let caption = format!(
        "A sealed secret of {size} B, opened with `open_timeout` and dropped again and again: the \
         work of {count} threads in times of that of one, which does as many. All begin in line where \
         there are fewer places than threads. By the clock, and \
         between what the median lies; and by the processor's time. Places: how many can be open at \
         a time. Waited: how many calls of all rounds had to, and the longest wait, in which other \
         threads may have had their turn. The first row shares nothing but the processors."
    );
    let ratio = format!("{count} / 1");
    let columns = ["", "Places", &ratio, "from", "to", "by the processor", "Waited", "longest ms"];
    let mut table = Table::new(WAITERS, &caption, &columns);
    for found in &results.waiters {
        let of_line = |text: fn(Line) -> String| found.line.map_or("-".to_owned(), text);
        let mut row = vec![found.peer.to_owned(), of_line(|line| thousands(line.places))];
        row.extend(with_spread(found.against_one));
        row.push(times(found.each));
        row.push(of_line(|line| thousands(line.waits)));
        row.push(of_line(|line| format!("{:.1}", line.longest_wait_ms)));
        table.rows.push(row);
    }
    table
}

fn calls(results: &Results) -> Table {
    let caption = "Time in times of another call's, by one thread, and between what the median lies. \
                   Both are on memory with the same owner. `Vault::seal` makes a box for the record; \
                   where it is sealed into memory that is there, it is the same memory each time. Last \
                   column: the other's time.";
    let columns = ["", "Against", "Bytes", "Times", "from", "to", "ns"];
    let mut table = Table::new(CALLS, caption, &columns);
    for found in &results.calls {
        let mut row = vec![found.name.to_owned(), found.floor.to_owned(), thousands(found.size)];
        row.extend(with_spread(found.paired.ratio));
        row.push(nanoseconds(found.paired.floor_ns));
        table.rows.push(row);
    }
    table
}

const VAULT_THREADS: &str = "One vault, several threads";
const WAITERS: &str = "Those who wait";
const CALLS: &str = "A vault's calls";
