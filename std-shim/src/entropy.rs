//! Randomness from the operating system.

use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_core::{Entropy, EntropyError};

use crate::sys;

/// The operating system's generator: `getrandom(2)` on Linux, `getentropy(2)` on macOS.
///
/// On Linux the first call after boot waits until the kernel's generator is seeded.
///
/// Two machines resumed from one snapshot have the same generator until their kernels mix in something that
/// is not the same: at once where the hypervisor tells them (vmgenid, Linux 5.18), else for seconds. So the
/// clock is added here, and the processor's own generator where there is one (`RDRAND`), exclusive or:
/// whoever knew all of these still knows nothing of the bytes.
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
        sys::fill_random(bytes).map_err(|_| EntropyError)?;
        add_clock(bytes);
        add_processor(bytes);
        Ok(())
    }
}

/// The time.
fn add_clock(bytes: &mut [u8]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    add(bytes, &now.to_le_bytes());
}

/// What the processor draws, if it does.
fn add_processor(bytes: &mut [u8]) {
    for bytes in bytes.chunks_mut(size_of::<u64>()) {
        let Some(word) = sys::random_word() else { return };
        add(bytes, &word.to_le_bytes());
    }
}

/// Exclusive or, as far as both reach: bytes that are random stay so, whatever is added.
fn add(bytes: &mut [u8], added: &[u8]) {
    bytes.iter_mut().zip(added).for_each(|(byte, added)| *byte ^= added);
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

    /// What a copy of this machine draws as well is something else with that.
    #[test]
    fn bytes_that_are_the_same_differ_afterwards() {
        let by_clock = || {
            let mut bytes = [7; 35];
            add_clock(&mut bytes);
            bytes
        };
        let before = by_clock();
        // A clock may stand still for a moment.
        assert!((0..1_000_000).any(|_| by_clock() != before));
        assert_eq!(before[16..], [7; 19]);
        let mut bytes = [7; 35];
        add_processor(&mut bytes);
        let written = bytes.iter().filter(|&&byte| byte != 7).count();
        assert!(
            if sys::random_word().is_some() { written > 20 } else { written == 0 },
            "{bytes:?}"
        );
        add_clock(&mut []);
        add_processor(&mut []);
    }
}
