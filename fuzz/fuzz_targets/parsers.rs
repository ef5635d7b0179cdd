//! The shim's readers of `/proc`, on any text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_tests::parsers::run(bytes));
