//! The shared operations and shadow models: what the property tests, the fuzz targets and the
//! recorded regressions all run through.
//!
//! Each model has one entry point that takes bytes, any bytes, and panics on a real bug only:
//!
//! ```
//! strongroom_tests::arena::run(b"any bytes are a list of operations");
//! strongroom_tests::arena::run_many(b"on several arenas at once");
//! strongroom_tests::enclave::run(b"seal, open, tamper, destroy");
//! strongroom_tests::aead::run(b"key, nonce, context and text");
//! strongroom_tests::stream::run(b"write, flush, read, tamper");
//! strongroom_tests::parsers::run(b"VmLck: 64 kB");
//! ```
//!
//! A property test makes a [`Setup`](arena::Setup) and a list of [`Op`](arena::Op) itself, so that
//! a failure shrinks to the operations that matter.
//!
//! | module | job |
//! |---|---|
//! | [`raw`] | the one file with `unsafe`: a region between guard bytes, and hands that can damage it |
//! | [`script`] | bytes become numbers become operations |
//! | [`noise`] | repeatable randomness: contents, orders, seeds |
//! | [`faults`] | a fault handler that remembers |
//! | `scan` | the search of another process for bytes that must not be there (Linux) |
//! | [`known`] | secrets that two processes know by a seed: who keeps them, and who searches |
//! | [`intruder`] | a vault's key, joined by whoever has a copy of its memory |
//! | [`arena`] | operations and model of one arena or several |
//! | [`enclave`] | operations and model of an enclave and its records |
//! | [`aead`] | the cipher beside another implementation of it |
//! | [`stream`] | operations and model of streams (the shim's) |
//! | [`store`] | operations and model of a store (the shim's) |
//! | [`parsers`] | the readers of `/proc`, on any text |
#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a model reports by panicking")]
#![allow(clippy::missing_panics_doc, reason = "a model reports by panicking")]

/// The `main` of a program for Linux, which says elsewhere that it is skipped.
#[macro_export]
macro_rules! main_on_linux {
    ($main:path) => {
        #[cfg(target_os = "linux")]
        fn main() {
            $main();
        }

        #[cfg(not(target_os = "linux"))]
        fn main() {
            println!("skipped: the program is for Linux");
            std::process::exit(77);
        }
    };
}

/// The examples in the repository's README are tests too. Each library tests its own README.
#[cfg(all(doctest, feature = "vault"))]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod aead;
pub mod arena;
pub mod enclave;
pub mod faults;
pub mod intruder;
pub mod known;
pub mod noise;
#[cfg(feature = "vault")]
pub mod parsers;
#[expect(unsafe_code, reason = "does by hand what a program should not, to see it found")]
pub mod raw;
#[cfg(target_os = "linux")]
pub mod scan;
pub mod script;
#[cfg(feature = "vault")]
pub mod store;
#[cfg(feature = "vault")]
pub mod stream;
