//! Everything at once, for `STRONGROOM_STRESS_SECONDS` (3 by default): threads and tasks that open one
//! and several, cancel, give up and never come again; handlers that call back; growth and trims; forks;
//! and a wipe at the end, or in the middle. Nothing hangs, nothing is lost.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::Cell;
use std::env;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use strongroom::{
    Built, Fault, OpenError, Opened, Opener, Reserve, Sealed, SecretVec, Vault, wipe_all,
};

mod support;

use support::tasks::{Woken, block_on, poll};
use support::watchdog::ends_within;
use support::{alone_in, forked, skip};

static VAULT: OnceLock<Vault> = OnceLock::new();
static STEPS: AtomicUsize = AtomicUsize::new(0);
static FAULTS: AtomicUsize = AtomicUsize::new(0);
static FORKS: AtomicUsize = AtomicUsize::new(0);
static FORGOTTEN: AtomicUsize = AtomicUsize::new(0);
static CALLED_BACK: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);
/// Everything is wiped, or about to be.
static WIPED: AtomicBool = AtomicBool::new(false);

const THREADS: u64 = 12;
const LENGTHS: [usize; 8] = [0, 8, 33, 64, 200, 900, 3000, 9000];

/// So many of the lengths fit however much memory is out of use, for damage was found in it: what may not
/// fit any more is waited for with an end.
const ALWAYS_FIT: usize = 6;
const MOST_FAULTS: usize = 10;

/// A step that takes so long is one that hangs.
const HANGS: Duration = Duration::from_secs(30);

#[test]
fn fixed() {
    alone_in("fixed", "", || stress(16 * 1024, 16 * 1024));
}

#[test]
fn tiny() {
    alone_in("tiny", "", || stress(16 * 1024 - 1, 16 * 1024));
}

#[test]
fn growing() {
    alone_in("growing", "", || stress(16 * 1024, 1 << 20));
}

/// In the middle of everything, for a second each.
#[test]
fn wiped() {
    if races_are_reported() {
        return skip("wiped", RACES);
    }
    for ceiling in [16 * 1024, 1 << 20] {
        // Of which it waits a second, and takes no more than one thread's last step.
        ends_within(HANGS * 2, move || {
            alone_in("wiped", &ceiling.to_string(), || {
                let (vault, records) = begin(16 * 1024, ceiling);
                let threads = work(vault, &records);
                watch(Duration::from_secs(1));
                WIPED.store(true, Ordering::SeqCst);
                wipe_all();
                // Some more steps of everybody, for all of whom everything is gone.
                let (seen, since) = (STEPS.load(Ordering::Relaxed), Instant::now());
                while STEPS.load(Ordering::Relaxed) < seen + 1000 {
                    assert!(since.elapsed() < HANGS, "nothing moves: {:?}", vault.metrics());
                    thread::sleep(Duration::from_millis(5));
                }
                end(vault, threads);
                for (len, record) in LENGTHS.iter().zip(&*records) {
                    let answer = vault.try_open(record, &len.to_le_bytes()).map(drop);
                    assert_eq!(answer, Err(OpenError::Destroyed));
                }
            });
        });
    }
}

fn stress(floor: usize, ceiling: usize) {
    let seconds = env::var("STRONGROOM_STRESS_SECONDS").map_or(3, |text| text.parse().unwrap());
    let (vault, records) = begin(floor, ceiling);
    let threads = work(vault, &records);
    watch(Duration::from_secs(seconds));
    end(vault, threads);
    for (index, (len, record)) in LENGTHS.iter().zip(&*records).enumerate() {
        match vault.open_timeout(record, &len.to_le_bytes(), HANGS) {
            Ok(opened) => {
                assert!(opened.expose_secret().iter().all(|&byte| byte == pattern(*len)));
            }
            Err(OpenError::TooLarge { .. }) if index >= ALWAYS_FIT => {}
            Err(error) => panic!("{error}"),
        }
    }
    vault.trim();
    let metrics = vault.metrics();
    let [steps, faults, forks, forgotten, called_back] =
        [&STEPS, &FAULTS, &FORKS, &FORGOTTEN, &CALLED_BACK].map(|n| n.load(Ordering::Relaxed));
    eprintln!(
        "counted: {ceiling} bytes: {steps} steps, {faults} faults made, {forks} forks, {forgotten} \
         futures forgotten, {called_back} wakers that called back, {metrics:?}"
    );
    // Of so many steps some are of each kind.
    assert!(
        steps < 3_000_000
            || races_are_reported()
            || [faults, forks, forgotten, called_back].iter().all(|&n| n > 0)
    );
    assert_eq!((metrics.grown, metrics.rooms), (metrics.given_back, 2), "{metrics:?}");
    if races_are_reported() {
        return skip("the wipe at the end", RACES);
    }
    wipe_beside_threads(vault, &records);
}

fn races_are_reported() -> bool {
    env::var_os("STRONGROOM_SANITIZER").is_some()
}

const RACES: &str = "it writes over what others look at, on purpose";

fn begin(floor: usize, ceiling: usize) -> (&'static Vault, Arc<[Sealed]>) {
    let builder = Vault::builder().budget(floor..=ceiling).reserve("own", 16 * 1024);
    let builder = builder.linger(Duration::from_millis(20)).on_fault(on_fault);
    let vault = VAULT.get_or_init(|| builder.build().unwrap());
    let records: Arc<[Sealed]> = LENGTHS
        .map(|len| vault.seal(&vec![pattern(len); len], &len.to_le_bytes()).unwrap())
        .into_iter()
        .collect();
    (vault, records)
}

fn work(vault: &'static Vault, records: &Arc<[Sealed]>) -> Vec<JoinHandle<()>> {
    let worker = |seed| {
        let records = Arc::clone(records);
        thread::spawn(move || Worker::new(vault, records, seed).work())
    };
    (1..=THREADS).map(worker).collect()
}

/// Nothing is open then, and nothing damaged.
fn end(vault: &Vault, threads: Vec<JoinHandle<()>>) {
    DONE.store(true, Ordering::Relaxed);
    let at_end = Instant::now();
    for thread in threads {
        while !thread.is_finished() {
            assert!(at_end.elapsed() < HANGS, "a thread hangs: {:?}", vault.metrics());
            thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap();
    }
    // Forgotten futures keep their places.
    assert_eq!(vault.held(), 0);
    vault.trim();
    assert_eq!((vault.verify(), vault.metrics().live), (Ok(()), 0));
}

/// Fails when nothing has moved for long.
fn watch(time: Duration) {
    let begun = Instant::now();
    let (mut seen, mut since) = (0, Instant::now());
    while begun.elapsed() < time {
        thread::sleep(Duration::from_millis(20));
        let steps = STEPS.load(Ordering::Relaxed);
        if steps != seen {
            (seen, since) = (steps, Instant::now());
        }
        assert!(since.elapsed() < HANGS, "nothing moves: {:?}", VAULT.get().unwrap().metrics());
    }
}

fn wipe_beside_threads(vault: &'static Vault, records: &Arc<[Sealed]>) {
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let records = Arc::clone(records);
            thread::spawn(move || {
                let context = LENGTHS[index].to_le_bytes();
                loop {
                    match vault.open_timeout(&records[index], &context, HANGS) {
                        Ok(opened) => drop(opened),
                        Err(error) => return error,
                    }
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(10));
    let before = FAULTS.load(Ordering::Relaxed);
    wipe_all();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), OpenError::Destroyed);
    }
    assert_eq!(FAULTS.load(Ordering::Relaxed), before, "a wipe looks like damage");
}

fn pattern(len: usize) -> u8 {
    u8::try_from(len % 251).unwrap() | 1
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn on_fault(_: Fault) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    call_back();
}

/// What the caller's code does that runs in the middle of a call.
fn call_back() {
    if INSIDE.replace(true) {
        return;
    }
    let vault = VAULT.get().unwrap();
    vault.trim();
    let _ = (vault.metrics(), vault.stats(), vault.growth_refusal());
    drop(vault.try_allocate(10));
    drop(vault.allocate_timeout(10, Duration::from_micros(10)));
    INSIDE.set(false);
}

/// A waker that calls back when it is woken, and when it is dropped.
struct CallsBack;

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        CALLED_BACK.fetch_add(1, Ordering::Relaxed);
        call_back();
    }
}

impl Drop for CallsBack {
    fn drop(&mut self) {
        call_back();
    }
}

struct Worker {
    vault: &'static Vault,
    own: Reserve<'static>,
    records: Arc<[Sealed]>,
    state: u64,
    held: Vec<Opened<'static>>,
}

impl Worker {
    fn new(vault: &'static Vault, records: Arc<[Sealed]>, seed: u64) -> Self {
        let own = vault.reserve("own").unwrap();
        Self {
            vault,
            own,
            records,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            held: Vec::new(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % end
    }

    fn work(mut self) {
        while !DONE.load(Ordering::Relaxed) {
            self.step();
            STEPS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn step(&mut self) {
        let (index, other) = (self.below(LENGTHS.len()), self.below(4));
        let records = Arc::clone(&self.records);
        let (record, context) = (&records[index], LENGTHS[index].to_le_bytes());
        let short = Duration::from_micros(self.below(3000) as u64);
        let (vault, own) = (self.vault, self.own);
        match self.below(24) {
            0..4 => self.keep(vault.try_open(record, &context), index),
            4 | 5 => self.keep(own.try_open(record, &context), index),
            // Whoever waits holds nothing: with others that do the same it would wait for ever.
            6 | 7 => {
                self.held.clear();
                self.keep(vault.open_timeout(record, &context, short), index);
            }
            8 => {
                self.held.clear();
                self.keep(own.open_timeout(record, &context, short), index);
            }
            9 if index < ALWAYS_FIT => {
                self.held.clear();
                let opened = block_on(vault.open(record, &context));
                assert!(opened.is_ok() || is_wiped(&opened), "{opened:?}");
                self.keep(opened, index);
            }
            10 | 11 => {
                self.held.clear();
                let other_context = LENGTHS[other].to_le_bytes();
                let both = [(record, &context[..]), (&records[other], &other_context[..])];
                let opened = if index < ALWAYS_FIT && self.below(2) == 0 {
                    block_on(own.open_all(both))
                } else {
                    vault.open_all_timeout(both, short)
                };
                if let Ok([one, two]) = opened {
                    self.keep(Ok(one), index);
                    self.keep(Ok(two), other);
                }
            }
            12 => {
                // Polled once or twice, and then given up or forgotten.
                let waker = match self.below(2) {
                    0 => Waker::from(Arc::new(Woken::default())),
                    _ => Waker::from(Arc::new(CallsBack)),
                };
                let mut opening = vault.open(record, &context);
                let mut polled = poll(&mut opening, &waker);
                if polled.is_pending() && self.below(2) == 0 {
                    polled = poll(&mut opening, Waker::noop());
                }
                if let Poll::Ready(opened) = polled {
                    self.keep(opened, index);
                } else if self.below(50) == 0 {
                    FORGOTTEN.fetch_add(1, Ordering::Relaxed);
                    // It borrows a record of this step, which has to stay.
                    mem::forget((Arc::clone(&records), opening));
                }
            }
            13 => {
                let forged = Sealed::from_record(vec![7; LENGTHS[index] + 24]);
                for answer in
                    [vault.try_open(&forged, b""), vault.open_timeout(&forged, b"", HANGS)]
                {
                    let is_told = matches!(answer, Err(OpenError::Tampered)) || is_wiped(&answer);
                    assert!(is_told, "{answer:?}");
                }
            }
            14 => {
                let mut opened = vault.try_allocate(LENGTHS[index]);
                if let Ok(opened) = &mut opened {
                    opened.expose_secret_mut().fill(pattern(LENGTHS[index]));
                }
                self.keep(opened, index);
            }
            15 => self.odd_job(),
            20..=22 => self.use_values(index),
            16 if self.below(20) == 0 && FAULTS.load(Ordering::Relaxed) < MOST_FAULTS => {
                if !races_are_reported() {
                    self.damage();
                }
            }
            _ => {
                let count = self.below(4);
                for _ in 0..count.min(self.held.len()) {
                    let at = self.below(self.held.len());
                    drop(self.held.swap_remove(at));
                }
            }
        }
        self.held.truncate(12);
    }

    fn odd_job(&mut self) {
        let vault = self.vault;
        match self.below(40) {
            0 => vault.trim(),
            1 => vault.refresh(),
            2 => assert!(vault.renew().is_ok() || WIPED.load(Ordering::SeqCst)),
            // It may find damage that was just made.
            3 => drop(vault.verify()),
            4 => drop((vault.metrics(), vault.stats(), vault.protections())),
            5 => self.fork(),
            _ => {}
        }
    }

    /// The child is told at once that the vault is not its own, drops what was open and what waited, and
    /// makes a vault for itself.
    fn fork(&mut self) {
        let (vault, record) = (self.vault, &self.records[1]);
        let mut opening = vault.open(record, b"");
        let polled = poll(&mut opening, Waker::noop());
        let mut inherited = Some((mem::take(&mut self.held), opening, polled));
        let status = forked(|| {
            // SAFETY: has the kernel end the child if it hangs.
            unsafe { libc::alarm(HANGS.as_secs().try_into().unwrap()) };
            drop(inherited.take());
            let answer = vault.try_open(record, b"").map(drop);
            let has_own = || {
                let own = Vault::new(4096).unwrap();
                let sealed = own.seal(b"the child's", b"").unwrap();
                own.try_open(&sealed, b"").unwrap().expose_secret() == b"the child's"
            };
            let is_wiped = WIPED.load(Ordering::SeqCst);
            vault.metrics().live == 0 && (is_wiped || answer == Err(OpenError::Forked) && has_own())
        });
        assert!(status.success(), "{status}");
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes a byte past the end of a secret, which is found on release.
    fn damage(&mut self) {
        let Ok(mut opened) = self.vault.try_allocate(40) else { return };
        let mut secret = opened.expose_secret_mut();
        let behind = secret.as_mut_ptr().wrapping_add(secret.len());
        // SAFETY: it lies in the locked memory of the vault: a canary, which nobody else uses now.
        let byte = unsafe { behind.read() };
        // SAFETY: the same byte.
        unsafe { behind.write(!byte) };
        drop(secret);
        drop(opened);
    }

    /// What grows, and values that are built and dropped in their places.
    fn use_values(&mut self, index: usize) {
        let (vault, own, len) = (self.vault, self.own, LENGTHS[index]);
        let byte = pattern(len);
        let is_pattern = |bytes: &[u8]| {
            // Another thread may begin to wipe at any moment.
            assert!(bytes.iter().all(|&found| found == byte) || WIPED.load(Ordering::SeqCst));
        };
        match self.below(3) {
            0 => {
                let mut grown = SecretVec::new(own);
                for piece in vec![byte; len].chunks(97) {
                    if grown.extend_from_slice(piece).is_err() {
                        break;
                    }
                    is_pattern(&grown.expose_secret());
                }
                grown.truncate(len / 2);
                is_pattern(&grown.expose_secret());
            }
            1 => {
                let record = &self.records[3];
                let opened = vault.try_open_value::<[u8; 64]>(record, &LENGTHS[3].to_le_bytes());
                if let Ok(opened) = &opened {
                    let is_right = opened.expose_secret().iter().all(|&b| b == pattern(64));
                    assert!(is_right || WIPED.load(Ordering::SeqCst));
                }
                drop(opened);
                let built = vault.try_build(|place| place.write(Counted([byte; 200])));
                if let Ok(Ok(built)) = built.as_ref().map(Built::try_expose_secret) {
                    is_pattern(&built.0);
                }
            }
            _ => {
                #[cfg(feature = "allocator-api2-0_2")]
                {
                    // SAFETY: bytes may be zero at any time, and no child looks at them.
                    let Ok(memory) = (unsafe { vault.allocator() }) else { return };
                    let mut bytes = allocator_api2::vec::Vec::new_in(memory);
                    for _ in 0..len.min(300) {
                        if bytes.try_reserve(1).is_err() {
                            break;
                        }
                        bytes.push(byte);
                    }
                    is_pattern(&bytes);
                }
            }
        }
    }

    fn keep(&mut self, opened: Result<Opened<'static>, OpenError>, index: usize) {
        match opened {
            Ok(opened) => {
                let byte = pattern(LENGTHS[index]);
                assert_eq!(opened.len(), LENGTHS[index]);
                let is_right = opened.expose_secret().iter().all(|&found| found == byte);
                assert!(is_right || WIPED.load(Ordering::SeqCst));
                self.held.push(opened);
            }
            Err(
                OpenError::Full(_)
                | OpenError::TimedOut { .. }
                | OpenError::TooLarge { .. }
                | OpenError::NeverTogether { .. },
            ) => {}
            answer if is_wiped(&answer) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A value that is dropped where it is.
struct Counted([u8; 200]);

impl Drop for Counted {
    fn drop(&mut self) {
        let byte = self.0[0];
        let is_whole = self.0.iter().all(|&found| found == byte);
        assert!(is_whole || WIPED.load(Ordering::SeqCst));
    }
}

fn is_wiped(answer: &Result<Opened<'_>, OpenError>) -> bool {
    matches!(answer, Err(OpenError::Destroyed)) && WIPED.load(Ordering::SeqCst)
}
