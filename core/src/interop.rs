//! The traits of other crates for the types of this one, each behind a feature of its own.

#[cfg(feature = "subtle")]
mod comparison;
#[cfg(feature = "rand_core-0_10")]
mod generator;
#[cfg(feature = "zeroize")]
mod wiped;

#[cfg(feature = "rand_core-0_10")]
pub use self::generator::Generator;
