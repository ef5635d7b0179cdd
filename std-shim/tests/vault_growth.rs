//! A vault that grows and shrinks while others use it: what it asks of the system is in nobody's way.
//!
//! Whether something was done during a growth or after it is told by what the vault counts when it is
//! over, not by a clock. A slow machine may be done before the other begins; then it is tried again.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{Backing, LockedPages, OpenError, Policy, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::{block_on, poll};
use watchdog::ends_within;

const LONG: Duration = Duration::from_secs(60);
/// Each takes a few seconds at most; the thread sanitizer makes that most of a minute, as it notes each byte
/// that is locked.
const SLOW: Duration = Duration::from_secs(300);
const MIB: usize = 1 << 20;

/// So much takes the system some tens of milliseconds to lock or to give back.
const MUCH: usize = 200 * MIB;

/// More than the vault has at first.
const LARGE: usize = 100_000;

fn vault(ceiling: usize) -> Vault {
    let builder = Vault::builder().budget(64 * 1024..=ceiling).policy(Policy::Prefer);
    builder.linger(LONG).build().unwrap()
}

/// Whether it is so in one of some attempts: the processor may be taken away at any moment.
fn once_at_least(attempt: impl Fn() -> bool) {
    assert!((0..ATTEMPTS).any(|_| attempt()), "not in one of {ATTEMPTS} attempts");
}

const ATTEMPTS: usize = 10;

/// Does `during` in the middle of `work`, as far as that can be known: `work` has begun a moment ago.
fn amid<R>(work: impl FnOnce() + Send, during: impl FnOnce() -> R) -> R {
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.store(true, Ordering::Relaxed);
            work();
        });
        while !begun.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(3));
        during()
    })
}

/// Whether many secrets are opened before `is_over`: each takes some microseconds, and one that waits
/// until it is over is the last.
fn opens_many_before(vault: &Vault, is_over: impl Fn(&Vault) -> bool) -> bool {
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let mut opened = 0;
    loop {
        drop(vault.try_open(&sealed, b"").unwrap());
        if is_over(vault) {
            return opened >= 20;
        }
        opened += 1;
    }
}

#[test]
fn trimming_holds_up_nobody_who_finds_room() {
    ends_within(SLOW, || {
        once_at_least(|| {
            let vault = vault(2 * MUCH);
            drop(vault.try_allocate(MUCH).unwrap());
            let is_over = |vault: &Vault| vault.metrics().given_back > 0;
            amid(|| vault.trim(), || opens_many_before(&vault, is_over))
        });
    });
}

#[test]
fn growth_holds_up_nobody_who_finds_room() {
    ends_within(SLOW, || {
        once_at_least(|| {
            let vault = vault(2 * MUCH);
            let grows = || drop(vault.try_allocate(MUCH).unwrap());
            amid(grows, || opens_many_before(&vault, |vault| vault.metrics().grown > 0))
        });
    });
}

/// Room is made by growth for many, step by step; each step is small, or a small part.
#[test]
fn a_vault_grows_in_steps() {
    ends_within(SLOW, || {
        let vault = vault(256 * MIB);
        let mut held = Vec::new();
        let mut before = vault.metrics();
        while held.len() < 150 {
            held.push(vault.try_allocate(MIB).unwrap());
            let now = vault.metrics();
            if now.grown > before.grown {
                let step = (now.locked - before.locked) / (now.grown - before.grown);
                let most = (before.locked / 4).max(32 * MIB);
                assert!(step <= most, "{step} bytes in one step, {before:?}");
                before = now;
            }
        }
        assert!(before.grown > 3, "{before:?}");
    });
}

/// One grows the vault by a great deal; another would have to grow it too, and its time is up before.
#[test]
fn a_deadline_is_kept_while_another_grows_the_vault() {
    ends_within(SLOW, || {
        once_at_least(|| {
            let vault = vault(4 * MUCH);
            amid(
                || drop(vault.try_allocate(2 * MUCH).unwrap()),
                || match vault.allocate_timeout(MIB, Duration::from_millis(2)) {
                    Err(OpenError::TimedOut { .. }) => vault.metrics().grown == 0,
                    // It was served, by a machine that was too fast or too slow.
                    Ok(_) => false,
                    Err(error) => panic!("{error}"),
                },
            )
        });
    });
}

/// How long the system takes to lock a great deal; `None`, and the reason printed, where it does not.
fn time_to_lock(backing: Backing) -> Option<Duration> {
    let begun = Instant::now();
    let pages = LockedPages::with(LENGTHY, Policy::Require, backing);
    let took = begun.elapsed();
    pages.map(|_| took).map_err(|error| println!("skipped: {error}")).ok()
}

/// So much takes the system some hundreds of milliseconds to lock.
const LENGTHY: usize = 256 * MIB;
/// The vault's doc: so much is locked before the clock is looked at.
const PIECE: usize = 16 * MIB;

/// It is the caller itself who has the system lock a great deal, and has no time for it.
#[test]
fn a_deadline_is_kept_by_whoever_grows_the_vault() {
    for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
        ends_within(SLOW, move || {
            let floor = 64 * 1024;
            let budget = floor..=2 * LENGTHY;
            if time_to_lock(backing).is_none() {
                return;
            }
            let vault = Vault::builder().budget(budget).backing(backing).build().unwrap();
            // Time for a hundredth of it, and for about half.
            for part in [100, 2] {
                once_at_least(|| {
                    vault.trim();
                    let (whole, before) = (time_to_lock(backing).unwrap(), vault.metrics());
                    let timeout = whole / part;
                    let begun = Instant::now();
                    let allocated = vault.allocate_timeout(LENGTHY, timeout);
                    let (took, after) = (begun.elapsed(), vault.metrics());
                    let Err(error) = allocated else { return false };
                    println!(
                        "{backing:?}: {whole:?} to lock it; a wait of {timeout:?} took {took:?}"
                    );
                    let OpenError::TimedOut { shortage, .. } = error else { panic!("{error}") };
                    assert!(!shortage.growth_refused, "{shortage}");
                    assert_eq!((after.locked, after.live), (floor, 0), "what was locked is back");
                    let counted = (after.grown, after.growth_refusals, after.refusals);
                    assert_eq!(counted, (before.grown, 0, before.refusals + 1));
                    took < whole * 9 / 10 && (part == 2 || took < whole / 2)
                });
            }
            let allocated = vault.allocate_timeout(LENGTHY, LONG).unwrap();
            assert_eq!(allocated.len(), LENGTHY, "whoever has the time gets it");
        });
    }
}

/// A large vault grows by large steps; whoever needs little of one takes what there is time for.
#[test]
fn no_time_is_enough_for_a_little_room_in_a_large_step() {
    for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
        ends_within(SLOW, move || {
            if time_to_lock(backing).is_none() {
                return;
            }
            let budget = LENGTHY..=2 * LENGTHY;
            let vault = Vault::builder().budget(budget).backing(backing).build().unwrap();
            let before = vault.metrics();
            let mut held = Vec::new();
            while vault.metrics().grown == before.grown {
                held.push(vault.allocate_timeout(4 * MIB, Duration::ZERO).unwrap());
            }
            assert_eq!(vault.metrics().locked - before.locked, PIECE, "half of a whole step");
            vault.verify().unwrap();
            drop(held);
            vault.trim();
            assert_eq!(vault.metrics().locked, before.locked);
        });
    }
}

/// Many who would grow the vault, each with too little time for it now and then.
#[test]
fn waits_that_end_amid_growth_lose_nothing() {
    ends_within(SLOW, || {
        let budget = 64 * 1024..=128 * MIB;
        let vault = Vault::builder().budget(budget).policy(Policy::Prefer).build().unwrap();
        thread::scope(|scope| {
            for number in 0..6_u64 {
                let vault = &vault;
                scope.spawn(move || {
                    for round in 0..25 {
                        let timeout = Duration::from_millis((round * 7 + number * 11) % 60);
                        match vault.allocate_timeout(50 * MIB, timeout) {
                            Ok(mut opened) => opened.expose_secret_mut()[49 * MIB] = 1,
                            Err(OpenError::TimedOut { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        if round % 3 == 0 {
                            vault.trim();
                        }
                    }
                });
            }
        });
        vault.trim();
        let metrics = vault.metrics();
        assert_eq!(
            (metrics.live, metrics.waiters, metrics.locked),
            (0, 0, 64 * 1024),
            "{metrics:?}"
        );
        assert_eq!(metrics.grown, metrics.given_back, "{metrics:?}");
        assert_eq!(metrics.growth_refusals, 0, "{metrics:?}");
        drop(vault.allocate_timeout(50 * MIB, LONG).unwrap());
    });
}

/// Nothing is open when the task is polled, but somebody is asking the system for memory: it is not told
/// that there is none, and is called when there is.
#[test]
fn a_task_in_line_waits_for_anothers_growth() {
    ends_within(SLOW, || {
        once_at_least(|| {
            // Room for a great deal and its bookkeeping, and no more.
            let vault = vault(MUCH + MUCH / 16 + 100_000);
            let sealed = vault.seal(&vec![7; LARGE], b"").unwrap();
            let mut held = vec![vault.try_allocate(MUCH).unwrap()];
            held.extend(std::iter::from_fn(|| vault.try_allocate(LARGE).ok()));
            let mut opening = vault.open(&sealed, b"");
            assert!(poll(&mut opening, Waker::noop()).is_pending());
            drop(held);
            vault.trim();
            assert_eq!(vault.metrics().rooms, 1, "all that was added is given back");
            // It does not come, and loses its turn to whoever grows the vault next.
            while vault.try_allocate(64).is_err() {
                thread::yield_now();
            }
            let grows = || drop(vault.try_allocate(MUCH).unwrap());
            let was_early = amid(grows, || match poll(&mut opening, Waker::noop()) {
                Poll::Ready(opened) => {
                    drop(opened.unwrap());
                    false
                }
                Poll::Pending => vault.metrics().grown == 1,
            });
            if was_early {
                assert_eq!(block_on(opening).unwrap().len(), LARGE);
            }
            was_early
        });
    });
}

/// Threads that open, grow, and trim all at once: nothing is lost, and everything is given back.
#[test]
fn all_may_grow_and_trim_at_once() {
    ends_within(SLOW, || {
        let vault = Vault::builder().budget(4096..=MIB).linger(Duration::ZERO).build().unwrap();
        let sealed = [10, 1000, 10_000, 50_000]
            .map(|len: usize| vault.seal(&vec![len.to_le_bytes()[0]; len], b"").unwrap());
        thread::scope(|scope| {
            for number in 0..6 {
                let (vault, sealed) = (&vault, &sealed);
                scope.spawn(move || {
                    for round in 0..100 {
                        let sealed = &sealed[(round + number) % sealed.len()];
                        let opened = match number % 3 {
                            0 => block_on(vault.open(sealed, b"")),
                            _ => vault.open_timeout(sealed, b"", LONG),
                        };
                        let opened = opened.unwrap();
                        let byte = opened.len().to_le_bytes()[0];
                        assert!(opened.expose_secret().iter().all(|&b| b == byte));
                        if number == 1 {
                            vault.trim();
                        }
                    }
                });
            }
        });
        vault.verify().unwrap();
        vault.trim();
        let metrics = vault.metrics();
        assert_eq!((metrics.live, metrics.waiters, metrics.rooms), (0, 0, 1), "{metrics:?}");
        assert!(metrics.grown > 0);
        assert_eq!(metrics.grown, metrics.given_back, "{metrics:?}");
    });
}

/// The budget has room for all: whoever waits for another's growth is called when that is done, and so
/// is whoever has to grow the vault in turn.
#[test]
fn all_who_wait_for_growth_are_served_though_nobody_lets_go() {
    for tasks in [8, 4] {
        ends_within(SLOW, move || {
            for _ in 0..20 {
                let vault = Vault::builder().budget(4096..=4 * MIB).build().unwrap();
                let sealed = vault.seal(&vec![7; 8_000], b"").unwrap();
                let all = Barrier::new(8);
                thread::scope(|scope| {
                    for number in 0..8 {
                        let (vault, sealed, all) = (&vault, &sealed, &all);
                        scope.spawn(move || {
                            let held: [_; 10] = std::array::from_fn(|_| {
                                if number < tasks {
                                    block_on(vault.open(sealed, b"")).unwrap()
                                } else {
                                    vault.open_timeout(sealed, b"", LONG).unwrap()
                                }
                            });
                            all.wait();
                            drop(held);
                        });
                    }
                });
                assert_eq!(vault.metrics().growth_refusals, 0);
            }
        });
    }
}
