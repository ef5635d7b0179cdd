//! What the program is told. No secret is an argument: those are for everybody to read (`ps`).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// An SSH agent whose keys rest sealed, and are opened in locked memory for one signature.
///
/// Without a COMMAND it prints what a shell needs to know, and goes on in the background:
/// eval "$(strongroom-ssh-agent)". With a COMMAND it runs that, and ends with it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
#[allow(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    reason = "the texts are shown as they are, and each flag is one of its own"
)]
pub(crate) struct Arguments {
    /// Stay in the foreground, and tell there what happens
    #[arg(short = 'D', conflicts_with = "command")]
    pub(crate) foreground: bool,

    /// Put the socket here, instead of into a folder of its own
    #[arg(short = 'a', value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Remove keys after this time, unless they are added with another (30, 5m, 1h30m, 2d)
    #[arg(short = 't', value_name = "TIME", value_parser = time)]
    pub(crate) lifetime: Option<Duration>,

    /// How much memory may be locked (64K, 1M)
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = bytes)]
    pub(crate) budget: usize,

    /// How long to wait for a person who is asked whether a key may be used
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    pub(crate) confirm_time: Duration,

    /// In the background, tell here what happens
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// Tell each signature too
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,

    /// Print for csh, whatever SHELL says
    #[arg(short = 'c', conflicts_with = "bourne")]
    pub(crate) csh: bool,

    /// Print for sh, whatever SHELL says
    #[arg(short = 's')]
    pub(crate) bourne: bool,

    /// End the agent that SSH_AGENT_PID names
    #[arg(short = 'k', conflicts_with_all = ["foreground", "command"])]
    pub(crate) kill: bool,

    /// This is the process in the background
    #[arg(long, hide = true)]
    pub(crate) in_background: bool,

    /// Run this with the agent, and end with it
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// A time as OpenSSH writes it: numbers with units, seconds where there is none.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 30, 5m, 1h30m, 2d or 1w");
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].chars().next();
        let each = match unit.map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return Err(wrong()),
        };
        seconds = number
            .checked_mul(each)
            .and_then(|time| seconds.checked_add(time))
            .ok_or_else(wrong)?;
        rest = &rest[digits + unit.map_or(0, char::len_utf8)..];
    }
    // As much as a message can say.
    if seconds == 0 || seconds > u64::from(u32::MAX) {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

/// Bytes, in units of 1,024.
fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no number of bytes: write 65536, 64K or 1M");
    let (digits, unit) = match text.to_ascii_uppercase() {
        text if text.ends_with('K') => (text.trim_end_matches('K').to_owned(), 1024),
        text if text.ends_with('M') => (text.trim_end_matches('M').to_owned(), 1024 * 1024),
        text => (text, 1),
    };
    let number: usize = digits.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(unit).ok_or_else(wrong)?;
    let least = LEAST.max(2 * strongroom::page_size());
    if bytes < least {
        return Err(format!(
            "{bytes} bytes are too few: an agent needs {least}, to open a key and to be sent one"
        ));
    }
    Ok(bytes)
}

/// Half of it for a message of its greatest length and the vault's key, and half for keys that are open.
const LEAST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_openssh_writes_them() {
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h30M"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("1w2d5s"), Ok(Duration::from_secs(777_605)));
        for wrong in ["", "0", "h", "1y", "-1", "1.5h", "99999999999999999999", "9999999999w", "1ä"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_read_with_units() {
        assert_eq!(bytes("64K"), Ok(65_536));
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("1m"), Ok(1_048_576));
        for wrong in
            ["", "K", "1", "4K", "64KB", "-64K", "99999999999999999999", "18446744073709551615K"]
        {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
