//! `ChaCha20`'s keystream (RFC 8439 section 2.4), and the one place that names `chacha20`.
//!
//! ```text
//! block     0                     1, 2, 3                4, 5, 6, …
//!           | first key | unused | 192 bytes of text    | the rest of the text
//!           '------ one batch: four blocks at once -----'
//! ```
//!
//! Vector units make four blocks in the time of one, so the first key and the keystream of a
//! short text come from one call.

use core::mem;

use chacha20::cipher::array::Array;
use chacha20::cipher::consts::U8;
pub(crate) use chacha20::cipher::inout::InOutBuf;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::{ChaChaCore, R20, variants::Ietf};
use zeroize::zeroize_stack;

use crate::arch::registers::wipe_vectors;
use crate::wipe::wipe;

/// The keystream of one key and nonce, from block 0 on. Wiped when dropped.
pub(crate) struct Keystream {
    cipher: ChaChaCore<R20, Ietf>,
    first: [u8; BATCH],
    /// Bytes of text that `apply` may still be given.
    length: usize,
}

impl Keystream {
    /// The keystream for a first key and a text of at most `length` bytes.
    ///
    /// # Panics
    /// If `length` is above [`MAX_LENGTH`].
    #[inline]
    pub(crate) fn new(key: &[u8; KEY], nonce: &[u8; NONCE], length: usize) -> Self {
        assert!(length <= MAX_LENGTH, "the text is longer than RFC 8439 allows");
        let cipher = ChaChaCore::new(key.into(), nonce.into());
        let mut keystream = Self { cipher, first: [0; BATCH], length };
        write(&mut keystream.cipher, &mut keystream.first, length.saturating_add(BLOCK));
        keystream
    }

    /// The first 32 bytes of block 0: the one-time key of RFC 8439 section 2.6.
    pub(crate) fn first_key(&self) -> &[u8; KEY] {
        &self.first.as_chunks().0[0]
    }

    /// Adds (XOR) the keystream from block 1 on to `text`: RFC 8439 section 2.4.
    ///
    /// # Panics
    /// When called again, or with more bytes than `new` was told of.
    #[inline]
    pub(crate) fn apply(&mut self, text: InOutBuf<'_, '_, u8>) {
        assert!(text.len() <= mem::take(&mut self.length), "no keystream was made for this text");
        let short = text.len().min(BATCH - BLOCK);
        let (head, rest) = text.split_at(short);
        add(&self.first[BLOCK..BLOCK + short], head);
        if !rest.is_empty() {
            self.apply_rest(rest);
        }
    }

    /// Adds the keystream from block 4 on. Not inlined, so that short texts need less stack.
    ///
    /// `apply_keystream_blocks_inout` would do it, but puts the text on the stack for a moment.
    #[inline(never)]
    fn apply_rest(&mut self, mut rest: InOutBuf<'_, '_, u8>) {
        let mut batch = [0; BATCH];
        while !rest.is_empty() {
            let length = rest.len().min(BATCH);
            write(&mut self.cipher, &mut batch, length);
            let (text, after) = rest.split_at(length);
            add(&batch[..length], text);
            rest = after;
        }
        wipe(&mut batch);
    }
}

impl Drop for Keystream {
    fn drop(&mut self) {
        // The cipher wipes itself.
        wipe(&mut self.first);
    }
}

/// Adds (XOR) keystream to a text of the same length.
#[inline]
fn add(keystream: &[u8], text: InOutBuf<'_, '_, u8>) {
    // Word by word: input and output may be the same place, so no compiler does it for us.
    let (words, mut tail) = text.into_chunks::<U8>();
    let (keys, key_tail) = keystream.as_chunks();
    for (mut word, &key) in words.into_iter().zip(keys) {
        let sum = u64::from_ne_bytes(word.get_in().0) ^ u64::from_ne_bytes(key);
        *word.get_out() = Array(sum.to_ne_bytes());
    }
    tail.xor_in2out(key_tail);
}

/// Writes at least `length` bytes of keystream, or a whole batch, to the front of `batch`.
fn write(cipher: &mut ChaChaCore<R20, Ietf>, batch: &mut [u8; BATCH], length: usize) {
    let blocks = if VECTORS { BATCH / BLOCK } else { length.div_ceil(BLOCK).min(BATCH / BLOCK) };
    cipher.write_keystream_blocks(&mut Array::slice_as_chunks_mut(batch).0[..blocks]);
}

/// Overwrites the stack that work with a keystream for `length` bytes went through.
///
/// The work must be in a function of its own that is not inlined, and the call in that function's
/// caller.
#[inline(always)]
#[expect(clippy::inline_always, reason = "its own frame would shelter what lies under it")]
pub(crate) fn wipe_stack(length: usize) {
    wipe_vectors();
    if length <= BATCH - BLOCK {
        zeroize_stack::<BATCH_STACK>();
    } else {
        zeroize_stack::<STACK>();
    }
}

/// Bytes in a key.
pub(crate) const KEY: usize = 32;
/// Bytes in a nonce.
pub(crate) const NONCE: usize = 12;

/// The longest text in bytes under one key and nonce: the block counter has 32 bits, and block 0
/// is taken (RFC 8439 section 2.8).
pub(crate) const MAX_LENGTH: usize = (u32::MAX as usize).saturating_mul(BLOCK);

/// Bytes in a block.
const BLOCK: usize = 64;
/// Bytes that a vector unit makes at once; `chacha20` would make fewer one block after the other.
const BATCH: usize = 4 * BLOCK;
/// Whether `chacha20` makes batches here, so that a block fewer would cost more.
const VECTORS: bool = cfg!(any(
    target_arch = "x86",
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
));
/// Bytes of stack that work on one batch goes through: at most 2.5 KiB was seen when optimised
/// (levels 1, 2, 3, s and z on five processors), and the tests hold it to this with room to spare.
const BATCH_STACK: usize = if cfg!(debug_assertions) { UNOPTIMISED_STACK } else { 3 * KIB };
/// The same for work on any text.
const STACK: usize = if cfg!(debug_assertions) {
    UNOPTIMISED_STACK
} else if AVX512 {
    10 * KIB
} else {
    4 * KIB
};
/// The same without optimisation.
const UNOPTIMISED_STACK: usize = if AVX512 {
    36 * KIB
} else if VECTORS {
    20 * KIB
} else {
    10 * KIB
};
/// Whether `chacha20` was told to use 512-bit vectors, by a flag that all crates see.
#[expect(unexpected_cfgs, reason = "the flag belongs to chacha20")]
const AVX512: bool = cfg!(chacha20_avx512);
const KIB: usize = 1024;

#[cfg(test)]
mod tests;
