//! strongroom-core
#![no_std]
#![deny(unsafe_code)]

mod aead;
mod drbg;
mod entropy;
mod error;
mod wipe;

pub use entropy::Entropy;
pub use error::{AllocateError, ArenaError, EntropyError, Fault, FaultKind};
