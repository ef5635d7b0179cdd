//! Threads of different priorities on one processor: whoever waits for the library lets the holder
//! run, whatever else there is to run.
//!
//! The threads are in `src/bin/priorities`, a process that is killed if it hangs. What stalls there is
//! compared with the same threads without the library, in the same run.
//!
//!     STRONGROOM_PRIORITIES_SECONDS=60 cargo test --release -p strongroom-tests --test priorities
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::env;
use std::fs::{self, File};
use std::time::Duration;

use support::child::{End, run};

#[test]
fn an_urgent_thread_goes_on_beside_one_that_never_rests() {
    for subject in ["park", "vault"] {
        goes_on(subject, &[]);
    }
}

/// Without inheritance, the one in between would keep the holder from running, and so the urgent one.
#[test]
fn a_thread_in_between_does_not_hold_up_an_urgent_one() {
    for subject in ["park", "vault"] {
        goes_on(subject, &["middle"]);
    }
}

/// What the tests above must be able to see.
#[test]
fn waiters_that_lend_nothing_are_found_out() {
    // In two of three phases the holder is kept from running.
    if let Some(End::Passed(text)) = priorities("sleep", 6, &["middle"]) {
        let longest = Run::read(&text).library.longest;
        assert!(longest > Duration::from_millis(150), "{text}");
    }
}

/// The same, of waiters that do not let go of the processor.
#[test]
fn waiters_that_spin_are_found_out() {
    if let Some(end) = priorities("spin", 1, &[]) {
        assert_eq!(end, End::Hung);
    }
}

fn goes_on(subject: &str, more: &[&str]) {
    let Some(end) = priorities(subject, seconds(), more) else { return };
    let End::Passed(text) = end else { panic!("{subject} {more:?} hung") };
    println!("{subject} {more:?}\n{text}");
    let Run { bare, library } = Run::read(&text);
    // Either kind of phase may be met by the kernel's reserve for ordinary threads, where those are many by
    // that of two periods in a row: then even one that takes no lock was seen to wait for 91 ms of twice 50.
    let most = bare.longest.max(2 * reserve()) + NOISE;
    assert!(library.longest <= most, "{subject} {more:?}: stalled\n{text}");
    assert!(library.urgent > 100 && library.patient > 0, "{subject} {more:?}\n{text}");
}

/// Runs the program, unless it says why it cannot be. One at a time: the threads of two would meet.
fn priorities(subject: &str, seconds: u64, more: &[&str]) -> Option<End> {
    let program = env!("CARGO_BIN_EXE_priorities");
    let alone = File::open(program).unwrap();
    alone.lock().unwrap();
    let seconds_text = seconds.to_string();
    let arguments = [&[subject, &seconds_text], more].concat();
    match run(program, &arguments, Duration::from_secs(2 * seconds + 3)) {
        End::Skipped(why) => {
            eprint!("{why}");
            None
        }
        end => Some(end),
    }
}

struct Run {
    bare: Phases,
    library: Phases,
}

struct Phases {
    longest: Duration,
    urgent: u64,
    patient: u64,
}

impl Run {
    fn read(text: &str) -> Self {
        Self { bare: Phases::read(text, "bare: "), library: Phases::read(text, "library: ") }
    }
}

impl Phases {
    fn read(text: &str, name: &str) -> Self {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let words = line.split([' ', ',']);
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let [longest, urgent, patient] = numbers[..] else { panic!("{line}") };
        Self { longest: Duration::from_micros(longest), urgent, patient }
    }
}

/// What the kernel keeps from real-time threads in each of its periods.
fn reserve() -> Duration {
    let read = |name| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/sched_rt_{name}_us")).ok()?;
        text.trim().parse::<i64>().ok()
    };
    let reserve = read("period")
        .zip(read("runtime"))
        .map_or(0, |(period, runtime)| if runtime < 0 { 0 } else { period - runtime });
    Duration::from_micros(reserve.try_into().unwrap_or(0))
}

fn seconds() -> u64 {
    env::var("STRONGROOM_PRIORITIES_SECONDS").map_or(4, |seconds| seconds.parse().unwrap())
}

/// What a busy host adds to any wait.
const NOISE: Duration = Duration::from_millis(40);
