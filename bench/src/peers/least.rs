//! The least that an arena like ours could do: to take and give back a cell by one atomic operation each,
//! since threads share it; to look at both canaries each time, and whether what is free is still zero; and
//! to wipe. Where the next free cell is it is told for nothing, and nobody else is there.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Raw, Store};

/// One row of cells for each length of the scenarios.
#[derive(Debug)]
pub(crate) struct Least([Row; 3]);

#[derive(Debug)]
struct Row {
    longest: usize,
    /// Cells of words, with a canary before each and one at the end.
    memory: NonNull<u64>,
    taken: Vec<AtomicU64>,
    free: RefCell<Vec<usize>>,
}

impl Least {
    /// For the lengths and counts of the scenarios.
    pub(crate) fn new() -> Self {
        Self([Row::new(64, 100_000), Row::new(256, 20_000), Row::new(4096, 1000)])
    }

    #[inline(always)]
    fn row(&self, len: usize) -> &Row {
        &self.0[if len == 64 { 0 } else { 1 + usize::from(len > 256) }]
    }
}

impl Row {
    fn new(longest: usize, cells: usize) -> Self {
        let mut memory = vec![0; cells * stride(longest) + 1];
        (0..=cells).for_each(|cell| memory[cell * stride(longest)] = CANARY);
        Self {
            longest,
            memory: NonNull::from(Vec::leak(memory)).cast(),
            taken: (0..cells.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            free: RefCell::new((0..cells).rev().collect()),
        }
    }

    /// The words of a cell, both canaries included.
    #[inline(always)]
    fn cell(&self, index: usize) -> NonNull<u64> {
        // SAFETY: there are so many cells.
        unsafe { self.memory.add(index * stride(self.longest)) }
    }

    #[inline(always)]
    fn check(&self, index: usize) {
        let before = self.cell(index);
        // SAFETY: there is a canary before each cell and one behind the last.
        let after = unsafe { before.add(stride(self.longest)) };
        // SAFETY: as above.
        let before = unsafe { before.read_volatile() };
        // SAFETY: as above.
        let after = unsafe { after.read_volatile() };
        assert!(before == CANARY && after == CANARY, "nobody writes past an end");
    }
}

impl Store for Least {
    type Secret<'s> = (Raw, usize);

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<(Raw, usize)> {
        let row = self.row(len);
        let index = row.free.borrow_mut().pop()?;
        row.taken[index / 64].fetch_or(1 << (index % 64), Ordering::Acquire);
        row.check(index);
        // SAFETY: the cell begins behind its canary.
        let start = unsafe { row.cell(index).add(1) };
        // SAFETY: the words are the cell's, which was just taken.
        let words = unsafe { NonNull::slice_from_raw_parts(start, row.longest / 8).as_ref() };
        assert!(words.iter().fold(0, |all, word| all | word) == 0, "nobody writes to what is free");
        Some((Raw { start: start.cast(), len }, index))
    }

    #[inline(always)]
    fn write(&self, (secret, _): &mut (Raw, usize), bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, (secret, index): (Raw, usize)) {
        let row = self.row(secret.len);
        row.check(index);
        // SAFETY: the secret is live and its owner's.
        unsafe { secret.wipe() };
        row.taken[index / 64].fetch_and(!(1 << (index % 64)), Ordering::Release);
        row.free.borrow_mut().push(index);
    }
}

/// Words from one canary to the next.
#[inline(always)]
const fn stride(longest: usize) -> usize {
    1 + longest / 8
}

const CANARY: u64 = 0x1b9d_6bcd_3d4c_0a5e;
