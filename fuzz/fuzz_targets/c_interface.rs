//! The C library's functions in any order, with NULL for what must not be.
#![no_main]

#[path = "../../bindings/c/tests/sequences/mod.rs"]
mod sequences;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sequences::run(bytes));
