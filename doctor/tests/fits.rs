//! The doctor's numbers beside what a vault then really holds, at five real limits.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Output};

use serde_json::Value;
use strongroom::limits::Fit;
use strongroom::{OpenError, Vault};

#[test]
fn what_the_doctor_says_fits_is_what_fits() {
    if let Ok(case) = env::var(CASE) {
        let (budget, size) = case.split_once(' ').unwrap();
        println!("{HELD}{}", held(budget.parse().unwrap(), size.parse().unwrap()));
        return;
    }
    for limit in LIMITS {
        let Some(report) = doctor(limit, &["--json"]) else { return };
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(report["available"], limit);
        for fit in report["fits"].as_array().unwrap() {
            let (size, told) = (fit["size"].as_u64().unwrap(), fit["secrets"].as_u64().unwrap());
            let held = really_held(limit, size);
            assert!(told <= held, "{told} are promised, {held} fit: {size} bytes each in {limit}");
            let more = if limit <= EXACT { 0 } else { HANDFUL };
            assert!(held <= told + more, "{told} told, {held} fit: {size} bytes each in {limit}");
        }
    }
}

/// Other sizes, long ones among them, in vaults that need no limit of their own.
#[test]
fn what_is_said_of_a_budget_holds() {
    let limits = strongroom::Limits::read();
    for budget in [8 << 10, 64 << 10, 1 << 20, 2 << 20] {
        if limits.remedy(2 * budget).is_some() {
            return skip("the lock limit is too low here").unwrap_or_default();
        }
        for size in [1, 100, 3000, 5000, 20_000, 100_000] {
            let Fit::Secrets(told) = limits.fits_in(budget, size) else { panic!("{size}") };
            let held = held(usize::try_from(budget).unwrap(), usize::try_from(size).unwrap());
            let held = held as u64;
            let more = if budget <= EXACT { 0 } else { HANDFUL };
            let fits = told <= held && held <= told + more;
            assert!(fits, "{told} told, {held} fit: {size} bytes each in {budget}");
        }
    }
}

/// The last need that fits, and one more.
#[test]
fn the_exit_status_is_the_verdict() {
    let limit = 65_536;
    let Some(report) = doctor(limit, &["--json"]) else { return };
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let most = report["fits"][1]["secrets"].as_u64().unwrap();
    assert_eq!(report["fits"][1]["size"], 64);
    for (open, status, verdict) in [(most, 0, "they fit\n"), (most + 1, 1, "they do not fit; ")] {
        let open = open.to_string();
        let output = doctor(limit, &["--open", &open, "--size", "64"]).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(verdict), "{text}");
        assert_eq!(text.contains("RLIMIT_MEMLOCK"), status == 1, "no remedy: {text}");
        let json = doctor(limit, &["--json", "--open", &open, "--size", "64"]).unwrap();
        assert_eq!(json.status.code(), Some(status));
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["need"]["fits"], status == 0);
        assert_eq!(json["need"]["remedy"].is_string(), status == 1);
    }
    let senseless = doctor(limit, &["--open", "5"]).unwrap();
    assert_eq!(senseless.status.code(), Some(2));
}

/// The guide's figures are the doctor's own, but for a handful in the large ones.
#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "the guide is for 64-bit addresses")]
fn the_guide_says_the_same() {
    let output = Command::new(DOCTOR).arg("--density").output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let guide = include_str!("../../docs/DEPLOYMENT.md");
    let headings = table.lines().next().unwrap();
    let in_guide = guide.lines().skip_while(|&line| line != headings);
    let told: Vec<_> = in_guide.take(table.lines().count()).flat_map(cells).collect();
    let same = |(guide, told): (&String, String)| match (guide.parse(), told.parse()) {
        (Ok(guide), Ok(told)) => u64::abs_diff(guide, told) <= HANDFUL,
        _ => *guide == told,
    };
    let fresh = table.lines().flat_map(cells);
    let all = told.len() == fresh.clone().count() && told.iter().zip(fresh).all(same);
    assert!(all, "put this into docs/DEPLOYMENT.md:\n{table}");
}

/// As `--open` says it.
#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "the guide is for 64-bit addresses")]
fn the_guide_says_what_is_needed() {
    let guide = include_str!("../../docs/DEPLOYMENT.md");
    let rows = guide.lines().filter(|line| line.ends_with(" bytes |"));
    let limits = strongroom::Limits::read();
    let mut count = 0;
    for row in rows {
        let row: Vec<_> = cells(row).collect();
        let [_, open, size, bytes, _] = row.as_slice() else { panic!("{row:?}") };
        let bytes: u64 = bytes.trim_end_matches(" bytes").parse().unwrap();
        let needed = limits.needed(open.parse().unwrap(), size.parse().unwrap());
        assert!(u64::abs_diff(needed, bytes) <= limits.page_size as u64, "{row:?}: {needed}");
        count += 1;
    }
    assert_eq!(count, 6);
}

fn cells(row: &str) -> impl Iterator<Item = String> + Clone {
    row.split('|').map(|cell| cell.trim().replace(',', ""))
}

/// Opens secrets until there is no room.
fn held(budget: usize, size: usize) -> usize {
    let vault = Vault::new(budget).unwrap();
    assert!(vault.protections().locked);
    let mut open = Vec::new();
    loop {
        match vault.try_allocate(size) {
            Ok(secret) => open.push(secret),
            Err(OpenError::Full(_) | OpenError::TooLarge { .. }) => return open.len(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn really_held(limit: u64, size: u64) -> u64 {
    let name = "what_the_doctor_says_fits_is_what_fits";
    let mut command = confined(limit, env::current_exe().unwrap().as_os_str());
    command.args(["--exact", name, "--nocapture"]).env(CASE, format!("{limit} {size}"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let held = text.lines().find_map(|line| line.split_once(HELD)).map(|(_, held)| held);
    held.unwrap_or_else(|| panic!("{output:?}")).parse().unwrap()
}

/// Runs the doctor under a limit. Says why and gives `None` where this system does not allow it.
fn doctor(limit: u64, arguments: &[&str]) -> Option<Output> {
    let output = confined(limit, OsStr::new(DOCTOR)).args(arguments).output();
    match output {
        Ok(output) if output.status.code().is_some_and(|code| code < 3) => Some(output),
        Ok(output) => skip(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => skip(&error.to_string()),
    }
}

fn skip<T>(why: &str) -> Option<T> {
    eprintln!("skipped: limits by prlimit and setpriv: {why}");
    None
}

/// The program under a lock limit in bytes, without `CAP_IPC_LOCK` if this is root.
fn confined(limit: u64, program: &OsStr) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--memlock={limit}:{limit}"));
    if strongroom::Limits::read().ipc_lock == strongroom::limits::IpcLock::InEffect {
        command.args(["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-all"]);
    }
    command.arg(program);
    command
}

const DOCTOR: &str = env!("CARGO_BIN_EXE_strongroom-doctor");
const CASE: &str = "STRONGROOM_TEST_CASE";
const HELD: &str = "secrets held: ";
/// Up to here the doctor's numbers are exact, and beyond low by so many at most.
const EXACT: u64 = 512 << 10;
const HANDFUL: u64 = 8;
const LIMITS: [u64; 5] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20];
