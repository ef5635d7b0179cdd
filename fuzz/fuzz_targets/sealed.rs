//! Records that nobody sealed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::enclave::open_hostile(bytes));
