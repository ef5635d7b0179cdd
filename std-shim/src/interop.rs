//! Other crates' types and traits for a vault and what it opens, each behind a feature of its own.

#[cfg(feature = "clap-4")]
mod argument;
#[cfg(feature = "secrecy-0_10")]
mod boxed;
#[cfg(feature = "subtle")]
mod comparison;
#[cfg(feature = "rand_core-0_10")]
mod generator;
#[cfg(feature = "bytes")]
mod records;
#[cfg(feature = "zeroize")]
mod wiped;

#[cfg(feature = "clap-4")]
pub use self::argument::SecretSourceParser;
#[cfg(feature = "rand_core-0_10")]
pub use self::generator::VaultGenerator;
