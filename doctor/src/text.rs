//! The report for people.

use std::io::{self, Write};

use strongroom::limits::{Limit, Limits};

use crate::need::Need;
use crate::sizes::SIZES;
use crate::tried::Tried;

/// Writes the limits, what was tried, how many secrets fit, and whether a need does.
pub(crate) fn write(
    out: &mut impl Write,
    limits: &Limits,
    tried: &Tried,
    need: Option<&Need>,
) -> io::Result<()> {
    writeln!(out, "{limits}")?;
    writeln!(out, "mlock try         {}", tried.page)?;
    if cfg!(target_os = "linux") {
        writeln!(out, "memfd_secret try  {}", tried.secret_memory)?;
    }
    writeln!(out)?;
    let Some(need) = need else {
        return fits(out, limits);
    };
    let bytes = Limit::Bytes(need.bytes);
    write!(out, "{} secrets of {} bytes open at one time ", need.open, need.size)?;
    write!(out, "need {bytes} of locked memory: ")?;
    match (need.fits, &need.trial, &need.remedy) {
        (Some(true), ..) => writeln!(out, "they fit"),
        (None, ..) => writeln!(out, "whether they fit cannot be told here; open them and see"),
        (_, Some(trial), _) => writeln!(out, "they do not fit, as was tried: {trial}"),
        (_, _, Some(remedy)) => writeln!(out, "they do not fit; {remedy}"),
        _ => writeln!(out, "they do not fit; open fewer at one time"),
    }
}

fn fits(out: &mut impl Write, limits: &Limits) -> io::Result<()> {
    writeln!(out, "secrets that fit, open at one time")?;
    for size in SIZES {
        writeln!(out, "{size:>5} bytes each  {}", limits.fits(size))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use strongroom::limits::IpcLock;

    fn told(need: Option<(u64, u64)>, locked: Option<u64>) -> String {
        let mut limits = Limits::read();
        (limits.ipc_lock, limits.locked) = (IpcLock::Absent, locked);
        (limits.soft, limits.hard) = (Limit::Bytes(65_536), Limit::Bytes(65_536));
        let need = need.map(|(open, size)| Need::of(&limits, open, size));
        let mut text = Vec::new();
        write(&mut text, &limits, &Tried::now(), need.as_ref()).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_verdict_is_the_last_line() {
        let text = told(Some((500, 64)), Some(0));
        assert!(text.ends_with(" bytes of locked memory: they fit\n"), "{text}");
        let text = told(Some((5000, 64)), Some(0));
        assert!(text.lines().last().unwrap().contains("they do not fit; raise"), "{text}");
        let text = told(Some((1, 1)), None);
        assert!(text.ends_with("cannot be told here; open them and see\n"), "{text}");
    }

    #[test]
    fn without_a_need_it_is_said_what_fits() {
        let text = told(None, Some(0));
        assert_eq!(text.lines().filter(|line| line.contains(" bytes each  ")).count(), 5, "{text}");
    }
}
