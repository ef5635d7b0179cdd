//! Operations on one arena, by right and by fault: see `strongroom_tests::arena`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::arena::run(bytes));
