//! A mixed load: what a program with many secrets does to a region.

use std::alloc::Layout;

use strongroom::FaultKind;
use strongroom::strongroom_core::{AllocateError, Arena, Buffer};

use crate::Failure;
use crate::options::Options;
use crate::random::Random;

/// The secrets that are live at the end.
pub(crate) struct Load<'a> {
    live: Vec<Buffer<'a>>,
    /// What stopped the load, if the region did.
    pub(crate) refusal: Option<AllocateError>,
}

impl<'a> Load<'a> {
    pub(crate) fn fill(arena: &'a Arena<'_>, options: &Options) -> Result<Self, Failure> {
        let mut random = Random::new(options.seed);
        let mut load = Self { live: Vec::new(), refusal: None };
        for _ in 0..options.damage {
            damage(arena, options.size.unwrap_or_else(|| random.length()))?;
        }
        load.allocate(arena, options, &mut random);
        for _ in 0..load.live.len() * usize::from(options.release) / 100 {
            load.live.swap_remove(random.below(load.live.len()));
        }
        Ok(load)
    }

    /// Bytes of all live secrets.
    pub(crate) fn payload(&self) -> usize {
        self.live.iter().map(Buffer::len).sum()
    }

    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    fn allocate(&mut self, arena: &'a Arena<'_>, options: &Options, random: &mut Random) {
        let most = options.count.unwrap_or(u32::MAX);
        for number in 1..=most {
            match Buffer::random(arena, options.size.unwrap_or_else(|| random.length())) {
                Ok(secret) => self.live.push(secret),
                Err(refusal) => {
                    self.refusal = Some(refusal);
                    return;
                }
            }
            // Secrets of no bytes take no memory, and would never be refused.
            if options.size == Some(0) && options.count.is_none() {
                return;
            }
            if number % 2 == 0 {
                self.live.swap_remove(random.below(self.live.len()));
            }
        }
    }
}

/// Allocates a secret, writes one byte past its end and releases it, as a buggy program would.
#[expect(unsafe_code, reason = "an overflow on purpose")]
fn damage(arena: &Arena<'_>, size: usize) -> Result<(), Failure> {
    let layout = Layout::array::<u8>(size.max(1))?;
    let memory = arena.allocate(layout)?;
    // SAFETY: not even a full region ends with a secret: at least its canary is behind it.
    let behind = unsafe { memory.cast::<u8>().add(layout.size()) };
    // SAFETY: the byte is a canary's, in the region, and nobody else writes it meanwhile.
    let canary = unsafe { behind.read() };
    // SAFETY: as for the line before.
    unsafe { behind.write(!canary) };
    // SAFETY: the secret was allocated just now with this layout and is given up.
    match unsafe { arena.try_deallocate(memory.cast(), layout) } {
        Err(fault) if fault.kind == FaultKind::CanaryAfter => Ok(()),
        _ => Err("a byte was written past the end of a secret, and nobody found it".into()),
    }
}
