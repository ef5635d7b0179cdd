//! The sizes of secrets that are reported on, in bytes.

/// A key, a token, a password with its surroundings, a certificate's key, a large one.
pub(crate) const SIZES: [u64; 5] = [32, 64, 256, 1024, 4096];
