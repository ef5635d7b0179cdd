//! An application that keeps its users' tokens: a newcomer's first program.
//!
//! ```sh
//! printf 'alice hunter2\nbob swordfish\n' | cargo run --example application
//! ```
//!
//! It reads a name and a token from each line, straight into locked memory, keeps the tokens sealed, and
//! lets some threads use them. Copy what you need.

use std::collections::HashMap;
use std::error::Error;
use std::thread;
use std::time::Duration;

use strongroom::{Sealed, Vault, unbuffered_stdin};

/// The application's own state. Sealed tokens are ciphertext, and can be kept anywhere.
struct Users {
    tokens: HashMap<String, Sealed>,
}

fn main() -> Result<(), Box<dyn Error>> {
    // One vault for the process: 16 KiB from the start, up to 64 KiB under load. What keeps it from
    // locking memory is in the error, with what to change on this host.
    let vault = Vault::builder().budget(16 * 1024..=64 * 1024).install()?;

    let users = Users::read(vault)?;
    thread::scope(|scope| {
        let calls: Vec<_> =
            users.tokens.keys().map(|name| scope.spawn(|| users.call(name))).collect();
        for call in calls {
            match call.join() {
                Ok(Ok(answer)) => println!("{answer}"),
                Ok(Err(error)) => eprintln!("not called: {error}"),
                Err(_) => eprintln!("a call panicked; its token was wiped"),
            }
        }
    });
    Ok(())
} // wiped at the process's end

impl Users {
    fn read(vault: &Vault) -> Result<Self, Box<dyn Error>> {
        let mut tokens = HashMap::new();
        let mut lines = vault.reader(unbuffered_stdin()?);
        while let Some(line) = lines.read_line(4096)? {
            let bytes = line.expose_secret();
            let space = bytes.iter().position(|&byte| byte == b' ').ok_or("no token in a line")?;
            let name = str::from_utf8(&bytes[..space])?.to_owned();
            // The context binds a token to its user: nobody can pass off one for another.
            let sealed = vault.seal(&bytes[space + 1..], name.as_bytes())?;
            tokens.insert(name, sealed);
        }
        Ok(Self { tokens })
    }

    /// What needs the token opens it for the moment of use. A second is long for a wait.
    fn call(&self, name: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let vault = strongroom::global()?;
        let sealed = &self.tokens[name];
        let token = vault.open_timeout(sealed, name.as_bytes(), Duration::from_secs(1))?;
        Ok(format!("{name}: {} bytes sent", token.expose_secret().len()))
    }
}
