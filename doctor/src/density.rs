//! How many secrets fit budgets of several sizes: the figures of the deployment guide.

use std::fmt::{self, Display, Formatter};

use strongroom::limits::{Fit, Limits};

use crate::sizes::SIZES;

/// Markdown: a row for each size of secret, a column for each budget.
pub(crate) struct Table;

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "| bytes of a secret |")?;
        BUDGETS.iter().try_for_each(|(_, name)| write!(f, " in {name} |"))?;
        write!(f, " locked bytes each, of {} |\n|---:|", BUDGETS[AVERAGED].1)?;
        BUDGETS.iter().try_for_each(|_| f.write_str("---:|"))?;
        writeln!(f, "---:|")?;
        let limits = Limits::read();
        SIZES.iter().try_for_each(|&size| row(f, &limits, size))
    }
}

fn row(f: &mut Formatter<'_>, limits: &Limits, size: u64) -> fmt::Result {
    let fits = BUDGETS.map(|(bytes, _)| limits.fits_in(bytes, size));
    write!(f, "| {size} |")?;
    fits.iter().try_for_each(|fit| write!(f, " {fit} |"))?;
    match fits[AVERAGED] {
        Fit::Secrets(count @ 1..) => writeln!(f, " {} |", BUDGETS[AVERAGED].0.div_ceil(count)),
        _ => writeln!(f, " |"),
    }
}

const BUDGETS: [(u64, &str); 5] = [
    (16 << 10, "16 KiB"),
    (64 << 10, "64 KiB"),
    (256 << 10, "256 KiB"),
    (1 << 20, "1 MiB"),
    (8 << 20, "8 MiB"),
];

/// The budget of which the bytes for each secret are told.
const AVERAGED: usize = 1;
