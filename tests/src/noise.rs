//! Repeatable randomness: splitmix64 from a seed (Steele, Lea, Flood 2014).

use strongroom_core::{Entropy, EntropyError};

/// A stream of numbers that look random and are the same in every run.
#[derive(Clone, Copy, Debug)]
pub struct Noise(pub u64);

impl Noise {
    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, or 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.word() >> 33).unwrap().checked_rem(limit).unwrap_or(0)
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.spread(&mut bytes);
        bytes
    }

    /// Puts `items` into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }

    fn spread(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
    }
}

impl Entropy for Noise {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.spread(bytes);
        Ok(())
    }
}

/// Entropy that is not to be had, and leaves a mess.
#[derive(Clone, Copy, Debug)]
pub struct Refusing;

impl Entropy for Refusing {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(0x5a);
        Err(EntropyError)
    }
}
