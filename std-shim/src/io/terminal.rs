//! Asking a person for a secret, without showing what is typed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::ReadError;
use crate::sys::{Echo, echo_off};
use crate::vault::{Opened, Vault};

impl Vault {
    /// Shows `prompt` on the controlling terminal (`/dev/tty`) and reads one line of at most `limit`
    /// bytes from it, without echo, straight into locked memory. The line's end is not part of it.
    ///
    /// The terminal is as before when this returns or panics. A signal that ends the process in
    /// between leaves it without echo (`stty echo` brings it back). The kernel keeps the line that is
    /// being typed in a buffer of its own.
    ///
    /// # Errors
    /// [`ReadError`]: there is no terminal, the line is longer than `limit`, the vault is full, or
    /// the person ended the input without a line ([`io::ErrorKind::UnexpectedEof`]).
    pub fn read_terminal(&self, prompt: &str, limit: usize) -> Result<Opened<'_>, ReadError> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        ask(self, &terminal, prompt, limit)
    }
}

fn ask<'v>(
    vault: &'v Vault,
    mut terminal: &File,
    prompt: &str,
    limit: usize,
) -> Result<Opened<'v>, ReadError> {
    let silence = Silence::of(terminal.as_fd())?;
    terminal.write_all(prompt.as_bytes())?;
    let line = vault.reader(terminal).read_line(limit);
    drop(silence);
    // The person's own line end was not shown.
    terminal.write_all(b"\n")?;
    line?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

/// A terminal without echo, which has it again when this is dropped.
struct Silence<'t> {
    terminal: BorrowedFd<'t>,
    before: Echo,
}

impl<'t> Silence<'t> {
    fn of(terminal: BorrowedFd<'t>) -> io::Result<Self> {
        Ok(Self { terminal, before: echo_off(terminal)? })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing left to restore.
        let _ = self.before.restore(self.terminal);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;
    use crate::sys::pseudo_terminal;

    fn vault() -> Vault {
        Vault::new(16 * 1024).unwrap()
    }

    /// What the terminal has shown so far.
    fn shown(mut person: &File) -> String {
        std::thread::sleep(Duration::from_millis(50));
        let mut shown = [0; 1024];
        let len = person.read(&mut shown).unwrap();
        String::from_utf8_lossy(&shown[..len]).into_owned()
    }

    #[test]
    fn what_is_typed_is_read_and_not_shown() {
        let (mut person, terminal) = pseudo_terminal().unwrap();
        let vault = vault();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&vault, &terminal, "Password: ", 100).unwrap());
            // Typed ahead would be dropped with what echo was still on for.
            assert_eq!(shown(&person), "Password: ");
            person.write_all(b"hunter2\n").unwrap();
            assert_eq!(asked.join().unwrap().expose_secret(), b"hunter2");
        });
        assert_eq!(shown(&person).trim(), "");
        person.write_all(b"visible\n").unwrap();
        assert!(shown(&person).contains("visible"), "echo is on again");
    }

    #[test]
    fn echo_comes_back_after_an_error() {
        let (mut person, terminal) = pseudo_terminal().unwrap();
        let vault = vault();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&vault, &terminal, "? ", 3).map(drop));
            assert_eq!(shown(&person), "? ");
            person.write_all(b"hunter2\n").unwrap();
            let error = asked.join().unwrap().unwrap_err();
            assert!(matches!(error, ReadError::TooLong { limit: 3 }), "{error}");
        });
        let _ = shown(&person);
        person.write_all(b"visible\n").unwrap();
        assert!(shown(&person).contains("visible"));
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = File::open("/dev/null").unwrap();
        assert!(matches!(ask(&vault(), &file, "? ", 3), Err(ReadError::Io(_))));
    }
}
