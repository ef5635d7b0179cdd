//! Timing two contestants side by side.
//!
//! ```text
//! round:   floor, contestant     contestant, floor     floor, contestant     …
//! turn:    a quarter untimed to warm the caches, then a fixed number of operations, timed
//! ```
//!
//! A round gives one ratio, so that what slows the machine for a moment slows both. Rounds go on
//! until the median of the ratios is known well enough or the time is up.
//!
//! Time is the processor's time for this thread, in user space and in the kernel: on a machine that
//! others use too, it does not count while they run.

use std::time::Duration;

use serde::Serialize;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Harness {
    /// The time of one contestant's turn.
    pub(crate) turn: Duration,
    /// The time for one pair.
    pub(crate) budget: Duration,
    pub(crate) least_rounds: usize,
}

impl Harness {
    /// The same with another time for one pair.
    pub(crate) fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Times both by turns. Each is called with how many operations to do.
    pub(crate) fn pair(&self, mut floor: impl FnMut(u64), mut own: impl FnMut(u64)) -> Paired {
        let counts = (calibrate(self.turn, &mut floor), calibrate(self.turn, &mut own));
        let begun = Clock::start();
        let (mut ratios, mut floors, mut owns) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let (a, b);
            if ratios.len().is_multiple_of(2) {
                a = turn(&mut floor, counts.0);
                b = turn(&mut own, counts.1);
            } else {
                b = turn(&mut own, counts.1);
                a = turn(&mut floor, counts.0);
            }
            floors.push(a);
            owns.push(b);
            ratios.push(b / a);
            let over = begun.elapsed() >= self.budget;
            if ratios.len() >= self.least_rounds && (over || Spread::of(&ratios).is_narrow()) {
                break;
            }
        }
        Paired {
            ratio: Spread::of(&ratios),
            floor_ns: Spread::of(&floors).median,
            own_ns: Spread::of(&owns).median,
            rounds: ratios.len(),
        }
    }
}

/// How many operations take about a turn.
pub(crate) fn calibrate(turn: Duration, work: &mut impl FnMut(u64)) -> u64 {
    let mut count = 1;
    loop {
        let begun = Clock::start();
        work(count);
        let taken = begun.elapsed();
        if taken * 4 >= turn {
            let scale = turn.as_secs_f64() / taken.as_secs_f64();
            return scaled(count, scale);
        }
        count *= 2;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of turns")]
fn scaled(count: u64, scale: f64) -> u64 {
    ((count as f64 * scale) as u64).max(1)
}

/// The processor's time for the calling thread (`clock_gettime(2)`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Duration);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(thread_time())
    }

    pub(crate) fn elapsed(self) -> Duration {
        thread_time().saturating_sub(self.0)
    }

    /// What has elapsed, for each of so many.
    pub(crate) fn nanoseconds_each(self, count: u64) -> f64 {
        self.elapsed().as_secs_f64() * 1e9 / count as f64
    }
}

#[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "less than a second")]
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes, and every thread has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds for each operation of one turn.
fn turn(work: &mut impl FnMut(u64), count: u64) -> f64 {
    work(count / 4);
    let begun = Clock::start();
    work(count);
    begun.elapsed().as_secs_f64() * 1e9 / count as f64
}

/// What two contestants took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Paired {
    /// The contestant's time in times of the floor's.
    pub(crate) ratio: Spread,
    /// Nanoseconds for each operation; they depend on the machine, the ratio hardly does.
    pub(crate) floor_ns: f64,
    pub(crate) own_ns: f64,
    pub(crate) rounds: usize,
}

/// A median and where it lies with a confidence of 95 in 100.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one value.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        // By the normal approximation of the binomial distribution: no matter how values spread.
        let reach = (0.98 * (sorted.len() as f64).sqrt()).ceil() as usize;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self {
            median,
            low: sorted[middle.saturating_sub(reach)],
            high: sorted[(middle + reach).min(sorted.len() - 1)],
        }
    }

    /// Whether the median is known to one part in 200.
    fn is_narrow(&self) -> bool {
        self.high - self.low <= self.median * 0.01
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few_and_of_many() {
        assert!((Spread::of(&[3.0]).median - 3.0).abs() < 1e-9);
        assert!((Spread::of(&[4.0, 1.0]).median - 2.5).abs() < 1e-9);
        let values: Vec<f64> = (0..101).rev().map(f64::from).collect();
        let spread = Spread::of(&values);
        assert!((spread.median - 50.0).abs() < 1e-9);
        assert!(spread.low >= 39.0 && spread.high <= 61.0, "{spread:?}");
    }

    #[test]
    fn twice_the_work_takes_twice_the_time() {
        let step = |count: u64| {
            for number in 0..count * 100 {
                std::hint::black_box(number);
            }
        };
        let millisecond = Duration::from_millis(1);
        let harness = Harness { turn: millisecond, budget: 50 * millisecond, least_rounds: 9 };
        let paired = harness.pair(step, |count| {
            step(count);
            step(count);
        });
        assert!((1.6..2.4).contains(&paired.ratio.median), "{paired:?}");
    }
}
