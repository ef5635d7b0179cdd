//! Threads that begin together and work until a turn is over, on whatever they share.
//!
//! Each round's threads get stacks of another size, so that they lie at other places: where they lie
//! decides which threads share a slot of an arena.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::harness::Clock;
use crate::random::Random;

/// What the machine gives: threads that share nothing at all.
pub(crate) const CONTROL: &str = "no allocator (the machine)";

/// Lets threads begin together, and not before the time is noted.
///
/// It wakes all at once. A barrier's threads wake each other, one after the other: many of them would
/// hardly ever work at the same time.
#[derive(Default)]
struct Gate {
    ready: AtomicUsize,
    closed: RwLock<()>,
}

impl Gate {
    fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.closed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it was opened, once so many threads were there. Whoever notes the time afterwards may have
    /// to wait for a processor while they work.
    fn open(&self, closed: RwLockWriteGuard<'_, ()>, threads: usize) -> Instant {
        while self.ready.load(Ordering::Relaxed) < threads {
            thread::sleep(Duration::from_micros(100));
        }
        let begun = Instant::now();
        drop(closed);
        begun
    }

    fn pass(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
        drop(self.closed.read());
    }
}

/// What the threads of one turn share.
#[derive(Default)]
pub(super) struct Turn {
    gate: Gate,
    over: AtomicBool,
    done: AtomicU64,
    /// Nanoseconds that the processors worked for the threads.
    busy: AtomicU64,
    number: AtomicU64,
}

impl Turn {
    /// Does [`STEP`] operations at a time until the turn is over, once all threads are ready.
    pub(super) fn repeat(&self, mut step: impl FnMut()) {
        let mut done = 0;
        self.gate.pass();
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
        self.gate.pass();
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
    fn of(done: u64, elapsed: Duration, busy: Duration) -> Self {
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
    let turn = Turn::default();
    let closed = turn.gate.close();
    let elapsed = thread::scope(|scope| {
        for _ in 0..threads {
            let spawned = thread_of(round).spawn_scoped(scope, || body(&turn));
            spawned.expect("a benchmark needs threads");
        }
        let begun = turn.gate.open(closed, threads);
        thread::sleep(length);
        turn.over.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    let busy = Duration::from_nanos(turn.busy.into_inner());
    Rate::of(turn.done.into_inner(), elapsed, busy)
}

/// The rate of `threads` threads that each do `each` operations, until the last is done. `release` is
/// told when they were let go, and says since when they can work.
pub(super) fn share(
    threads: usize,
    round: usize,
    each: u64,
    work: &(impl Fn(u64) + Sync),
    release: impl FnOnce(Instant) -> Instant,
) -> Rate {
    let gate = Gate::default();
    let closed = gate.close();
    let member = || {
        gate.pass();
        let clock = Clock::start();
        work(each);
        (Instant::now(), clock.elapsed())
    };
    thread::scope(|scope| {
        let spawn = |_| thread_of(round).spawn_scoped(scope, member);
        let team: Vec<_> = (0..threads).map(spawn).collect();
        let begun = release(gate.open(closed, threads));
        let (mut ended, mut busy) = (begun, Duration::ZERO);
        for member in team {
            let member = member.expect("a benchmark needs threads");
            let (end, worked) = member.join().expect("whoever cannot work panics");
            ended = ended.max(end);
            busy += worked;
        }
        Rate::of(each * threads as u64, ended - begun, busy)
    })
}

/// A thread with the stack of a round.
fn thread_of(round: usize) -> Builder {
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

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Operations between two looks at whether the turn is over.
pub(super) const STEP: u64 = 64;

const LEAST_STACK: usize = 256 * 1024;
const STACK_STEP: usize = 68 * 1024;
const STACKS: usize = 61;
