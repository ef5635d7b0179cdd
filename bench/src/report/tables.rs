//! The results as tables.

use std::fmt::Write;
use std::iter;

use super::cells::{amount, middle, nanoseconds, times};
use super::table::Table;
use super::{libraries, store, streams, vault, windows};
use crate::measure::density::{AMONG, LARGE, SMALL};
use crate::measure::speed::scenarios;
use crate::measure::{at_rest, growth, one_core, sealing, team, threads};
use crate::results::{Results, Target, Unit};
use crate::units::{kib, thousands};

/// Every table that has rows.
pub(crate) fn all(results: &Results) -> Vec<Table> {
    let before = [
        machine(results),
        bars(results),
        density(results),
        mixed(results),
        among(results),
        speed(results),
        growth_table(results),
        renewed(results),
        threads_table(results),
        one_core_table(results),
    ];
    let after = [
        sealing_table(results),
        parts(results),
        streams::table(results),
        at_rest_table(results),
        skipped(results),
    ];
    let tables = before.into_iter().chain(vault::tables(results)).chain(store::tables(results));
    let tables = tables.chain([windows::table(results), libraries::table(results)]);
    let tables = tables.chain(after);
    tables.filter(|table| !table.rows.is_empty()).collect()
}

/// The generated part of the page.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = format!("{}\n\n", verdict(results));
    for table in all(results) {
        text += &table.markdown();
        text.push('\n');
        if let Some((_, image, alt)) = IMAGES.iter().find(|(title, ..)| *title == table.title) {
            let _ = writeln!(text, "![{alt}](img/{image})\n");
        }
    }
    text
}

/// How many bars hold and which do not.
pub(crate) fn verdict(results: &Results) -> String {
    let held = results.bars.iter().filter(|bar| bar.holds() == Some(true)).count();
    let short: Vec<&str> = results
        .bars
        .iter()
        .filter(|bar| bar.holds() == Some(false))
        .map(|bar| bar.what.as_str())
        .collect();
    let unmeasured = results.bars.iter().filter(|bar| bar.holds().is_none()).count();
    let mut text = format!("{held} of {} bars hold", results.bars.len() - unmeasured);
    if unmeasured > 0 {
        let _ = write!(text, "; {unmeasured} were not measured");
    }
    if short.is_empty() {
        return text + ".";
    }
    text + ". These fall short: " + &short.join("; ") + "."
}

fn machine(results: &Results) -> Table {
    let mut table = Table::new(MACHINE, "", &["", ""]);
    let rows = results.machine.rows().into_iter();
    table.rows = rows.map(|[name, value]| vec![name, value]).collect();
    table.rows.push(vec!["Run".to_owned(), results.mode.to_owned()]);
    table
}

fn bars(results: &Results) -> Table {
    let caption = "Medians; ratios are of turns taken one after the other. Smaller is better for \
                   \"at most\".";
    let mut table = Table::new("What must be reached", caption, &["Figure", "Bar", "Measured", ""]);
    for bar in &results.bars {
        let target = match bar.target {
            Target::AtLeast(target) => format!("at least {}", amount(target, bar.unit)),
            Target::AtMost(target) => format!("at most {}", amount(target, bar.unit)),
        };
        let measured = bar.measured.map_or("-".to_owned(), |value| amount(value, bar.unit));
        let verdict = match bar.holds() {
            Some(true) => "holds",
            Some(false) => "FALLS SHORT",
            None => "not measured",
        };
        table.rows.push(vec![bar.what.clone(), target, measured, verdict.to_owned()]);
    }
    table
}

fn density(results: &Results) -> Table {
    let sizes = [16, 32, 64, 128, 256, 1024, 4096];
    let headings: Vec<String> =
        sizes.iter().map(|&size| format!("{} B", thousands(size))).collect();
    let mut columns = vec![""];
    columns.extend(headings.iter().map(String::as_str));
    columns.push("64 B in 8 MiB");
    let caption = "Live secrets when the next is refused, in 64 KiB of locked memory unless said. \
                   For those that give each secret its own pages: as many as the pages that the \
                   kernel counts against the limit.";
    let mut table = Table::new(DENSITY, caption, &columns);
    for peer in distinct(results.density.iter().map(|found| found.peer)) {
        let count = |region, size| {
            let mut density = results.density.iter();
            let found = density
                .find(|found| found.peer == peer && found.region == region && found.size == size);
            found.map_or("-".to_owned(), |found| thousands(found.live))
        };
        let mut row = vec![peer.to_owned()];
        row.extend(sizes.map(|size| count(SMALL, size)));
        row.push(count(LARGE, 64));
        table.rows.push(row);
    }
    for peer in distinct(results.page_each.iter().map(|found| found.peer)) {
        let count = |region: usize, size| {
            let mut pages = results.page_each.iter();
            let found = pages.find(|found| found.peer == peer && found.size == size);
            found
                .map_or("-".to_owned(), |found| amount(region as f64 / found.locked, Unit::Secrets))
        };
        let mut row = vec![peer.to_owned()];
        row.extend(sizes.map(|size| count(SMALL, size)));
        row.push(count(LARGE, 64));
        table.rows.push(row);
    }
    table
}

fn mixed(results: &Results) -> Table {
    let caption = "Payload as a share of the locked bytes when a mixed load is first refused: \
                   log-normal, median 48 B, sigma 0.9, 8 to 4,096 B, each third step a random \
                   release. The median of several seeds. *Worn*: when one is refused a random half is \
                   released, a million steps long; the mean at the later refusals.";
    let mut table = Table::new(MIXED, caption, &["", "64 KiB", "64 KiB, worn", "8 MiB"]);
    for peer in distinct(results.mixed.iter().map(|found| found.peer)) {
        let share = |region| {
            let mut mixed = results.mixed.iter();
            let found = mixed.find(|found| found.peer == peer && found.region == region);
            found.map_or("-".to_owned(), |found| amount(found.payload.median, Unit::Share))
        };
        let mut worn = results.mixed.iter().filter(|found| found.peer == peer);
        let worn = worn.find_map(|found| found.worn.as_ref());
        let worn = worn.map_or("-".to_owned(), |worn| amount(worn.median, Unit::Share));
        table.rows.push(vec![peer.to_owned(), share(SMALL), worn, share(LARGE)]);
    }
    table
}

fn among(results: &Results) -> Table {
    let caption = "64 KiB are filled with secrets of 64 B, and a random one in ten, or in a hundred, \
                   stays: how many longer ones fit then. The median of several seeds. First row: the \
                   most that could, if every byte between those that stay were used.";
    let headings =
        AMONG.map(|(one_in, size)| format!("1 in {one_in} stays, {} B", thousands(size)));
    let mut columns = vec![""];
    columns.extend(headings.iter().map(String::as_str));
    let mut table = Table::new(ARE_LEFT, caption, &columns);
    for peer in distinct(results.among.iter().map(|found| found.peer)) {
        let cells = AMONG.map(|case| {
            let mut among = results.among.iter();
            let found =
                among.find(|found| found.peer == peer && (found.one_in, found.size) == case);
            found.map_or("-".to_owned(), |found| amount(found.fit.median, Unit::Secrets))
        });
        table.rows.push(iter::once(peer.to_owned()).chain(cells).collect());
    }
    table
}

fn speed(results: &Results) -> Table {
    let scenarios = scenarios();
    let mut columns = vec![""];
    columns.extend(scenarios.iter().map(|scenario| scenario.heading.as_str()));
    let caption = "Release a random secret, allocate one, write it: time in times of glibc's \
                   `malloc` + `explicit_bzero` + `free`, which locks nothing and checks nothing. \
                   Columns: live secrets of 64 B; 10,000 live of 16 to 256 B on a heap full of \
                   holes; live secrets of 4 KiB. Last row: glibc's own time.";
    let mut table = Table::new(SPEED, caption, &columns);
    let found = |name: &str| {
        let name = name.to_owned();
        results.speed.iter().filter(move |found| found.scenario == name)
    };
    for peer in distinct(results.speed.iter().map(|found| found.peer)) {
        let cells = scenarios.iter().map(|scenario| {
            let found = found(&scenario.name).find(|found| found.peer == peer);
            found.map_or("-".to_owned(), |found| times(found.paired.ratio))
        });
        table.rows.push(iter::once(peer.to_owned()).chain(cells).collect());
    }
    if !table.rows.is_empty() {
        let cells = scenarios
            .iter()
            .map(|scenario| middle(found(&scenario.name).map(|found| found.paired.floor_ns)));
        table.rows.push(iter::once("glibc, ns".to_owned()).chain(cells).collect());
    }
    table
}

fn growth_table(results: &Results) -> Table {
    let smallest = kib(growth::SMALLEST);
    let caption = format!(
        "`Buffer::new` and its drop, or its refusal, in regions of plain memory filled with \
         secrets of 64 B: time in times of that in {smallest}. Not the first after others were \
         released, which takes the runs apart that they left empty. Last column: the time there."
    );
    let mut headings = vec![String::new()];
    headings.extend(growth::LARGER.map(kib));
    headings.push(format!("{smallest}, ns"));
    let columns: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(GROWTH, &caption, &columns);
    for row in distinct(results.growth.iter().map(|found| found.row.as_str())) {
        let found = || results.growth.iter().filter(|found| found.row == row);
        let cells = growth::LARGER.map(|region| {
            let found = found().find(|found| found.region == region);
            found.map_or("-".to_owned(), |found| times(found.paired.ratio))
        });
        let floor = middle(found().map(|found| found.paired.floor_ns));
        table.rows.push(iter::once(row.to_owned()).chain(cells).chain([floor]).collect());
    }
    table
}

fn renewed(results: &Results) -> Table {
    let caption = "Live secrets when the next is refused, in a fresh arena, and in one after random \
                   allocations and releases of mixed sizes, up to full again and again, when all \
                   was freed.";
    let columns = ["", "Secrets of", "Operations", "Fresh", "After", "After / fresh"];
    let mut table = Table::new(RENEWED, caption, &columns);
    for found in &results.renewed {
        table.rows.push(vec![
            kib(found.region),
            format!("{} B", found.size),
            thousands(found.operations),
            thousands(found.fresh),
            thousands(found.after),
            format!("{:.4}", found.after as f64 / found.fresh as f64),
        ]);
    }
    table
}

fn threads_table(results: &Results) -> Table {
    let columns =
        ["", "1 thread", "2 threads", "4 threads", "8 threads", "2 / 1", "8 / 2", "each of 2"];
    let caption = "Operations per second of all threads on one shared store, in times of one \
                   glibc thread's; and the ratios of a store to itself. The first row shares \
                   nothing and allocates nothing: it says what the machine gave. \
                   Last column: what each of two threads does in its processor time, in times \
                   of one alone.";
    let mut table = Table::new(THREADS, caption, &columns);
    for peer in distinct(results.threads.iter().map(|found| found.peer)) {
        let found =
            |count| results.threads.iter().find(|found| found.peer == peer && found.count == count);
        let mut row = vec![peer.to_owned()];
        row.extend(threads::COUNTS.map(|count| match found(count) {
            Some(found) if peer != team::CONTROL => times(found.against_floor),
            _ => "-".to_owned(),
        }));
        row.push(found(2).map_or("-".to_owned(), |found| times(found.against_one)));
        row.push(found(8).map_or("-".to_owned(), |found| times(found.against_two)));
        row.push(found(2).map_or("-".to_owned(), |found| times(found.each)));
        table.rows.push(row);
    }
    table
}

fn one_core_table(results: &Results) -> Table {
    let caption = "Allocate, write and drop in ordinary threads that share one processor: the work of \
                   all in times of one thread's, by the clock and by the processor's time; and the \
                   longest call, in which other threads may have had their turn. The first row shares \
                   nothing but the processor.";
    let counts = one_core::COUNTS;
    let mut columns = vec![String::new(), "Bytes".to_owned()];
    columns.extend(counts[1..].iter().map(|count| format!("{count} threads")));
    columns.extend(counts[1..].iter().map(|count| format!("{count}, processor")));
    columns.extend(counts.iter().map(|count| format!("{count}, longest ms")));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(ONE_CORE, caption, &columns);
    for (peer, size) in distinct(results.one_core.iter().map(|found| (found.peer, found.size))) {
        let of_these = results.one_core.iter();
        let found: Vec<_> =
            of_these.filter(|found| (found.peer, found.size) == (peer, size)).collect();
        let mut row = vec![peer.to_owned(), thousands(size)];
        row.extend(found[1..].iter().map(|found| times(found.against_one)));
        row.extend(found[1..].iter().map(|found| times(found.each)));
        row.extend(found.iter().map(|found| format!("{:.1}", found.longest_ms)));
        table.rows.push(row);
    }
    table
}

fn sealing_table(results: &Results) -> Table {
    let headings: Vec<String> =
        sealing::SIZES.iter().map(|&size| format!("{} B", thousands(size))).collect();
    let mut columns = vec![""];
    columns.extend(headings.iter().map(String::as_str));
    let caption = "Time in times of another's bare ChaCha20-Poly1305 with its key set up. An \
                   enclave joins its key's shares, and opens into a cell that it takes and wipes.";
    let mut table = Table::new(SEALING, caption, &columns);
    let kinds = results.sealing.iter().map(|found| (found.peer, found.operation, found.floor));
    for (peer, operation, floor) in distinct(kinds) {
        let cells = sealing::SIZES.map(|size| {
            let mut sealing = results.sealing.iter();
            let found = sealing.find(|found| {
                (found.peer, found.operation, found.floor) == (peer, operation, floor)
                    && found.size == size
            });
            found.map_or("-".to_owned(), |found| times(found.paired.ratio))
        });
        let name = format!("{peer}, {operation} / {floor}");
        table.rows.push(iter::once(name).chain(cells).collect());
    }
    for operation in [sealing::SEAL, sealing::OPEN] {
        let cells = sealing::SIZES.map(|size| floor_time(results, operation, size));
        let name = format!("ring, {operation}, ns");
        table.rows.push(iter::once(name).chain(cells).collect());
    }
    table.rows.retain(|_| !results.sealing.is_empty());
    table
}

fn floor_time(results: &Results, operation: &str, size: usize) -> String {
    let found = results.sealing.iter().filter(|found| {
        found.floor == sealing::RING && found.operation == operation && found.size == size
    });
    middle(found.map(|found| found.paired.floor_ns))
}

fn parts(results: &Results) -> Table {
    let caption = "Of 64 B. A destroyed enclave does all but the cryptography; the rest is the \
                   difference.";
    let mut table = Table::new(PARTS, caption, &["", "Times ring's whole", "ns"]);
    for part in &results.parts {
        let name = format!("{}: {}", part.operation, part.name);
        table.rows.push(vec![name, amount(part.ratio, Unit::Times), nanoseconds(part.ns)]);
    }
    table
}

fn at_rest_table(results: &Results) -> Table {
    let few = thousands(at_rest::FEW);
    let caption = format!(
        "Resident bytes for each sealed secret of 64 B, and the time to open one of all in times \
         of one of {few}: in the order of sealing and shuffled; and the same less the time to \
         reach the record, which is the cache's."
    );
    let columns =
        ["", "Secrets", "Bytes each", "In order", "Shuffled", "In order, less", "Shuffled, less"];
    let mut table = Table::new(AT_REST, &caption, &columns);
    for found in &results.at_rest {
        table.rows.push(vec![
            found.peer.clone(),
            thousands(found.count),
            format!("{:.1}", found.resident),
            amount(found.in_order, Unit::Times),
            amount(found.shuffled, Unit::Times),
            amount(found.in_order_less_cache, Unit::Times),
            amount(found.shuffled_less_cache, Unit::Times),
        ]);
    }
    table
}

fn skipped(results: &Results) -> Table {
    let mut table = Table::new("Skipped", "", &["What", "Why"]);
    let rows =
        results.skipped.iter().map(|skipped| vec![skipped.what.clone(), skipped.why.clone()]);
    table.rows = rows.collect();
    table
}

pub(super) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}

const MACHINE: &str = "Machine";
const DENSITY: &str = "Density";
const MIXED: &str = "Mixed sizes";
const ARE_LEFT: &str = "Among those that stay";
const SPEED: &str = "Allocate, write, release";
const GROWTH: &str = "Cost by the size of the region";
const RENEWED: &str = "As good as new";
const THREADS: &str = "Threads";
const ONE_CORE: &str = "Threads on one processor";
const SEALING: &str = "Sealing and opening";
const PARTS: &str = "The parts of sealing and opening";
const AT_REST: &str = "Sealed secrets at rest";

/// Which curve goes below which table, and what it shows.
const IMAGES: [(&str, &str, &str); 4] = [
    (DENSITY, "density.svg", "Payload as a share of locked memory, by the size of the secrets"),
    (SPEED, "live.svg", "Cost against glibc, by the number of live secrets"),
    (THREADS, "threads.svg", "Work done against one glibc thread, by the number of threads"),
    (SEALING, "sealing.svg", "Cost against ring, by the size of the secret"),
];
