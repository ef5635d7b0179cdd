//! What strongroom must reach, and whether it did.

use crate::measure::density::{AMONG, LARGE, SMALL};
use crate::measure::{growth, speed};
use crate::peers::{BUFFERS, STRONGROOM};
use crate::results::{Bar, Results, Target, Unit};
use crate::units::{kib, thousands};

/// Holds the results against every bar.
pub(crate) fn hold(results: &Results) -> Vec<Bar> {
    let mut bars = Vec::new();
    density(results, &mut bars);
    speed(results, &mut bars);
    growth(results, &mut bars);
    renewed(results, &mut bars);
    threads(results, &mut bars);
    one_core(results, &mut bars);
    vault(results, &mut bars);
    sealing(results, &mut bars);
    streams(results, &mut bars);
    store(results, &mut bars);
    libraries(results, &mut bars);
    at_rest(results, &mut bars);
    bars
}

fn density(results: &Results, bars: &mut Vec<Bar>) {
    let small = [(16, 2500), (32, 1520), (64, 880), (128, 445), (256, 220), (1024, 49), (4096, 13)];
    let large = [(64, 110_000)];
    let all = small.map(|bar| (SMALL, bar)).into_iter().chain(large.map(|bar| (LARGE, bar)));
    for (region, (size, least)) in all {
        let found = results
            .density
            .iter()
            .find(|found| found.peer == STRONGROOM && found.region == region && found.size == size);
        let size = thousands(size);
        bars.push(Bar {
            what: format!("live secrets of {size} B in {}", kib(region)),
            target: Target::AtLeast(f64::from(least)),
            measured: found.map(|found| found.live as f64),
            unit: Unit::Secrets,
        });
    }
    for (region, least) in [(LARGE, 0.80), (SMALL, 0.72)] {
        let mut mixed = results.mixed.iter();
        let found = mixed.find(|found| found.peer == STRONGROOM && found.region == region);
        bars.push(Bar {
            what: format!("payload of mixed sizes in {}", kib(region)),
            target: Target::AtLeast(least),
            measured: found.map(|found| found.payload.median),
            unit: Unit::Share,
        });
    }
    let mut mixed = results.mixed.iter();
    let found = mixed.find(|found| found.peer == STRONGROOM && found.region == SMALL);
    bars.push(Bar {
        what: format!("payload of mixed sizes in {}, worn", kib(SMALL)),
        target: Target::AtLeast(0.68),
        measured: found.and_then(|found| Some(found.worn.as_ref()?.median)),
        unit: Unit::Share,
    });
    for ((one_in, size), least) in AMONG.into_iter().zip([200.0, 4.0, 45.0]) {
        let mut among = results.among.iter();
        let found = among
            .find(|found| found.peer == STRONGROOM && (found.one_in, found.size) == (one_in, size));
        let size = thousands(size);
        bars.push(Bar {
            what: format!(
                "secrets of {size} B that fit 64 KiB where one in {one_in} of 64 B stays"
            ),
            target: Target::AtLeast(least),
            measured: found.map(|found| found.fit.median),
            unit: Unit::Secrets,
        });
    }
}

fn speed(results: &Results, bars: &mut Vec<Bar>) {
    let bar = |peer: &str, scenario: &str| match scenario {
        speed::FRAGMENTED => 1.8,
        scenario if scenario.starts_with("4,096 B") => 1.3,
        _ if peer == STRONGROOM => 1.8,
        _ => 2.0,
    };
    for (name, peer) in [("Arena", STRONGROOM), ("Buffer", BUFFERS)] {
        for speed::Scenario { name: scenario, load, .. } in speed::scenarios() {
            if [10, 100].contains(&load.live) {
                continue;
            }
            bars.push(Bar {
                what: format!("{name}, {scenario}: times glibc"),
                target: Target::AtMost(bar(peer, &scenario)),
                measured: against_glibc(results, peer, &scenario),
                unit: Unit::Times,
            });
        }
        let at = |live| {
            let scenario = speed::scenarios().into_iter().find(|one| one.load.live == live)?;
            against_glibc(results, peer, &scenario.name)
        };
        bars.push(Bar {
            what: format!("{name}, 64 B: that at 100,000 live in times of that at 1,000"),
            target: Target::AtMost(1.3),
            measured: at(100_000).zip(at(1000)).map(|(many, few)| many / few),
            unit: Unit::Times,
        });
    }
}

fn against_glibc(results: &Results, peer: &str, scenario: &str) -> Option<f64> {
    let mut speed = results.speed.iter();
    let found = speed.find(|found| found.peer == peer && found.scenario == scenario)?;
    Some(found.paired.ratio.median)
}

fn growth(results: &Results, bars: &mut Vec<Bar>) {
    for row in growth::rows() {
        for region in growth::LARGER {
            let mut growth = results.growth.iter();
            let found = growth.find(|found| found.row == row.name() && found.region == region);
            let (name, smallest) = (row.name(), kib(growth::SMALLEST));
            bars.push(Bar {
                what: format!("{name}, in {}: times that in {smallest}", kib(region)),
                target: Target::AtMost(3.0),
                measured: found.map(|found| found.paired.ratio.median),
                unit: Unit::Times,
            });
        }
    }
}

fn renewed(results: &Results, bars: &mut Vec<Bar>) {
    for region in [SMALL, LARGE] {
        let found = results.renewed.iter().find(|found| found.region == region);
        bars.push(Bar {
            what: format!("secrets that fit {} when all was freed: of a fresh arena", kib(region)),
            // A run or two of the class may stay where they were.
            target: Target::AtLeast(0.999),
            measured: found.map(|found| found.after as f64 / found.fresh as f64),
            unit: Unit::Share,
        });
    }
}

fn threads(results: &Results, bars: &mut Vec<Bar>) {
    let found = |count| {
        results.threads.iter().find(|found| found.peer == STRONGROOM && found.count == count)
    };
    bars.push(Bar {
        what: "two threads on one arena: times the work of one".to_owned(),
        target: Target::AtLeast(1.6),
        measured: found(2).map(|found| found.against_one.median),
        unit: Unit::Times,
    });
    bars.push(Bar {
        what: "eight threads on one arena: times the work of two (1, less what noise takes)"
            .to_owned(),
        target: Target::AtLeast(NOTHING_LOST),
        measured: found(8).map(|found| found.against_two.median),
        unit: Unit::Times,
    });
}

fn one_core(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::one_core::{COUNTS, PARK, SIZES, VAULT};
    let most = COUNTS[COUNTS.len() - 1];
    for (name, peer) in [("Arena", PARK), ("Vault", VAULT)] {
        for size in SIZES {
            let mut found = results.one_core.iter();
            let found = found.find(|one| (one.peer, one.size, one.count) == (peer, size, most));
            bars.push(Bar {
                what: format!(
                    "{name}, {} B: {most} threads on one processor, times the work of one",
                    thousands(size)
                ),
                target: Target::AtLeast(0.8),
                // By the clock others' work counts, and by the processor's time idling does not.
                measured: found.map(|one| one.against_one.median.min(one.each.median)),
                unit: Unit::Times,
            });
        }
    }
}

fn vault(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::{vault_threads, waiters};
    use vault_threads::{TRY_ALLOCATE, TRY_OPEN};
    for (call, peer) in [("try_open", TRY_OPEN), ("try_allocate", TRY_ALLOCATE)] {
        let found = results.vault_threads.iter().find(|found| found.peer == peer);
        let size = vault_threads::SIZE;
        bars.push(Bar {
            what: format!(
                "{call} + drop of {size} B, two threads on one vault: times the work of one"
            ),
            target: Target::AtLeast(1.6),
            measured: found.map(|found| found.against_one.median),
            unit: Unit::Times,
        });
    }
    for (name, most) in [
        ("Vault::try_open + drop", 1.12),
        ("Vault::try_allocate + drop", 1.5),
        ("Vault::seal + drop", 1.08),
    ] {
        let found = results.calls.iter().find(|found| found.name == name && found.size == 64);
        bars.push(Bar {
            what: format!("{name} of 64 B: times what it is made of"),
            target: Target::AtMost(most),
            measured: found.map(|found| found.paired.ratio.median),
            unit: Unit::Times,
        });
    }
    let found = results.waiters.iter().find(|found| found.peer == waiters::FEW);
    let (count, size) = (waiters::THREADS, waiters::SIZE);
    bars.push(Bar {
        what: format!(
            "open_timeout + drop of {size} B, {count} threads on one page: times the work of one"
        ),
        target: Target::AtLeast(0.8),
        // Where nobody had to wait, it says nothing about those who do.
        measured: found
            .filter(|found| found.line.is_some_and(|line| line.waits > 0))
            .map(|found| found.against_one.median),
        unit: Unit::Times,
    });
}

fn sealing(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::sealing::{CRATE, ENCLAVE, LONG, OPEN, RING, SEAL, SHORT};
    let found = |floor, operation, size| {
        let mut sealing = results.sealing.iter();
        let found = sealing.find(|found| {
            found.peer == ENCLAVE
                && found.floor == floor
                && found.operation == operation
                && found.size == size
        });
        found.map(|found| found.paired.ratio.median)
    };
    for (operation, size, floor, most) in [
        (SEAL, SHORT, RING, 1.15),
        (OPEN, SHORT, RING, 1.25),
        (SEAL, 256, RING, 1.3),
        (OPEN, 256, RING, 1.3),
        (SEAL, 1024, RING, 1.3),
        (OPEN, 1024, RING, 1.3),
        (SEAL, 4096, RING, 1.3),
        (OPEN, 4096, RING, 1.3),
        (SEAL, 65536, RING, 1.3),
        (OPEN, 65536, RING, 1.3),
        (SEAL, LONG, CRATE, 0.7),
        (OPEN, LONG, CRATE, 0.7),
    ] {
        let drop = if operation == OPEN { " + drop" } else { "" };
        let size_text = thousands(size);
        bars.push(Bar {
            what: format!("{operation}{drop} of {size_text} B: times {floor}"),
            target: Target::AtMost(most),
            measured: found(floor, operation, size),
            unit: Unit::Times,
        });
    }
}

fn streams(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::sealing::{LONG, OPEN, SEAL};
    for operation in [SEAL, OPEN] {
        let mut streams = results.streams.iter();
        let found = streams.find(|found| (found.operation, found.chunk) == (operation, LONG));
        let chunk = thousands(LONG);
        bars.push(Bar {
            what: format!("{operation} a stream in chunks of {chunk} B: times aead-stream"),
            target: Target::AtMost(1.2),
            measured: found.map(|found| found.paired.ratio.median),
            unit: Unit::Times,
        });
    }
}

fn store(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::store::{
        INSERT, INSERT_WITH_ROOM, ONE_NAME, OPEN_AGAIN, OPEN_ALONE, OPEN_RANDOM, OWN_NAMES,
    };
    let stores = results.stores.as_ref();
    for (what, most) in [
        (OPEN_AGAIN, 0.25),
        (INSERT, 1.0),
        (INSERT_WITH_ROOM, 1.0),
        (OPEN_RANDOM, 1.0),
        (OPEN_ALONE, 1.0),
    ] {
        let found = stores.and_then(|stores| stores.times.iter().find(|found| found.what == what));
        bars.push(Bar {
            what: format!("a store, {what}: times what is done without"),
            target: Target::AtMost(most),
            measured: found.map(|found| found.ratio.median),
            unit: Unit::Times,
        });
    }
    for (peer, least) in [(OWN_NAMES, 1.6), (ONE_NAME, 1.0)] {
        let found =
            stores.and_then(|stores| stores.threads.iter().find(|found| found.peer == peer));
        bars.push(Bar {
            what: format!("a store, two threads, {peer}: times one"),
            target: Target::AtLeast(least),
            measured: found.map(|found| found.against_one.median),
            unit: Unit::Times,
        });
    }
}

fn libraries(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::libraries::MEMSAFE;
    for found in results.libraries.iter().filter(|found| found.other != MEMSAFE) {
        bars.push(Bar {
            what: format!("{}: times {}", found.what, found.other),
            target: Target::AtMost(1.0),
            measured: Some(found.ratio.median),
            unit: Unit::Times,
        });
    }
}

fn at_rest(results: &Results, bars: &mut Vec<Bar>) {
    use crate::measure::at_rest::{ENCLAVE, PACKED};
    let of = |peer: &str| results.at_rest.iter().find(|found| found.peer == peer);
    let found = of(ENCLAVE);
    let count = found.map_or(1_000_000, |found| found.count);
    let count = thousands(count);
    for (peer, how, most) in
        [(ENCLAVE, "in a box of its own", 112.0), (PACKED, "packed, with its handle", 96.0)]
    {
        bars.push(Bar {
            what: format!("resident memory for each of {count} sealed secrets of 64 B, {how}"),
            target: Target::AtMost(most),
            // The kernel counts in pages.
            measured: of(peer).map(|found| found.resident.round()),
            unit: Unit::Bytes,
        });
    }
    for (order, measured) in [
        ("in the order of sealing", found.map(|found| found.in_order_less_cache)),
        ("shuffled", found.map(|found| found.shuffled_less_cache)),
    ] {
        bars.push(Bar {
            what: format!(
                "opening one of {count}, {order}, less the cache's part: times one of 1,000"
            ),
            target: Target::AtMost(AS_FAST),
            measured,
            unit: Unit::Times,
        });
    }
}

/// Two medians of the same work differ by as much.
const NOTHING_LOST: f64 = 0.95;

/// What counts as equally fast.
const AS_FAST: f64 = 1.1;
