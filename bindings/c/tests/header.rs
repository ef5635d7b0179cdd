//! strongroom.h is what cbindgen makes of the source. With `STRONGROOM_HEADER=write` it is written anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::Path;

#[test]
fn the_header_is_made_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::generate_with_config(root, config).unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root.join("strongroom.h");
    if env::var_os("STRONGROOM_HEADER").is_some_and(|value| value == "write") {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "strongroom.h is not that of the source: STRONGROOM_HEADER=write cargo test --test header"
    );
}
