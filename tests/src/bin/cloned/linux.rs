//! What is sealed before the snapshot, and after.

use std::env;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use strongroom::strongroom_core::Entropy;
use strongroom::{CloneNotice, OsEntropy, Sealed, Vault, renew_when_cloned};

pub(crate) fn main() {
    let vault = Vault::new(1 << 16).unwrap();
    let before = vault.seal(b"before", b"").unwrap();
    if let Some(way) = env::args().nth(1) {
        watch(&way, &vault);
        return tell(&way, &vault, &before);
    }
    let [mut log, mut clock] =
        [("log", ROOT), ("clock", NOBODY)].map(|(way, user)| Watcher::begin(way, user));
    println!("told ready");
    thread::sleep(WHILE / 2);
    set_clock();
    log.end();
    clock.end();
    tell("plain", &vault, &before);
    vault.renew().unwrap();
    tell("renewed", &vault, &before);
}

/// Seals all the while. The snapshot is taken meanwhile, and each copy goes on with the rest.
fn watch(way: &str, vault: &Vault) {
    let notice = renew_when_cloned().unwrap();
    assert_eq!(way == "log", notice == CloneNotice::KernelLog, "{notice}");
    // Again is no harm.
    assert_eq!(renew_when_cloned(), Ok(notice));
    let mut console =
        (way == "log").then(|| OpenOptions::new().write(true).open("/dev/console").unwrap());
    let begun = Instant::now();
    println!("told {way} watches");
    let mut last = number(&vault.seal(b"", b"").unwrap());
    while begun.elapsed() < WHILE {
        thread::sleep(Duration::from_millis(1));
        let next = number(&vault.seal(b"", b"").unwrap());
        let since = begun.elapsed().as_micros();
        if next != last + 1 {
            println!("told {way} noticed {since}");
        }
        last = next;
        if let Some(console) = &mut console {
            tick(console, since);
        }
    }
}

fn tick(console: &mut File, since: u128) {
    let (mut kernels, mut ours) = ([0; 8], [0; 8]);
    // SAFETY: there is room for so many bytes.
    let drawn = unsafe { libc::getrandom(kernels.as_mut_ptr().cast(), kernels.len(), 0) };
    assert_eq!(drawn, 8);
    OsEntropy.fill(&mut ours).unwrap();
    let [kernels, ours] = [kernels, ours].map(u64::from_le_bytes);
    // In one piece, which nobody else's is written into.
    console.write_all(format!("tick {since} {kernels:016x} {ours:016x}\n").as_bytes()).unwrap();
}

fn tell(way: &str, vault: &Vault, before: &Sealed) {
    let mut line = format!("told {way}");
    for _ in 0..SEALS {
        let sealed = vault.seal(b"after", b"").unwrap();
        write!(line, " {:016x}", number(&sealed)).unwrap();
        assert_eq!(vault.try_open(&sealed, b"").unwrap().expose_secret(), b"after");
    }
    let mut random = [0; 8];
    vault.fill_random(&mut random).unwrap();
    println!("{line} {:016x}", u64::from_le_bytes(random));
    assert_eq!(vault.try_open(before, b"").unwrap().expose_secret(), b"before");
}

/// The part of a record's nonce that counts.
fn number(sealed: &Sealed) -> u64 {
    u64::from_le_bytes(sealed.record()[..8].try_into().unwrap())
}

/// As whatever keeps the time of a machine does that was resumed late.
fn set_clock() {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) }, 0);
    now.tv_sec += 3600;
    // SAFETY: the time is valid during the call.
    assert_eq!(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, ptr::from_ref(&now)) }, 0);
}

/// This program once more, in a process of its own.
struct Watcher {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    /// Comes back when it watches.
    fn begin(way: &str, user: u32) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut process = command.arg(way).uid(user).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        println!("{}", said.next().unwrap().unwrap());
        Self { process, said }
    }

    fn end(&mut self) {
        self.said.by_ref().for_each(|line| println!("{}", line.unwrap()));
        assert!(self.process.wait().unwrap().success());
    }
}

const SEALS: usize = 20;
const WHILE: Duration = Duration::from_secs(10);
const ROOT: u32 = 0;
const NOBODY: u32 = 65_534;
