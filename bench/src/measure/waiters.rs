//! Many threads that wait for room in a vault with few places: each opens a secret and drops it, so
//! many times. The same number by one thread, which never waits, is what they are held against.
//!
//! A round runs both, so that ratios are between neighbours in time; so do a vault with room for all
//! and threads that share nothing. There is a line only once more threads than there are places were
//! interrupted with a secret open, so a turn is many times what a thread runs without interruption.

use std::hint::black_box;
use std::iter;
use std::time::Duration;

use strongroom::{Sealed, Vault};

use super::team::{self, CONTROL, Rate};
use crate::harness::{self, Spread};
use crate::peers;
use crate::random::Random;
use crate::results::{Line, Waiters};
use crate::sealers::CONTEXT;

/// Measures with so many operations that one thread takes about `turn`.
pub(crate) fn measure(rounds: usize, turn: Duration) -> Result<Vec<Waiters>, String> {
    let crowd = Crowd { rounds, turn };
    let mut found = vec![crowd.measure(CONTROL, |count| {
        let mut random = Random::new(1);
        for _ in 0..count {
            black_box(random.next());
        }
    })];
    for (name, bytes) in [(FEW, 4096), (MANY, 1024 * 1024)] {
        let vault = peers::vault(bytes)?;
        let sealed = vault.seal(&[0xa5; SIZE], CONTEXT).map_err(|error| error.to_string())?;
        let places = places(&vault, &sealed);
        let row = crowd.measure(name, |count| {
            for _ in 0..count {
                let opened = vault.open_timeout(black_box(&sealed), CONTEXT, PATIENCE);
                drop(black_box(opened.expect("everybody's turn comes")));
            }
        });
        let metrics = vault.metrics();
        let line = Line {
            places,
            waits: metrics.waits,
            longest_wait_ms: metrics.longest_wait.as_secs_f64() * 1e3,
        };
        found.push(Waiters { line: Some(line), ..row });
    }
    Ok(found)
}

struct Crowd {
    rounds: usize,
    turn: Duration,
}

impl Crowd {
    /// `work` does so many operations.
    fn measure(&self, peer: &'static str, work: impl Fn(u64) + Sync) -> Waiters {
        eprintln!("  {peer}");
        let each = harness::calibrate(self.turn, &mut |n| work(n)).div_ceil(THREADS as u64);
        let all = each * THREADS as u64;
        let rounds: Vec<[Rate; 2]> = (0..self.rounds)
            .map(|round| {
                [(1, all), (THREADS, each)].map(|(n, each)| team::share(n, round, each, &work))
            })
            .collect();
        let spread = |of: fn(&Rate) -> f64| {
            let ratios = rounds.iter().map(|[one, all]| of(all) / of(one));
            Spread::of(&ratios.collect::<Vec<f64>>())
        };
        Waiters {
            peer,
            size: SIZE,
            count: THREADS,
            operations: all,
            line: None,
            against_one: spread(|rate| rate.by_wall),
            each: spread(|rate| rate.by_processor),
        }
    }
}

/// How many such secrets can be open at a time.
fn places<S: AsRef<[u8]>>(vault: &Vault, sealed: &Sealed<S>) -> usize {
    iter::from_fn(|| vault.try_open(sealed, CONTEXT).ok()).collect::<Vec<_>>().len()
}

pub(crate) const FEW: &str = "strongroom (Vault)";
const MANY: &str = "strongroom (Vault), room for all";

/// Bytes of the secret.
pub(crate) const SIZE: usize = 200;

pub(crate) const THREADS: usize = 256;

/// Longer than anybody waits.
const PATIENCE: Duration = Duration::from_mins(1);
