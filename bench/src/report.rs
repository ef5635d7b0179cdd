//! What a person reads: tables on the terminal, Markdown and curves; and JSON for a program.

mod cells;
mod chart;
mod curves;
mod libraries;
mod store;
mod streams;
mod table;
mod tables;
mod vault;
mod windows;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::page::Markers;
use crate::results::Results;

/// Prints the tables.
pub(crate) fn print(results: &Results) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for table in tables::all(results) {
        writeln!(out, "{}", table.plain())?;
    }
    writeln!(out, "{}", tables::verdict(results))
}

/// Writes Markdown, curves and JSON, for good or to look at. Says where.
pub(crate) fn write(results: &Results, keep: bool) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(package);
    let (page, images, json) = if keep {
        (root.join("docs/BENCHMARKS.md"), root.join("docs/img"), "results/latest.json")
    } else {
        let quick = package.join("results/quick");
        (quick.join("BENCHMARKS.md"), quick.join("img"), "results/quick/latest.json")
    };
    let json = package.join(json);
    for path in [&page, &json] {
        fs::create_dir_all(path.parent().unwrap_or(root))?;
    }
    fs::create_dir_all(&images)?;
    fs::write(&json, serde_json::to_string_pretty(results)? + "\n")?;
    let around = fs::read_to_string(&page).unwrap_or_default();
    fs::write(&page, MARKERS.replace(&around, &tables::markdown(results)))?;
    let mut written = vec![page, json];
    written.extend(curves::draw(results, &images)?);
    Ok(written)
}

const MARKERS: Markers = Markers {
    begin: "<!-- measured: begin (written by bench/run) -->",
    end: "<!-- measured: end -->",
};
