//! Takes the real sources of the protocols and puts loom's names in the place of std's and core's.
//!
//! A `#[path]` alone would not do: the sources name `core::hint` and `std::sync`, and loom has to
//! see through both.
#![allow(clippy::unwrap_used, reason = "a build that fails says so by panicking")]

use std::{env, fs, path::Path};

fn main() {
    adapt(
        "core/src/runs.rs",
        "runs",
        &[
            ("use core::hint::spin_loop;", "use crate::sync::spin_loop;"),
            ("use core::sync::atomic::fence;", "use crate::sync::atomic::fence;"),
            ("\n#[cfg(test)]\nmod tests;\n", ""),
        ],
    );
    adapt(
        "std-shim/src/vault/queue.rs",
        "queue",
        &[
            ("use std::sync::", "use crate::sync::"),
            ("use std::thread::", "use crate::sync::thread::"),
            ("pub(super)", "pub(crate)"),
        ],
    );
}

/// Writes the source with each of the replacements made, and every one must have had its place.
fn adapt(source: &str, module: &str, replacements: &[(&str, &str)]) {
    let path = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").join(source);
    println!("cargo::rerun-if-changed={}", path.display());
    // Inner docs cannot be included.
    let mut text =
        fs::read_to_string(path).unwrap().replace("//! ", "// ").replace("//!\n", "//\n");
    for (from, to) in replacements {
        assert!(text.contains(from), "{source} has no {from:?} any more");
        text = text.replace(from, to);
    }
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join(module).with_extension("rs");
    fs::write(out, text).unwrap();
}
