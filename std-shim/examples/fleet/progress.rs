//! A progress bar on standard error, if that is a terminal.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts steps; the bar goes at the end or when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    steps: AtomicU64,
}

impl Progress {
    /// A bar for `count` steps, or without an end if that is not known.
    pub(crate) fn new(message: &'static str, count: Option<usize>) -> Self {
        let bar = count.map_or_else(ProgressBar::no_length, |count| ProgressBar::new(count as u64));
        let template = if count.is_some() { WITH_END } else { WITHOUT_END };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(message);
        Self { bar, steps: AtomicU64::new(0) }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// One step more. The bar learns of it now and then: it costs more than the step.
    pub(crate) fn step(&self) {
        let steps = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if steps.is_multiple_of(STRIDE) {
            self.bar.set_position(steps);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

const WITH_END: &str = "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left";
const WITHOUT_END: &str = "{msg} {human_pos}";
const STRIDE: u64 = 4096;
