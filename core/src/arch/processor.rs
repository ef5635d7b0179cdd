//! What is faster with instructions that not every compiler's default has: fetching ahead, and wide
//! loads. Elsewhere than on x86-64 these do nothing and the ordinary thing.

/// Asks for the bytes around an address, which may be any: whoever reads them soon waits less.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
pub(crate) fn prefetch(pointer: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: the instruction reads nothing for the program, and an address that is not mapped or
    // not the program's does no harm.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast()) };
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline]
pub(crate) fn prefetch(_: *const u8) {}

/// A block that is looked at in one go.
pub(crate) type Block = [u8; 256];

/// The bits that are set anywhere in the blocks.
#[inline]
pub(crate) fn any_bit_of(blocks: &[Block]) -> u64 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    if avx2::get() {
        // SAFETY: the processor and the operating system support the instructions.
        return unsafe { any_bit_wide(blocks) };
    }
    any_bit(blocks)
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[target_feature(enable = "avx2")]
fn any_bit_wide(blocks: &[Block]) -> u64 {
    any_bit(blocks)
}

#[inline(always)]
fn any_bit(blocks: &[Block]) -> u64 {
    let words = blocks.as_flattened().as_chunks::<8>().0;
    words.iter().fold(0, |any, &word| any | u64::from_ne_bytes(word))
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
cpufeatures::new!(avx2, "avx2");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rounds;

    #[test]
    fn every_bit_is_found_with_wide_loads_and_without() {
        let mut blocks = [[0; size_of::<Block>()]; 3];
        assert_eq!(any_bit_of(&blocks) | any_bit(&blocks), 0);
        for bit in (0..blocks.as_flattened().len() * 8).step_by(rounds(1, 397)) {
            blocks.as_flattened_mut()[bit / 8] = 1 << (bit % 8);
            assert!(any_bit_of(&blocks) != 0 && any_bit(&blocks) != 0, "bit {bit}");
            blocks.as_flattened_mut()[bit / 8] = 0;
        }
        // Equal words do not cancel out.
        blocks.as_flattened_mut()[..16].fill(1);
        assert!(any_bit_of(&blocks) != 0 && any_bit(&blocks) != 0);
        assert_eq!(any_bit_of(&[]), 0);
    }
}
