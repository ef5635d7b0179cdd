//! Measures strongroom beside its peers, paired in one run, and holds the figures against bars.
//!
//! Each file imports only from floors below its own (`tests/tests/floors.rs` holds them to it):
//!
//! | floor | files |
//! |---|---|
//! | 0 | `harness` `machine` `options` `page` `peers` `random` `units` |
//! | 1 | `results` `sealers` `workload` |
//! | 2 | `instructions` `measure` |
//! | 3 | `bars` `report` |
//!
//! `peers` and `sealers` are those that are compared, behind two small traits; `workload` is what they
//! do and `harness` how it is timed; `bars` is what must be reached.

mod bars;
mod harness;
mod instructions;
mod machine;
mod measure;
mod options;
mod page;
mod peers;
mod random;
mod report;
mod results;
mod sealers;
mod units;
mod workload;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use harness::Harness;
use machine::Machine;
use measure::{
    at_rest, calls, density, growth, libraries, one_core, sealing, speed, store, streams, threads,
    vault_threads, waiters, windows,
};
use options::{Group, Options, Task};
use results::Results;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.task {
        None => compare(&options),
        Some(Task::Instructions { save, functions }) => instructions::count(*save, *functions),
        Some(Task::AtRest { peer, count, rounds }) => one_at_rest(peer, *count, *rounds),
        Some(Task::HotPath { case, operations }) => instructions::run(case, *operations),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn compare(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let results = measure_all(options)?;
    report::print(&results)?;
    for path in report::write(&results, options.is_complete())? {
        println!("wrote {}", path.display());
    }
    let short = results.bars.iter().any(|bar| bar.holds() == Some(false));
    Ok(if options.strict && short { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn one_at_rest(peer: &str, count: usize, rounds: usize) -> Result<ExitCode, Box<dyn Error>> {
    let found = at_rest::run(peer, count, rounds)?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(ExitCode::SUCCESS)
}

fn measure_all(options: &Options) -> Result<Results, Box<dyn Error>> {
    let pace = if options.quick { QUICK } else { FULL };
    let mut results = Results {
        machine: Machine::read(),
        mode: if options.quick { "quick" } else { "full" },
        density: Vec::new(),
        mixed: Vec::new(),
        among: Vec::new(),
        page_each: Vec::new(),
        speed: Vec::new(),
        growth: Vec::new(),
        renewed: Vec::new(),
        threads: Vec::new(),
        one_core: Vec::new(),
        vault_threads: Vec::new(),
        waiters: Vec::new(),
        calls: Vec::new(),
        sealing: Vec::new(),
        parts: Vec::new(),
        streams: Vec::new(),
        stores: None,
        windows: Vec::new(),
        libraries: Vec::new(),
        at_rest: Vec::new(),
        skipped: Vec::new(),
        bars: Vec::new(),
    };
    measure_groups(options, &pace, &mut results)?;
    results.bars = bars::hold(&results);
    Ok(results)
}

fn measure_groups(
    options: &Options,
    pace: &Pace,
    results: &mut Results,
) -> Result<(), Box<dyn Error>> {
    // The fresh processes first: nothing of this one's heap is theirs, but its time is.
    if options.wants(Group::AtRest) {
        eprintln!("sealed secrets at rest");
        results.at_rest = at_rest::measure(MILLION, pace.passes)?;
    }
    if options.wants(Group::Density) {
        eprintln!("density");
        let found = density::measure(pace.seeds);
        results.density = found.density;
        results.mixed = found.mixed;
        results.among = found.among;
        results.page_each = found.page_each;
        results.skipped.extend(found.skipped);
    }
    if options.wants(Group::Speed) {
        eprintln!("allocate, write, release");
        let (found, skipped) = speed::measure(pace.speed);
        results.speed = found;
        results.skipped.extend(skipped);
    }
    if options.wants(Group::Growth) {
        eprintln!("cost by the size of the region");
        let found = growth::measure(pace.growth, pace.operations)?;
        results.growth = found.growth;
        results.renewed = found.renewed;
        results.skipped.extend(found.skipped);
    }
    if options.wants(Group::Threads) {
        eprintln!("threads");
        let (found, skipped) = threads::measure(pace.thread_rounds, pace.thread_turn);
        results.threads = found;
        results.skipped.extend(skipped);
    }
    if options.wants(Group::OneCore) {
        eprintln!("threads on one processor");
        let (found, skipped) = one_core::measure(pace.one_core_rounds, pace.one_core_turn);
        results.one_core = found;
        results.skipped.extend(skipped);
    }
    if options.wants(Group::Vault) {
        eprintln!("a vault's calls beside those they are made of");
        results.calls = calls::measure(pace.sealing)?;
        eprintln!("one vault, several threads");
        results.vault_threads = vault_threads::measure(pace.thread_rounds, pace.thread_turn)?;
        eprintln!("those who wait");
        results.waiters = waiters::measure(pace.waiters_rounds, pace.waiters_turn)?;
        eprintln!("windows");
        results.windows = windows::measure(pace.sealing)?;
    }
    if options.wants(Group::Enclave) {
        eprintln!("sealing and opening");
        let found = sealing::measure(pace.sealing)?;
        results.sealing = found.sealing;
        results.parts = found.parts;
        results.skipped.extend(found.skipped);
    }
    if options.wants(Group::Streams) {
        eprintln!("streams");
        results.streams = streams::measure(pace.sealing)?;
    }
    if options.wants(Group::Store) {
        eprintln!("a store");
        let (rounds, turn) = (pace.thread_rounds, pace.thread_turn);
        let found = store::measure(pace.sealing, rounds, turn, MILLION as u64, pace.passes)?;
        results.stores = Some(found);
    }
    if options.wants(Group::Libraries) {
        eprintln!("other libraries for secrets");
        results.libraries = libraries::measure(pace.sealing)?;
    }
    Ok(())
}

/// How long to measure what.
struct Pace {
    seeds: u64,
    speed: speed::Plan,
    growth: Harness,
    /// Random operations before an arena is compared with a fresh one.
    operations: usize,
    thread_rounds: usize,
    thread_turn: Duration,
    one_core_rounds: usize,
    one_core_turn: Duration,
    waiters_rounds: usize,
    /// What the operations of all who wait take one thread.
    waiters_turn: Duration,
    sealing: Harness,
    /// Passes over a million sealed secrets.
    passes: usize,
}

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const QUICK: Pace = Pace {
    seeds: 5,
    speed: speed::Plan {
        harness: Harness { turn: milliseconds(1), budget: milliseconds(200), least_rounds: 9 },
        for_strongroom: milliseconds(500),
        for_peers: milliseconds(100),
        most_pages: 1000,
    },
    growth: Harness { turn: milliseconds(1), budget: milliseconds(100), least_rounds: 9 },
    operations: 300_000,
    thread_rounds: 5,
    thread_turn: milliseconds(15),
    one_core_rounds: 1,
    one_core_turn: milliseconds(400),
    waiters_rounds: 3,
    waiters_turn: milliseconds(100),
    sealing: Harness { turn: milliseconds(1), budget: milliseconds(150), least_rounds: 9 },
    passes: 1,
};

const FULL: Pace = Pace {
    seeds: 25,
    speed: speed::Plan {
        harness: Harness { turn: milliseconds(3), budget: milliseconds(1500), least_rounds: 25 },
        for_strongroom: milliseconds(5000),
        for_peers: milliseconds(1200),
        most_pages: 10_000,
    },
    growth: Harness { turn: milliseconds(3), budget: milliseconds(600), least_rounds: 25 },
    operations: 3_000_000,
    thread_rounds: 25,
    thread_turn: milliseconds(40),
    one_core_rounds: 5,
    one_core_turn: milliseconds(800),
    waiters_rounds: 9,
    waiters_turn: milliseconds(300),
    sealing: Harness { turn: milliseconds(3), budget: milliseconds(1500), least_rounds: 25 },
    passes: 6,
};

const MILLION: usize = 1_000_000;
