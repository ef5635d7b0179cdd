//! The work that two threads do on one vault, each with one secret open at a time, beside what the
//! vault is made of and threads that share nothing.
//!
//! A round runs all of them, with one thread and with two, so that ratios are between neighbours in
//! time.

use std::hint::black_box;
use std::time::Duration;

use strongroom::Park;
use strongroom_core::{Buffer, Enclave};

use super::team::{self, CONTROL, Rate, STEP, Turn};
use crate::harness::Spread;
use crate::peers::{self, Strongroom};
use crate::results::VaultThreads;
use crate::sealers::CONTEXT;

/// What each thread of a turn does.
pub(super) type Work<'w> = &'w (dyn Fn(&Turn) + Sync);

/// Measures the vault's calls and those that they are made of.
pub(crate) fn measure(rounds: usize, turn: Duration) -> Result<Vec<VaultThreads>, String> {
    let vault = peers::vault(REGION)?;
    let room = Strongroom::with_owner(REGION, Park)?;
    let enclave = Enclave::new(room.arena()).map_err(|error| error.to_string())?;
    let own = vault.seal(&[0xa5; SIZE], CONTEXT).map_err(|error| error.to_string())?;
    let record = [0; Enclave::record_len(SIZE)];
    let other = enclave.seal(&[0xa5; SIZE], CONTEXT, record).map_err(|error| error.to_string())?;

    let peers: [(&str, Work<'_>); 5] = [
        (CONTROL, &team::share_nothing),
        (TRY_OPEN, &|turn| {
            repeat(turn, || vault.try_open(black_box(&own), CONTEXT).expect("both fit"));
        }),
        ("strongroom (Enclave, Park), open", &|turn| {
            repeat(turn, || enclave.open(black_box(&other), CONTEXT).expect("both fit"));
        }),
        (TRY_ALLOCATE, &|turn| {
            repeat(turn, || vault.try_allocate(black_box(SIZE)).expect("both fit"));
        }),
        ("strongroom (Buffer, Park)", &|turn| {
            repeat(turn, || Buffer::new(room.arena(), black_box(SIZE)).expect("both fit"));
        }),
    ];
    Ok(compare(&peers, rounds, turn))
}

/// Holds what two threads do against what one does.
pub(super) fn compare(
    works: &[(&'static str, Work<'_>)],
    rounds: usize,
    turn: Duration,
) -> Vec<VaultThreads> {
    let run = |round, work| [1, THREADS].map(|count| team::turn(count, round, turn, work));
    let rounds: Vec<Vec<_>> = (0..rounds)
        .map(|round| works.iter().map(|&(_, work)| run(round, work)).collect())
        .collect();
    let found = works.iter().enumerate().map(|(index, &(peer, _))| {
        let spread = |of: fn(&Rate) -> f64| {
            let ratios = rounds.iter().map(|round| of(&round[index][1]) / of(&round[index][0]));
            Spread::of(&ratios.collect::<Vec<f64>>())
        };
        VaultThreads {
            peer,
            size: SIZE,
            count: THREADS,
            against_one: spread(|rate| rate.by_wall),
            each: spread(|rate| rate.by_processor),
        }
    });
    found.collect()
}

/// One thread's work: makes one secret after another, each when the one before is gone.
fn repeat<T>(turn: &Turn, mut call: impl FnMut() -> T) {
    turn.repeat(|| (0..STEP).for_each(|_| drop(black_box(call()))));
}

pub(crate) const TRY_OPEN: &str = "strongroom (Vault), try_open";
pub(crate) const TRY_ALLOCATE: &str = "strongroom (Vault), try_allocate";

/// Bytes of each secret.
pub(crate) const SIZE: usize = 64;

pub(crate) const THREADS: usize = 2;

const REGION: usize = 1024 * 1024;
