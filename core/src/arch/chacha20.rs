//! Blocks of `ChaCha20` (RFC 8439 section 2.3) by vectors of 256 and 512 bits, on x86-64.
//!
//! ```text
//! many blocks    vector w: word w of block 0 | word w of block 1 | …            8 or 16 lanes
//! fours          vector g: words 4g to 4g + 3 of block 0 | … | of block 3       512 bits
//! ```
//!
//! The `chacha20` crate makes four blocks at a time by 256 bits, and each step waits for the one
//! before. With 8 or 16 blocks there is always another step to do. Four and eight blocks are faster with
//! 512 bits because those vectors rotate in one instruction; otherwise four are left to the crate.
//!
//! No branch and no index depends on key, counter or keystream.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_or_si256, _mm256_set1_epi32, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256, _mm512_add_epi32,
    _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use bytemuck::cast;
use zeroize::Zeroize;

/// The cipher of one key and nonce, from block 0 on. Wiped when dropped.
pub(crate) struct Wide {
    /// As section 2.3 has it: word 12 is the number of the next block.
    state: [u32; 16],
    vectors: Vectors,
}

#[derive(Clone, Copy)]
enum Vectors {
    Bits256,
    Bits512,
}

impl Wide {
    /// `None` where the crate is as fast for a text that takes no more than `blocks`, or there is
    /// nothing else.
    #[inline]
    pub(crate) fn new(key: &[u8; 32], nonce: &[u8; 12], blocks: usize) -> Option<Self> {
        // Processors with these (Ice Lake, Zen 4) keep their clock rate when they use 512 bits; some
        // older ones with `avx512f` only do not.
        let vectors = if avx512::get() {
            Vectors::Bits512
        } else if avx2::get() && blocks > FOUR / BLOCK {
            Vectors::Bits256
        } else {
            return None;
        };
        Some(Self { state: state(key, nonce), vectors })
    }

    /// Fills the front of `out` with the next blocks, at least `length` bytes and whole batches:
    /// `out` is four blocks long, or a multiple of 16.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut [u8], length: usize) {
        match self.vectors {
            Vectors::Bits512 if length <= FOUR => {
                if let Some(batch) = out.as_chunks_mut().0.first_chunk_mut() {
                    // SAFETY: `new` saw that the processor and the operating system support the
                    // instructions.
                    unsafe { four(&self.state, batch) };
                    self.advance(FOUR);
                }
            }
            Vectors::Bits512 if length <= EIGHT => {
                if let Some(batch) = out.as_chunks_mut().0.first_chunk_mut() {
                    // SAFETY: as above.
                    unsafe { two_fours(&self.state, batch) };
                    self.advance(EIGHT);
                }
            }
            Vectors::Bits512 => {
                for batch in &mut out.as_chunks_mut().0[..length.div_ceil(SIXTEEN)] {
                    // SAFETY: as above.
                    unsafe { sixteen(&self.state, batch) };
                    self.advance(SIXTEEN);
                }
            }
            Vectors::Bits256 => {
                for batch in &mut out.as_chunks_mut().0[..length.div_ceil(EIGHT)] {
                    // SAFETY: as above.
                    unsafe { eight(&self.state, batch) };
                    self.advance(EIGHT);
                }
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "16 blocks at most")]
        let blocks = (bytes / BLOCK) as u32;
        self.state[12] = self.state[12].wrapping_add(blocks);
    }
}

/// For block 0.
fn state(key: &[u8; 32], nonce: &[u8; 12]) -> [u32; 16] {
    let mut state = [0; 16];
    state[..4].copy_from_slice(&CONSTANTS);
    let words = key.as_chunks().0.iter().chain(&[[0; 4]]).chain(nonce.as_chunks().0);
    state[4..].iter_mut().zip(words).for_each(|(word, &bytes)| *word = u32::from_le_bytes(bytes));
    state
}

impl Drop for Wide {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

/// As many blocks as a vector has lanes.
macro_rules! many_blocks {
    (
        $name:ident, $feature:literal, $vector:ty, $lanes:literal blocks,
        $splat:ident $add:ident $xor:ident $rotate:ident
        $low_words:ident $high_words:ident $low_pairs:ident $high_pairs:ident
    ) => {
        #[target_feature(enable = $feature)]
        fn $name(state: &[u32; 16], out: &mut [u8; $lanes * BLOCK]) {
            macro_rules! quarter_round {
                ($s:ident: $a:literal $b:literal $c:literal $d:literal) => {
                    $s[$a] = $add($s[$a], $s[$b]);
                    $s[$d] = $rotate::<16, 16>($xor($s[$d], $s[$a]));
                    $s[$c] = $add($s[$c], $s[$d]);
                    $s[$b] = $rotate::<12, 20>($xor($s[$b], $s[$c]));
                    $s[$a] = $add($s[$a], $s[$b]);
                    $s[$d] = $rotate::<8, 24>($xor($s[$d], $s[$a]));
                    $s[$c] = $add($s[$c], $s[$d]);
                    $s[$b] = $rotate::<7, 25>($xor($s[$b], $s[$c]));
                };
            }

            let mut lane = 0;
            let lanes: [u32; $lanes] = [(); $lanes].map(|()| {
                lane += 1;
                lane - 1
            });
            // Made again at the end, and not kept meanwhile: a word in all lanes is a load.
            let start = |word: usize| {
                let all = $splat(state[word].cast_signed());
                if word == 12 { $add(all, cast(lanes)) } else { all }
            };

            let mut s = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map(start);
            for _ in 0..DOUBLE_ROUNDS {
                quarter_round!(s: 0 4 8 12);
                quarter_round!(s: 1 5 9 13);
                quarter_round!(s: 2 6 10 14);
                quarter_round!(s: 3 7 11 15);
                quarter_round!(s: 0 5 10 15);
                quarter_round!(s: 1 6 11 12);
                quarter_round!(s: 2 7 8 13);
                quarter_round!(s: 3 4 9 14);
            }

            // Four words of four blocks change places, in each 128 bits of the vectors.
            let pieces = out.as_chunks_mut::<16>().0;
            for group in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| $add(s[4 * group + i], start(4 * group + i)));
                let (low_ab, high_ab) = ($low_words(a, b), $high_words(a, b));
                let (low_cd, high_cd) = ($low_words(c, d), $high_words(c, d));
                let rows = [
                    $low_pairs(low_ab, low_cd),
                    $high_pairs(low_ab, low_cd),
                    $low_pairs(high_ab, high_cd),
                    $high_pairs(high_ab, high_cd),
                ];
                for (row, vector) in rows.into_iter().enumerate() {
                    let parts: [[u8; 16]; $lanes / 4] = cast(vector);
                    for (four, part) in parts.into_iter().enumerate() {
                        pieces[4 * (4 * four + row) + group] = part;
                    }
                }
            }
        }
    };
}

many_blocks!(
    eight, "avx2", __m256i, 8 blocks,
    _mm256_set1_epi32 _mm256_add_epi32 _mm256_xor_si256 rotate_256
    _mm256_unpacklo_epi32 _mm256_unpackhi_epi32 _mm256_unpacklo_epi64 _mm256_unpackhi_epi64
);
many_blocks!(
    sixteen, "avx512f", __m512i, 16 blocks,
    _mm512_set1_epi32 _mm512_add_epi32 _mm512_xor_si512 rotate_512
    _mm512_unpacklo_epi32 _mm512_unpackhi_epi32 _mm512_unpacklo_epi64 _mm512_unpackhi_epi64
);

/// Fours of blocks, a row of each block of a four in one vector. The fours take turns, for each step of
/// one waits for the step before.
macro_rules! fours {
    ($name:ident: $($a:ident $b:ident $c:ident $d:ident $first:literal),+) => {
        #[target_feature(enable = "avx512f")]
        fn $name(state: &[u32; 16], out: &mut [[u8; FOUR]; [$($first),+].len()]) {
            let rows = [0, 1, 2, 3].map(|row| cast([state.as_chunks::<4>().0[row]; 4]));
            $(
                let [mut $a, mut $b, mut $c, mut $d] = rows;
                $d = number_from($d, $first);
            )+
            macro_rules! round {
                () => {
                    $($a = _mm512_add_epi32($a, $b);)+
                    $($d = rotate_512::<16, 16>(_mm512_xor_si512($d, $a));)+
                    $($c = _mm512_add_epi32($c, $d);)+
                    $($b = rotate_512::<12, 20>(_mm512_xor_si512($b, $c));)+
                    $($a = _mm512_add_epi32($a, $b);)+
                    $($d = rotate_512::<8, 24>(_mm512_xor_si512($d, $a));)+
                    $($c = _mm512_add_epi32($c, $d);)+
                    $($b = rotate_512::<7, 25>(_mm512_xor_si512($b, $c));)+
                };
            }

            for _ in 0..DOUBLE_ROUNDS {
                round!();
                // The diagonals become columns. The row that was changed last, b, stays where it is.
                $(
                    $a = _mm512_shuffle_epi32::<0b10_01_00_11>($a);
                    $c = _mm512_shuffle_epi32::<0b00_11_10_01>($c);
                    $d = _mm512_shuffle_epi32::<0b01_00_11_10>($d);
                )+
                round!();
                $(
                    $a = _mm512_shuffle_epi32::<0b00_11_10_01>($a);
                    $c = _mm512_shuffle_epi32::<0b10_01_00_11>($c);
                    $d = _mm512_shuffle_epi32::<0b01_00_11_10>($d);
                )+
            }
            $(
                let pieces = out[$first / 4].as_chunks_mut::<16>().0;
                let starts = [rows[0], rows[1], rows[2], number_from(rows[3], $first)];
                for (row, vector) in [$a, $b, $c, $d].into_iter().enumerate() {
                    let parts: [[u8; 16]; 4] = cast(_mm512_add_epi32(vector, starts[row]));
                    for (block, part) in parts.into_iter().enumerate() {
                        pieces[4 * block + row] = part;
                    }
                }
            )+
        }
    };
}

fours!(four: a b c d 0);
fours!(two_fours: a b c d 0, e f g h 4);

/// The last row of four blocks, with their numbers: the first is that many after the next block.
#[inline]
#[target_feature(enable = "avx512f")]
fn number_from(row: __m512i, first: u32) -> __m512i {
    let numbers =
        [[first, 0, 0, 0], [first + 1, 0, 0, 0], [first + 2, 0, 0, 0], [first + 3, 0, 0, 0]];
    _mm512_add_epi32(row, cast(numbers))
}

/// To the left by `LEFT` bits, and by 32 - `LEFT` to the right.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_256<const LEFT: i32, const RIGHT: i32>(vector: __m256i) -> __m256i {
    match LEFT {
        // Whole bytes change places in one instruction.
        16 => _mm256_shuffle_epi8(vector, cast([BYTES_BY_16; 2])),
        8 => _mm256_shuffle_epi8(vector, cast([BYTES_BY_8; 2])),
        _ => _mm256_or_si256(_mm256_slli_epi32::<LEFT>(vector), _mm256_srli_epi32::<RIGHT>(vector)),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_512<const LEFT: i32, const RIGHT: i32>(vector: __m512i) -> __m512i {
    _mm512_rol_epi32::<LEFT>(vector)
}

cpufeatures::new!(avx2, "avx2");
cpufeatures::new!(avx512, "avx512f", "avx512vbmi");

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
/// 20 rounds, a round of columns and one of diagonals at a time.
const DOUBLE_ROUNDS: usize = 10;
/// Which byte comes where when words of 32 bits rotate.
const BYTES_BY_16: [u8; 16] = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
const BYTES_BY_8: [u8; 16] = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14];
/// Bytes in a block, and in so many.
const BLOCK: usize = 64;
const FOUR: usize = 4 * BLOCK;
const EIGHT: usize = 8 * BLOCK;
const SIXTEEN: usize = 16 * BLOCK;

#[cfg(test)]
mod tests {
    use chacha20::cipher::{KeyIvInit, StreamCipher};
    use std::vec;

    use super::*;
    use crate::testing::Noise;

    /// Every kind of batch this processor can make, and the crate's stream cipher.
    #[test]
    #[cfg_attr(miri, ignore = "vectors are not interpreted")]
    fn all_vectors_make_the_same_keystream() {
        let mut noise = Noise(21);
        let kinds = [(avx2::get(), Vectors::Bits256), (avx512::get(), Vectors::Bits512)];
        for (_, vectors) in kinds.into_iter().filter(|(supported, _)| *supported) {
            for batches in 1..4 {
                let (key, nonce): ([u8; 32], [u8; 12]) = (noise.array(), noise.array());
                let mut expected = vec![0; batches * SIXTEEN];
                chacha20::ChaCha20::new(&key.into(), &nonce.into()).apply_keystream(&mut expected);

                let mut wide = Wide { state: state(&key, &nonce), vectors };
                let mut made = vec![0; batches * SIXTEEN];
                made.chunks_mut(SIXTEEN).for_each(|batch| wide.write(batch, SIXTEEN));
                assert!(made == expected, "{batches} batches of 16 blocks");

                if matches!(vectors, Vectors::Bits512) {
                    for length in [FOUR, EIGHT] {
                        let mut wide = Wide { state: state(&key, &nonce), vectors };
                        made.fill(0);
                        made.chunks_mut(length).for_each(|batch| wide.write(batch, length));
                        assert!(made == expected, "batches of {length} bytes");
                    }
                }
            }
        }
    }

    /// The number of the block, in each lane, goes on past what a lane can add.
    #[test]
    #[cfg_attr(miri, ignore = "vectors are not interpreted")]
    fn the_last_blocks_under_a_key() {
        let (key, nonce) = ([7; 32], [9; 12]);
        let mut blocks = [[0; SIXTEEN]; 2];
        for (blocks, vectors) in blocks.iter_mut().zip([Vectors::Bits256, Vectors::Bits512]) {
            if !avx2::get() || matches!(vectors, Vectors::Bits512) && !avx512::get() {
                return;
            }
            let mut wide = Wide { state: state(&key, &nonce), vectors };
            wide.state[12] = u32::MAX - 10;
            wide.write(blocks, SIXTEEN);
        }
        assert_eq!(blocks[0], blocks[1]);
    }
}
