//! Heartbleed, played on a vault: a server answers with as many bytes as the request says, from where the
//! request says, and looks at neither. Once the vault has no windows, once it has.
//!
//! ```text
//! cargo run --example overread
//! ```
//!
//! Each server is a process of its own: the second one is ended by the very load that strays.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use strongroom::{Vault, Windows};

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("none") => serve(Windows::None),
        Some("windows") => serve(Windows::KeysOrPages),
        _ => {
            for (what, argument) in [("without windows", "none"), ("with windows", "windows")] {
                let Output { status, stdout, stderr } =
                    Command::new(env::current_exe()?).arg(argument).output()?;
                let ended = match status.signal() {
                    Some(signal) => format!("was ended by signal {signal}"),
                    None => format!("ended with {status}"),
                };
                let told = String::from_utf8_lossy(&stderr).trim().to_owned();
                let leaked = String::from_utf8_lossy(&stdout).into_owned();
                let leaked = if leaked.is_empty() { "nothing" } else { &leaked };
                writeln!(io::stdout(), "{what} ({told}), the server leaked {leaked}, and {ended}")?;
            }
            Ok(())
        }
    }
}

/// A server with a password, and one request.
fn serve(windows: Windows) -> Result<(), Box<dyn Error>> {
    let vault = Vault::builder().windows(windows).build()?;
    writeln!(io::stderr(), "{}", vault.protections().windows)?;
    let sealed = vault.seal(b"correct horse battery staple", b"")?;
    // Another request is being served with it at this moment.
    let password = vault.try_open(&sealed, b"")?;
    let secret = password.expose_secret().as_ptr();

    let request = *b"a bird";
    // What an attacker would guess or learn, and the server take for an offset into the request.
    let offset = secret.addr().wrapping_sub(request.as_ptr().addr());
    let answer = answer(&request, offset, 28);
    io::stdout().write_all(&answer)?;
    Ok(())
}

/// So many bytes of the request, from an offset on.
fn answer(request: &[u8], offset: usize, len: usize) -> Vec<u8> {
    // A parser in another language, say.
    let begin = request.as_ptr().wrapping_add(offset);
    let byte = |at| {
        // SAFETY: none. This is the mistake.
        unsafe { begin.wrapping_add(at).read_volatile() }
    };
    (0..len).map(byte).collect()
}
