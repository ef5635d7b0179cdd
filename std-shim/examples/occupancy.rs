//! Where the locked memory went: fills a region with a mixed load and draws what lies where.
//!
//! ```text
//! cargo run --release --example occupancy -- --help
//! ```
//!
//! The load allocates secrets of log-normal lengths and releases a random one after every two, until
//! the region refuses the next or a count is reached. The picture is made from `Arena::map`: cells by
//! their class, live, free or quarantined, and the bookkeeping; on the terminal and, if asked for, as
//! SVG; or beside that of the same pages with one secret on each, which opens the README:
//!
//! ```text
//! cargo run --release --example occupancy -- --size 64 --beside docs/img/pages.svg
//! ```

#[path = "occupancy/beside.rs"]
mod beside;
#[path = "common/bytes.rs"]
mod bytes;
#[path = "occupancy/load.rs"]
mod load;
#[path = "occupancy/options.rs"]
mod options;
#[path = "occupancy/picture.rs"]
mod picture;
#[path = "occupancy/random.rs"]
mod random;
#[path = "occupancy/summary.rs"]
mod summary;
#[path = "occupancy/svg.rs"]
mod svg;
#[path = "occupancy/terminal.rs"]
mod terminal;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use strongroom::strongroom_core::Arena;
use strongroom::{LockedPages, OsEntropy};

use load::Load;
use options::Options;
use picture::Picture;
use summary::Summary;

/// Whatever keeps the picture from being drawn; its text is for a person.
type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read along has seen enough.
        Err(failure) if is_closed_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody can be told, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(failure: &Failure) -> bool {
    let error = failure.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut pages = LockedPages::new(options.budget)?;
    let arena = Arena::new(pages.as_region(), &mut OsEntropy)?;
    let load = Load::fill(&arena, options)?;

    let picture = Picture::of(&arena);
    let summary = Summary::of(&picture, &load);
    let mut out = io::stdout().lock();
    write!(out, "{}", terminal::draw(&picture, options.in_colour()))?;
    write!(out, "{summary}")?;
    if let Some(path) = &options.svg {
        keep(&mut out, path, &svg::draw(&picture, &summary))?;
    }
    if let (Some(path), Some(size)) = (&options.beside, options.size) {
        keep(&mut out, path, &beside::draw(&picture, size)?)?;
    }
    Ok(())
}

fn keep(out: &mut impl Write, path: &Path, picture: &str) -> Result<(), Failure> {
    let error = |error| format!("{} cannot be written: {error}", path.display());
    fs::write(path, picture).map_err(error)?;
    writeln!(out, "\nwrote {}", path.display())?;
    Ok(())
}
