//! The cipher and the random generator, composed from the crates that provide their primitives.

pub(crate) mod aead;
pub(crate) mod drbg;
pub(crate) mod keystream;
