//! Threads that open all secrets in random order.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Instant;

use strongroom::OsEntropy;
use strongroom::strongroom_core::Entropy;

use crate::Failure;
use crate::progress::Progress;
use crate::tally::OpenTally;

/// Has `threads` threads call `open` for each number of `order`; then, while they are idle but still
/// there, calls `at_rest`.
pub(crate) fn run<R>(
    threads: u32,
    order: &[u32],
    open: impl Fn(usize, &mut OpenTally) -> Result<(), Failure> + Sync,
    at_rest: impl FnOnce() -> Result<R, Failure>,
) -> Result<(OpenTally, R), Failure> {
    let queue = Queue::new(threads, order);
    let (start, end) = (Gate::default(), Gate::default());
    thread::scope(|scope| {
        let (_start, _end) = (start.opened_at_last(), end.opened_at_last());
        let (done, tallies) = mpsc::channel();
        for number in 1..=threads {
            let (queue, open, start, end, done) = (&queue, &open, &start, &end, done.clone());
            let work = move || {
                start.wait();
                let _ = done.send(queue.work(open));
                drop(done);
                end.wait();
            };
            let started = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            started.map_err(|error| queue.stop(did_not_start(number, &error)))?;
        }
        drop(done);
        let begun = Instant::now();
        start.open();
        let mut tally = OpenTally::new()?;
        tallies.iter().try_for_each(|part| tally.add(&part?))?;
        tally.elapsed = begun.elapsed();
        queue.progress.end();
        Ok((tally, at_rest()?))
    })
}

/// Threads wait here until it is opened.
#[derive(Default)]
struct Gate {
    is_open: OnceLock<()>,
}

impl Gate {
    fn wait(&self) {
        self.is_open.wait();
    }

    fn open(&self) {
        // If it is open already, all is well.
        let _ = self.is_open.set(());
    }

    /// Opens the gate when dropped, so that nobody is left behind it by an error.
    fn opened_at_last(&self) -> impl Drop {
        struct Open<'g>(&'g Gate);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.open();
            }
        }
        Open(self)
    }
}

/// The numbers below `count` in random order (Fisher and Yates).
pub(crate) fn random_order(count: usize) -> Result<Vec<u32>, Failure> {
    let mut order: Vec<u32> = (0..u32::try_from(count)?).collect();
    let mut random = Random::new()?;
    for last in (1..count).rev() {
        order.swap(last, random.up_to(last));
    }
    Ok(order)
}

/// The numbers that are still to be opened.
struct Queue<'o> {
    order: &'o [u32],
    next: AtomicUsize,
    /// Each thread should come by so often at least.
    visits: usize,
    stopped: AtomicBool,
    progress: Progress,
}

impl<'o> Queue<'o> {
    fn new(threads: u32, order: &'o [u32]) -> Self {
        Self {
            order,
            next: AtomicUsize::new(0),
            visits: threads as usize * VISITS,
            stopped: AtomicBool::new(false),
            progress: Progress::new("opening", Some(order.len())),
        }
    }

    /// One thread's part. The first failure stops all.
    fn work(
        &self,
        open: impl Fn(usize, &mut OpenTally) -> Result<(), Failure>,
    ) -> Result<OpenTally, Failure> {
        let mut tally = OpenTally::new()?;
        while let Some(batch) = self.take() {
            for &number in batch {
                if self.is_stopped() {
                    break;
                }
                open(number as usize, &mut tally).map_err(|error| self.stop(error))?;
                self.progress.step();
            }
        }
        Ok(tally)
    }

    /// The next few numbers: the fewer are left the fewer, so that all threads end together.
    fn take(&self) -> Option<&'o [u32]> {
        if self.is_stopped() {
            return None;
        }
        let left = self.order.len().saturating_sub(self.next.load(Ordering::Relaxed));
        let batch = (left / self.visits).clamp(1, LARGEST_BATCH);
        let start = self.next.fetch_add(batch, Ordering::Relaxed);
        let end = self.order.len().min(start.saturating_add(batch));
        self.order.get(start..end).filter(|batch| !batch.is_empty())
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Has all threads stop, because of `failure`.
    fn stop(&self, failure: Failure) -> Failure {
        self.stopped.store(true, Ordering::Relaxed);
        failure
    }
}

fn did_not_start(number: u32, error: &io::Error) -> Failure {
    format!("thread {number} did not start: {error}; use fewer --threads").into()
}

/// `SplitMix64`: no secret depends on it.
struct Random {
    state: u64,
}

impl Random {
    fn new() -> Result<Self, Failure> {
        let mut seed = [0; 8];
        OsEntropy.fill(&mut seed)?;
        Ok(Self { state: u64::from_ne_bytes(seed) })
    }

    fn up_to(&mut self, last: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let product = u128::from(mixed ^ (mixed >> 31)) * (last as u128 + 1);
        usize::try_from(product >> 64).unwrap_or(last)
    }
}

/// How often a thread comes for numbers, at least; and how many it gets, at most.
const VISITS: usize = 16;
const LARGEST_BATCH: usize = 256;

/// Bytes of stack for a thread. Two thousand threads have more stacks than secrets.
const STACK: usize = 128 * 1024;
