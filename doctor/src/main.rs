//! `strongroom-doctor`: how much memory can be locked here, how many secrets fit, and what to change
//! if that is too little. It reads the limits, and tries: it locks a page, and what was asked for, in
//! a child process and for a moment.
//!
//! Exit status: 0 if the stated need fits or none was stated, 1 if it does not fit, 2 if the
//! command line makes no sense or the answer could not be written.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use strongroom::Limits;

use crate::need::Need;
use crate::tried::Tried;

mod density;
mod json;
mod need;
mod sizes;
mod text;
mod tried;

/// Says how much memory this process may lock, how many secrets fit, and what to change if those
/// are too few.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many secrets are to be open at one time.
    #[arg(long, requires = "size", value_parser = clap::value_parser!(u64).range(1..))]
    open: Option<u64>,
    /// The size of each of them in bytes.
    #[arg(long, requires = "open", value_parser = clap::value_parser!(u64).range(1..))]
    size: Option<u64>,
    /// Answers in JSON: sizes in bytes, `null` for what is not known.
    #[arg(long)]
    json: bool,
    /// Prints how many secrets fit budgets of several sizes, on any host, as Markdown.
    #[arg(long, conflicts_with_all = ["open", "size", "json"])]
    density: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match answer(&options, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("strongroom-doctor: the answer could not be written: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes what was asked for and says whether the need fits.
fn answer(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    if options.density {
        return write!(out, "{}", density::Table).map(|()| true);
    }
    let limits = Limits::read();
    let tried = Tried::now();
    let need = options.open.zip(options.size);
    let need = need.map(|(open, size)| Need::of(&limits, open, size).tried());
    if options.json {
        json::write(out, &limits, &tried, need.as_ref())?;
    } else {
        text::write(out, &limits, &tried, need.as_ref())?;
    }
    out.flush()?;
    Ok(need.is_none_or(|need| need.fits == Some(true)))
}
