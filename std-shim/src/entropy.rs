//! Randomness from the operating system.

use strongroom_core::{Entropy, EntropyError};

use crate::sys;

/// The operating system's generator: `getrandom(2)` on Linux, `getentropy(2)` on macOS.
///
/// On Linux the first call after boot waits until the kernel's generator is seeded.
///
/// ```
/// use strongroom::OsEntropy;
/// use strongroom_core::Entropy;
///
/// let mut seed = [0; 32];
/// OsEntropy.fill(&mut seed)?;
/// assert_ne!(seed, [0; 32]);
/// # Ok::<(), strongroom_core::EntropyError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        sys::fill_random(bytes).map_err(|_| EntropyError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// 256 is the most `getentropy` gives at once and the most `getrandom` gives uninterrupted.
    #[test]
    fn every_length_is_filled_to_its_end() {
        OsEntropy.fill(&mut []).unwrap();
        for length in [1, 31, 255, 256, 257, 512, 100_000] {
            let mut bytes = vec![0; length];
            // A byte that stays zero through eight fills was not written: 1 in 2^64 by chance.
            let mut written = vec![0_u8; length];
            for _ in 0..8 {
                OsEntropy.fill(&mut bytes).unwrap();
                written.iter_mut().zip(&bytes).for_each(|(seen, byte)| *seen |= byte);
            }
            assert!(written.iter().all(|&seen| seen != 0), "{length}");
        }
    }
}
