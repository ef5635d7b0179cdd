//! The secrets, and what is done with them meanwhile.

use std::env;
use std::io;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use strongroom::{Backing, OpenError, Opened, Policy, RecordHandle, Records, Vault};
use strongroom_tests::known::{Kind, Known, LENGTH, context, stay_open};
use strongroom_tests::noise::Noise;
use strongroom_tests::scan;

use crate::pressure;

pub(crate) fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments[0] == "squeeze" {
        return squeeze(&arguments[1..]);
    }
    let number = |at: usize| arguments[at].parse().unwrap();
    let (doing, backing) = (arguments[0].as_str(), arguments[2].as_str());
    if matches!(doing, "swap" | "hibernate") {
        pressure::swap_on();
    }
    let vault = vault(backing, number(4));
    let victim =
        Victim::new(Known::new(arguments[1].parse().unwrap()), vault, number(3), number(4));
    victim.tell();
    match doing {
        "swap" | "hibernate" => {
            let written = victim.while_busy(|| pressure::until_written(number(5)));
            println!("told {written} MiB were swapped out");
            println!("told {}", if doing == "swap" { "power-off" } else { "hibernate" });
            // The machine ends before this program does.
            thread::park();
        }
        "busy" => victim.while_busy(|| {
            println!("busy");
            thread::park();
        }),
        "still" => stand_still(),
        _ => panic!("nothing is called {doing}"),
    }
    victim.check();
}

/// Runs a program on a machine that swaps all the while, and ends as it ends.
fn squeeze(command: &[String]) {
    pressure::swap_on();
    let mut program = Command::new(&command[0]).args(&command[1..]).spawn().unwrap();
    let status = pressure::until_ended(&mut program);
    assert!(status.success(), "{}: {status}", command[0]);
}

fn vault(backing: &str, open: usize) -> &'static Vault {
    let bytes = open * 100 + (1 << 18);
    let mut builder = Vault::builder().budget(bytes..=bytes);
    if backing == "secret" {
        builder = builder.backing(Backing::SecretMemory);
    }
    if backing == "unlocked" {
        pressure::forbid_locking();
        builder = builder.policy(Policy::Prefer);
    }
    let vault = builder.build().unwrap_or_else(|error| {
        println!("skipped: {error}");
        process::exit(0);
    });
    Box::leak(Box::new(vault))
}

struct Victim {
    known: Known,
    vault: &'static Vault,
    records: Records,
    handles: Vec<RecordHandle>,
    opened: Vec<Opened<'static>>,
    /// What whoever reads ordinary memory must find.
    controls: Vec<[u8; LENGTH]>,
}

impl Victim {
    fn new(known: Known, vault: &'static Vault, secrets: usize, open: usize) -> Self {
        let records = Records::new();
        let mut place = vault.try_allocate(LENGTH).unwrap();
        let handles = (0..secrets).map(|number| {
            known.write(Kind::Secret, number, &mut place.expose_secret_mut());
            records.insert(&place.seal(&context(number)).unwrap()).unwrap()
        });
        let handles = handles.collect();
        drop(place);
        let controls = (0..open).map(|number| known.pattern(Kind::Control, number)).collect();
        let mut victim = Self { known, vault, records, handles, opened: Vec::new(), controls };
        victim.opened =
            stay_open(secrets, open).map(|number| victim.open(number).unwrap()).collect();
        victim
    }

    fn open(&self, number: usize) -> Result<Opened<'static>, OpenError> {
        let sealed = self.records.get(&self.handles[number]).unwrap();
        self.vault.try_open(&sealed, &context(number))
    }

    /// Tells what an intruder needs to know the key when he sees it.
    fn tell(&self) {
        let place = (&raw const *self.vault).addr();
        let vault = scan::read(process::id(), place..place + size_of::<Vault>()).unwrap();
        println!("told vault {}", hex(&vault));
        let sealed = self.records.get(&self.handles[0]).unwrap();
        println!("told record {}", hex(sealed.record()));
        println!("told control {:#x}", self.controls[0].as_ptr().addr());
        println!("told place {:#x}", self.opened[0].expose_secret().as_ptr().addr());
        let (open, unlocked) = (self.opened.len(), self.vault.unlocked_bytes());
        println!("told {open} are open; unlocked bytes, as the kernel says: {unlocked:?}");
    }

    /// Has threads open, check, seal and drop while something is done.
    fn while_busy<T>(&self, work: impl FnOnce() -> T) -> T {
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..THREADS {
                let ends = &ends;
                scope.spawn(move || {
                    let mut noise = Noise(seed);
                    while !ends.load(Ordering::Relaxed) {
                        self.use_one(noise.below(self.handles.len()));
                    }
                });
            }
            let done = work();
            ends.store(true, Ordering::Relaxed);
            done
        })
    }

    /// Opens one, finds it what it was, and seals it once more.
    fn use_one(&self, number: usize) {
        let opened = self.open(number).unwrap();
        let mut same = self.vault.try_allocate(LENGTH).unwrap();
        self.known.write(Kind::Secret, number, &mut same.expose_secret_mut());
        assert!(opened.constant_time_eq(&same.expose_secret()), "{number} is another");
        drop(opened.seal(&context(number)).unwrap());
    }

    /// The end, to which nothing may have been lost.
    fn check(&self) {
        let mut controls = self.controls.iter().zip(0..);
        assert!(
            controls.all(|(found, number)| *found == self.known.pattern(Kind::Control, number))
        );
        self.vault.verify().unwrap();
    }
}

/// Answers to each line until there is an empty one.
fn stand_still() {
    let mut line = "still".to_owned();
    while !line.trim().is_empty() {
        println!("still");
        line.clear();
        io::stdin().read_line(&mut line).unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

const THREADS: u64 = 3;
