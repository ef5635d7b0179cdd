//! `ChaCha20`'s keystream (RFC 8439 section 2.4), and the one place that names `chacha20`.
//!
//! ```text
//! block     0                     1, 2, 3, …             n, …
//!           | first key | unused | text                 | the rest of the text
//!           '----------- one batch of n blocks ---------'
//! ```
//!
//! Vector units make four or sixteen blocks in little more than the time of one, so the first key
//! and the keystream of a short text come from one call.

use core::mem;

use chacha20::cipher::array::Array;
use chacha20::cipher::consts::U8;
pub(crate) use chacha20::cipher::inout::InOutBuf;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::{ChaChaCore, R20, variants::Ietf};

use crate::arch::chacha20::Wide;
use crate::arch::registers::wipe_vectors;
use crate::wipe::{self, wipe};

/// The keystream of one key and nonce, from block 0 on, in batches of [`SHORT_BATCH`] or [`LONG_BATCH`] bytes.
/// Wiped when dropped.
pub(crate) struct Keystream<const BATCH: usize> {
    cipher: Cipher,
    first_key: [u8; KEY],
    batch: [u8; BATCH],
    /// Bytes of text that `apply` may still be given.
    length: usize,
}

impl<const BATCH: usize> Keystream<BATCH> {
    /// Does something with the keystream for a first key and a text of at most `length` bytes, which
    /// stays in one place meanwhile.
    ///
    /// # Panics
    /// If `length` is above [`MAX_LENGTH`].
    #[inline]
    pub(crate) fn with<R>(
        key: &[u8; KEY],
        nonce: &[u8; NONCE],
        length: usize,
        work: impl FnOnce(&mut Self) -> R,
    ) -> R {
        assert!(length <= MAX_LENGTH, "the text is longer than RFC 8439 allows");
        let cipher = Cipher::new(key, nonce);
        let mut keystream = Self { cipher, first_key: [0; KEY], batch: [0; BATCH], length };
        keystream.cipher.write(&mut keystream.batch, length.saturating_add(BLOCK));
        keystream.first_key.copy_from_slice(&keystream.batch[..KEY]);
        work(&mut keystream)
    }

    /// The first 32 bytes of block 0: the one-time key of RFC 8439 section 2.6.
    pub(crate) fn first_key(&self) -> &[u8; KEY] {
        &self.first_key
    }

    /// Adds (XOR) the keystream from block 1 on to `text`: RFC 8439 section 2.4.
    ///
    /// # Panics
    /// When called again, or with more bytes than `with` was told of.
    #[inline]
    pub(crate) fn apply(&mut self, text: InOutBuf<'_, '_, u8>) {
        assert!(text.len() <= mem::take(&mut self.length), "no keystream was made for this text");
        let first = text.len().min(BATCH - BLOCK);
        let (head, mut rest) = text.split_at(first);
        add(&self.batch[BLOCK..BLOCK + first], head);
        // `apply_keystream_blocks_inout` would do it, but puts the text on the stack for a moment.
        while !rest.is_empty() {
            let length = rest.len().min(BATCH);
            self.cipher.write(&mut self.batch, length);
            let (text, after) = rest.split_at(length);
            add(&self.batch[..length], text);
            rest = after;
        }
    }
}

impl<const BATCH: usize> Drop for Keystream<BATCH> {
    fn drop(&mut self) {
        // The cipher wipes itself.
        wipe(&mut self.first_key);
        wipe(&mut self.batch);
    }
}

/// What makes the blocks, one after the other. Wipes itself.
enum Cipher {
    Wide(Wide),
    Crate(ChaChaCore<R20, Ietf>),
}

impl Cipher {
    #[inline]
    fn new(key: &[u8; KEY], nonce: &[u8; NONCE]) -> Self {
        match Wide::new(key, nonce) {
            Some(wide) => Self::Wide(wide),
            None => Self::Crate(ChaChaCore::new(key.into(), nonce.into())),
        }
    }

    /// Writes at least `length` bytes of keystream, or a whole batch, to the front of `batch`.
    #[inline]
    fn write(&mut self, batch: &mut [u8], length: usize) {
        let length = length.min(batch.len());
        match self {
            Self::Wide(wide) => wide.write(batch, length),
            Self::Crate(cipher) => {
                let blocks = length.div_ceil(BLOCK).next_multiple_of(if VECTORS { 4 } else { 1 });
                cipher.write_keystream_blocks(&mut Array::slice_as_chunks_mut(batch).0[..blocks]);
            }
        }
    }
}

/// Adds (XOR) keystream to a text of the same length.
#[inline]
fn add(keystream: &[u8], text: InOutBuf<'_, '_, u8>) {
    // Word by word: input and output may be the same place, so no compiler does it for us; and no more
    // of the text than a word is ever in a register or on the stack.
    let (words, mut tail) = text.into_chunks::<U8>();
    let (keys, key_tail) = keystream.as_chunks();
    for (mut word, &key) in words.into_iter().zip(keys) {
        let sum = u64::from_ne_bytes(word.get_in().0) ^ u64::from_ne_bytes(key);
        *word.get_out() = Array(sum.to_ne_bytes());
    }
    tail.xor_in2out(key_tail);
}

/// Overwrites the stack that work with a keystream for `length` bytes went through.
///
/// The work must be in a function of its own that is not inlined, and the call in that function's
/// caller.
#[inline(always)]
#[expect(clippy::inline_always, reason = "its own frame would shelter what lies under it")]
pub(crate) fn wipe_stack(length: usize) {
    wipe_vectors();
    if is_short(length) {
        wipe::wipe_stack::<SHORT_STACK>();
    } else {
        wipe::wipe_stack::<STACK>();
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
/// Bytes in a batch for short texts.
pub(crate) const SHORT_BATCH: usize = 4 * BLOCK;
/// Bytes in a batch for longer ones, where more than four blocks are made at once.
pub(crate) const LONG_BATCH: usize =
    if cfg!(target_arch = "x86_64") { 16 * BLOCK } else { SHORT_BATCH };

/// Whether one short batch is enough for a text of `length` bytes.
#[inline]
pub(crate) fn is_short(length: usize) -> bool {
    length <= SHORT_BATCH - BLOCK
}

/// Whether `chacha20` makes four blocks at once here, so that one fewer would cost more.
const VECTORS: bool = cfg!(any(
    target_arch = "x86",
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
));
/// KiB of stack that work on one batch goes through: at most 2.5 KiB was seen when optimised
/// (levels 1, 2, 3, s and z on five processors), and the tests hold it to this with room to spare.
const SHORT_STACK: usize = if cfg!(debug_assertions) { UNOPTIMISED_STACK } else { 3 };
/// The same for work on any text: at most 4.6 KiB.
const STACK: usize = if cfg!(debug_assertions) {
    2 * UNOPTIMISED_STACK
} else if AVX512 {
    10
} else if cfg!(target_arch = "x86_64") {
    6
} else {
    4
};
/// The same without optimisation.
const UNOPTIMISED_STACK: usize = if AVX512 {
    36
} else if VECTORS {
    22
} else {
    10
};
/// Whether `chacha20` was told to use 512-bit vectors, by a flag that all crates see.
const AVX512: bool = cfg!(chacha20_avx512);

#[cfg(test)]
mod tests;
