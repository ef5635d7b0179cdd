//! A store beside what a program would build by hand: a map of boxed records, each decrypted when it is
//! opened.

use std::collections::HashMap;
use std::fmt::Display;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use hardware_enclave::MemoryEnclave;
use strongroom::{Name, Sealed, Store, Vault};

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

/// Fills a store and a map in turn, and opens from each in random order. What the store's records take
/// is given too, in bytes each.
fn many_names(
    vault: &Arc<Vault>,
    count: u64,
    passes: usize,
) -> Result<(Vec<BesideOther>, f64), String> {
    let mut order: Vec<u64> = (0..count).collect();
    Random::new(1).shuffle(&mut order);
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |what, other, own: f64, others: f64| {
        let time = (own / others, own);
        match rows.iter_mut().find(|row| (row.0, row.1) == (what, other)) {
            Some((.., times)) => times.push(time),
            None => rows.push((what, other, vec![time])),
        }
    };
    let mut record_bytes = 0.0;
    for _ in 0..passes {
        for (capacity, insert) in [(0, INSERT), (order.len(), INSERT_WITH_ROOM)] {
            let of_map = fill_map(vault, capacity, &order)?;
            let of_shards = fill_shards(vault, capacity, &order)?;
            let (own, alone, bytes) = fill_store(vault, capacity, &order)?;
            for (other, others) in [(MAP, of_map), (SHARDS, of_shards)] {
                add(insert, other, own.insert, others.insert);
                add(OPEN_RANDOM, other, own.open, others.open);
                add(OPEN_ALONE, other, alone, others.open);
            }
            record_bytes = bytes / count as f64;
        }
    }
    let time = |(what, other, times): Row| BesideOther {
        what,
        other,
        ratio: Spread::of(&times.iter().map(|&(ratio, _)| ratio).collect::<Vec<_>>()),
        ns: times.last().map_or(0.0, |&(_, ns)| ns),
    };
    Ok((rows.into_iter().map(time).collect(), record_bytes))
}

/// What is done, beside whom; and each time the ratio and the nanoseconds.
type Row = (&'static str, &'static str, Vec<(f64, f64)>);

/// Nanoseconds for each.
struct Filled {
    insert: f64,
    open: f64,
}

fn fill_map(vault: &Vault, capacity: usize, order: &[u64]) -> Result<Filled, String> {
    let begun = Clock::start();
    let mut map = HashMap::<Number, Sealed>::with_capacity(capacity);
    let insert = each(begun, 0..order.len() as u64, |name| {
        map.insert(name, vault.seal(&SECRET, &name.0).map_err(told)?);
        Ok(())
    })?;
    let open = each(Clock::start(), order.iter().copied(), |name| {
        vault.try_open(&map[&name], &name.0).map(drop).map_err(told)
    })?;
    Ok(Filled { insert, open })
}

/// The same in a map that threads share.
fn fill_shards(vault: &Vault, capacity: usize, order: &[u64]) -> Result<Filled, String> {
    let begun = Clock::start();
    let map = DashMap::<Number, Sealed>::with_capacity(capacity);
    let insert = each(begun, 0..order.len() as u64, |name| {
        map.insert(name, vault.seal(&SECRET, &name.0).map_err(told)?);
        Ok(())
    })?;
    let open = each(Clock::start(), order.iter().copied(), |name| {
        let sealed = map.get(&name).ok_or("it was put in")?;
        vault.try_open(&sealed, &name.0).map(drop).map_err(told)
    })?;
    Ok(Filled { insert, open })
}

/// The same in a store, from which each is then opened alone as well; and what its records take.
fn fill_store(
    vault: &Arc<Vault>,
    capacity: usize,
    order: &[u64],
) -> Result<(Filled, f64, f64), String> {
    let begun = Clock::start();
    let store = Store::with_capacity(vault.share(), capacity);
    let insert = each(begun, 0..order.len() as u64, |name| {
        store.insert(name, &SECRET).map(drop).map_err(told)
    })?;
    let open = each(Clock::start(), order.iter().copied(), |name| {
        store.try_open(&name).map(drop).map_err(told)
    })?;
    let alone = each(Clock::start(), order.iter().copied(), |name| {
        store.try_open_alone(&name).map(drop).map_err(told)
    })?;
    Ok((Filled { insert, open }, alone, store.metrics().record_bytes as f64))
}

/// Nanoseconds that `act` takes for each name, with what was done since `begun`.
#[inline(always)]
fn each(
    begun: Clock,
    numbers: impl Iterator<Item = u64>,
    mut act: impl FnMut(Number) -> Result<(), String>,
) -> Result<f64, String> {
    let mut count = 0_u64;
    for number in numbers {
        act(Number::of(number))?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / count as f64)
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
const REGION: usize = 64 * 1024;
