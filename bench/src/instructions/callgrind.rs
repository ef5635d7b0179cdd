//! Runs a case under callgrind and reads what it counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};

/// valgrind, found on this machine.
pub(super) struct Valgrind {
    version: String,
    program: PathBuf,
}

/// What was counted.
pub(super) struct Counted {
    pub(super) instructions: f64,
    /// How often the function was called that [opens a window](OPENING).
    pub(super) windows: f64,
    /// The functions with the most of them, as `callgrind_annotate(1)` lists them.
    pub(super) functions: Vec<String>,
}

impl Valgrind {
    pub(super) fn find() -> Result<Self, String> {
        let output = Command::new("valgrind").arg("--version").output();
        let output = output.map_err(|error| format!("valgrind cannot be run: {error}"))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let program = env::current_exe().map_err(|error| error.to_string())?;
        Ok(Self { version, program })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Counts the instructions of so many operations of a case.
    pub(super) fn count(&self, case: &str, operations: u64) -> Result<Counted, Box<dyn Error>> {
        let file = env::temp_dir().join(format!("callgrind.{}.{case}", process::id()));
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(&file);
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
            .arg(format!("--toggle-collect={COUNTED}"))
            .arg(out)
            .arg(&self.program)
            .args(["hot-path", case, &operations.to_string()])
            .output()?;
        let counted = read(&output, &file);
        // Nothing is lost if it stays.
        let _ = fs::remove_file(&file);
        counted.map_err(|why| format!("{case}: {why}").into())
    }
}

fn read(output: &Output, file: &Path) -> Result<Counted, Box<dyn Error>> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    let text = fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.ok_or("callgrind wrote no total")?.trim().parse()?;
    if total == 0.0 {
        return Err("callgrind saw nothing to count".into());
    }
    Ok(Counted { instructions: total, windows: calls(&text, OPENING), functions: functions(file) })
}

/// How often a function was called: a line `cfn=(number) name`, where the name is left out after the first
/// time, and below it a line `calls=count place` (Valgrind's manual, "Callgrind Format Specification").
fn calls(text: &str, function: &str) -> f64 {
    let (mut number, mut is_called, mut count) = (None, false, 0.0);
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (found, name) = named.split_once(' ').unwrap_or((named, ""));
            if name.contains(function) {
                number = Some(found);
            }
            is_called = line.starts_with('c') && number == Some(found);
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| is_called) {
            let calls = calls.split(' ').next().and_then(|calls| calls.parse::<f64>().ok());
            count += calls.unwrap_or(0.0);
        }
    }
    count
}

/// The functions with the most instructions; none if `callgrind_annotate` is not there.
fn functions(file: &Path) -> Vec<String> {
    let mut command = Command::new("callgrind_annotate");
    command.args(["--auto=no", "--threshold=100"]).arg(file);
    let Ok(output) = command.output() else { return Vec::new() };
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (function, count) in String::from_utf8_lossy(&output.stdout).lines().filter_map(entry) {
        *sums.entry(function.to_owned()).or_default() += count;
    }
    let total = sums.values().sum::<u64>() as f64;
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|&(_, count)| Reverse(count));
    let line = |(function, count)| format!("{:5.1} %  {function}", 100.0 * count as f64 / total);
    sums.into_iter().take(MOST).map(line).collect()
}

/// A line of the list: count, share, file and function. A function has a line for each file that
/// was inlined into it.
fn entry(line: &str) -> Option<(&str, u64)> {
    let (count, rest) = line.trim_start().split_once(" (")?;
    let count = count.replace(',', "").parse().ok()?;
    let (_, place) = rest.split_once(")  ")?;
    let (_, function) = place.split_once(':')?;
    Some((function.split(" [").next().unwrap_or(function), count))
}

/// How many functions are shown.
const MOST: usize = 10;

/// The function that opens a window by a key.
const OPENING: &str = "open_by_key";

/// The function in which instructions are counted; see `cases`.
const COUNTED: &str = "*cases*counted*";
