//! A service that is configured: by a file with plain settings and secrets, by arguments that say where
//! further secrets come from, and by a person at the terminal if nothing else is said.
//!
//! ```sh
//! cargo run --example configured --features clap-4,derive,toml -- --config settings.toml --token-from env:API_TOKEN
//! ```
//!
//! The file is TOML:
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! signing-key-from = "file:/run/secrets/signing-key"
//!
//! [database]
//! host = "localhost"
//! password = 'hunter2'
//! ```
//!
//! When it has read all of it no secret is anywhere but sealed in the vault. It then answers requests: the
//! lines of its standard input.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use strongroom::{SealFields, Sealed, SecretSource, SecretString, Share, Vault};

/// What the file holds. `SealedSettings` is what is read from it.
#[derive(SealFields)]
#[seal(deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "everywhere")]
    listen: String,
    /// Where a secret comes from is no secret.
    #[serde(rename = "signing-key-from")]
    signing_key_from: SecretSource,
    #[seal(nested)]
    database: SealedDatabase,
}

/// A section of it.
#[derive(SealFields)]
#[seal(deserialize)]
struct Database {
    host: String,
    #[serde(default)]
    port: Option<u16>,
    #[secret]
    password: SecretString<Share>,
}

/// A service that is configured.
#[derive(Parser)]
struct Arguments {
    /// The settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the API's token comes from: `file:PATH`, `fd:NUMBER`, `env:NAME`, `prompt`, or `-`
    #[arg(long, value_name = "SOURCE", default_value = "prompt:API token")]
    token_from: SecretSource,
}

struct Service {
    settings: SealedSettings,
    token: Sealed,
    signing_key: Sealed,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let vault = Vault::builder().budget(16 * 1024..=64 * 1024).install()?;
    let service = Service::configure(vault, &arguments)?;
    println!("{} {}", service.settings.listen, service.settings.database.host);

    for request in io::stdin().lines() {
        println!("{}", service.answer(vault, &request?)?);
    }
    Ok(())
} // wiped at the process's end

impl Service {
    fn configure(vault: &Vault, arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        // The document lies in locked memory, and is wiped when it is dropped.
        let document = vault.read_file(&arguments.config, LONGEST)?;
        let settings = SealedSettings::seed(vault).read_toml(&document.expose_secret())?;
        drop(document);
        // Only as long as it takes to seal them.
        let token = arguments.token_from.read_text(vault, LONGEST)?.seal(b"token")?;
        let key = settings.signing_key_from.read_bytes(vault, LONGEST)?;
        let signing_key = key.seal(b"signing key")?;
        Ok(Self { settings, token, signing_key })
    }

    /// What needs a secret opens it for the moment of use. A second is long for a wait.
    fn answer(&self, vault: &Vault, request: &str) -> Result<String, Box<dyn Error>> {
        let patience = Duration::from_secs(1);
        Ok(match request {
            "database" => {
                let database = &self.settings.database;
                let password = database.password.open_timeout(vault, patience)?;
                let port = database.port.unwrap_or(5432);
                format!("{}:{port} with {} bytes", database.host, password.len())
            }
            "api" => {
                let token = vault.open_timeout(&self.token, b"token", patience)?;
                format!("called with {} bytes", token.len())
            }
            "sign" => {
                let key = vault.open_timeout(&self.signing_key, b"signing key", patience)?;
                format!("signed with {} bytes", key.len())
            }
            _ => "ask for database, api or sign".to_owned(),
        })
    }
}

fn everywhere() -> String {
    "0.0.0.0:8080".to_owned()
}

/// Nothing that is read is longer, in bytes.
const LONGEST: usize = 4096;
