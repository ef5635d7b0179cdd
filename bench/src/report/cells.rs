//! Figures as a table shows them.

use crate::harness::Spread;
use crate::results::{BesideOther, Unit};
use crate::units::thousands;

/// An amount with its unit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
pub(super) fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Secrets => thousands(value as usize),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Share => format!("{value:.3}"),
        Unit::Times => format!("{value:.2}"),
    }
}

/// The median of a ratio.
pub(super) fn times(spread: Spread) -> String {
    let digits = match spread.median {
        100.0.. => 0,
        0.1.. => 2,
        _ => 4,
    };
    format!("{:.digits$}", spread.median)
}

/// A median, and between what it lies.
pub(super) fn with_spread(spread: Spread) -> [String; 3] {
    [spread.median, spread.low, spread.high].map(|value| amount(value, Unit::Times))
}

/// A time in nanoseconds.
pub(super) fn nanoseconds(value: f64) -> String {
    format!("{value:.1}")
}

/// A row: what was done, beside what, in times of that, and its own time in nanoseconds.
pub(super) fn beside(found: &BesideOther) -> Vec<String> {
    let mut row = vec![found.what.to_owned(), found.other.to_owned()];
    row.extend(with_spread(found.ratio));
    row.push(nanoseconds(found.ns));
    row
}

/// The median of some times in nanoseconds.
pub(super) fn middle(times: impl Iterator<Item = f64>) -> String {
    let times: Vec<f64> = times.collect();
    if times.is_empty() { "-".to_owned() } else { nanoseconds(Spread::of(&times).median) }
}
