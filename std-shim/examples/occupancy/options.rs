//! The command line.

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::bytes::parse;

/// Fills a locked region with a mixed load and draws what lies where
#[derive(Debug, Parser)]
#[command(name = "occupancy", after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The locked memory to fill, in bytes or with a unit (64KiB, 1MiB)
    #[arg(long, default_value = "64KiB", value_name = "BYTES", value_parser = parse)]
    pub(crate) budget: usize,

    /// How many secrets to allocate; without it, until the region refuses the next
    #[arg(long)]
    pub(crate) count: Option<u32>,

    /// What the random lengths and releases begin with: the same seed, the same load
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// All secrets of this length, instead of log-normal lengths (median 48 bytes)
    #[arg(long, value_name = "BYTES", value_parser = parse)]
    pub(crate) size: Option<usize>,

    /// Release so many in a hundred of the secrets at the end, at random
    #[arg(
        long,
        default_value_t = 0,
        value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    pub(crate) release: u8,

    /// Write past the end of so many more secrets, to see them quarantined
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(crate) damage: u32,

    /// Write the picture to a file too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Write a picture of the pages beside the same pages with one secret on each
    #[arg(long, value_name = "FILE", requires = "size")]
    pub(crate) beside: Option<PathBuf>,

    /// Colour on the terminal
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Colour {
    /// If standard output is a terminal and `NO_COLOR` is not set
    Auto,
    Always,
    Never,
}

impl Options {
    pub(crate) fn in_colour(&self) -> bool {
        match self.color {
            Colour::Auto => {
                let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                io::stdout().is_terminal() && !is_unwanted
            }
            Colour::Always => true,
            Colour::Never => false,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  occupancy --release 40                    a region with holes
  occupancy --budget 1MiB --svg room.svg    a larger one, as a picture
  occupancy --size 64 --damage 5            one class, and what overflows leave behind

Exits with 0 if the picture was drawn, 1 if not, 2 on bad options.";
