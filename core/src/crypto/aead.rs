//! RFC 8439 `ChaCha20`-Poly1305, composed from the `chacha20` crate and two Poly1305s: one of our
//! own for all but long texts on 32-bit x86, where the `poly1305` crate's vector code takes over.
//!
//! ```text
//! keystream    | one-time key | block 1, 2, …                 section 2.6, 2.4
//! ciphertext                  = plaintext XOR block 1, 2, …   section 2.8
//! tag          = Poly1305(one-time key, context | zeros | ciphertext | zeros | lengths)
//! ```
//!
//! The tag is checked before a byte of plaintext is written. When a call returns, no byte of key,
//! keystream or plaintext is left on the stack: what has a name is wiped, and the stack that the
//! work went through is overwritten.
//!
//! The caller keeps texts at or below [`MAX_LENGTH`] and never uses a nonce twice under one key.

mod poly1305;

use ::poly1305::universal_hash::{KeyInit, UniversalHash};

use self::poly1305::{Poly1305, WIDE};
use crate::constant_time::constant_time_eq;
use crate::crypto::keystream::{
    self, InOutBuf, KEY, Keystream, LONG_BATCH, NONCE, SHORT_BATCH, is_short,
};
use crate::wipe;

pub(crate) use crate::crypto::keystream::MAX_LENGTH;

/// Encrypts `plaintext` into `ciphertext` and returns the tag over it and `context` (the RFC's
/// additional authenticated data).
///
/// # Panics
/// If the texts differ in length or are longer than [`MAX_LENGTH`].
pub(crate) fn seal(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    plaintext: &[u8],
    ciphertext: &mut [u8],
) -> [u8; TAG] {
    let tag = seal_text(key, nonce, context, pair(plaintext, ciphertext));
    wipe_stack(context, plaintext);
    tag
}

/// Encrypts `text` where it is; otherwise as [`seal`].
///
/// # Panics
/// If `text` is longer than [`MAX_LENGTH`].
pub(crate) fn seal_in_place(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: &mut [u8],
) -> [u8; TAG] {
    let tag = seal_text(key, nonce, context, text.into());
    wipe_stack(context, text);
    tag
}

/// Decrypts `ciphertext` into `plaintext` if `tag` was made over it and `context` under this key
/// and nonce.
///
/// # Errors
/// [`TagMismatch`] if not; `plaintext` is then as it was.
///
/// # Panics
/// If the texts differ in length or are longer than [`MAX_LENGTH`].
pub(crate) fn open(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG],
    plaintext: &mut [u8],
) -> Result<(), TagMismatch> {
    let opened = open_text(key, nonce, context, pair(ciphertext, plaintext), tag);
    wipe_stack(context, ciphertext);
    opened
}

/// Decrypts `text` where it is; otherwise as [`open`].
///
/// # Errors
/// [`TagMismatch`]; `text` is then as it was.
///
/// # Panics
/// If `text` is longer than [`MAX_LENGTH`].
pub(crate) fn open_in_place(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), TagMismatch> {
    let opened = open_text(key, nonce, context, text.into(), tag);
    wipe_stack(context, text);
    opened
}

/// Whether `tag` was made over `ciphertext` and `context` under this key and nonce; nothing is
/// decrypted.
///
/// # Errors
/// [`TagMismatch`] if not.
pub(crate) fn check(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG],
) -> Result<(), TagMismatch> {
    let checked = check_text(key, nonce, context, ciphertext, tag);
    wipe_stack(context, ciphertext);
    checked
}

/// The tag does not belong to this ciphertext, context, nonce and key. Which of them is wrong
/// cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagMismatch;

/// Section 2.8.1, encryption.
#[inline]
fn seal_text(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: InOutBuf<'_, '_, u8>,
) -> [u8; TAG] {
    if is_short(text.len()) {
        seal_below::<SHORT_BATCH>(key, nonce, context, text)
    } else {
        seal_below::<LONG_BATCH>(key, nonce, context, text)
    }
}

/// Not inlined, so that its frame lies below the caller's.
#[inline(never)]
fn seal_below<const BATCH: usize>(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    mut text: InOutBuf<'_, '_, u8>,
) -> [u8; TAG] {
    Keystream::<BATCH>::with(key, nonce, text.len(), |keystream| {
        keystream.apply(text.reborrow());
        authenticate(keystream.first_key(), context, text.get_out())
    })
}

/// Section 2.8.1, decryption.
#[inline]
fn open_text(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: InOutBuf<'_, '_, u8>,
    tag: &[u8; TAG],
) -> Result<(), TagMismatch> {
    if is_short(text.len()) {
        open_below::<SHORT_BATCH>(key, nonce, context, text, tag)
    } else {
        open_below::<LONG_BATCH>(key, nonce, context, text, tag)
    }
}

/// Not inlined, so that its frame lies below the caller's.
#[inline(never)]
fn open_below<const BATCH: usize>(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: InOutBuf<'_, '_, u8>,
    tag: &[u8; TAG],
) -> Result<(), TagMismatch> {
    Keystream::<BATCH>::with(key, nonce, text.len(), |keystream| {
        let expected = authenticate(keystream.first_key(), context, text.get_in());
        if !constant_time_eq(&expected, tag) {
            return Err(TagMismatch);
        }
        keystream.apply(text);
        Ok(())
    })
}

/// Not inlined, so that its frame lies below the caller's. Of the keystream it makes the first batch
/// only, whatever the text's length.
#[inline(never)]
fn check_text(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    context: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG],
) -> Result<(), TagMismatch> {
    let expected = Keystream::<SHORT_BATCH>::with(key, nonce, 0, |keystream| {
        authenticate(keystream.first_key(), context, ciphertext)
    });
    if constant_time_eq(&expected, tag) { Ok(()) } else { Err(TagMismatch) }
}

/// The tag over `context` and `ciphertext`, each padded to whole blocks, and their lengths in
/// bytes (section 2.8).
fn authenticate(one_time_key: &[u8; KEY], context: &[u8], ciphertext: &[u8]) -> [u8; TAG] {
    let mut lengths = [0; 16];
    lengths[..8].copy_from_slice(&(context.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&(ciphertext.len() as u64).to_le_bytes());

    let parts = [context, ciphertext, &lengths];
    if is_long(context, ciphertext) {
        mac_long(one_time_key, parts)
    } else if context.len().max(ciphertext.len()) >= WIDE {
        mac_wide(one_time_key, parts)
    } else {
        mac(one_time_key, parts)
    }
}

/// With our own Poly1305, which takes 20 ns for 64 bytes where the crate takes 1,400.
fn mac(one_time_key: &[u8; KEY], parts: [&[u8]; 3]) -> [u8; TAG] {
    let mut poly1305 = Poly1305::new(one_time_key);
    parts.iter().for_each(|part| poly1305.update_padded(part));
    poly1305.finalize()
}

/// The same, by vectors where there are some. Not inlined, so that other texts need less stack.
#[inline(never)]
fn mac_wide(one_time_key: &[u8; KEY], parts: [&[u8]; 3]) -> [u8; TAG] {
    let mut poly1305 = Poly1305::new(one_time_key);
    parts.iter().for_each(|part| poly1305.update_padded_wide(part));
    poly1305.finalize()
}

/// With the crate's. Not inlined, so that other texts need less stack.
#[inline(never)]
fn mac_long(one_time_key: &[u8; KEY], parts: [&[u8]; 3]) -> [u8; TAG] {
    let mut poly1305 = ::poly1305::Poly1305::new(one_time_key.into());
    parts.iter().for_each(|part| poly1305.update_padded(part));
    poly1305.finalize().into()
}

/// Input and output of one encryption or decryption.
fn pair<'a>(input: &'a [u8], output: &'a mut [u8]) -> InOutBuf<'a, 'a, u8> {
    let Ok(pair) = InOutBuf::new(input, output) else {
        panic!("the texts differ in length");
    };
    pair
}

/// Whether this message is for the `poly1305` crate.
fn is_long(context: &[u8], text: &[u8]) -> bool {
    context.len().saturating_add(text.len()) >= LONG
}

/// Overwrites the stack that the work on this message went through.
#[inline(always)]
#[expect(clippy::inline_always, reason = "its own frame would shelter what lies under it")]
fn wipe_stack(context: &[u8], text: &[u8]) {
    if is_long(context, text) {
        wipe::wipe_stack::<LONG_STACK>();
    } else {
        // A long context goes as deep as a long text.
        keystream::wipe_stack(context.len().max(text.len()));
    }
}

/// Bytes in a tag.
pub(crate) const TAG: usize = 16;

/// Bytes of message from which the `poly1305` crate is used.
///
/// As measured: on 32-bit x86 its AVX2 code is faster from 3 KiB on (four times at 64 KiB). On
/// x86-64 it takes 1 µs to start, and at 64 KiB it is as fast as ours. Elsewhere it has portable
/// code only, which is slower at every length.
const LONG: usize = if cfg!(target_arch = "x86") { 4 * 1024 } else { usize::MAX };

/// KiB of stack that work on a long message goes through: at most 4.6 was seen when
/// optimised and 50 when not, and the tests hold it to this with room to spare.
const LONG_STACK: usize = if cfg!(debug_assertions) { 64 } else { 10 };

#[cfg(test)]
pub(crate) mod tests;
