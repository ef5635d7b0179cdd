//! Entropy from the processor's own generator, RDRAND.

use core::arch::x86_64::{__cpuid, _rdrand64_step};
use core::error::Error;
use core::fmt::{self, Display, Formatter};

use strongroom_core::{Entropy, EntropyError};
use zeroize::Zeroize;

/// RDRAND. Having one tells that the processor has the instruction.
pub struct RdRand(());

impl RdRand {
    /// Asks the processor.
    pub fn new() -> Result<Self, NoRdRand> {
        if __cpuid(1).ecx & RDRAND == 0 { Err(NoRdRand) } else { Ok(Self(())) }
    }
}

impl Entropy for RdRand {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let mut word = 0;
        let filled = bytes.chunks_mut(size_of::<u64>()).all(|chunk| {
            // The generator is shared by all cores and may run dry for a moment.
            // SAFETY: the processor has the instruction: that is what having an RdRand tells.
            let drawn = (0..TRIES).any(|_| unsafe { _rdrand64_step(&mut word) } == 1);
            chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
            drawn
        });
        // These bytes become the generator's seed, which must not stay behind on the stack.
        word.zeroize();
        if filled { Ok(()) } else { Err(EntropyError) }
    }
}

/// The processor has no RDRAND.
#[derive(Clone, Copy, Debug)]
pub struct NoRdRand;

impl Display for NoRdRand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this processor has no RDRAND: start the kernel on one that has (QEMU: -cpu max), or \
             give the arena another source of entropy",
        )
    }
}

impl Error for NoRdRand {}

/// CPUID leaf 1, register ecx.
const RDRAND: u32 = 1 << 30;
/// Intel's manual, volume 1, section 7.3.17.1: ten failures in a row are a broken generator.
const TRIES: u32 = 10;
