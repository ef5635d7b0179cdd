//! A fast-key-erasure generator (Bernstein 2017) whose state lives in the region.
//!
//! ```text
//! ChaCha20(key, nonce 0):  | first 32 bytes: the next key | output |
//! ```
//!
//! The key is replaced before output is handed out and output is wiped as it is handed out, so
//! nobody who reads the state learns what was drawn before. Source:
//! <https://blog.cr.yp.to/20170723-random.html>.

use crate::crypto::keystream::{self, KEY, Keystream, LONG_BATCH, NONCE, SHORT_BATCH};
use crate::entropy::Entropy;
use crate::error::EntropyError;
use crate::wipe::{Wiped, wipe};

/// The generator. It is never moved: a move would leave a copy of the key behind.
pub(crate) struct Drbg {
    key: [u8; KEY],
    /// The first `available` bytes are output not yet drawn; the others are zero.
    buffer: [u8; BUFFER],
    available: usize,
}

impl Drbg {
    /// A generator that waits for its first `reseed`.
    pub(crate) const fn unseeded() -> Self {
        Self { key: [0; KEY], buffer: [0; BUFFER], available: 0 }
    }

    /// Mixes fresh bytes into the key, and drops what was drawn ahead.
    pub(crate) fn reseed(&mut self, seed: &Seed) {
        self.available = 0;
        wipe(&mut self.buffer);
        generate(&mut self.key, &mut []);
        self.key.iter_mut().zip(&seed.0).for_each(|(key, fresh)| *key ^= fresh);
    }

    /// Fills `out` with random bytes; with predictable ones before the first `reseed`, and after the
    /// region was wiped in an emergency.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        if out.len() > BUFFER {
            // Straight to the caller. One key makes at most MAX_LENGTH bytes.
            out.chunks_mut(keystream::MAX_LENGTH).for_each(|part| generate(&mut self.key, part));
        } else {
            self.draw(out);
        }
    }

    /// Fills `out`, which is no longer than the buffer, from the buffer.
    fn draw(&mut self, out: &mut [u8]) {
        let (first, rest) = out.split_at_mut(out.len().min(self.available));
        self.take(first);
        if !rest.is_empty() {
            generate(&mut self.key, &mut self.buffer);
            self.available = BUFFER;
            self.take(rest);
        }
    }

    /// Moves the last `out.len()` available bytes to `out`.
    fn take(&mut self, out: &mut [u8]) {
        let rest = self.available - out.len();
        let drawn = &mut self.buffer[rest..self.available];
        out.copy_from_slice(drawn);
        wipe(drawn);
        self.available = rest;
    }
}

/// Fresh bytes. They are asked for before the generator is locked: the source is not ours.
pub(crate) type Seed = Wiped<KEY>;

impl Seed {
    pub(crate) fn fill(&mut self, entropy: &mut impl Entropy) -> Result<(), EntropyError> {
        entropy.fill(&mut self.0)
    }
}

/// Fills `out` from the keystream of `key` and replaces `key`; overwrites the stack it used.
fn generate(key: &mut [u8; KEY], out: &mut [u8]) {
    if keystream::is_short(out.len()) {
        generate_below::<SHORT_BATCH>(key, out);
    } else {
        generate_below::<LONG_BATCH>(key, out);
    }
    keystream::wipe_stack(out.len());
}

/// Not inlined, so that its frame lies below the caller's.
#[inline(never)]
fn generate_below<const BATCH: usize>(key: &mut [u8; KEY], out: &mut [u8]) {
    out.fill(0);
    // The key changes with each call, so the nonce need not.
    *key = Keystream::<BATCH>::with(key, &[0; NONCE], out.len(), |keystream| {
        keystream.apply(out.into());
        *keystream.first_key()
    });
}

/// Bytes of output kept: five canaries. The region's bytes are scarce, and with eight more one of
/// 64 KiB would have a leaf less.
const BUFFER: usize = 40;

#[cfg(test)]
mod tests;
