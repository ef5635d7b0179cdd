//! Streams: written and read in pieces, through readers and writers that fail, and tampered with.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::stream::run(bytes));
