//! Reads a document with a secret in one of several ways, seals the secret, drops everything, and stands
//! still to be searched from outside.
//!
//! It knows no secret of its own: it is in the documents that `tests/configuration.rs` wrote. Some ways
//! are as strongroom has them, others as everybody does it, for comparison.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use strongroom::{SealFields, Sealed, SecretString, Share, Vault};

#[derive(SealFields)]
#[seal(deserialize)]
struct Settings {
    host: String,
    #[secret]
    password: SecretString<Share>,
}

/// As everybody does it.
#[derive(Deserialize)]
struct Plain {
    host: String,
    password: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let way = arguments.next().ok_or("no way")?;
    let path = arguments.next().ok_or("no document")?;
    let vault: &Vault = Box::leak(Box::new(Vault::new(64 * 1024)?));
    let record = read(vault, &way, path.as_ref())?;
    println!("{}", if record.is_some() { "sealed" } else { "refused" });
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new())?;
    drop(record);
    Ok(())
}

/// The sealed secret; nothing if the document was refused.
fn read(vault: &Vault, way: &str, path: &Path) -> Result<Option<Sealed>, Box<dyn Error>> {
    let ours =
        || Ok::<_, Box<dyn Error>>((vault.read_file(path, LONGEST)?, SealedSettings::seed(vault)));
    let sealed = match way {
        "read_json" => {
            let (document, seed) = ours()?;
            seed.read_json(&document.expose_secret()).ok()
        }
        "read_toml" => {
            let (document, seed) = ours()?;
            seed.read_toml(&document.expose_secret()).ok()
        }
        "read_toml_copies" => {
            let (document, seed) = ours()?;
            seed.allow_copies().read_toml(&document.expose_secret()).ok()
        }
        "json_slice" => {
            let (document, seed) = ours()?;
            let document = document.expose_secret();
            seed.deserialize(&mut serde_json::Deserializer::from_slice(&document)).ok()
        }
        "json_slice_copies" => {
            let (document, seed) = ours()?;
            let document = document.expose_secret();
            let mut deserializer = serde_json::Deserializer::from_slice(&document);
            seed.allow_copies().deserialize(&mut deserializer).ok()
        }
        "json_reader_copies" => {
            let mut deserializer = serde_json::Deserializer::from_reader(File::open(path)?);
            SealedSettings::seed(vault).allow_copies().deserialize(&mut deserializer).ok()
        }
        "toml_parse" => {
            let (document, seed) = ours()?;
            let document = document.expose_secret();
            let parsed = toml::Deserializer::parse(str::from_utf8(&document)?);
            parsed.and_then(|deserializer| seed.deserialize(deserializer)).ok()
        }
        "string_json" => return plain(vault, serde_json::from_str(&fs::read_to_string(path)?)?),
        "string_toml" => return plain(vault, toml::from_str(&fs::read_to_string(path)?)?),
        _ => return Err("no such way".into()),
    };
    Ok(sealed.map(|settings| {
        assert_eq!(settings.host, "localhost");
        settings.password.into_record()
    }))
}

fn plain(vault: &Vault, settings: Plain) -> Result<Option<Sealed>, Box<dyn Error>> {
    assert_eq!(settings.host, "localhost");
    let mut password = settings.password;
    // Even wiped where it was, as far as safe code can.
    let sealed = vault.seal(password.as_bytes(), b"password")?;
    password.clear();
    Ok(Some(sealed))
}

const LONGEST: usize = 16 * 1024;
