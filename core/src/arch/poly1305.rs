//! Poly1305 (RFC 8439 section 2.5) by vectors of 256 bits, on x86-64: four blocks at a time.
//!
//! ```text
//! h = (m0·r⁴ + m1·r³ + m2·r² + m3·r)·r⁴ + …      lane j adds up m(4i + j), times r⁴ for each i
//! ```
//!
//! A number has five limbs of 26 bits, so that five products add up in a lane of 64 bits. As
//! 2^130 = 5 (mod p), what a product has above 2^130 returns at the bottom times five.
//!
//! No branch and no index depends on the key or the message, only on the message's length.
//!
//! What goes through a [`black_box`] is a constant, or as good as one, to all but the compiler: one that knows
//! how many bits a limb has takes three multiplications for one.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi64,
};
use core::hint::black_box;

use bytemuck::cast;

/// Whether the processor and the operating system support the instructions.
#[inline]
pub(crate) fn is_there() -> bool {
    avx2::get()
}

/// Takes in blocks as section 2.5.1 has it: h = (h + m + 2^128) · r for each, by `powers` of r, of which the
/// first is r. Numbers are words of 64 bits, the lowest first, and below 5 · 2^128 before and after.
///
/// # Panics
/// If there are no such vectors.
pub(crate) fn update(powers: [[u64; 3]; 4], h: [u64; 3], fours: &[[u8; 64]]) -> [u64; 3] {
    assert!(is_there(), "this processor has other code");
    // SAFETY: the processor and the operating system support the instructions.
    unsafe { update_fours(powers, h, fours) }
}

/// Lanes of blocks 0, 2, 1 and 3 of each four: the order in which they are loaded fastest.
#[target_feature(enable = "avx2")]
fn update_fours(powers: [[u64; 3]; 4], h: [u64; 3], fours: &[[u8; 64]]) -> [u64; 3] {
    let [first, rest @ ..] = fours else { return h };
    let [r, square, cube, fourth] = powers;
    let mask = black_box(_mm256_set1_epi64x(MASK.cast_signed()));
    let mut sum = add(lanes([h, [0; 3], [0; 3], [0; 3]]), load(first, mask));
    let factor = black_box(Factor::new(lanes([fourth; 4])));
    for four in rest {
        sum = add(multiply(&factor, sum, mask), load(four, mask));
    }
    join(multiply(&Factor::new(lanes([fourth, square, cube, r])), sum, mask))
}

/// A number in each lane.
type Numbers = [__m256i; 5];

fn lanes(numbers: [[u64; 3]; 4]) -> Numbers {
    let [a, b, c, d] = numbers.map(limbs);
    let limb = |i: usize| cast([a[i], b[i], c[i], d[i]]);
    [limb(0), limb(1), limb(2), limb(3), limb(4)]
}

/// A number in each lane, and five times its limbs.
struct Factor {
    once: Numbers,
    times_five: Numbers,
}

impl Factor {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(once: Numbers) -> Self {
        let mut times_five = once;
        for limb in &mut times_five {
            *limb = _mm256_add_epi64(*limb, _mm256_slli_epi64::<2>(*limb));
        }
        Self { once, times_five }
    }
}

/// The product of numbers whose limbs have 27 bits and a few beyond; those of the product have 26 and a few
/// beyond in the second and the last.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply(a: &Factor, b: Numbers, mask: __m256i) -> Numbers {
    let mut product = [_mm256_set1_epi64x(0); 5];
    for i in 0..5 {
        for j in 0..5 {
            let factor = if i + j < 5 { a.once[i] } else { a.times_five[i] };
            let limb = &mut product[(i + j) % 5];
            *limb = _mm256_add_epi64(*limb, _mm256_mul_epu32(factor, b[j]));
        }
    }
    carry(product, mask)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(mut a: Numbers, b: Numbers) -> Numbers {
    for (a, b) in a.iter_mut().zip(b) {
        *a = _mm256_add_epi64(*a, b);
    }
    a
}

/// Brings what limbs have beyond 26 bits to the next, in two chains side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn carry(mut n: Numbers, mask: __m256i) -> Numbers {
    for [from, to] in [[0, 1], [3, 4], [1, 2], [4, 0], [2, 3], [0, 1], [3, 4]] {
        let mut over = _mm256_srli_epi64::<26>(n[from]);
        if to == 0 {
            over = _mm256_add_epi64(over, _mm256_slli_epi64::<2>(over));
        }
        n[from] = _mm256_and_si256(n[from], mask);
        n[to] = _mm256_add_epi64(n[to], over);
    }
    n
}

/// Four blocks, each with 2^128 added.
#[inline]
#[target_feature(enable = "avx2")]
fn load(four: &[u8; 64], mask: __m256i) -> Numbers {
    let [first, second]: [__m256i; 2] = cast(*four);
    let low = _mm256_unpacklo_epi64(first, second);
    let high = _mm256_unpackhi_epi64(first, second);
    let middle = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
    [
        _mm256_and_si256(low, mask),
        _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
        _mm256_and_si256(middle, mask),
        _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
        _mm256_or_si256(_mm256_srli_epi64::<40>(high), _mm256_set1_epi64x(1 << 24)),
    ]
}

fn limbs([h0, h1, h2]: [u64; 3]) -> [u64; 5] {
    let top = h1 >> 40 | h2 << 24;
    [h0 & MASK, h0 >> 26 & MASK, (h0 >> 52 | h1 << 12) & MASK, h1 >> 14 & MASK, top]
}

/// The sum of the numbers in all lanes.
fn join(numbers: Numbers) -> [u64; 3] {
    let sum = |i: usize| cast::<__m256i, [u64; 4]>(numbers[i]).iter().sum::<u64>();
    let (mut l0, mut l1, mut l2, mut l3, mut l4) = (sum(0), sum(1), sum(2), sum(3), sum(4));
    l1 += l0 >> 26;
    l2 += l1 >> 26;
    l3 += l2 >> 26;
    l4 += l3 >> 26;
    l0 = (l0 & MASK) + 5 * (l4 >> 26);
    let low = u128::from(l0) + (u128::from(l1 & MASK) << 26) + (u128::from(l2 & MASK) << 52);
    let (low, over) = (low + (u128::from(l3 & MASK) << 78)).overflowing_add(u128::from(l4) << 104);
    let [h0, h1]: [u64; 2] = cast(low);
    [h0, h1, ((l4 & MASK) >> 24) + u64::from(over)]
}

cpufeatures::new!(avx2, "avx2");

/// 26 bits.
const MASK: u64 = (1 << 26) - 1;
