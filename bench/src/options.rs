//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

/// Measures strongroom beside its peers, and holds the figures against the bars
#[derive(Debug, Parser)]
#[command(name = "bench/run", after_help = AFTER)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) task: Option<Task>,

    /// About a minute instead of several; the docs are left alone
    #[arg(long)]
    pub(crate) quick: bool,

    /// Exit with 1 if a bar is missed
    #[arg(long)]
    pub(crate) strict: bool,

    /// Measure only these; the docs are left alone
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub(crate) only: Vec<Group>,
}

impl Options {
    /// Whether the results are the ones to keep.
    pub(crate) fn is_complete(&self) -> bool {
        !self.quick && self.only.is_empty()
    }

    pub(crate) fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }
}

/// A group of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    Density,
    Speed,
    Growth,
    Threads,
    OneCore,
    Vault,
    Enclave,
    Streams,
    Store,
    Libraries,
    AtRest,
}

/// What else this program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Counts instructions under valgrind; see `bench/instructions`
    Instructions {
        /// Keep the counts, to compare later ones with
        #[arg(long)]
        save: bool,
        /// Say which functions they are in
        #[arg(long)]
        functions: bool,
    },
    /// One contestant with many sealed secrets, in a process of its own
    #[command(hide = true)]
    AtRest { peer: String, count: usize, rounds: usize },
    /// One hot path, in a process for valgrind to count
    #[command(hide = true)]
    HotPath { case: String, operations: u64 },
}

const AFTER: &str = "\
A full run writes docs/BENCHMARKS.md (between its markers), docs/img/*.svg and
bench/results/latest.json; --quick and --only write to bench/results/quick instead.

Exits with 0 even if a bar is missed, unless --strict is given; with 2 if something could
not be measured or written.";
