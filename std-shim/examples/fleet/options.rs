//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::bytes::parse;

/// Seals a million secrets into ordinary memory, opens them all in random order under a small
/// budget of locked memory, and reports what it took
#[derive(Debug, Parser)]
#[command(name = "fleet", after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Options {
    /// How many random secrets to make
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// The length of a random secret in bytes
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = positive)]
    pub(crate) size: usize,

    /// Take real secrets: of a file each line, of a directory each file, `-` for standard input
    #[arg(long, value_name = "PATH", conflicts_with_all = ["count", "size"])]
    pub(crate) input: Option<PathBuf>,

    /// The locked memory to get along with, in bytes or with a unit (64KiB, 1MiB)
    #[arg(long, default_value = "64KiB", value_name = "BYTES", value_parser = parse)]
    pub(crate) budget: usize,

    /// How many threads open secrets
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=MOST_THREADS))]
    pub(crate) threads: u32,

    /// How long a thread holds a secret open, in microseconds; 0 for no longer than the check
    #[arg(long, default_value = "0", value_name = "MICROSECONDS", value_parser = microseconds)]
    pub(crate) hold: Duration,

    /// How long a thread waits for room before it gives up, in seconds
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// When all are sealed again, search the process's whole memory for plaintext
    #[arg(long)]
    pub(crate) scan: bool,

    /// Do it the old way instead: each secret in locked pages of its own, as far as the budget goes
    #[arg(long, conflicts_with = "scan")]
    pub(crate) page_each: bool,
}

/// Each thread takes four mappings of the 65,530 that Linux gives a process by default.
const MOST_THREADS: i64 = 10_000;

const EXAMPLES: &str = "\
Examples:
  fleet --input ~/.ssh                     real keys, one per file
  fleet --threads 2000 --hold 1000         more at once than fit: they wait
  fleet --count 10000000 --budget 16KiB    more secrets, less locked memory
  fleet --page-each --budget 1MiB          the old way: 256 secrets in pages of 4 KiB

Exits with 0 if all was done, 1 if something failed or was found, 2 on bad options.";

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

fn microseconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_micros).map_err(|_| "it is no whole number".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
