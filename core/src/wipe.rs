//! Overwriting with zeros, and looking for what is not zero, at memset's speed.
//!
//! Short stretches are taken as two pieces of a fixed length, of which the second ends where the
//! stretch ends and may overlap the first: no loop whose end a processor would have to guess.

use core::mem::MaybeUninit;

use zeroize::zeroize_stack;

use crate::arch::processor::{Block, any_bit_of};
use crate::arch::registers::wipe_vectors;

/// Sets every byte of `bytes` to zero, in a way the compiler cannot leave out.
///
/// `Zeroize` for slices writes byte by byte, at a tenth of this speed.
#[inline]
pub(crate) fn wipe(bytes: &mut [u8]) {
    match bytes.len() {
        0..8 => bytes.iter_mut().for_each(|byte| *byte = 0),
        8..=16 => wipe_ends::<8>(bytes),
        17..=32 => wipe_ends::<16>(bytes),
        33..=64 => wipe_ends::<32>(bytes),
        65..=128 => wipe_ends::<64>(bytes),
        129..=256 => wipe_ends::<128>(bytes),
        2049..=IN_PIECES => wipe_in_pieces(bytes),
        _ => bytes.fill(0),
    }
    zeroize::optimization_barrier(bytes);
}

/// Bytes on the stack that are wiped when they go.
pub(crate) struct Wiped<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Wiped<N> {
    pub(crate) fn zero() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Drop for Wiped<N> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Not at once: see [`PIECE`].
#[inline(never)]
fn wipe_in_pieces(bytes: &mut [u8]) {
    for piece in bytes.chunks_mut(PIECE) {
        piece.fill(0);
        zeroize::optimization_barrier(piece);
    }
}

/// Sets so many KiB of the stack below the caller to zero.
#[inline(never)]
pub(crate) fn wipe_stack<const KIB: usize>() {
    let mut stack = [const { MaybeUninit::<[u8; PIECE]>::uninit() }; KIB];
    for piece in &mut stack {
        zeroize::optimization_barrier(piece.write([0; PIECE]));
    }
}

/// Does `work`, and overwrites the stack that it went through, `STACK` bytes of it, and the vector
/// registers: for the code of others, which leaves what it computed with where it was. It is done as
/// well if `work` panics.
///
/// A value that `work` returns may have been in the stack that is kept: return no secret, but write it
/// where it is to be.
///
/// ```
/// use strongroom_core::wiping_stack;
///
/// let mut digest = [0; 32];
/// wiping_stack::<16384, _>(|| {
///     let key = [7; 32]; // computed, then forgotten
///     digest = key;
/// });
/// # assert_eq!(digest, [7; 32]);
/// ```
pub fn wiping_stack<const STACK: usize, R>(work: impl FnOnce() -> R) -> R {
    struct Wiping<const STACK: usize>;

    impl<const STACK: usize> Drop for Wiping<STACK> {
        #[inline(always)]
        fn drop(&mut self) {
            wipe_vectors();
            zeroize_stack::<STACK>();
        }
    }

    /// In a frame of its own, under which all of the work's are.
    #[inline(never)]
    fn apart<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    let _wiping = Wiping::<STACK>;
    apart(work)
}

/// Whether all bytes are zero, looking at all of them.
#[inline]
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    match bytes.len() {
        0..8 => bytes.iter().all(|&byte| byte == 0),
        8..=16 => are_ends_zero::<8>(bytes),
        17..=32 => are_ends_zero::<16>(bytes),
        33..=64 => are_ends_zero::<32>(bytes),
        65..=128 => are_ends_zero::<64>(bytes),
        129..=256 => are_ends_zero::<128>(bytes),
        _ => {
            let (blocks, rest) = bytes.as_chunks();
            // What is left is within the last block's length of the end.
            let end: Option<&Block> = if rest.is_empty() { None } else { bytes.last_chunk() };
            any_bit_of(blocks) | end.map_or(0, any_bit) == 0
        }
    }
}

/// Wipes the first and the last `N` bytes.
#[inline]
fn wipe_ends<const N: usize>(bytes: &mut [u8]) {
    if let Some(start) = bytes.first_chunk_mut::<N>() {
        *start = [0; N];
    }
    if let Some(end) = bytes.last_chunk_mut::<N>() {
        *end = [0; N];
    }
}

/// Whether the first and the last `N` bytes are zero.
#[inline]
fn are_ends_zero<const N: usize>(bytes: &[u8]) -> bool {
    let start = bytes.first_chunk::<N>().map_or(0, any_bit);
    let end = bytes.last_chunk::<N>().map_or(0, any_bit);
    start | end == 0
}

/// Not zero if any byte is not; `N` is a multiple of eight.
#[inline]
fn any_bit<const N: usize>(bytes: &[u8; N]) -> u64 {
    bytes.as_chunks::<8>().0.iter().fold(0, |any, &word| any | u64::from_ne_bytes(word))
}

/// Bytes of a piece. Above 2 KiB glibc's memset is one instruction (`rep stosb`), which takes up to twice the
/// time of pieces while all of it is in the first cache.
const PIECE: usize = 1024;
/// The most bytes that are wiped in pieces.
const IN_PIECES: usize = 8 * PIECE;

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::testing::rounds;

    #[test]
    fn every_byte_and_no_other() {
        let in_pieces = [2048, 2049, 3072, 5000, 8192, 8193];
        let places =
            (0..9).flat_map(|start| (0..600).chain(in_pieces).map(move |len| (start, len)));
        for (start, len) in places.step_by(rounds(1, 67)) {
            let mut bytes = vec![0xa5; 620.max(start + len + 1)];
            wipe(&mut bytes[start..start + len]);
            assert!(bytes[start..start + len].iter().all(|&byte| byte == 0));
            let mut others = bytes[..start].iter().chain(&bytes[start + len..]);
            assert!(others.all(|&byte| byte == 0xa5));
        }
    }

    #[test]
    fn every_byte_is_looked_at() {
        for len in (0..600).step_by(rounds(1, 43)) {
            let mut bytes = [0; 600];
            assert!(is_zero(&bytes[..len]));
            for index in (0..len).step_by(rounds(1, 19)) {
                bytes[index] = 0x10;
                assert!(!is_zero(&bytes[..len]), "byte {index} of {len}");
                bytes[index] = 0;
            }
        }
    }

    #[test]
    fn two_equal_words_do_not_cancel_out() {
        for len in (9..600).step_by(rounds(1, 97)) {
            for (first, second) in
                (8..len).step_by(8).flat_map(|d| [(0, d), (len - 1 - d, len - 1)])
            {
                let mut bytes = [0; 600];
                (bytes[first], bytes[second]) = (0x10, 0x10);
                assert!(!is_zero(&bytes[..len]), "bytes {first} and {second} of {len}");
            }
        }
    }
}
