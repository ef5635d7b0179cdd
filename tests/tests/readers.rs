//! What each kind of memory keeps from whom: another process, of the same user or of root, and the kernel, which
//! writes a core file.
//!
//! A victim (`src/bin/victim`) has secrets open, and controls in ordinary memory, which must be found: who does
//! not find them finds nothing. The table of SECURITY.md is what comes of it.
//!
//!     cargo test -p strongroom-tests --test readers -- --nocapture
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use strongroom_tests::known::{Kind, Known};
use strongroom_tests::noise::Noise;
use strongroom_tests::scan::Search;

#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "SECURITY.md speaks of 64-bit addresses")]
fn what_each_backing_keeps_from_whom() {
    let bench = Bench::new("readers");
    let [locked, secret] = BACKINGS.map(|backing| Victim::start(&bench, "still", backing));
    let Some(mut locked) = locked else { panic!("nothing can be locked") };
    let mut secret = secret;
    let mut table = vec![HEADER.to_owned(), "|---|---|---|---|---|".to_owned()];
    for (reader, way) in READERS.iter().flat_map(|reader| WAYS.iter().map(move |way| (reader, way)))
    {
        if reader.user == User::Root && !is_root() {
            eprintln!("skipped: {}: only root can be root", reader.name);
            continue;
        }
        let Some(seen) = way.read(&bench, reader.user, &mut locked) else { continue };
        let hidden = secret.as_mut().and_then(|secret| way.read(&bench, reader.user, secret));
        let hidden_open = hidden.map_or("not known", |hidden| {
            assert_eq!(hidden.controls, seen.controls, "{} {}", reader.name, way.name);
            told(hidden.open)
        });
        let row = [reader.name, way.name, told(seen.controls), told(seen.open), hidden_open];
        table.push(format!("| {} |", row.join(" | ")));
    }
    for backing in [Some(locked), secret].into_iter().flatten() {
        backing.end();
    }
    compare(&table);
}

/// By the kernel, at moments that nobody chose, and of the signals that leave one.
#[test]
fn a_core_file_of_any_moment_holds_controls_alone() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) {
        eprintln!("skipped: core files: they go to {}", pattern.trim());
        return;
    }
    let mut search = Search::default();
    for number in 0..SECRETS {
        search.add("a secret", &KNOWN.pattern(Kind::Secret, number));
    }
    for number in 0..OPEN {
        search.add("a control", &KNOWN.pattern(Kind::Control, number));
    }
    let mut noise = Noise(u64::from(std::process::id()));
    for backing in BACKINGS {
        for moment in 0..MOMENTS {
            let bench = Bench::new(&format!("crash-{backing}-{moment}"));
            let Some(mut victim) = Victim::start(&bench, "busy", backing) else { break };
            thread::sleep(Duration::from_micros(noise.below(30_000) as u64));
            let signals = [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL];
            victim.crash(signals[noise.below(4)]);
            let core = bench.file_that_begins_with("core").expect("the kernel wrote a core file");
            let finds = search.file(&File::open(core).unwrap()).unwrap();
            let controls = finds.iter().filter(|find| find.name == "a control").count();
            assert!(controls >= OPEN, "{backing}: {controls} controls: not all memory is there");
            let mut secrets = finds.into_iter().filter(|find| find.name == "a secret");
            let first = secrets.find(|find| find.place.len() > WORDS);
            assert_eq!(first, None, "{backing}, moment {moment}");
        }
        println!("{MOMENTS} core files with {backing} memory hold the controls and no secret");
    }
}

/// Who reads.
struct Reader {
    name: &'static str,
    user: User,
}

#[derive(Clone, Copy, PartialEq)]
enum User {
    /// The victim's own.
    Same,
    Other,
    Root,
}

const READERS: [Reader; 3] = [
    Reader { name: "a process of another user", user: User::Other },
    Reader { name: "a process of the same user", user: User::Same },
    Reader { name: "a process of root", user: User::Root },
];

/// How it reads.
struct Way {
    name: &'static str,
    /// Program and arguments; `PID`, `PLACE` and `CORE` stand for the victim's number, where a secret is open
    /// in it, and a file.
    command: &'static [&'static str],
}

const WAYS: [Way; 5] = [
    Way { name: "`/proc/PID/mem`", command: &["searcher", "mem", "PID"] },
    Way { name: "`process_vm_readv`", command: &["searcher", "process_vm_readv", "PID"] },
    Way { name: "`gcore`", command: &["gcore", "-o", "CORE", "PID"] },
    Way { name: "`gcore -a`", command: &["gcore", "-a", "-o", "CORE", "PID"] },
    Way {
        name: "`gdb`, by a call of the process's own `write`",
        command: &[
            "gdb",
            "-p",
            "PID",
            "-batch",
            "-ex",
            "print ((long(*)(int, long, long)) __write)(1, CONTROL, 64)",
            "-ex",
            "print ((long(*)(int, long, long)) __write)(1, PLACE, 64)",
        ],
    },
];

/// Whether all controls were read, and whether any open secret was.
#[derive(Clone, Copy)]
struct Seen {
    controls: bool,
    open: bool,
}

impl Way {
    /// What a reader sees of a victim; nothing, if the program is not there.
    fn read(&self, bench: &Bench, user: User, victim: &mut Victim) -> Option<Seen> {
        let core = bench.directory.join(format!("{}-dump", victim.child.id()));
        let fill = |word: &&str| {
            let word = word.replace("CORE", core.to_str().unwrap());
            let word = word.replace("CONTROL", &victim.control).replace("PLACE", &victim.place);
            word.replace("PID", &victim.child.id().to_string())
        };
        let mut words: Vec<String> = self.command.iter().map(fill).collect();
        if words[0] == "searcher" {
            bench.searcher.to_str().unwrap().clone_into(&mut words[0]);
            words.extend([SEED, SECRETS, OPEN].map(|number| number.to_string()));
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&bench.directory).stdin(Stdio::null());
        command.env("HOME", &bench.directory).env_remove("DEBUGINFOD_URLS");
        match user {
            User::Root => {}
            User::Same => become_(&mut command, NOBODY),
            User::Other => become_(&mut command, OTHER),
        }
        if user == User::Other && !is_root() {
            eprintln!("skipped: another user: only root can become one");
            return None;
        }
        let Ok(output) = command.output() else {
            eprintln!("skipped: {}: there is no {}", self.name, words[0]);
            return None;
        };
        let said = String::from_utf8(output.stdout).unwrap();
        match self.command[0] {
            "searcher" => Some(Seen {
                controls: said.contains("all controls"),
                open: said.contains("open secrets"),
            }),
            "gcore" => Some(search_and_remove(&core, victim)),
            // Both calls write to where the victim tells.
            _ => {
                let bytes = victim.told_so_far();
                let has = |kind| bytes.windows(64).any(|found| found == KNOWN.pattern(kind, 0));
                Some(Seen { controls: has(Kind::Control), open: has(Kind::Secret) })
            }
        }
    }
}

/// Where programs lie that everybody may run, and what they write.
struct Bench {
    directory: PathBuf,
    victim: PathBuf,
    searcher: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("strongroom-{name}-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        let program = |path: &str, name| {
            let copy = directory.join(name);
            fs::copy(path, &copy).unwrap();
            fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
            copy
        };
        let victim = program(env!("CARGO_BIN_EXE_victim"), "victim");
        let searcher = program(env!("CARGO_BIN_EXE_searcher"), "searcher");
        Self { directory, victim, searcher }
    }

    fn file_that_begins_with(&self, name: &str) -> Option<PathBuf> {
        let files = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| {
            path.file_name().is_some_and(|found| found.to_str().unwrap().starts_with(name))
        });
        files.next()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

struct Victim {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where the first control and the first open secret are.
    control: String,
    place: String,
}

impl Victim {
    /// Starts it as a user who is not root; says why, if it has no such memory here.
    fn start(bench: &Bench, doing: &str, backing: &str) -> Option<Self> {
        let mut command = Command::new(&bench.victim);
        command.args([doing, &SEED.to_string(), backing]);
        command.args([SECRETS, OPEN].map(|number| number.to_string()));
        command.current_dir(&bench.directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        become_(&mut command, NOBODY);
        // SAFETY: `leave_cores` makes a system call only.
        unsafe {
            command.pre_exec(|| {
                leave_cores();
                Ok(())
            })
        };
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (control, place) = (String::new(), String::new());
        let mut victim = Self { child, stdout, control, place };
        loop {
            let mut line = String::new();
            assert_ne!(victim.stdout.read_line(&mut line).unwrap(), 0, "it ended");
            let line = line.trim();
            if line == doing {
                return Some(victim);
            } else if let Some(place) = line.strip_prefix("told place ") {
                place.clone_into(&mut victim.place);
            } else if let Some(place) = line.strip_prefix("told control ") {
                place.clone_into(&mut victim.control);
            } else if line.starts_with("skipped: ") {
                eprintln!("{line}");
                victim.child.wait().unwrap();
                return None;
            }
        }
    }

    /// What it was made to write since.
    fn told_so_far(&mut self) -> Vec<u8> {
        // It writes a line on its own account when it is told to.
        let said = writeln!(self.child.stdin.as_mut().unwrap(), "again");
        assert!(said.is_ok(), "the victim ended: {:?}", self.child.wait());
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"still\n") {
            let mut byte = [0];
            self.stdout.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        bytes
    }

    /// The standard library lets a first signal pass that no instruction of the process led to.
    fn crash(&mut self, signal: libc::c_int) {
        while self.child.try_wait().unwrap().is_none() {
            // SAFETY: sends a signal to a child of this process that was not waited for.
            assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn search_and_remove(core: &Path, victim: &Victim) -> Seen {
    let core = core.with_extension(victim.child.id().to_string());
    let Ok(file) = File::open(&core) else { return Seen { controls: false, open: false } };
    let mut search = Search::default();
    (0..SECRETS).for_each(|number| search.add("s", &KNOWN.pattern(Kind::Secret, number)));
    (0..OPEN).for_each(|number| search.add("c", &KNOWN.pattern(Kind::Control, number)));
    let finds = search.file(&file).unwrap();
    fs::remove_file(core).unwrap();
    let count = |name| finds.iter().filter(|find| find.name == name).count();
    Seen { controls: count("c") >= OPEN, open: count("s") > 0 }
}

/// The page has the rows that could be found out here, as they were found out here.
fn compare(table: &[String]) {
    // The guest has the page, and no folder of this package to go up from.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let written: Vec<_> = rest.split_once(END).unwrap().0.trim().lines().collect();
    println!("{}", table.join("\n"));
    // Of secret memory nothing may be known here, and of some readers.
    let known: Vec<_> =
        table.iter().map(|row| row.trim_end_matches("| not known |").to_owned()).collect();
    let found = |row: &String| written.iter().any(|line| line.starts_with(row.as_str()));
    let lacking: Vec<_> = known.iter().filter(|row| !found(row)).collect();
    assert!(lacking.is_empty(), "SECURITY.md lacks {lacking:#?}");
    let names: BTreeSet<_> = READERS.iter().map(|reader| reader.name).collect();
    let rows = written.iter().skip(2);
    let strange: Vec<_> =
        rows.filter(|row| !names.contains(row.split('|').nth(1).unwrap().trim())).collect();
    assert!(strange.is_empty() && written.len() == 2 + READERS.len() * WAYS.len(), "{strange:?}");
}

fn told(is_read: bool) -> &'static str {
    if is_read { "read" } else { "kept" }
}

/// Has a command run as another user, which only root can.
fn become_(command: &mut Command, user: u32) {
    if is_root() {
        command.uid(user).gid(user);
    }
}

fn is_root() -> bool {
    // SAFETY: reads a number of this process.
    unsafe { libc::geteuid() == 0 }
}

fn leave_cores() {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is valid during the call. Who may not raise it leaves smaller ones.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const all) };
}

const HEADER: &str =
    "| who reads | how | ordinary memory | open, in locked memory | open, in `memfd_secret` |";
const BEGIN: &str = "<!-- readers: begin (`cargo test -p strongroom-tests --test readers`) -->";
const END: &str = "<!-- readers: end -->";

const BACKINGS: [&str; 2] = ["locked", "secret"];
const KNOWN: Known = Known::new(SEED as u64);
const SEED: usize = 20_261;
const SECRETS: usize = 400;
const OPEN: usize = 100;
const MOMENTS: usize = 10;
const NOBODY: u32 = 65_534;
const OTHER: u32 = 65_533;

/// As in `stray`: what lies on a stack while code without optimisation adds it.
const WORDS: usize = if cfg!(debug_assertions) { 2 * size_of::<u64>() + 2 } else { 0 };
