//! Inputs that once found a bug, one to a file under `regressions/` and its target's name.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;

use strongroom_tests::{aead, arena, enclave, parsers, store, stream};

#[test]
fn arena() {
    replay("arena", arena::run);
}

#[test]
fn arena_many() {
    replay("arena_many", arena::run_many);
}

#[test]
fn enclave() {
    replay("enclave", enclave::run);
}

#[test]
fn sealed() {
    replay("sealed", enclave::open_hostile);
}

#[test]
fn aead() {
    replay("aead", aead::run);
}

#[test]
fn store() {
    replay("store", store::run);
}

#[test]
fn stream() {
    replay("stream", stream::run);
}

#[test]
fn parsers() {
    replay("parsers", parsers::run);
}

fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
    let Ok(files) = folder.read_dir() else { return };
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
    }
}
