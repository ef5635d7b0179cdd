//! The threads, their phases, and the subjects.

use std::env;
use std::hint::{black_box, spin_loop};
use std::io;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OsEntropy, Park, Vault};
use strongroom_core::{Arena, Buffer, Door, Lock, Owner, Shards, Spin};

type Work<'w> = &'w (dyn Fn() + Sync);

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let time = Duration::from_secs(arguments[1].parse().unwrap());
    let has_middle = arguments.get(2).is_some_and(|word| word == "middle");
    if let Err(why) = on_one_core().and_then(|()| become_real_time(URGENT)) {
        println!("skipped: real-time threads on one processor: {why}");
        return ExitCode::from(77);
    }
    // Only the threads below are: whoever waits for them is not.
    be_ordinary().unwrap();
    let phases = Phases { count: phases_in(time), has_middle };
    match arguments[0].as_str() {
        "spin" => phases.in_arena(Spin::<16>),
        "sleep" => phases.in_arena(Sleep),
        "park" => phases.in_arena(Park),
        "vault" => phases.in_vault(),
        other => panic!("no subject is named {other}"),
    }
    ExitCode::SUCCESS
}

/// How long, and with whom.
struct Phases {
    count: u32,
    has_middle: bool,
}

impl Phases {
    fn in_arena<O: Owner>(&self, owner: O) {
        let mut region = vec![MaybeUninit::uninit(); 1 << 20];
        let arena = Arena::with_owner(&mut region[..], &mut OsEntropy, owner).unwrap();
        self.run(&|| {
            let mut secret = Buffer::new(&arena, SECRET).unwrap();
            arena.fill_random(&mut secret.expose_secret_mut()[..RANDOM]);
        });
        arena.verify().unwrap();
    }

    fn in_vault(&self) {
        let vault = Vault::new(1 << 20).unwrap();
        self.run(&|| {
            let mut secret = vault.try_allocate(SECRET).unwrap();
            vault.fill_random(&mut secret.expose_secret_mut()[..RANDOM]).unwrap();
        });
        vault.verify().unwrap();
    }

    fn run(&self, library: Work<'_>) {
        let all_there = Barrier::new(2 + usize::from(self.has_middle));
        let begin = |priority| {
            become_real_time(priority).unwrap();
            all_there.wait();
            Instant::now()
        };
        let (urgent, patient) = thread::scope(|scope| {
            let urgent = scope.spawn(|| self.work(begin(URGENT), library, PAUSE));
            let patient = scope.spawn(|| self.work(begin(PATIENT), library, Duration::ZERO));
            if self.has_middle {
                scope.spawn(|| self.be_in_the_way(begin(MIDDLE)));
            }
            (urgent.join().unwrap(), patient.join().unwrap())
        });
        for (kind, name) in ["bare", "library"].into_iter().enumerate() {
            println!(
                "{name}: longest {} us, urgent {}, patient {}",
                urgent[kind].longest.as_micros(),
                urgent[kind].done,
                patient[kind].done
            );
        }
    }

    /// Works through all phases, bare and not, with pauses or without.
    fn work(&self, begun: Instant, library: Work<'_>, pause: Duration) -> [Done; 2] {
        let mut bytes = vec![0_u8; SECRET];
        let mut done = [Done::default(); 2];
        let mut last = begun;
        while let Some(kind) = self.phase(begun) {
            thread::sleep(pause);
            if kind == BARE {
                black_box(&mut bytes).fill(0);
            } else {
                library();
            }
            let now = Instant::now();
            done[kind].done += 1;
            done[kind].longest = done[kind].longest.max(now - last);
            last = now;
        }
        done
    }

    /// Whatever the phase, sleeps for a part of it that is never twice the same, and then does not.
    fn be_in_the_way(&self, begun: Instant) {
        for phase in 0..self.count {
            let begins = begun + PHASE * phase;
            let delay = Duration::from_micros(10_000 + u64::from(phase) * 7_919 % 20_000);
            thread::sleep((begins + delay).saturating_duration_since(Instant::now()));
            while begins.elapsed() < BUSY {
                spin_loop();
            }
        }
    }

    /// Which kind of phase it is, unless all are over.
    fn phase(&self, begun: Instant) -> Option<usize> {
        let phase = phases_in(begun.elapsed());
        (phase < self.count).then_some(if phase.is_multiple_of(2) { BARE } else { LIBRARY })
    }
}

fn phases_in(time: Duration) -> u32 {
    u32::try_from(time.as_nanos() / PHASE.as_nanos()).unwrap()
}

/// What a thread did in the phases of one kind.
#[derive(Clone, Copy, Default)]
struct Done {
    done: u64,
    longest: Duration,
}

/// An owner whose waiters sleep and lend nothing: what must be found wanting where there is a thread
/// in the middle.
struct Sleep;

impl Owner for Sleep {
    type Lock = SleepLock;
    type Shards = Shards<16>;
    type Window<'o> = ();

    fn open(&self, _: Door) {}
}

struct SleepLock(AtomicBool);

// SAFETY: who finds it clear and sets it is alone until it is cleared.
unsafe impl Lock for SleepLock {
    const UNLOCKED: Self = Self(AtomicBool::new(false));

    fn acquire(&self) {
        while self.0.swap(true, Ordering::Acquire) {
            thread::sleep(PAUSE);
        }
    }

    unsafe fn release(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Binds the process to the last of its processors.
fn on_one_core() -> io::Result<()> {
    // SAFETY: a set of processors is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid during the call, which fills it.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    let cores = 0..usize::try_from(libc::CPU_SETSIZE).unwrap();
    // SAFETY: the set is valid, and the number within it.
    let last = cores.rev().find(|&core| unsafe { libc::CPU_ISSET(core, &set) }).unwrap();
    // SAFETY: the set is valid.
    unsafe { libc::CPU_ZERO(&mut set) };
    // SAFETY: the set is valid, and the number within it.
    unsafe { libc::CPU_SET(last, &mut set) };
    // SAFETY: the set is valid during the call.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// Gives the calling thread a real-time priority.
fn become_real_time(priority: i32) -> io::Result<()> {
    schedule(libc::SCHED_FIFO, priority)
}

fn be_ordinary() -> io::Result<()> {
    schedule(libc::SCHED_OTHER, 0)
}

fn schedule(policy: i32, sched_priority: i32) -> io::Result<()> {
    // SAFETY: plain numbers, on some systems more than the one.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = sched_priority;
    // By its number: musl's own function always refuses.
    // SAFETY: the parameters are valid during the call.
    let status =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) };
    check(i32::try_from(status).unwrap_or(-1))
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const URGENT: i32 = 20;
const MIDDLE: i32 = 15;
const PATIENT: i32 = 10;

const PAUSE: Duration = Duration::from_micros(50);

/// Not a part of the second, in which the kernel reckons what it reserves for ordinary threads.
const PHASE: Duration = Duration::from_millis(270);
/// The part of it at the end of which the thread in the middle rests.
const BUSY: Duration = Duration::from_millis(260);

const BARE: usize = 0;
const LIBRARY: usize = 1;

/// Bytes of each secret, and how many of them are drawn from the generator, whose lock is another.
const SECRET: usize = 20_000;
const RANDOM: usize = 2_000;
