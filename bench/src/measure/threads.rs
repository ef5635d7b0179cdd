//! The work that threads do on one shared store, each with live secrets of its own.
//!
//! A round runs every number of threads, glibc's one thread among them, so that ratios are between
//! neighbours in time. Each round's threads get stacks of another size, so that they lie at other
//! places: where they lie decides which threads share a slot of the arena.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::harness::{Clock, Spread};
use crate::peers::{self, Glibc, Kind, Peer, SharedVisitor, Store};
use crate::random::Random;
use crate::results::{Skipped, Threads};
use crate::workload::{Load, Workload};

/// What the machine gives: threads that share nothing at all.
pub(crate) const CONTROL: &str = "no allocator (the machine)";

/// Measures every peer that threads can share.
pub(crate) fn measure(rounds: usize, turn: Duration) -> (Vec<Threads>, Vec<Skipped>) {
    let mut team = Team { rounds, turn, found: Vec::new(), skipped: Vec::new() };
    team.measure(CONTROL, |threads, round| team_turn(threads, round, turn, share_nothing));
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
                    team_turn(threads, round, length, |turn| work(&store, live, turn))
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
        let floor = |round| team_turn(1, round, self.turn, |turn| work(&Glibc, EACH, turn));
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

/// What the threads of one turn share.
struct Turn {
    start: Barrier,
    over: AtomicBool,
    done: AtomicU64,
    /// Nanoseconds that the processors worked for the threads.
    busy: AtomicU64,
    number: AtomicU64,
}

impl Turn {
    /// Does `step`s until the turn is over, once all threads are ready.
    fn repeat(&self, mut step: impl FnMut()) {
        let mut done = 0;
        self.start.wait();
        let clock = Clock::start();
        while !self.over.load(Ordering::Relaxed) {
            step();
            done += STEP;
        }
        let nanoseconds = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy.fetch_add(nanoseconds, Ordering::Relaxed);
        self.done.fetch_add(done, Ordering::Relaxed);
    }
}

/// What threads did in a turn.
#[derive(Clone, Copy)]
struct Rate {
    /// Operations per second of all threads.
    by_wall: f64,
    /// Operations per second that a processor worked.
    by_processor: f64,
}

/// The rate of `threads` threads that each run `body`.
fn team_turn(threads: usize, round: usize, length: Duration, body: impl Fn(&Turn) + Sync) -> Rate {
    let turn = Turn {
        start: Barrier::new(threads + 1),
        over: AtomicBool::new(false),
        done: AtomicU64::new(0),
        busy: AtomicU64::new(0),
        number: AtomicU64::new(0),
    };
    let stack = LEAST_STACK + round % STACKS * STACK_STEP;
    let elapsed = thread::scope(|scope| {
        for _ in 0..threads {
            let spawned = Builder::new().stack_size(stack).spawn_scoped(scope, || body(&turn));
            spawned.expect("a benchmark needs threads");
        }
        turn.start.wait();
        let begun = Instant::now();
        thread::sleep(length);
        turn.over.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    let done = turn.done.load(Ordering::Relaxed) as f64;
    let busy = Duration::from_nanos(turn.busy.load(Ordering::Relaxed));
    Rate { by_wall: done / elapsed.as_secs_f64(), by_processor: done / busy.as_secs_f64() }
}

/// One thread's work on the store.
fn work<S: Store>(store: &S, live: usize, turn: &Turn) {
    let seed = turn.number.fetch_add(1, Ordering::Relaxed);
    match Workload::new(store, Load::uniform(64, live), seed) {
        Ok(mut workload) => turn.repeat(|| workload.run(STEP)),
        Err(live) => {
            // The others are waiting. Without the panic it would count as having done nothing.
            turn.start.wait();
            panic!("the store was full at {live} secrets of one thread");
        }
    }
}

/// One thread's work where there is nothing to share.
fn share_nothing(turn: &Turn) {
    let mut random = Random::new(1);
    turn.repeat(|| {
        for _ in 0..STEP {
            black_box(random.next());
        }
    });
}

/// How many threads.
pub(crate) const COUNTS: [usize; 4] = [1, 2, 4, 8];

/// Live secrets of each thread, and of each where every secret has its own pages.
const EACH: usize = 1000;
const FEW: usize = 100;

/// Operations between two looks at whether the turn is over.
const STEP: u64 = 64;

const REGION: usize = 8 * 1024 * 1024;

const LEAST_STACK: usize = 256 * 1024;
const STACK_STEP: usize = 68 * 1024;
const STACKS: usize = 61;
