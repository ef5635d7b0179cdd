//! A store beside what a program would build by hand: a map of boxed records, each decrypted when it is
//! opened.

use std::collections::HashMap;
use std::fmt::Display;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use hardware_enclave::MemoryEnclave;
use strongroom::{Name, Store, Vault};

use super::team::{self, STEP, Turn};
use super::vault_threads::{self, SIZE, Work};
use crate::harness::{Clock, Harness, Spread};
use crate::random::Random;
use crate::results::{BesideOther, Stores, VaultThreads};

/// Measures one name, two threads, and many names.
pub(crate) fn measure(
    harness: Harness,
    rounds: usize,
    turn: Duration,
    count: u64,
    passes: usize,
) -> Result<Stores, String> {
    let vault = Arc::new(Vault::new(REGION).map_err(|error| error.to_string())?);
    let mut times = one_name(harness, &vault)?;
    let threads = two_threads(rounds, turn, &vault)?;
    let (many, record_bytes) = many_names(&vault, count, passes)?;
    times.extend(many);
    Ok(Stores { times, threads, count, record_bytes })
}

fn one_name(harness: Harness, vault: &Arc<Vault>) -> Result<Vec<BesideOther>, String> {
    let sealed = vault.seal(&SECRET, &NAME.0).map_err(|error| error.to_string())?;
    let lingering = filled(vault, LINGERING)?;
    let plain = filled(vault, Duration::ZERO)?;
    let mut times = Vec::new();
    let decrypting = |count: u64| {
        (0..count)
            .for_each(|_| drop(vault.try_open(black_box(&sealed), &NAME.0).expect("it fits")));
    };
    for (what, store) in [(OPEN_AGAIN, &lingering), (OPEN_FIRST, &plain)] {
        let paired = harness.pair(decrypting, |count| {
            (0..count).for_each(|_| drop(store.try_open(black_box(&NAME)).expect("it fits")));
        });
        times.push(BesideOther { what, other: VAULT, ratio: paired.ratio, ns: paired.own_ns });
    }
    // A peer that keeps what was opened lately, as plaintext in locked memory: 32 bytes fit there by default.
    let peer = MemoryEnclave::seal(&SECRET[..PEER_SIZE]).map_err(|error| error.to_string())?;
    let store = Store::new(vault.share()).with_lingering(LINGERING);
    store.insert(NAME, &SECRET[..PEER_SIZE]).map_err(|error| error.to_string())?;
    let paired = harness.pair(
        |count| (0..count).for_each(|_| drop(black_box(&peer).open().expect("it is kept"))),
        |count| (0..count).for_each(|_| drop(store.try_open(black_box(&NAME)).expect("it fits"))),
    );
    times.push(BesideOther {
        what: OPEN_PEER,
        other: PEER,
        ratio: paired.ratio,
        ns: paired.own_ns,
    });
    Ok(times)
}

/// Two threads that open again what lingers: each its own name, or both the same.
fn two_threads(
    rounds: usize,
    turn: Duration,
    vault: &Arc<Vault>,
) -> Result<Vec<VaultThreads>, String> {
    let store = filled(vault, LINGERING)?;
    let open = |turn: &Turn, name: Number| {
        turn.repeat(|| {
            (0..STEP)
                .for_each(|_| drop(black_box(store.try_open(black_box(&name)).expect("it fits"))));
        });
    };
    let own = |turn: &Turn| open(turn, Number::of(turn.take_number()));
    let same = |turn: &Turn| open(turn, NAME);
    let works: [(&'static str, Work<'_>); 3] =
        [(team::CONTROL, &team::share_nothing), (OWN_NAMES, &own), (ONE_NAME, &same)];
    Ok(vault_threads::compare(&works, rounds, turn))
}

/// Fills a store and maps in turn, and opens each name of each once, in random order and by turns. What the
/// store's records take is given too, in bytes each.
fn many_names(
    vault: &Arc<Vault>,
    count: u64,
    passes: usize,
) -> Result<(Vec<BesideOther>, f64), String> {
    let mut order: Vec<u64> = (0..count).collect();
    Random::new(1).shuffle(&mut order);
    let parts: Vec<_> = order.chunks(AT_A_TURN).collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |what, other, own: f64, others: f64| {
        let time = (own / others, own);
        match rows.iter_mut().find(|row| (row.0, row.1) == (what, other)) {
            Some((.., times)) => times.push(time),
            None => rows.push((what, other, vec![time])),
        }
    };
    let mut record_bytes = 0.0;
    let seal = |name: Number| vault.seal(&SECRET, &name.0).map_err(told);
    for pass in 0..passes {
        for (capacity, insert) in [(0, INSERT), (order.len(), INSERT_WITH_ROOM)] {
            let (mut map, mut shards, mut store) = (None, None, None);
            // Each is filled first as often as the others.
            for which in (0..3).map(|which| (which + pass) % 3) {
                match which {
                    0 => {
                        map = Some(fill(
                            count,
                            || HashMap::with_capacity(capacity),
                            |map, name| seal(name).map(|sealed| _ = map.insert(name, sealed)),
                        )?);
                    }
                    1 => {
                        shards = Some(fill(
                            count,
                            || DashMap::with_capacity(capacity),
                            |map, name| seal(name).map(|sealed| _ = map.insert(name, sealed)),
                        )?);
                    }
                    _ => {
                        let make = || Store::with_capacity(vault.share(), capacity);
                        store = Some(fill(count, make, |store, name| {
                            store.insert(name, &SECRET).map(drop).map_err(told)
                        })?);
                    }
                }
            }
            let all = map.zip(shards).zip(store).expect("each was filled");
            let (((map, into_map), (shards, into_shards)), (store, into_store)) = all;
            add(insert, MAP, into_store, into_map);
            add(insert, SHARDS, into_store, into_shards);
            record_bytes = store.metrics().record_bytes as f64;
            let ways: [Way<'_>; 4] = [
                &|names| each(names, |name| vault.try_open(&map[&name], &name.0).map(drop)),
                &|names| {
                    each(names, |name| {
                        let sealed = shards.get(&name).expect("it was put in");
                        vault.try_open(&sealed, &name.0).map(drop)
                    })
                },
                &|names| each(names, |name| store.try_open(&name).map(drop)),
                &|names| each(names, |name| store.try_open_alone(&name).map(drop)),
            ];
            for turn in 0..parts.len() {
                let mut times = [0.0; 4];
                // Each goes first as often as the others.
                for way in (0..4).map(|way| (way + turn) % 4) {
                    // Two ways open out of one store: what one has opened the other would find in the cache.
                    let part = turn + way * parts.len() / 4;
                    times[way] = ways[way](parts[part % parts.len()])?;
                }
                let [of_map, of_shards, shared, alone] = times;
                for (other, others) in [(MAP, of_map), (SHARDS, of_shards)] {
                    add(OPEN_RANDOM, other, shared, others);
                    add(OPEN_ALONE, other, alone, others);
                }
            }
        }
    }
    let time = |(what, other, times): Row| BesideOther {
        what,
        other,
        ratio: Spread::of(&times.iter().map(|&(ratio, _)| ratio).collect::<Vec<_>>()),
        ns: Spread::of(&times.iter().map(|&(_, ns)| ns).collect::<Vec<_>>()).median,
    };
    Ok((rows.into_iter().map(time).collect(), record_bytes / count as f64))
}

/// Opens some names in one way. Nanoseconds for each.
type Way<'w> = &'w dyn Fn(&[u64]) -> Result<f64, String>;

/// What is done, beside whom; and each time the ratio and the nanoseconds.
type Row = (&'static str, &'static str, Vec<(f64, f64)>);

/// Makes something and puts all names in. Nanoseconds for each.
fn fill<M>(
    count: u64,
    make: impl FnOnce() -> M,
    put: impl Fn(&mut M, Number) -> Result<(), String>,
) -> Result<(M, f64), String> {
    let begun = Clock::start();
    let mut map = make();
    for name in (0..count).map(Number::of) {
        put(&mut map, name)?;
    }
    Ok((map, begun.nanoseconds_each(count)))
}

/// Nanoseconds that `open` takes for each name.
#[inline(always)]
fn each<E: Display>(
    names: &[u64],
    mut open: impl FnMut(Number) -> Result<(), E>,
) -> Result<f64, String> {
    let begun = Clock::start();
    for &name in names {
        open(Number::of(name)).map_err(told)?;
    }
    Ok(begun.nanoseconds_each(names.len() as u64))
}

fn told(error: impl Display) -> String {
    error.to_string()
}

fn filled(vault: &Arc<Vault>, lingering: Duration) -> Result<Store<Number>, String> {
    let store = Store::new(vault.share()).with_lingering(lingering);
    for number in 0..FEW {
        store.insert(Number::of(number), &SECRET).map_err(|error| error.to_string())?;
    }
    Ok(store)
}

/// A name of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Number([u8; 8]);

impl Number {
    fn of(number: u64) -> Self {
        Self(number.to_le_bytes())
    }
}

impl Name for Number {
    fn name_bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) const OPEN_AGAIN: &str = "open again what lingers";
pub(crate) const OPEN_FIRST: &str = "open and decrypt";
pub(crate) const INSERT: &str = "insert one of many";
pub(crate) const INSERT_WITH_ROOM: &str = "insert one of many, with room made before";
pub(crate) const OPEN_RANDOM: &str = "open one of many, at random";
pub(crate) const OPEN_ALONE: &str = "open one of many alone, at random";
pub(crate) const OWN_NAMES: &str = "each its own name";
pub(crate) const ONE_NAME: &str = "both the same name";

const OPEN_PEER: &str = "open again what lingers, 32 B";

const PEER: &str = "hardware-enclave, from its cache";
const SHARDS: &str = "DashMap of boxed records";
const VAULT: &str = "Vault::try_open";
const MAP: &str = "HashMap of boxed records";

const NAME: Number = Number([3, 0, 0, 0, 0, 0, 0, 0]);
const SECRET: [u8; SIZE] = [0xa5; SIZE];
/// Bytes that the peer keeps.
const PEER_SIZE: usize = 32;
const LINGERING: Duration = Duration::from_mins(1);
const FEW: u64 = 16;
/// Names that are opened in one way before it is another's turn.
const AT_A_TURN: usize = 10_000;
const REGION: usize = 64 * 1024;
