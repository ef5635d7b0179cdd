//! This agent beside OpenSSH's: the time for one signature, the memory for each key, and what a core file of
//! each shows. With `--write` the tables go into README.md.
//!
//! Both run at the same time and are asked in turn, so that what slows the machine down slows both down.
#![allow(clippy::unwrap_used, reason = "it is run by hand, and may fail by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::env;
use std::fmt::Write;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ssh_agent_lib::blocking::Client;
use ssh_agent_lib::proto::SignRequest;
use ssh_agent_lib::ssh_key::PrivateKey;
use ssh_agent_lib::ssh_key::private::Ed25519Keypair;
use ssh_agent_lib::ssh_key::public::KeyData;
use std::os::unix::net::UnixStream;
use strongroom_tests::scan::Search;
use support::core_file::CoreFile;
use support::{
    Agent, adding, are_here, done, find, folder, is_root, new_key, numbered, seed, signing, told,
};

fn main() {
    if !are_here(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    build();
    let mut page = String::new();
    writeln!(page, "With {}, {}.\n", version(), machine()).unwrap();
    signatures(&mut page);
    many_keys(&mut page);
    println!("{page}");
    if env::args().any(|argument| argument == "--write") {
        write_into_readme(&page);
    }
}

/// `cargo run --example` builds no program but the example.
fn build() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--quiet", "--bins", "--manifest-path", manifest]);
    done(if cfg!(debug_assertions) { &mut cargo } else { cargo.arg("--release") });
}

/// One key in each agent, asked for a signature in turn.
fn signatures(page: &mut String) {
    let keys = folder();
    page.push_str(
        "| one signature | strongroom | OpenSSH | ratio (quartiles) |\n|---|---|---|---|\n",
    );
    for (kind, name) in [("ed25519", "Ed25519"), ("ecdsa", "P-256"), ("rsa", "RSA, 2,048 bits")] {
        progress(&format!("signing with {name}"));
        let file = new_key(keys.path(), kind);
        let (ours, theirs) = (Agent::start(&[]), Agent::start_openssh());
        for agent in [&ours, &theirs] {
            agent.added(&[&file]);
        }
        let public = PrivateKey::read_openssh_file(&file).unwrap();
        let public = public.public_key().key_data().clone();
        let request = signing(public, &[7; 200], RSA_SHA2_512);
        row(page, name, &[ours, theirs], &request);
    }
}

/// Ten thousand keys in each agent: their memory, the last of them, and a core file.
fn many_keys(page: &mut String) {
    let agents = [Agent::start(&[]), Agent::start_openssh()];
    // What a first key costs is not each key's.
    for agent in &agents {
        agent.client().add_identity(adding(numbered(KEYS).1, "first")).unwrap();
    }
    let mut each = [0; 2];
    for (agent, each) in agents.iter().zip(&mut each) {
        progress(&format!("adding {KEYS} keys"));
        let before = resident(agent);
        let mut client = agent.client();
        for number in 0..KEYS {
            client.add_identity(adding(numbered(number).1, "a key")).unwrap();
        }
        *each = (resident(agent) - before) / u64::from(KEYS);
    }
    let request = signing(KeyData::Ed25519(numbered(KEYS - 1).1.public), &[7; 200], 0);
    progress("signing with the last of them");
    row(page, "Ed25519, the last of 10,000", &agents, &request);

    let [ours, theirs] = each.map(thousands);
    page.push_str("\n| 10,000 keys of Ed25519 | strongroom | OpenSSH |\n|---|---|---|\n");
    writeln!(page, "| resident bytes for each | {ours} | {theirs} |").unwrap();
    let [ours, theirs] = [&agents[0], &agents[1]].map(|agent| agent.status("VmLck:"));
    writeln!(page, "| locked, all together | {ours} KiB | {theirs} KiB |").unwrap();
    if !is_root() || find("gcore").is_none() {
        page.push_str("\nThe core files were skipped: they take root, and gdb.\n");
        return;
    }
    let seen = agents.map(|agent| {
        progress("searching a core file");
        see(&agent)
    });
    let rows: [(&str, Shown); 3] = [
        ("keys of which a core file has 8 bytes or more as they are", |seen| seen.openly),
        ("keys that it gives to whoever undoes the encryption at rest", |seen| seen.undone),
        ("copies that it has of a seed planted as a comment, to test the search", |seen| {
            seen.planted
        }),
    ];
    for (name, shown) in rows {
        let [ours, theirs] = seen.each_ref().map(|seen| thousands(shown(seen)));
        writeln!(page, "| {name} | {ours} | {theirs} |").unwrap();
    }
}

type Shown = fn(&Seen) -> u64;

/// What a core file shows.
struct Seen {
    openly: u64,
    undone: u64,
    planted: u64,
}

fn see(agent: &Agent) -> Seen {
    let planted_seed = b"eiYai3ohch7Ahx1aequo0ohPheiw5xoo";
    let pair = Ed25519Keypair::from_seed(&[1; 32]);
    agent.client().add_identity(adding(pair, std::str::from_utf8(planted_seed).unwrap())).unwrap();
    let folder = folder();
    let core = CoreFile::of(agent.id(), folder.path());
    let seeds: HashSet<_> = (0..KEYS).map(seed).collect();
    let mut search = Search::default();
    search.add("planted", planted_seed);
    for seed in &seeds {
        search.add("seed", seed);
    }
    let finds = search.file(&fs::File::open(&core.path).unwrap()).unwrap();
    let windows = finds.iter().filter(|find| find.name == "seed");
    // Which key's they are.
    let pieces = windows.filter_map(|find| core.bytes()[find.place.clone()].get(..8));
    let pieces: HashSet<_> = pieces.collect();
    let is_open = |seed: &&[u8; 32]| seed.windows(8).any(|piece| pieces.contains(piece));
    let openly = seeds.iter().filter(is_open);
    let mut undone: HashSet<&[u8; 32]> = HashSet::new();
    for key in core.shielded_keys() {
        undone.extend(key.windows(32).filter_map(|window| seeds.get(window)));
    }
    let planted = finds.iter().filter(|find| find.name == "planted" && find.place.len() == 32);
    Seen {
        openly: openly.count() as u64,
        undone: undone.len() as u64,
        planted: planted.count() as u64,
    }
}

/// Signs in turn, and writes the medians.
fn row(page: &mut String, name: &str, agents: &[Agent; 2], request: &SignRequest) {
    let mut clients = agents.each_ref().map(Agent::client);
    let mut rounds: [Vec<Duration>; 2] = Default::default();
    for round in 0..ROUNDS {
        // Who is first, changes.
        for which in [round % 2, 1 - round % 2] {
            rounds[which].push(time(&mut clients[which], request));
        }
    }
    let ratios = rounds[0]
        .iter()
        .zip(&rounds[1])
        .map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64());
    let mut ratios: Vec<_> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let [ours, theirs] = rounds.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    });
    let [low, median, high] = [1, 2, 3].map(|quarter| ratios[ratios.len() * quarter / 4]);
    writeln!(page, "| {name} | {ours:.0} µs | {theirs:.0} µs | {median:.2} ({low:.2}–{high:.2}) |")
        .unwrap();
}

/// The mean of some in a row.
fn time(client: &mut Client<UnixStream>, request: &SignRequest) -> Duration {
    let began = Instant::now();
    for _ in 0..IN_A_ROW {
        client.sign(request.clone()).unwrap();
    }
    began.elapsed() / IN_A_ROW
}

fn resident(agent: &Agent) -> u64 {
    agent.status("VmRSS:") * 1024
}

fn version() -> String {
    let output = Command::new("ssh").arg("-V").output().unwrap();
    told(&output).split(',').next().unwrap_or_default().trim().replace('_', " ")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("on {cores} cores of {}, Linux {}", env::consts::ARCH, kernel.trim())
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{what} …");
    }
}

fn write_into_readme(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has no place for it");
    let (_, after) = rest.split_once(END).expect("README.md has no end of the place for it");
    fs::write(&path, format!("{before}{BEGIN}\n\n{page}\n{END}{after}")).unwrap();
}

const BEGIN: &str = "<!-- measured: begin (written by the example beside, with --write) -->";
const END: &str = "<!-- measured: end -->";

const KEYS: u32 = 10_000;
const ROUNDS: usize = 101;
const IN_A_ROW: u32 = 10;
const RSA_SHA2_512: u32 = 4;
