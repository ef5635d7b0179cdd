//! What strongroom does on this machine, in half a minute: how many secrets fit, how fast they are
//! sealed and opened, how long one waits who finds no room, and what a secret takes at rest.
//!
//! ```text
//! cargo run --release --example speed
//! cargo run --release --example speed -- --budget 1MiB --size 32
//! ```
//!
//! The figures are this machine's, and other programs' work on it counts. To compare with other
//! libraries there is `bench/run`, which measures in pairs.

#[path = "common/bytes.rs"]
mod bytes;

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::HumanCount;
use strongroom::{OpenError, RecordHandle, Records, Vault};

use bytes::parse;

/// Measures what strongroom does on this machine
#[derive(Debug, Parser)]
#[command(name = "speed")]
struct Options {
    /// The locked memory to get along with, in bytes or with a unit (64KiB, 1MiB)
    #[arg(long, default_value = "64KiB", value_name = "BYTES", value_parser = parse)]
    budget: usize,

    /// The length of a secret in bytes or with a unit
    #[arg(long, default_value = "64", value_name = "BYTES", value_parser = positive)]
    size: usize,

    /// How many secrets are sealed
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// How long each of the three measurements of opening takes, in seconds
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody can be told, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    if cfg!(debug_assertions) {
        println!("without --release: all times are many times longer\n");
    }
    let vault = Vault::new(options.budget)?;
    println!("secrets of {} bytes, a budget of {} bytes\n", options.size, options.budget);

    let fit = how_many_fit(&vault, options.size)?;
    tell("open at one time", HumanCount(fit as u64));

    let mut sealed = Sealed { vault: &vault, records: Records::new(), handles: Vec::new() };
    let begun = Instant::now();
    sealed.seal(options.count, options.size)?;
    tell("sealed", per_second(u64::from(options.count), begun.elapsed()));
    let (bytes, count) = (sealed.records.bytes(), options.count as usize);
    let (whole, tenths) = (bytes / count, bytes % count * 10 / count);
    let handle = size_of::<RecordHandle>();
    tell("at rest, each", format_args!("{whole}.{tenths} bytes, and {handle} for its handle"));

    let time = Duration::from_secs(options.seconds);
    let cores = thread::available_parallelism()?.get();
    for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
        let opened = sealed.open(threads, time, Duration::ZERO)?;
        tell(&format!("opened by {threads} thread{}", if threads > 1 { "s" } else { "" }), opened);
    }

    // Each holds what it opened until it has its next turn, so that there is no room for some.
    let wanted = fit + fit / 2 + 1;
    let crowd = wanted.min(MOST_THREADS);
    let opened = sealed.open(crowd, time, HELD)?;
    tell(&format!("opened by {crowd} threads"), opened);
    let metrics = vault.metrics();
    tell(
        "longest wait for room",
        format_args!("{:.1} ms", metrics.longest_wait.as_secs_f64() * 1e3),
    );
    if crowd < wanted {
        println!(
            "\nThere is room for more than {MOST_THREADS} threads hold: nobody had to wait. Try --budget 16KiB."
        );
    }
    Ok(())
}

/// Allocates until the vault is full.
fn how_many_fit(vault: &Vault, size: usize) -> Result<usize, OpenError> {
    let mut open = Vec::new();
    loop {
        match vault.try_allocate(size) {
            Ok(opened) => open.push(opened),
            Err(OpenError::Full(_)) if !open.is_empty() => return Ok(open.len()),
            Err(error) => return Err(error),
        }
    }
}

/// Many sealed secrets.
struct Sealed<'v> {
    vault: &'v Vault,
    records: Records,
    handles: Vec<RecordHandle>,
}

impl Sealed<'_> {
    fn seal(&mut self, count: u32, size: usize) -> Result<(), Box<dyn Error>> {
        let mut secret = self.vault.try_allocate(size)?;
        self.vault.fill_random(&mut secret.expose_secret_mut())?;
        for number in 0..count {
            let sealed = self.vault.seal(&secret.expose_secret(), &number.to_le_bytes())?;
            self.handles.push(self.records.insert(&sealed)?);
        }
        Ok(())
    }

    /// How many were opened by all threads, in random order, in about so much time, each held for a while.
    fn open(&self, threads: usize, time: Duration, held: Duration) -> Result<String, OpenError> {
        let begun = Instant::now();
        let over = AtomicBool::new(false);
        let count = |thread: u64| {
            let (mut opened, mut random) = (0, thread.wrapping_mul(2) + 1);
            while !over.load(Ordering::Relaxed) {
                // Where the next one lies is all that has to be random (Knuth's MMIX generator).
                random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
                let number = ((random >> 32) * self.handles.len() as u64) >> 32;
                self.open_one(number, held)?;
                opened += 1;
            }
            Ok(opened)
        };
        let opened: Result<u64, OpenError> = thread::scope(|scope| {
            let count = &count;
            let workers: Vec<_> =
                (0..threads as u64).map(|thread| scope.spawn(move || count(thread))).collect();
            thread::sleep(time);
            over.store(true, Ordering::Relaxed);
            let joined = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.sum()
        });
        opened.map(|opened| per_second(opened, begun.elapsed()))
    }

    fn open_one(&self, number: u64, held: Duration) -> Result<(), OpenError> {
        let index = usize::try_from(number).unwrap_or(0);
        let Some(record) = self.records.get(&self.handles[index]) else { return Ok(()) };
        #[expect(clippy::cast_possible_truncation, reason = "there are as many as a u32 counts")]
        let context = (number as u32).to_le_bytes();
        let opened = self.vault.open_timeout(&record, &context, PATIENCE)?;
        black_box(opened.expose_secret().first());
        if !held.is_zero() {
            thread::sleep(held);
        }
        Ok(())
    }
}

/// A length of at least one byte: of nothing, as many fit as you like.
fn positive(text: &str) -> Result<usize, String> {
    match parse(text)? {
        0 => Err("a secret has at least one byte".to_owned()),
        size => Ok(size),
    }
}

fn per_second(count: u64, time: Duration) -> String {
    let rate = u128::from(count) * 1_000_000_000 / time.as_nanos().max(1);
    format!("{} a second", HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)))
}

fn tell(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<24} {figure}");
}

/// How long an opened secret is held where there are more threads than places.
const HELD: Duration = Duration::from_millis(10);
/// How long one waits for room before the whole ends with an error.
const PATIENCE: Duration = Duration::from_secs(30);
/// Each thread takes four mappings of the 65,530 that Linux gives a process by default.
const MOST_THREADS: usize = 4_000;
