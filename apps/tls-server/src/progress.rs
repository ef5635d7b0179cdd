//! How far it is: a bar on a terminal, otherwise a line for each tenth.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Counts steps, and tells of them on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: Cell<usize>,
    count: usize,
    begun: Instant,
}

impl Progress {
    /// Of `count` steps.
    #[must_use]
    pub fn new(what: &'static str, count: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(count as u64));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
        }
        Self { bar, what, done: Cell::new(0), count, begun: Instant::now() }
    }

    /// One step more.
    pub fn step(&self) {
        let done = self.done.get() + 1;
        self.done.set(done);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if done * 10 / self.count > (done - 1) * 10 / self.count {
            let (done, count) = (HumanCount(done as u64), HumanCount(self.count as u64));
            eprintln!("{}: {done} of {count}, {:.0?}", self.what, self.begun.elapsed());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
