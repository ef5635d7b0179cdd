//! `strongroom-doctor`: how much memory can be locked here, and what to change if that is too
//! little.
//!
//! Exit status: 0 if the stated need fits or none was stated, 1 if it does not fit, 2 if the
//! command line makes no sense or the answer could not be written.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use strongroom::limits::{Limit, Limits};

/// Says how much memory this process may lock, whether a need fits, and what to change if not.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many secrets are to be open at once.
    #[arg(long, requires = "size", value_parser = clap::value_parser!(u64).range(1..))]
    open: Option<u64>,
    /// The size of each of them in bytes.
    #[arg(long, requires = "open", value_parser = clap::value_parser!(u64).range(1..))]
    size: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let limits = Limits::read();
    let need = options.open.zip(options.size).map(|(open, size)| Need { open, size });
    match report(&mut io::stdout().lock(), &limits, need) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(_) => ExitCode::from(2),
    }
}

/// Writes the report and says whether the need fits.
fn report(out: &mut impl Write, limits: &Limits, need: Option<Need>) -> io::Result<bool> {
    writeln!(out, "{limits}")?;
    let Some(need) = need else {
        return Ok(true);
    };
    let bytes = need.locked_bytes(limits.page_size as u64);
    writeln!(out)?;
    write!(out, "{} secrets of {} bytes need at least ", need.open, need.size)?;
    write!(out, "{} of locked memory: ", Limit::Bytes(bytes))?;
    match (limits.available(), limits.remedy(bytes)) {
        (_, Some(remedy)) => writeln!(out, "they do not fit; {remedy}").map(|()| false),
        (Limit::Unknown, None) => {
            writeln!(out, "whether they fit cannot be told without /proc").map(|()| false)
        }
        _ => writeln!(out, "they fit").map(|()| true),
    }
}

/// Secrets that are to be open at the same time.
#[derive(Clone, Copy, Debug)]
struct Need {
    open: u64,
    /// Bytes of each.
    size: u64,
}

impl Need {
    /// The least that can do, in whole pages: the secrets and a canary for each, with nothing lost
    /// to size classes and bookkeeping.
    fn locked_bytes(self, page_size: u64) -> u64 {
        let each = self.size.saturating_add(CANARY);
        let all = each.saturating_mul(self.open);
        all.checked_next_multiple_of(page_size).unwrap_or(u64::MAX)
    }
}

/// The bytes of one canary, which two neighbours share.
const CANARY: u64 = 8;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn limits(soft: Limit, locked: Option<u64>) -> Limits {
        let mut limits = Limits::read();
        limits.ipc_lock = strongroom::limits::IpcLock::Absent;
        (limits.soft, limits.locked) = (soft, locked);
        limits
    }

    fn told(limits: &Limits, open: u64, size: u64) -> (bool, String) {
        let mut text = Vec::new();
        let fits = report(&mut text, limits, Some(Need { open, size })).unwrap();
        (fits, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_need_fits_or_comes_with_a_remedy() {
        let limits = limits(Limit::Bytes(65_536), Some(0));
        let (fits, text) = told(&limits, 500, 64);
        assert!(fits && text.ends_with("they fit\n"), "{text}");
        let (fits, text) = told(&limits, 5000, 64);
        assert!(!fits && text.contains("they do not fit; "), "{text}");
    }

    #[test]
    fn what_is_locked_already_does_not_count_as_free() {
        let (fits, _) = told(&limits(Limit::Bytes(65_536), Some(65_536)), 1, 1);
        assert!(!fits);
    }

    #[test]
    fn absurd_needs_do_not_overflow() {
        let (fits, text) = told(&limits(Limit::Bytes(65_536), Some(0)), u64::MAX, u64::MAX);
        assert!(!fits, "{text}");
        let (fits, text) = told(&limits(Limit::Unlimited, Some(0)), u64::MAX, u64::MAX);
        assert!(fits, "{text}");
    }

    #[test]
    fn not_knowing_is_not_fitting() {
        let (fits, text) = told(&limits(Limit::Bytes(65_536), None), 1, 1);
        assert!(!fits && text.contains("cannot be told"), "{text}");
    }

    #[test]
    fn no_need_always_fits() {
        let mut text = Vec::new();
        assert!(report(&mut text, &limits(Limit::Bytes(0), Some(0)), None).unwrap());
    }
}
