//! The cipher beside the `chacha20poly1305` crate's.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::aead::run(bytes));
