//! Threads that begin together and work until a turn is over, on whatever they share.
//!
//! Each round's threads get stacks of another size, so that they lie at other places: where they lie
//! decides which threads share a slot of an arena.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::harness::Clock;
use crate::random::Random;

/// What the machine gives: threads that share nothing at all.
pub(crate) const CONTROL: &str = "no allocator (the machine)";

/// What the threads of one turn share.
pub(super) struct Turn {
    start: Barrier,
    over: AtomicBool,
    done: AtomicU64,
    /// Nanoseconds that the processors worked for the threads.
    busy: AtomicU64,
    number: AtomicU64,
}

impl Turn {
    fn of(threads: usize) -> Self {
        Self {
            start: Barrier::new(threads + 1),
            over: AtomicBool::new(false),
            done: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            number: AtomicU64::new(0),
        }
    }

    /// Does [`STEP`] operations at a time until the turn is over, once all threads are ready.
    pub(super) fn repeat(&self, mut step: impl FnMut()) {
        let mut done = 0;
        self.start.wait();
        let clock = Clock::start();
        while !self.over.load(Ordering::Relaxed) {
            step();
            done += STEP;
        }
        self.busy.fetch_add(nanoseconds(clock.elapsed()), Ordering::Relaxed);
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    /// A number that no other thread of the turn gets.
    pub(super) fn take_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the calling thread, which cannot work, and the benchmark with it. Without the panic it
    /// would count as having done nothing.
    pub(super) fn fail(&self, why: &str) -> ! {
        // The others are waiting.
        self.start.wait();
        panic!("{why}");
    }
}

/// What threads did in a turn.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// Operations per second of all threads.
    pub(super) by_wall: f64,
    /// Operations per second that a processor worked.
    pub(super) by_processor: f64,
}

impl Rate {
    /// Of so many operations by all threads.
    pub(super) fn of(done: u64, elapsed: Duration, busy: Duration) -> Self {
        let done = done as f64;
        Self { by_wall: done / elapsed.as_secs_f64(), by_processor: done / busy.as_secs_f64() }
    }
}

/// The rate of `threads` threads that each run `body`.
pub(super) fn turn(
    threads: usize,
    round: usize,
    length: Duration,
    body: impl Fn(&Turn) + Sync,
) -> Rate {
    let turn = Turn::of(threads);
    let elapsed = thread::scope(|scope| {
        for _ in 0..threads {
            let spawned = thread_of(round).spawn_scoped(scope, || body(&turn));
            spawned.expect("a benchmark needs threads");
        }
        turn.start.wait();
        let begun = Instant::now();
        thread::sleep(length);
        turn.over.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    let busy = Duration::from_nanos(turn.busy.into_inner());
    Rate::of(turn.done.into_inner(), elapsed, busy)
}

/// A thread with the stack of a round.
pub(super) fn thread_of(round: usize) -> Builder {
    Builder::new().stack_size(LEAST_STACK + round % STACKS * STACK_STEP)
}

/// One thread's work where there is nothing to share.
pub(super) fn share_nothing(turn: &Turn) {
    let mut random = Random::new(1);
    turn.repeat(|| {
        for _ in 0..STEP {
            black_box(random.next());
        }
    });
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Operations between two looks at whether the turn is over.
pub(super) const STEP: u64 = 64;

const LEAST_STACK: usize = 256 * 1024;
const STACK_STEP: usize = 68 * 1024;
const STACKS: usize = 61;
