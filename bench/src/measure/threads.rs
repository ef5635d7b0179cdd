//! The work that threads do on one shared store, each with live secrets of its own.
//!
//! A round runs every number of threads, glibc's one thread among them, so that ratios are between
//! neighbours in time.

use std::time::Duration;

use super::team::{self, CONTROL, Rate, STEP, Turn};
use crate::harness::Spread;
use crate::peers::{self, Glibc, Kind, Peer, SharedVisitor, Store};
use crate::results::{Skipped, Threads};
use crate::workload::{Load, Workload};

/// Measures every peer that threads can share.
pub(crate) fn measure(rounds: usize, turn: Duration) -> (Vec<Threads>, Vec<Skipped>) {
    let mut team = Team { rounds, turn, found: Vec::new(), skipped: Vec::new() };
    team.measure(CONTROL, |threads, round| team::turn(threads, round, turn, team::share_nothing));
    peers::each_shared(&mut team);
    (team.found, team.skipped)
}

struct Team {
    rounds: usize,
    turn: Duration,
    found: Vec<Threads>,
    skipped: Vec<Skipped>,
}

impl SharedVisitor for Team {
    fn visit<S: Store + Sync>(&mut self, peer: Peer, open: impl Fn(usize) -> Result<S, String>) {
        eprintln!("  {}", peer.name);
        match open(REGION) {
            Ok(store) => {
                let length = self.turn;
                let live = if peer.kind == Kind::PageEach { FEW } else { EACH };
                self.measure(peer.name, |threads, round| {
                    team::turn(threads, round, length, |turn| work(&store, live, turn))
                });
            }
            Err(why) => {
                self.skipped.push(Skipped { what: format!("threads: {}", peer.name), why });
            }
        }
    }
}

impl Team {
    /// `rate` gives the rate of so many threads in a round.
    fn measure(&mut self, peer: &'static str, rate: impl Fn(usize, usize) -> Rate) {
        let floor = |round| team::turn(1, round, self.turn, |turn| work(&Glibc, EACH, turn));
        let rounds: Vec<Round> = (0..self.rounds)
            .map(|round| Round { floor: floor(round), own: COUNTS.map(|n| rate(n, round)) })
            .collect();
        let spread = |ratio: &dyn Fn(&Round) -> f64| {
            Spread::of(&rounds.iter().map(ratio).collect::<Vec<f64>>())
        };
        for (index, count) in COUNTS.into_iter().enumerate() {
            self.found.push(Threads {
                peer,
                count,
                against_floor: spread(&|round| round.own[index].by_wall / round.floor.by_wall),
                against_one: spread(&|round| round.own[index].by_wall / round.own[0].by_wall),
                against_two: spread(&|round| round.own[index].by_wall / round.own[1].by_wall),
                each: spread(&|round| round.own[index].by_processor / round.own[0].by_processor),
            });
        }
    }
}

/// The turns of one round, in times that are near each other.
struct Round {
    floor: Rate,
    own: [Rate; COUNTS.len()],
}

/// One thread's work on the store.
fn work<S: Store>(store: &S, live: usize, turn: &Turn) {
    match Workload::new(store, Load::uniform(64, live), turn.take_number()) {
        Ok(mut workload) => turn.repeat(|| workload.run(STEP)),
        Err(live) => turn.fail(&format!("the store was full at {live} secrets of one thread")),
    }
}

/// How many threads.
pub(crate) const COUNTS: [usize; 4] = [1, 2, 4, 8];

/// Live secrets of each thread, and of each where every secret has its own pages.
const EACH: usize = 1000;
const FEW: usize = 100;

const REGION: usize = 8 * 1024 * 1024;
