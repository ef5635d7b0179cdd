//! Wipes every secret when the process is told to end, and when a thread panics.
//!
//! ```sh
//! printf hunter2 | cargo run --example signals
//! ```
//!
//! It reads a secret, keeps it open and waits for a signal (Ctrl-C will do). The handler wipes
//! everything and then ends the process as the signal would have. With `--stop` it stops in between,
//! so that you can look from outside at what is left; with `--panic` it panics by itself.

use std::env;
use std::error::Error;
use std::panic;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM};
use signal_hook::low_level;
use strongroom::{Vault, unbuffered_stdin, wipe_all};

fn main() -> Result<(), Box<dyn Error>> {
    let given = |flag| env::args().any(|argument| argument == flag);
    let stop = given("--stop");
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        wipe_on(signal, stop)?;
    }
    wipe_on_panic(stop);

    let vault = Vault::new(64 * 1024)?;
    let sealed = vault.read_to_end(unbuffered_stdin()?, 4096)?.seal(b"example")?;
    let opened = vault.try_open(&sealed, b"example")?;
    println!("process {} holds a secret of {} bytes", std::process::id(), opened.len());
    assert!(!given("--panic"), "a bug elsewhere");
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn wipe_on(signal: i32, stop: bool) -> Result<(), Box<dyn Error>> {
    let handler = move || {
        wipe_all();
        stop_if(stop);
        // Ends the process with the signal that its parent sent.
        let _ = low_level::emulate_default_handler(signal);
    };
    // SAFETY: the handler calls async-signal-safe functions only: `wipe_all` says so of itself, and
    // signal-hook of its `raise` and `emulate_default_handler`.
    unsafe { low_level::register(signal, handler) }?;
    Ok(())
}

/// For a program in which a panic ends the process. Where threads may panic and others go on, let
/// them: an open secret is wiped when its owner unwinds.
fn wipe_on_panic(stop: bool) {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        wipe_all();
        stop_if(stop);
        report(panic);
    }));
}

fn stop_if(stop: bool) {
    if stop {
        let _ = low_level::raise(SIGSTOP);
    }
}
