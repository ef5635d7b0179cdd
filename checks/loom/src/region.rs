//! Leaves whose words loom watches, in the place of core's `region`.
//!
//! Every eight bytes know who reads and writes them plainly; where a canary may lie, loom orders its
//! atomic accesses among the plain ones. A plain access counts at the moment of the call: core is
//! done with the bytes it borrows before it does anything that another thread could see.

use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::ptr::NonNull;

use crate::classes::{CANARY, LEAF};
use crate::sync::{Shared64, load_plainly};

/// The memory of an arena, all zero.
pub(crate) struct Memory {
    bytes: Box<[UnsafeCell<[u8; CANARY]>]>,
    words: Box<[Word]>,
}

/// Who reads and writes eight bytes.
struct Word {
    /// Plain accesses; one to the canary counts as reading, so that only a plain write meets it.
    plain: loom::cell::UnsafeCell<()>,
    /// Only where one may lie: each takes its time of every fence.
    canary: Option<Shared64>,
    /// Whether the canary was written last, and the bytes are behind.
    is_atomic: Cell<bool>,
}

impl Memory {
    /// So many leaves, in each of which canaries may lie at these offsets.
    pub(crate) fn new(leaves: usize, canaries: &[usize]) -> Self {
        let offsets = (0..leaves * LEAF).step_by(CANARY);
        let word = |offset: usize| Word {
            plain: loom::cell::UnsafeCell::new(()),
            canary: canaries.contains(&(offset % LEAF)).then(|| Shared64::new(0)),
            is_atomic: Cell::new(false),
        };
        Self {
            bytes: offsets.clone().map(|_| UnsafeCell::new([0; CANARY])).collect(),
            words: offsets.map(word).collect(),
        }
    }

    fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.bytes.len() * CANARY, "that is outside of the leaves");
        // SAFETY: it lies within the bytes or right behind them.
        unsafe { NonNull::from(&*self.bytes).cast::<u8>().add(offset) }
    }

    /// The words that a range touches, with their bytes brought up to date.
    fn touch(&self, range: &Range<usize>, access: impl Fn(&Word)) {
        for index in range.start / CANARY..range.end.div_ceil(CANARY) {
            let word = &self.words[index];
            access(word);
            let canary = word.canary.as_ref().map(load_plainly);
            if let Some(canary) = canary.filter(|_| word.is_atomic.replace(false)) {
                // SAFETY: nobody has borrowed the bytes while they were a canary.
                unsafe { *self.bytes[index].get() = canary.to_ne_bytes() };
            }
        }
    }
}

/// The leaves of an arena, with as much of core's own `Leaves` as its cells use.
#[derive(Clone, Copy)]
pub(crate) struct Leaves<'r>(&'r Memory);

impl<'r> Leaves<'r> {
    pub(crate) fn new(memory: &'r Memory) -> Self {
        Self(memory)
    }

    pub(crate) fn offset_of(&self, pointer: NonNull<u8>) -> usize {
        pointer.addr().get() - self.0.pointer(0).addr().get()
    }

    /// # Safety
    /// As for core's.
    pub(crate) unsafe fn pointer(&self, offset: usize) -> NonNull<u8> {
        self.0.pointer(offset)
    }

    /// # Safety
    /// As for core's: loom checks it.
    pub(crate) unsafe fn canary(&self, offset: usize) -> &'r Shared64 {
        let word = &self.0.words[offset / CANARY];
        word.plain.with(|_| ());
        word.is_atomic.set(true);
        word.canary.as_ref().expect("the models say where canaries lie")
    }

    /// # Safety
    /// As for core's: loom checks it.
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &'r [u8] {
        self.0.touch(&range, |word| word.plain.with(|_| ()));
        let start = self.0.pointer(range.start);
        // SAFETY: within the bytes, which nobody writes to meanwhile (contract).
        unsafe { NonNull::slice_from_raw_parts(start, range.len()).as_ref() }
    }

    /// # Safety
    /// As for core's: loom checks it.
    pub(crate) unsafe fn bytes_mut(&self, range: Range<usize>) -> &'r mut [u8] {
        self.0.touch(&range, |word| word.plain.with_mut(|_| ()));
        let start = self.0.pointer(range.start);
        // SAFETY: within the bytes, which nobody else uses meanwhile (contract).
        unsafe { NonNull::slice_from_raw_parts(start, range.len()).as_mut() }
    }
}
