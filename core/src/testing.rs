//! What the unit tests share.

mod gate;
mod shelf;

use std::vec::Vec;

use self::gate::{Gated, Pages};
pub(crate) use self::shelf::{REFUSED, Shelf};
use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::entropy::Entropy;
use crate::error::EntropyError;
use crate::owner::Owner;

/// Bytes that differ from call to call and are the same in every run.
pub(crate) struct Counting(pub(crate) u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(13);
            *byte = self.0;
        }
        Ok(())
    }
}

/// Numbers and bytes that look random: splitmix64 from a seed.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.word().to_le_bytes()[0]).collect()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap()
    }
}

/// How often, or in what steps: Miri, the interpreter, takes a thousand times as long.
pub(crate) const fn rounds(natively: usize, in_miri: usize) -> usize {
    if cfg!(miri) { in_miri } else { natively }
}

/// Calls `test` with an arena over `bytes` bytes, behind a gate: what touches them through no door ends
/// the process.
pub(crate) fn with_arena<R>(bytes: usize, test: impl FnOnce(&Arena<'_, Gated<'_>>) -> R) -> R {
    let pages = Pages::new(bytes);
    // SAFETY: the pages are of this function.
    let region = unsafe { pages.region() };
    test(&Arena::with_owner(region, &mut Counting(1), Gated(&pages)).unwrap())
}

/// The same without a gate, for what hands out plain memory.
#[cfg(feature = "allocator-api2-0_2")]
pub(crate) fn with_open_arena<R>(bytes: usize, test: impl FnOnce(&Arena<'_>) -> R) -> R {
    let mut region = std::vec![core::mem::MaybeUninit::uninit(); bytes];
    test(&Arena::new(&mut region[..], &mut Counting(1)).unwrap())
}

/// As many more secrets as there is room for.
pub(crate) fn fill<'a, O: Owner>(arena: &'a Arena<'_, O>, len: usize) -> Vec<Buffer<'a, O>> {
    core::iter::from_fn(|| Buffer::new(arena, len).ok()).collect()
}
