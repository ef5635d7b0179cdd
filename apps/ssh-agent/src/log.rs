//! What the agent tells the person who runs it: on the terminal, or into a file.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

/// Where it goes.
#[derive(Debug)]
pub(crate) enum Log {
    /// The terminal, or whatever stands for it.
    Stderr,
    File(File),
    Nowhere,
}

/// Says from now on where it goes, and whether each signature is told too.
pub(crate) fn set(log: Log, verbose: bool) {
    // The first one stays; it is said once, in `main`.
    let _ = LOG.set((log, verbose));
}

/// Tells something. It is put together only if somebody is told.
pub(crate) fn say(text: impl FnOnce() -> String) {
    let line = |text: String| format!("strongroom-ssh-agent: {text}\n");
    // Nobody can be told that nobody can be told.
    let _ = match LOG.get() {
        None | Some((Log::Stderr, _)) => io::stderr().write_all(line(text()).as_bytes()),
        Some((Log::File(file), _)) => { file }.write_all(line(text()).as_bytes()),
        Some((Log::Nowhere, _)) => Ok(()),
    };
}

/// Tells what happens all the time.
pub(crate) fn say_more(text: impl FnOnce() -> String) {
    if LOG.get().is_some_and(|(_, verbose)| *verbose) {
        say(text);
    }
}

static LOG: OnceLock<(Log, bool)> = OnceLock::new();
