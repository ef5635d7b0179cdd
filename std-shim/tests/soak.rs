//! A vault under bursts that overrun it, growing and shrinking all along.
//!
//! Runs for three seconds; `STRONGROOM_SOAK_SECONDS=600 cargo test --release -p strongroom --test
//! soak -- --nocapture` runs it for ten minutes and prints what it saw.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OpenError, Sealed, Vault};

const FLOOR: usize = 64 * 1024;
const CEILING: usize = 8 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

fn locked() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[derive(Default)]
struct Seen {
    opened: AtomicUsize,
    waits_given_up: AtomicUsize,
    longest_call: AtomicU64,
}

/// Opens secrets in bursts, holds them for a while, and lets go of them all.
fn burst(vault: &Vault, sealed: &[Sealed], random: &mut Random, seen: &Seen) {
    let mut held = Vec::new();
    for _ in 0..random.below(4000) {
        let number = random.below(sealed.len());
        let begun = Instant::now();
        let opened = if random.below(3) == 0 {
            vault.try_open(&sealed[number], b"soak")
        } else if held.is_empty() {
            // Only one who holds nothing waits, so that all can go on.
            vault.open_timeout(&sealed[number], b"soak", TIMEOUT)
        } else {
            vault.open_timeout(&sealed[number], b"soak", Duration::from_millis(1))
        };
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        seen.longest_call.fetch_max(took, Ordering::Relaxed);
        match opened {
            Ok(opened) => {
                let byte = number.to_le_bytes()[0];
                assert!(opened.expose_secret().iter().all(|&b| b == byte), "a secret was lost");
                held.push(opened);
                seen.opened.fetch_add(1, Ordering::Relaxed);
            }
            Err(OpenError::Full(_)) => held.truncate(held.len() / 2),
            Err(OpenError::TimedOut { .. }) => {
                assert!(!held.is_empty(), "one who held nothing was never served");
                seen.waits_given_up.fetch_add(1, Ordering::Relaxed);
                held.clear();
            }
            Err(error) => panic!("{error}"),
        }
    }
    thread::sleep(Duration::from_millis(u64::try_from(random.below(20)).unwrap()));
}

#[test]
fn bursts_that_overrun_a_vault_that_grows_and_shrinks() {
    let seconds = std::env::var("STRONGROOM_SOAK_SECONDS").map_or(3, |text| text.parse().unwrap());
    let (before, few) = (locked(), mappings());
    let vault = Vault::builder()
        .budget(FLOOR..=CEILING)
        .linger(Duration::from_millis(200))
        .build()
        .unwrap();
    let sealed: Vec<_> = (0..2000_usize)
        .map(|number| {
            let len = [16, 32, 64, 64, 200, 1000, 3000, 20_000][number % 8];
            vault.seal(&vec![number.to_le_bytes()[0]; len], b"soak").unwrap()
        })
        .collect();
    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    let (mut most_locked, mut most_mappings) = (0, 0);
    thread::scope(|scope| {
        for number in 1..=8_u64 {
            let (vault, sealed, seen, over) = (&vault, &sealed, &seen, &over);
            scope.spawn(move || {
                let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                while !over.load(Ordering::Relaxed) {
                    burst(vault, sealed, &mut random, seen);
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            most_locked = most_locked.max(locked() - before);
            most_mappings = most_mappings.max(mappings());
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
    });
    vault.verify().unwrap();
    vault.trim();
    let metrics = vault.metrics();
    println!("{metrics:#?}");
    let longest = Duration::from_nanos(seen.longest_call.load(Ordering::Relaxed));
    println!("opened {:?}, longest call {longest:?}, most locked {most_locked} bytes", seen.opened);
    println!("mappings {few} before, {most_mappings} at most; gave up {:?}", seen.waits_given_up);
    assert!(most_locked <= CEILING, "{most_locked} bytes were locked");
    // Three mappings for each of the vault's stretches; eight threads have two each, and heaps.
    assert!(most_mappings < few + 100, "{few} mappings became {most_mappings}");
    assert!(longest < TIMEOUT + Duration::from_secs(10), "a call took {longest:?}");
    assert!(metrics.grown > 0 && metrics.given_back == metrics.grown, "all is given back");
    assert_eq!((metrics.live, metrics.faults, metrics.rooms), (0, 0, 1));
    assert_eq!(locked() - before, FLOOR);
    drop(vault);
    assert_eq!(locked(), before);
}
