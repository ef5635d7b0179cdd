//! Many threads that wait for room in a vault with few places: each opens a secret and drops it, so
//! many times. The same number by one thread is what they are held against.
//!
//! The places are taken until all threads are in line: left to themselves the threads would run one
//! after the other for a while, and when the line forms would be chance. A round runs both numbers of
//! threads, so that ratios are between neighbours in time.

use std::hint::black_box;
use std::iter;
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{Opened, Vault};

use super::team::{self, CONTROL, Rate};
use crate::harness::{self, Spread};
use crate::peers;
use crate::random::Random;
use crate::results::{Line, Waiters};
use crate::sealers::CONTEXT;

/// Measures with so many operations that one thread takes about `turn`: a vault with few places, one
/// with room for all, and threads that share nothing.
pub(crate) fn measure(rounds: usize, turn: Duration) -> Result<Vec<Waiters>, String> {
    let crowd = Crowd { rounds, turn };
    let share_nothing = |count| {
        let mut random = Random::new(1);
        for _ in 0..count {
            black_box(random.next());
        }
    };
    let mut found = vec![crowd.measure(CONTROL, share_nothing, |_| |begun| begun)];
    for (name, bytes) in [(FEW, 4096), (MANY, 1024 * 1024)] {
        let vault = peers::vault(bytes)?;
        let sealed = vault.seal(&[0xa5; SIZE], CONTEXT).map_err(|error| error.to_string())?;
        let take_all =
            || -> Vec<_> { iter::from_fn(|| vault.try_open(&sealed, CONTEXT).ok()).collect() };
        let open = |count| {
            for _ in 0..count {
                let opened = vault.open_timeout(black_box(&sealed), CONTEXT, PATIENCE);
                drop(black_box(opened.expect("everybody's turn comes")));
            }
        };
        let places = take_all().len();
        let row = crowd.measure(name, open, |threads| {
            let taken = if places < THREADS { take_all() } else { Vec::new() };
            let vault = &vault;
            move |begun| if taken.is_empty() { begun } else { release(vault, taken, threads) }
        });
        let metrics = vault.metrics();
        let longest_wait_ms = metrics.longest_wait.as_secs_f64() * 1e3;
        let line = Line { places, waits: metrics.waits, longest_wait_ms };
        found.push(Waiters { line: Some(line), ..row });
    }
    Ok(found)
}

/// Gives all places back once so many threads wait. When it did.
fn release(vault: &Vault, taken: Vec<Opened<'_>>, threads: usize) -> Instant {
    while vault.waiters() < threads {
        thread::sleep(Duration::from_micros(100));
    }
    let begun = Instant::now();
    drop(taken);
    begun
}

struct Crowd {
    rounds: usize,
    turn: Duration,
}

impl Crowd {
    /// `work` does so many operations; `hold` keeps so many threads from it until what it gives is
    /// called.
    fn measure<R: FnOnce(Instant) -> Instant>(
        &self,
        peer: &'static str,
        work: impl Fn(u64) + Sync,
        hold: impl Fn(usize) -> R,
    ) -> Waiters {
        eprintln!("  {peer}");
        let each = harness::calibrate(self.turn, &mut |n| work(n)).div_ceil(THREADS as u64);
        let all = each * THREADS as u64;
        let rounds: Vec<[Rate; 2]> = (0..self.rounds)
            .map(|round| {
                [(1, all), (THREADS, each)]
                    .map(|(n, each)| team::share(n, round, each, &work, hold(n)))
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

pub(crate) const FEW: &str = "strongroom (Vault)";
const MANY: &str = "strongroom (Vault), room for all";

/// Bytes of the secret.
pub(crate) const SIZE: usize = 200;

pub(crate) const THREADS: usize = 256;

/// Longer than anybody waits.
const PATIENCE: Duration = Duration::from_mins(1);
