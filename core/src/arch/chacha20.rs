//! Blocks of `ChaCha20` (RFC 8439 section 2.3) by vectors of 256 and 512 bits, on x86-64.
//!
//! ```text
//! many blocks    vector w: word w of block 0 | word w of block 1 | …            8 or 16 lanes
//! few blocks     vector g: words 4g to 4g + 3 of block 0 | the same of block 1 | …
//! ```
//!
//! The `chacha20` crate makes four blocks at a time by 256 bits, and each step waits for the one
//! before. With 8 or 16 blocks there is always another step to do. Few are made as few: what is left of a
//! text, and short ones.
//!
//! No branch and no index depends on key, counter or keystream.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_or_si256, _mm256_set1_epi32, _mm256_shuffle_epi8,
    _mm256_shuffle_epi32, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};
use core::hint::black_box;

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
    /// `None` where there are no such vectors.
    #[inline]
    pub(crate) fn new(key: &[u8; 32], nonce: &[u8; 12]) -> Option<Self> {
        // Processors with these (Ice Lake, Zen 4) keep their clock rate when they use 512 bits; some
        // older ones with `avx512f` only do not.
        let vectors = if avx512::get() {
            Vectors::Bits512
        } else if avx2::get() {
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
        let mut done = 0;
        while done < length {
            done += self.write_batch(&mut out[done..], length - done);
        }
    }

    /// Writes a batch that is as large as `length` bytes need, or else the largest. How many bytes it has.
    #[inline]
    fn write_batch(&mut self, out: &mut [u8], length: usize) -> usize {
        macro_rules! batch {
            ($make:ident) => {{
                let batch = out.first_chunk_mut().expect("the batches are whole");
                // SAFETY: `new` saw that the processor and the operating system support the instructions.
                unsafe { $make(&self.state, batch) };
                batch.len()
            }};
        }
        let made = match self.vectors {
            Vectors::Bits512 if length <= FOUR => batch!(four),
            Vectors::Bits512 if length <= EIGHT => batch!(two_fours),
            Vectors::Bits512 => batch!(sixteen),
            Vectors::Bits256 if length <= TWO => batch!(pair),
            Vectors::Bits256 if length <= FOUR => batch!(two_pairs),
            Vectors::Bits256 if length <= SIX => batch!(three_pairs),
            Vectors::Bits256 => batch!(eight),
        };
        self.advance(made);
        made
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

/// Section 2.1, for several at once, which take turns: each step of one waits for the step before.
macro_rules! quarter_rounds {
    (
        $add:ident $xor:ident $rotate:ident $bytes:ident:
        $($a:expr, $b:expr, $c:expr, $d:expr;)+
    ) => {
        $($a = $add($a, $b);)+
        $($d = $rotate::<16, 16>($xor($d, $a), $bytes);)+
        $($c = $add($c, $d);)+
        $($b = $rotate::<12, 20>($xor($b, $c), $bytes);)+
        $($a = $add($a, $b);)+
        $($d = $rotate::<8, 24>($xor($d, $a), $bytes);)+
        $($c = $add($c, $d);)+
        $($b = $rotate::<7, 25>($xor($b, $c), $bytes);)+
    };
}

/// As many blocks as a vector has lanes.
macro_rules! many_blocks {
    (
        $name:ident, $feature:literal, $lanes:literal blocks,
        $splat:ident $add:ident $xor:ident $rotate:ident $bytes:ident
        $low_words:ident $high_words:ident $low_pairs:ident $high_pairs:ident
    ) => {
        #[target_feature(enable = $feature)]
        fn $name(state: &[u32; 16], out: &mut [u8; $lanes * BLOCK]) {
            let mut lanes = [0_u32; $lanes];
            (0..).zip(&mut lanes).for_each(|(number, lane)| *lane = number);
            // Made again at the end, and not kept meanwhile: a word in all lanes is a load.
            macro_rules! start {
                ($word:expr) => {{
                    let all = $splat(state[$word].cast_signed());
                    if $word == 12 { $add(all, cast(lanes)) } else { all }
                }};
            }
            let bytes = $bytes();
            let mut s = [$splat(0); 16];
            for (word, vector) in s.iter_mut().enumerate() {
                *vector = start!(word);
            }
            // Two quarter rounds at a time: for more there are too few registers of 256 bits.
            for _ in 0..DOUBLE_ROUNDS {
                quarter_rounds!(
                    $add $xor $rotate bytes:
                    s[0], s[4], s[8], s[12];
                    s[1], s[5], s[9], s[13];
                );
                quarter_rounds!(
                    $add $xor $rotate bytes:
                    s[2], s[6], s[10], s[14];
                    s[3], s[7], s[11], s[15];
                );
                quarter_rounds!(
                    $add $xor $rotate bytes:
                    s[0], s[5], s[10], s[15];
                    s[1], s[6], s[11], s[12];
                );
                quarter_rounds!(
                    $add $xor $rotate bytes:
                    s[2], s[7], s[8], s[13];
                    s[3], s[4], s[9], s[14];
                );
            }

            // Four words of four blocks change places, in each 128 bits of the vectors.
            let pieces = out.as_chunks_mut::<16>().0;
            for group in 0..4 {
                macro_rules! sum {
                    ($word:literal) => {
                        $add(s[4 * group + $word], start!(4 * group + $word))
                    };
                }
                let (a, b, c, d) = (sum!(0), sum!(1), sum!(2), sum!(3));
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
    eight, "avx2", 8 blocks,
    _mm256_set1_epi32 _mm256_add_epi32 _mm256_xor_si256 rotate_256 bytes_256
    _mm256_unpacklo_epi32 _mm256_unpackhi_epi32 _mm256_unpacklo_epi64 _mm256_unpackhi_epi64
);
many_blocks!(
    sixteen, "avx512f", 16 blocks,
    _mm512_set1_epi32 _mm512_add_epi32 _mm512_xor_si512 rotate_512 bytes_512
    _mm512_unpacklo_epi32 _mm512_unpackhi_epi32 _mm512_unpacklo_epi64 _mm512_unpackhi_epi64
);

/// As many blocks as a vector has rows of, once or twice: a row of each block in one vector.
macro_rules! few_blocks {
    (
        $name:ident, $feature:literal, $each:literal blocks in $all:literal bytes,
        $add:ident $xor:ident $rotate:ident $bytes:ident $shuffle:ident:
        $($a:ident $b:ident $c:ident $d:ident $first:literal),+
    ) => {
        #[target_feature(enable = $feature)]
        fn $name(state: &[u32; 16], out: &mut [u8; $all]) {
            let [a, b, c, d]: [[u32; 4]; 4] = cast(*state);
            let rows = [cast([a; $each]), cast([b; $each]), cast([c; $each]), cast([d; $each])];
            // The last row has the number of the block.
            macro_rules! number_from {
                ($row:expr, $number:expr) => {{
                    let mut numbers = [[0_u32; 4]; $each];
                    for (number, row) in ($number..).zip(&mut numbers) {
                        row[0] = number;
                    }
                    $add($row, cast(numbers))
                }};
            }
            let bytes = $bytes();
            $(
                let [mut $a, mut $b, mut $c, mut $d] = rows;
                $d = number_from!($d, $first);
            )+
            for _ in 0..DOUBLE_ROUNDS {
                quarter_rounds!($add $xor $rotate bytes: $($a, $b, $c, $d;)+);
                // The diagonals become columns. The row that was changed last, b, stays where it is.
                $(
                    $a = $shuffle::<0b10_01_00_11>($a);
                    $c = $shuffle::<0b00_11_10_01>($c);
                    $d = $shuffle::<0b01_00_11_10>($d);
                )+
                quarter_rounds!($add $xor $rotate bytes: $($a, $b, $c, $d;)+);
                $(
                    $a = $shuffle::<0b00_11_10_01>($a);
                    $c = $shuffle::<0b10_01_00_11>($c);
                    $d = $shuffle::<0b01_00_11_10>($d);
                )+
            }
            let pieces = out.as_chunks_mut::<16>().0;
            $(
                let starts = [rows[0], rows[1], rows[2], number_from!(rows[3], $first)];
                for (row, vector) in [$a, $b, $c, $d].into_iter().enumerate() {
                    let parts: [[u8; 16]; $each] = cast($add(vector, starts[row]));
                    for (block, part) in parts.into_iter().enumerate() {
                        pieces[4 * ($first as usize + block) + row] = part;
                    }
                }
            )+
        }
    };
}

few_blocks!(
    pair, "avx2", 2 blocks in 128 bytes,
    _mm256_add_epi32 _mm256_xor_si256 rotate_256 bytes_256 _mm256_shuffle_epi32:
    a b c d 0
);
few_blocks!(
    two_pairs, "avx2", 2 blocks in 256 bytes,
    _mm256_add_epi32 _mm256_xor_si256 rotate_256 bytes_256 _mm256_shuffle_epi32:
    a b c d 0, e f g h 2
);
few_blocks!(
    three_pairs, "avx2", 2 blocks in 384 bytes,
    _mm256_add_epi32 _mm256_xor_si256 rotate_256 bytes_256 _mm256_shuffle_epi32:
    a b c d 0, e f g h 2, i j k l 4
);
few_blocks!(
    four, "avx512f", 4 blocks in 256 bytes,
    _mm512_add_epi32 _mm512_xor_si512 rotate_512 bytes_512 _mm512_shuffle_epi32:
    a b c d 0
);
few_blocks!(
    two_fours, "avx512f", 4 blocks in 512 bytes,
    _mm512_add_epi32 _mm512_xor_si512 rotate_512 bytes_512 _mm512_shuffle_epi32:
    a b c d 0, e f g h 4
);

/// To the left by `LEFT` bits, and by 32 - `LEFT` to the right.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_256<const LEFT: i32, const RIGHT: i32>(vector: __m256i, bytes: [__m256i; 2]) -> __m256i {
    match LEFT {
        // Whole bytes change places in one instruction.
        16 => _mm256_shuffle_epi8(vector, bytes[0]),
        8 => _mm256_shuffle_epi8(vector, bytes[1]),
        _ => _mm256_or_si256(_mm256_slli_epi32::<LEFT>(vector), _mm256_srli_epi32::<RIGHT>(vector)),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate_512<const LEFT: i32, const RIGHT: i32>(vector: __m512i, (): ()) -> __m512i {
    _mm512_rol_epi32::<LEFT>(vector)
}

/// Which byte comes where when words of 32 bits rotate by 16 and by 8. A compiler that knew would take two
/// instructions instead, to save the load.
#[inline]
fn bytes_256() -> [__m256i; 2] {
    black_box([cast([BYTES_BY_16; 2]), cast([BYTES_BY_8; 2])])
}

#[inline]
fn bytes_512() {}

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
const TWO: usize = 2 * BLOCK;
const FOUR: usize = 4 * BLOCK;
const SIX: usize = 6 * BLOCK;
const EIGHT: usize = 8 * BLOCK;

#[cfg(test)]
mod tests {
    use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
    use std::vec;

    use super::*;
    use crate::testing::Noise;

    fn supported() -> impl Iterator<Item = Vectors> {
        let bits_256 = avx2::get().then_some(Vectors::Bits256);
        bits_256.into_iter().chain(avx512::get().then_some(Vectors::Bits512))
    }

    /// Every kind of batch this processor can make, in every order, and the crate's stream cipher.
    #[test]
    #[cfg_attr(miri, ignore = "vectors are not interpreted")]
    fn all_vectors_make_the_same_keystream() {
        let mut noise = Noise(21);
        for vectors in supported() {
            for blocks in 1..=48 {
                let (key, nonce): ([u8; 32], [u8; 12]) = (noise.array(), noise.array());
                let mut expected = vec![0; blocks * BLOCK];
                chacha20::ChaCha20::new(&key.into(), &nonce.into()).apply_keystream(&mut expected);

                let mut wide = Wide { state: state(&key, &nonce), vectors };
                let mut made = vec![0; blocks.next_multiple_of(16) * BLOCK];
                wide.write(&mut made, blocks * BLOCK);
                assert!(made.starts_with(&expected), "{blocks} blocks");
                let next = wide.state[12] as usize;
                assert!((blocks..blocks + 16).contains(&next), "{blocks} blocks: {next} is next");
            }
        }
    }

    /// The number of the last blocks, in each lane, and of those beyond that nobody asks for.
    #[test]
    #[cfg_attr(miri, ignore = "vectors are not interpreted")]
    fn the_last_blocks_under_a_key() {
        const FIRST: u32 = u32::MAX - 10;
        let (key, nonce) = ([7; 32], [9; 12]);
        let mut expected = [0; 10 * BLOCK];
        let mut cipher = chacha20::ChaCha20::new(&key.into(), &nonce.into());
        cipher.seek(u64::from(FIRST) * BLOCK as u64);
        cipher.apply_keystream(&mut expected);
        for vectors in supported() {
            for length in [TWO, FOUR, SIX, 10 * BLOCK] {
                let mut wide = Wide { state: state(&key, &nonce), vectors };
                wide.state[12] = FIRST;
                let mut made = [0; 16 * BLOCK];
                wide.write(&mut made, length);
                assert_eq!(made[..length], expected[..length], "{length} bytes");
            }
        }
    }
}
