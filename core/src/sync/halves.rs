//! The same in two halves of four bytes, where the machine can do no more.
//!
//! The half with a value's lower bits is stored last and loaded first: whoever sees it changed sees
//! the other half, and all that was written before, and nothing of the store is still to come. So
//! what tells others to go on (a canary's state) has to lie in the lower bits.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::SharedU32;

/// Eight bytes of shared memory, as they would lie if they were one number.
#[repr(C, align(8))]
pub(crate) struct Shared64([SharedU32; 2]);

impl Shared64 {
    pub(crate) fn new(value: u64) -> Self {
        let word = Self([SharedU32::new(0), SharedU32::new(0)]);
        word.store(value);
        word
    }

    #[inline]
    pub(crate) fn load(&self) -> u64 {
        let low = self.0[LOW].load(Acquire);
        u64::from(self.0[HIGH].load(Relaxed)) << 32 | u64::from(low)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes the lower half")]
    pub(crate) fn store(&self, value: u64) {
        self.0[HIGH].store((value >> 32) as u32, Relaxed);
        self.0[LOW].store(value as u32, Release);
    }
}

const LOW: usize = cfg!(target_endian = "big") as usize;
const HIGH: usize = 1 - LOW;
