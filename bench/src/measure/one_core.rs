//! Ordinary threads that share one processor: each allocates a secret, writes it and drops it, over
//! and over. Whoever waits there must not keep the processor from whom it waits for.
//!
//! A round runs every number of threads, so that ratios are between neighbours in time. A turn is
//! long enough for every thread to get the processor.

use std::hint::black_box;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OsEntropy, Park, Policy, Vault};
use strongroom_core::{Arena, Buffer, Owner, Spin};

use crate::harness::{Clock, Spread};
use crate::results::{OneCore, Skipped};

/// What the machine gives: as many bytes written, and nothing shared.
pub(crate) const CONTROL: &str = "no allocator (the machine)";
/// The owner that the standard library's systems have, and the vault, which has it too.
pub(crate) const PARK: &str = "strongroom (Arena, Park)";
pub(crate) const VAULT: &str = "strongroom (Vault)";
const SPIN: &str = "strongroom (Arena, Spin)";

/// Makes a secret of a length, writes it and drops it.
type Work<'w> = &'w (dyn Fn(usize) + Sync);

/// Measures arena and vault at every size, with every number of threads.
pub(crate) fn measure(rounds: usize, turn: Duration) -> (Vec<OneCore>, Vec<Skipped>) {
    let mut team = Team { rounds, turn, found: Vec::new() };
    if let Err(why) = on_one_core() {
        let what = "threads on one processor".to_owned();
        return (team.found, vec![Skipped { what, why: why.to_string() }]);
    }
    team.measure(CONTROL, &|len| black_box(vec![0; len]).fill(0xa5));
    team.measure_arena(PARK, Park);
    let mut skipped = Vec::new();
    match Vault::builder().budget(REGION..=REGION).policy(Policy::Prefer).build() {
        Ok(vault) => team.measure(VAULT, &|len| {
            let mut secret = vault.try_allocate(len).expect("all fit");
            secret.expose_secret_mut().fill(0xa5);
        }),
        Err(why) => skipped.push(Skipped { what: VAULT.to_owned(), why: why.to_string() }),
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
            let rounds: Vec<[Rate; COUNTS.len()]> =
                (0..self.rounds).map(|_| COUNTS.map(|n| turn(n, self.turn, size, work))).collect();
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
}

/// What threads did in a turn.
struct Rate {
    /// Operations per second of all threads, and per second that the processor worked for them.
    by_wall: f64,
    by_processor: f64,
    longest: Duration,
}

/// The rate of `threads` threads on one processor.
fn turn(threads: usize, length: Duration, size: usize, work: Work<'_>) -> Rate {
    let start = Barrier::new(threads + 1);
    let over = AtomicBool::new(false);
    let (done, busy, longest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // To look at the time takes as long as a short call.
    let step = (LONGEST / size as u64).clamp(1, 16);
    let body = || {
        on_one_core().expect("it was possible before");
        start.wait();
        let clock = Clock::start();
        let (mut count, mut most) = (0, Duration::ZERO);
        let mut last = Instant::now();
        while !over.load(Ordering::Relaxed) {
            (0..step).for_each(|_| work(size));
            count += step;
            let now = Instant::now();
            most = most.max(now - last);
            last = now;
        }
        let add = |sum: &AtomicU64, time: Duration| {
            sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed)
        };
        add(&busy, clock.elapsed());
        done.fetch_add(count, Ordering::Relaxed);
        longest.fetch_max(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    };
    let elapsed = thread::scope(|scope| {
        (0..threads).for_each(|_| _ = scope.spawn(body));
        start.wait();
        let begun = Instant::now();
        thread::sleep(length);
        over.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    let done = done.into_inner() as f64;
    let busy = Duration::from_nanos(busy.into_inner());
    Rate {
        by_wall: done / elapsed.as_secs_f64(),
        by_processor: done / busy.as_secs_f64(),
        longest: Duration::from_nanos(longest.into_inner()),
    }
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

/// Processors in a set.
const CORES: usize = libc::CPU_SETSIZE as usize;
