//! Seal, open, tamper, refresh, destroy, in memory of all kinds and in place.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::enclave::run(bytes));
