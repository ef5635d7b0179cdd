//! The report at the end, one fact a line.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};
use strongroom::limits::IpcLock;
use strongroom::{Limits, page_size};

use crate::Failure;
use crate::scan::Scan;
use crate::tally::{OpenTally, SealTally, Times};

pub(crate) struct Report {
    /// The most bytes that were locked, as the kernel counts them.
    pub(crate) locked: Option<u64>,
    pub(crate) seals: SealTally,
    pub(crate) opens: OpenTally,
    pub(crate) scan: Option<Scan>,
}

impl Report {
    /// Whether all is as it should be.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        self.scan.as_ref().map_or(Ok(()), Scan::verdict)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { locked, seals, opens, scan } = self;
        secrets_held(f, seals)?;
        writeln!(f, "locked memory        at most {}", Locked(*locked))?;
        resident(f, seals)?;
        writeln!(f, "most open at once    {}", count(opens.most_open))?;
        waits(f, opens)?;
        writeln!(f, "seal                 {}", Quantiles(&seals.times))?;
        writeln!(f, "open                 {}, waits apart", Quantiles(&opens.times))?;
        writeln!(
            f,
            "done in              {} to seal, {} to open all in random order",
            Time(seals.elapsed),
            Time(opens.elapsed)
        )?;
        page_each(f, seals, *locked)?;
        scan.as_ref().map_or(Ok(()), |scan| write!(f, "\nmemory searched      {scan}"))
    }
}

fn secrets_held(f: &mut Formatter<'_>, seals: &SealTally) -> fmt::Result {
    let SealTally { secrets, shortest, longest, .. } = seals;
    write!(f, "secrets held         {} of ", count(*secrets))?;
    if shortest == longest {
        writeln!(f, "{} bytes", count(*longest))
    } else {
        writeln!(f, "{} to {} bytes", count(*shortest), count(*longest))
    }
}

fn resident(f: &mut Formatter<'_>, seals: &SealTally) -> fmt::Result {
    let (Some(resident), Some(growth)) = (seals.resident, seals.growth) else {
        return writeln!(f, "resident memory      not told by this system");
    };
    write!(f, "resident memory      {}", BinaryBytes(resident))?;
    // Memory grows by pages: of a few secrets it says nothing.
    if seals.secrets >= MANY {
        let each = |bytes: u64| bytes / seals.secrets as u64;
        write!(f, ", {} bytes for each secret with its digest", each(growth))?;
        if seals.record_bytes > 0 {
            write!(f, ", {} of them for its record", each(seals.record_bytes as u64))?;
        }
    }
    writeln!(f)
}

fn waits(f: &mut Formatter<'_>, opens: &OpenTally) -> fmt::Result {
    write!(f, "waits for room       {}", HumanCount(opens.waits))?;
    if opens.waits > 0 {
        write!(f, ", the longest {}", Time(opens.longest_wait))?;
    }
    writeln!(f)
}

fn page_each(f: &mut Formatter<'_>, seals: &SealTally, locked: Option<u64>) -> fmt::Result {
    let needed = seals.pages as u64 * page_size() as u64;
    write!(f, "one page per secret  would lock {} bytes", HumanCount(needed))?;
    if let Some(times) = locked.and_then(|locked| needed.checked_div(locked)).filter(|&n| n > 1) {
        write!(f, ", {} times as many", HumanCount(times))?;
    }
    Ok(())
}

/// Locked bytes, and what limits them.
pub(crate) struct Locked(pub(crate) Option<u64>);

impl Display for Locked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(locked) = self.0 else {
            return f.write_str("not told by this system");
        };
        let limits = Limits::read();
        write!(f, "{} bytes; the limit is ", HumanCount(locked))?;
        match limits.ipc_lock {
            IpcLock::InEffect => f.write_str("lifted by CAP_IPC_LOCK"),
            _ => write!(f, "{}", limits.soft),
        }
    }
}

/// The median and the 99th percentile.
struct Quantiles<'a>(&'a Times);

impl Display for Quantiles<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (median, most) = (self.0.quantile(0.5), self.0.quantile(0.99));
        write!(f, "{} median, {} 99th percentile", Time(median), Time(most))
    }
}

/// A time with three digits or so.
pub(crate) struct Time(pub(crate) Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(time) = self;
        if *time < Duration::from_micros(1) {
            write!(f, "{} ns", time.as_nanos())
        } else if *time < Duration::from_millis(1) {
            write!(f, "{:.2} µs", time.as_secs_f64() * 1e6)
        } else if *time < Duration::from_secs(1) {
            write!(f, "{:.2} ms", time.as_secs_f64() * 1e3)
        } else {
            write!(f, "{:.2} s", time.as_secs_f64())
        }
    }
}

fn count(number: usize) -> HumanCount {
    HumanCount(number as u64)
}

/// Secrets from which on an average says something.
const MANY: usize = 10_000;
