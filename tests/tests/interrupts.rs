//! An interrupt handler uses the arena which it interrupts: `src/bin/interrupts`.
//!
//!     STRONGROOM_INTERRUPTS_SECONDS=60 cargo test --release -p strongroom-tests --test interrupts
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::env;
use std::time::Duration;

use support::child::{End, run};

#[test]
fn a_critical_section_lets_a_handler_use_what_it_interrupts() {
    let seconds =
        env::var("STRONGROOM_INTERRUPTS_SECONDS").map_or(2, |seconds| seconds.parse().unwrap());
    let End::Passed(text) = interrupts("masked", seconds) else { panic!("it failed or hung") };
    println!("{text}");
    let mut numbers = text.split([' ', ',', '\n']).filter_map(|word| word.parse::<u64>().ok());
    let (interrupts, turns) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(interrupts >= 200 * seconds && turns >= 20 * seconds, "{text}");
}

/// What the test above must be able to see.
#[test]
fn a_lock_that_spins_hangs() {
    assert_eq!(interrupts("spin", 2), End::Hung);
}

fn interrupts(lock: &str, seconds: u64) -> End {
    let arguments = [lock.to_owned(), seconds.to_string()];
    run(env!("CARGO_BIN_EXE_interrupts"), &arguments, Duration::from_secs(2 * seconds + 3))
}
