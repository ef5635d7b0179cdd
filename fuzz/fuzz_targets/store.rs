//! A store: few names, put in, replaced, removed, opened together and alone, in a vault that is crowded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::store::run(bytes));
