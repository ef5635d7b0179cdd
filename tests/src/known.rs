//! Secrets that two processes know by a seed: one keeps them, the other one searches for them.
//!
//! The keeper never has more of one outside locked memory than the four bytes that it is writing.

use crate::noise::Noise;

/// What a secret is sealed under.
#[must_use]
pub fn context(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

/// The numbers of those that stay open, if so many of so many do.
pub fn stay_open(secrets: usize, open: usize) -> impl Iterator<Item = usize> {
    (0..secrets).step_by(secrets / open).take(open)
}

/// What is derived from one seed.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    seed: u64,
}

/// Two kinds of bytes that have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever in locked memory, or sealed.
    Secret,
    /// In ordinary memory, to be found: who does not find them finds nothing.
    Control,
}

/// How long each is, in bytes.
pub const LENGTH: usize = 64;

impl Known {
    /// What everybody derives from this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Writes one to where it is kept.
    pub fn write(self, kind: Kind, number: usize, place: &mut [u8]) {
        let lane = match kind {
            Kind::Secret => 0x5ec2_e700_0000_0000,
            Kind::Control => 0xc027_2010_0000_0000,
        };
        let mut noise = Noise(Noise(self.seed ^ lane ^ number as u64).word());
        for piece in place.chunks_mut(4) {
            piece.copy_from_slice(&noise.word().to_le_bytes()[..piece.len()]);
        }
    }

    /// One as a pattern, for who searches.
    #[must_use]
    pub fn pattern(self, kind: Kind, number: usize) -> [u8; LENGTH] {
        let mut pattern = [0; LENGTH];
        self.write(kind, number, &mut pattern);
        pattern
    }
}
