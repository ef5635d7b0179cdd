//! Poly1305 (RFC 8439 section 2.5) for messages of whole blocks, in portable 64-bit words.
//!
//! With p = 2^130 - 5, each block m of 16 bytes does h = (h + m + 2^128) · r mod p:
//!
//! ```text
//! h = h0 + h1·2^64 + h2·2^128       h2 holds the few bits above
//! r = r0 + r1·2^64                  clamped: below 2^124, and r1 is a multiple of four
//!
//!         2^128               2^64                   1
//!         h2·r0     h1·r0 + h0·r1 + h2·s   h0·r0 + h1·s       s = r1 + r1/4
//! ```
//!
//! What overflows 2^130 returns at the bottom times five, because 2^130 = 5 (mod p). Thus
//! h1·r1·2^128 = h1·(r1/4)·2^130 = h1·(r1/4)·5 = h1·s, and likewise for h2·r1.
//!
//! No branch and no index depends on the key or the message, only on the message's length; the
//! last subtraction of p selects by mask. What is left is multiplication, addition and logic on
//! words, which take the same time for all values on the processors of today (ARM Cortex-M3,
//! whose long multiplication stops early, is the known exception, here as for any Poly1305).

use crate::arch::poly1305 as wide;

/// An authenticator under way. Its key must serve for one message only.
pub(super) struct Poly1305 {
    r: [u64; 2],
    /// Below 5 · 2^128 between blocks.
    h: [u64; 3],
    pad: [u64; 2],
}

impl Poly1305 {
    /// Section 2.5.1: the key is r, clamped, and s, here called `pad`.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let [r0, r1, pad0, pad1] = [0, 1, 2, 3].map(|i| word(key.as_chunks().0[i]));
        Self { r: [r0 & CLAMP[0], r1 & CLAMP[1]], h: [0; 3], pad: [pad0, pad1] }
    }

    /// Takes in `message` and as many zeros as fill its last block.
    #[inline]
    pub(super) fn update_padded(&mut self, message: &[u8]) {
        let (blocks, rest) = message.as_chunks();
        self.update(blocks, 1);
        if !rest.is_empty() {
            let mut last = [0; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            self.update(&[last], 1);
        }
    }

    /// The same, by vectors where there are some and `message` is long.
    pub(super) fn update_padded_wide(&mut self, message: &[u8]) {
        let (fours, rest) = message.as_chunks();
        if message.len() >= WIDE && wide::is_there() {
            self.h = wide::update(self.powers(), self.h, fours);
            self.update_padded(rest);
        } else {
            self.update_padded(message);
        }
    }

    /// r, r², r³ and r⁴.
    fn powers(&self) -> [[u64; 3]; 4] {
        let mut last = Self { r: self.r, h: [self.r[0], self.r[1], 0], pad: [0; 2] };
        let mut powers = [last.h; 4];
        for power in &mut powers[1..] {
            last.update(&[[0; BLOCK]], 0);
            *power = last.h;
        }
        powers
    }

    /// Takes in `blocks`, each with `top` · 2^128 added: 1 but for a short last block.
    #[inline]
    fn update(&mut self, blocks: &[[u8; BLOCK]], top: u64) {
        let [r0, r1] = self.r;
        let s = r1 + (r1 >> 2);
        let [mut h0, mut h1, mut h2] = self.h;
        for block in blocks {
            let [m0, m1] = [0, 1].map(|i| word(block.as_chunks().0[i]));
            (h0, h1, h2) = add((h0, h1, h2), (m0, m1, top));

            // h2 is below 8, so each sum is below 2^127, and h2 · s and h2 · r0 below 2^64.
            let d0 = multiply(h0, r0) + multiply(h1, s);
            let d1 =
                multiply(h0, r1) + multiply(h1, r0) + u128::from(h2 * s) + u128::from(high(d0));
            let d2 = h2 * r0 + high(d1);

            // d2 = 4q + d2 mod 4, and q · 2^130 returns as 5q.
            let five_q = (d2 & !3) + (d2 >> 2);
            (h0, h1, h2) = add((low(d0), low(d1), d2 & 3), (five_q, 0, 0));
        }
        self.h = [h0, h1, h2];
    }

    /// The tag: (h mod p + pad) mod 2^128.
    pub(super) fn finalize(self) -> [u8; 16] {
        let [h0, h1, h2] = self.h;
        // h is below 2p, so h mod p is h or h - p. With g = h + 5 = h - p + 2^130, h - p is not
        // negative if and only if g reaches 2^130.
        let (g0, g1, g2) = add((h0, h1, h2), (5, 0, 0));
        let take_g = 0_u64.wrapping_sub(g2 >> 2);
        let reduced0 = (h0 & !take_g) | (g0 & take_g);
        let reduced1 = (h1 & !take_g) | (g1 & take_g);

        let (tag0, tag1, _) = add((reduced0, reduced1, 0), (self.pad[0], self.pad[1], 0));
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&tag0.to_le_bytes());
        tag[8..].copy_from_slice(&tag1.to_le_bytes());
        tag
    }
}

impl Drop for Poly1305 {
    fn drop(&mut self) {
        (self.r, self.h, self.pad) = ([0; 2], [0; 3], [0; 2]);
        zeroize::optimization_barrier(self);
    }
}

/// Three words each, lowest first; the caller knows that the highest does not overflow.
#[inline]
fn add(a: (u64, u64, u64), b: (u64, u64, u64)) -> (u64, u64, u64) {
    let sum0 = u128::from(a.0) + u128::from(b.0);
    let sum1 = u128::from(a.1) + u128::from(b.1) + u128::from(high(sum0));
    (low(sum0), low(sum1), a.2 + b.2 + high(sum1))
}

#[inline]
fn multiply(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low word is what is asked for")]
fn low(double: u128) -> u64 {
    double as u64
}

#[inline]
fn high(double: u128) -> u64 {
    low(double >> 64)
}

#[inline]
fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

/// Bytes of message from which vectors of four blocks are faster, as measured: three powers of the key are
/// made first.
pub(super) const WIDE: usize = 768;

/// Bytes in a block.
const BLOCK: usize = 16;
/// Section 2.5.1: the bits of r that may be set.
const CLAMP: [u64; 2] = [0x0fff_fffc_0fff_ffff, 0x0fff_fffc_0fff_fffc];

#[cfg(test)]
mod tests;
