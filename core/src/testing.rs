//! What the unit tests share.

use core::mem::MaybeUninit;
use std::vec;

use crate::arena::Arena;
use crate::entropy::Entropy;
use crate::error::EntropyError;

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

/// How often, or in what steps: Miri, the interpreter, takes a thousand times as long.
pub(crate) const fn rounds(natively: usize, in_miri: usize) -> usize {
    if cfg!(miri) { in_miri } else { natively }
}

/// Calls `test` with an arena over `bytes` bytes.
pub(crate) fn with_arena<R>(bytes: usize, test: impl FnOnce(&Arena<'_>) -> R) -> R {
    let mut region = vec![MaybeUninit::uninit(); bytes];
    test(&Arena::new(&mut region[..], &mut Counting(1)).unwrap())
}
