//! Instruction counts of the hot paths, under valgrind: the same on a noisy machine as on a quiet
//! one, so that a later change can be compared.
//!
//! Each case runs in a process of its own, in which only what is below `counted` is counted. Two
//! numbers of operations are counted; their difference leaves what a run costs once out.

mod callgrind;
mod cases;
mod keys;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

pub(crate) use self::cases::run;

use self::callgrind::{Counted, Valgrind};
use self::cases::{CASES, OPERATIONS, WITH_AND_WITHOUT_KEYS};
use self::keys::Added;

/// The counts that are kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    valgrind: String,
    rustc: String,
    /// Instructions for each operation of a case.
    cases: BTreeMap<String, f64>,
}

/// Counts every case and prints the counts beside those that were kept.
pub(crate) fn count(save: bool, functions: bool) -> Result<ExitCode, Box<dyn Error>> {
    let valgrind = match Valgrind::find() {
        Ok(valgrind) => valgrind,
        Err(why) => {
            println!("skipped: {why}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/instructions.json");
    let kept = read(&path)?;
    let rustc = env!("BENCH_RUSTC").to_owned();
    let mut now = Kept { valgrind: valgrind.version().to_owned(), rustc, ..Kept::default() };
    println!("{:<40} {:>12} {:>12} {:>9}", "instructions per operation", "kept", "now", "change");
    let mut show = |name: &'static str, operations| -> Result<Counted, Box<dyn Error>> {
        let counted = measure(&valgrind, name, operations)?;
        let before = kept.as_ref().and_then(|kept| kept.cases.get(name)).copied();
        println!("{}", line(name, before, counted.instructions));
        if functions {
            counted.functions.iter().for_each(|function| println!("    {function}"));
        }
        now.cases.insert(name.to_owned(), counted.instructions);
        Ok(counted)
    };
    for case in CASES {
        show(case.name, case.operations)?;
    }
    let mut added = Vec::new();
    if keys::ARE_COUNTED {
        for pair in WITH_AND_WITHOUT_KEYS {
            let [without, with] = pair.names;
            let (without, with) = (show(without, OPERATIONS)?, show(with, OPERATIONS)?);
            added.push(Added::new(pair.what, &without, &with));
        }
        println!("\n{}", keys::plain(&added));
    } else {
        println!("skipped: what windows by keys add: bench/instructions builds what counts that");
    }
    if let Some(kept) = &kept {
        note_differences(kept, &now);
    }
    keep(&path, &now, save || kept.is_none())?;
    if save && !added.is_empty() {
        keys::write(&added)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(valgrind: &Valgrind, name: &str, operations: u64) -> Result<Counted, Box<dyn Error>> {
    let few = valgrind.count(name, operations)?;
    let many = valgrind.count(name, 2 * operations)?;
    let each = |few, many| (many - few) / operations as f64;
    Ok(Counted {
        instructions: each(few.instructions, many.instructions),
        windows: each(few.windows, many.windows),
        functions: many.functions,
    })
}

fn line(name: &str, before: Option<f64>, now: f64) -> String {
    let (before, change) = match before {
        Some(before) => (format!("{before:.1}"), format!("{:+.1} %", 100.0 * (now / before - 1.0))),
        None => ("-".to_owned(), "-".to_owned()),
    };
    format!("{name:<40} {before:>12} {now:>12.1} {change:>9}")
}

fn note_differences(kept: &Kept, now: &Kept) {
    for (what, before, after) in
        [("compiler", &kept.rustc, &now.rustc), ("valgrind", &kept.valgrind, &now.valgrind)]
    {
        if before != after {
            println!("note: the {what} was {before} and is {after}");
        }
    }
}

fn read(path: &Path) -> Result<Option<Kept>, Box<dyn Error>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path)?;
    let kept = serde_json::from_str(&text)
        .map_err(|error| format!("{}: {error}; remove it to begin anew", path.display()))?;
    Ok(Some(kept))
}

fn keep(path: &Path, now: &Kept, save: bool) -> Result<(), Box<dyn Error>> {
    if save {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, serde_json::to_string_pretty(now)? + "\n")?;
        println!("wrote {}", path.display());
    } else {
        println!("{} is left as it is; --save replaces it", path.display());
    }
    Ok(())
}
