//! What the tests share.
#![allow(dead_code, reason = "no test needs all of it")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use strongroom::{Share, Vault};

/// A share of one vault.
pub(crate) fn share() -> Share {
    static VAULT: OnceLock<Arc<Vault>> = OnceLock::new();
    VAULT.get_or_init(|| Arc::new(Vault::new(64 * 1024).unwrap())).share()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2).map(|two| str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

/// A file of tests/data, made with OpenSSL 3 and OpenSSH 9.
pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}
