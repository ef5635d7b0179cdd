//! Ordinary threads that share one processor: each allocates a secret, writes it and drops it, over
//! and over. Whoever waits there must not keep the processor from whom it waits for.
//!
//! A round runs every number of threads, so that ratios are between neighbours in time, and each with
//! stacks of another size: where one thread's lies makes it a little faster or slower than another. A
//! turn is long enough for every thread to get the processor, and begins when each has worked a while.

use std::hint::black_box;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OsEntropy, Park};
use strongroom_core::{Arena, Buffer, Owner, Spin};

use crate::harness::{Clock, Spread};
use crate::peers;
use crate::results::{OneCore, Skipped};

/// What the machine gives: as many bytes written, and nothing shared.
pub(crate) const CONTROL: &str = "no allocator (the machine)";
/// What the shim brings: an owner, and the vault, which has it too.
pub(crate) const PARK: &str = "strongroom (Arena, Park)";
pub(crate) const VAULT: &str = "strongroom (Vault)";
const SPIN: &str = "strongroom (Arena, Spin)";

/// Makes a secret of a length, writes it and drops it.
type Work<'w> = &'w (dyn Fn(usize) + Sync);

/// Measures arena and vault at every size, with every number of threads.
pub(crate) fn measure(rounds: usize, turn: Duration) -> (Vec<OneCore>, Vec<Skipped>) {
    let mut team = Team { rounds, turn, found: Vec::new() };
    // In a thread of its own: what is measured after this has all processors.
    let possible = thread::scope(|scope| scope.spawn(on_one_core).join().expect("it panics never"));
    if let Err(why) = possible {
        let what = "threads on one processor".to_owned();
        return (team.found, vec![Skipped { what, why: why.to_string() }]);
    }
    team.measure(CONTROL, &|len| black_box(vec![0; len]).fill(0xa5));
    team.measure_arena(PARK, Park);
    let mut skipped = Vec::new();
    match peers::vault(REGION) {
        Ok(vault) => team.measure(VAULT, &|len| {
            let mut secret = vault.try_allocate(len).expect("all fit");
            secret.expose_secret_mut().fill(0xa5);
        }),
        Err(why) => skipped.push(Skipped { what: VAULT.to_owned(), why }),
    }
    team.measure_arena(SPIN, Spin::<16>);
    (team.found, skipped)
}

struct Team {
    rounds: usize,
    turn: Duration,
    found: Vec<OneCore>,
}

impl Team {
    fn measure_arena(&mut self, name: &'static str, owner: impl Owner) {
        let mut region = vec![MaybeUninit::uninit(); REGION];
        let arena = Arena::with_owner(&mut region[..], &mut OsEntropy, owner);
        let arena = arena.expect("the region is large enough");
        self.measure(name, &|len| {
            let mut secret = Buffer::new(&arena, len).expect("all fit");
            secret.expose_secret_mut().fill(0xa5);
        });
    }

    fn measure(&mut self, peer: &'static str, work: Work<'_>) {
        eprintln!("  {peer}");
        for size in SIZES {
            let rounds: Vec<[Rate; COUNTS.len()]> = (0..self.rounds)
                .map(|round| COUNTS.map(|n| self.turn(n, round, size, work)))
                .collect();
            for (index, count) in COUNTS.into_iter().enumerate() {
                let spread = |of: &dyn Fn(&Rate) -> f64| {
                    let ratios = rounds.iter().map(|round| of(&round[index]) / of(&round[0]));
                    Spread::of(&ratios.collect::<Vec<f64>>())
                };
                let longest = rounds.iter().map(|round| round[index].longest);
                self.found.push(OneCore {
                    peer,
                    size,
                    count,
                    against_one: spread(&|rate| rate.by_wall),
                    each: spread(&|rate| rate.by_processor),
                    longest_ms: longest.max().unwrap_or_default().as_secs_f64() * 1e3,
                });
            }
        }
    }

    /// The rate of `threads` threads on one processor.
    fn turn(&self, threads: usize, round: usize, size: usize, work: Work<'_>) -> Rate {
        let turn = Turn::of(threads);
        let elapsed = thread::scope(|scope| {
            for _ in 0..threads {
                let thread = thread::Builder::new().stack_size(LEAST_STACK + round * STACK_STEP);
                let spawned = thread.spawn_scoped(scope, || turn.repeat(size, work));
                spawned.expect("a benchmark needs threads");
            }
            turn.start.wait();
            let begun = Instant::now();
            thread::sleep(self.turn);
            turn.over.store(true, Ordering::Relaxed);
            begun.elapsed()
        });
        let done = turn.done.into_inner() as f64;
        let busy = Duration::from_nanos(turn.busy.into_inner());
        Rate {
            by_wall: done / elapsed.as_secs_f64(),
            by_processor: done / busy.as_secs_f64(),
            longest: Duration::from_nanos(turn.longest.into_inner()),
        }
    }
}

/// What the threads of one turn share.
struct Turn {
    start: Barrier,
    over: AtomicBool,
    done: AtomicU64,
    /// Nanoseconds that the processor worked for the threads.
    busy: AtomicU64,
    /// Nanoseconds of the longest call.
    longest: AtomicU64,
}

impl Turn {
    fn of(threads: usize) -> Self {
        Self {
            start: Barrier::new(threads + 1),
            over: AtomicBool::new(false),
            done: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// Works until the turn is over, once all threads are ready.
    fn repeat(&self, size: usize, work: Work<'_>) {
        on_one_core().expect("it was possible before");
        (0..WARM_UP).for_each(|_| work(size));
        // To look at the time takes as long as a short call.
        let step = (LONGEST / size as u64).clamp(1, 16);
        self.start.wait();
        let clock = Clock::start();
        let (mut done, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
        while !self.over.load(Ordering::Relaxed) {
            (0..step).for_each(|_| work(size));
            done += step;
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        }
        self.busy.fetch_add(nanoseconds(clock.elapsed()), Ordering::Relaxed);
        self.done.fetch_add(done, Ordering::Relaxed);
        self.longest.fetch_max(nanoseconds(longest), Ordering::Relaxed);
    }
}

/// What threads did in a turn.
struct Rate {
    /// Operations per second of all threads, and per second that the processor worked for them.
    by_wall: f64,
    by_processor: f64,
    longest: Duration,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Binds the calling thread to the last of the process's processors.
fn on_one_core() -> io::Result<()> {
    // SAFETY: a set of processors is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let process = libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?;
    // SAFETY: the set is valid during the call, which fills it.
    check(unsafe { libc::sched_getaffinity(process, size_of_val(&set), &raw mut set) })?;
    // SAFETY: the set is valid, and the number within it.
    let last = (0..CORES).rev().find(|&core| unsafe { libc::CPU_ISSET(core, &set) });
    // SAFETY: the set is valid.
    unsafe { libc::CPU_ZERO(&mut set) };
    // SAFETY: the set is valid, and the number within it.
    unsafe { libc::CPU_SET(last.ok_or(io::ErrorKind::NotFound)?, &mut set) };
    // SAFETY: the set is valid during the call.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many threads, and bytes of each secret.
pub(crate) const COUNTS: [usize; 4] = [1, 8, 32, 128];
pub(crate) const SIZES: [usize; 3] = [64, 3_000, 20_000];

/// Where all fit.
const REGION: usize = 8 * 1024 * 1024;

/// Bytes between two looks at the time.
const LONGEST: u64 = 20_000;

/// Operations of each thread before a turn.
const WARM_UP: usize = 200;

const LEAST_STACK: usize = 256 * 1024;
const STACK_STEP: usize = 68 * 1024;

/// Processors in a set.
const CORES: usize = libc::CPU_SETSIZE as usize;
