//! Operations on one to four arenas that are handed each other's secrets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::arena::run_many(bytes));
