//! A machine that was switched off: what is searched for on its disk and in its memory, and what must come of it.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::process::ExitCode;

use strongroom_tests::intruder::{FoundKey, Proof};
use strongroom_tests::known::{Kind, Known, context, stay_open};
use strongroom_tests::scan::Search;

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let number = |at: usize| arguments[at].parse().unwrap();
    let (known, secrets, open) = (Known::new(arguments[0].parse().unwrap()), number(1), number(2));
    let log = fs::read_to_string(&arguments[3]).unwrap();
    let (disk, memory) = (&arguments[4], &arguments[5]);

    let key = find_key(&log, memory);
    let search = patterns(known, secrets, open, key);
    let on_disk = count(&search, disk);
    let in_memory = count(&search, memory);
    println!("searched for {secrets} secrets, {open} of them open, and {open} controls");
    println!("on the disk:   {}", told(&on_disk));
    println!("in the memory: {}", told(&in_memory));

    let mut wrong = Vec::new();
    let mut must = |is_so: bool, what| {
        if !is_so {
            wrong.push(what);
        }
    };
    let has_controls = on_disk.get(CONTROL).is_some_and(|&finds| finds >= open);
    match arguments[6].as_str() {
        "nothing" => must(on_disk.is_empty(), "nothing at all is on the disk"),
        "kept" => {
            must(has_controls, "the controls are on the disk");
            must(on_disk.keys().all(|&name| name == CONTROL), "nothing secret is on the disk");
        }
        "found" => {
            must(has_controls, "the controls are on the disk");
            must(on_disk.contains_key(OPEN), "open secrets are on the disk");
        }
        other => panic!("nothing, kept or found, not {other}"),
    }
    // What is swapped out may be in memory no more. Each is found as eight windows in a row.
    let finds = [&in_memory, &on_disk].map(|counts| counts.get(OPEN).copied().unwrap_or(0));
    must(finds.iter().sum::<usize>() >= open * 8, "what is open is found");
    must(!in_memory.contains_key(AT_REST), "nothing at rest is in memory");
    must(key.is_some(), "the key's shares are in memory");
    must(!in_memory.contains_key(KEY), "the key is whole nowhere in memory");
    for what in &wrong {
        println!("FAILED: it is not so that {what}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn patterns(known: Known, secrets: usize, open: usize, key: Option<FoundKey>) -> Search {
    let mut search = Search::default();
    let open_ones: HashSet<_> = stay_open(secrets, open).collect();
    for number in 0..secrets {
        let name = if open_ones.contains(&number) { OPEN } else { AT_REST };
        search.add_one_of_many(name, &known.pattern(Kind::Secret, number));
    }
    for number in 0..open {
        search.add_one_of_many(CONTROL, &known.pattern(Kind::Control, number));
    }
    if let Some(key) = key {
        search.add(KEY, &key.key);
        key.shares.iter().for_each(|share| search.add(SHARE, share));
    }
    search
}

/// The key, joined from what is in the machine's memory.
fn find_key(log: &str, memory: &str) -> Option<FoundKey> {
    let bytes = |name: &str| {
        let mut lines = log.lines().map(|line| line.trim_start_matches("guest: "));
        let hex = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let pairs = hex.as_bytes().as_chunks::<2>().0.iter();
        let bytes = pairs.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
        bytes.collect::<Vec<_>>()
    };
    let (vault, record) = (bytes("told vault "), bytes("told record "));
    let proof = Proof { record: &record, context: &context(0), prefixes: &vault };
    proof.key_in(&fs::read(memory).unwrap())
}

/// How often each was found.
fn count(search: &Search, path: &str) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for find in search.file(&File::open(path).unwrap()).unwrap() {
        *counts.entry(find.name).or_default() += 1;
    }
    counts
}

fn told(counts: &BTreeMap<&'static str, usize>) -> String {
    let counts = [CONTROL, OPEN, AT_REST, KEY, SHARE]
        .map(|name| format!("{name} {}", counts.get(name).copied().unwrap_or(0)));
    counts.join(", ")
}

pub(crate) const OPEN: &str = "open secrets";
pub(crate) const AT_REST: &str = "secrets at rest";
pub(crate) const CONTROL: &str = "controls";
const KEY: &str = "the key";
const SHARE: &str = "its shares";
