//! Numbers that are free to be used again, last in first out, without a lock (Treiber, *Systems
//! Programming: Coping with Parallelism*, 1986; the tag is his, too).

use std::sync::atomic::{AtomicU64, Ordering};

/// The first number, plus 1, below; above it a tag that no two changes leave the same. Where the next
/// one stands, the caller knows.
#[derive(Default)]
pub(crate) struct FreeList(AtomicU64);

impl FreeList {
    /// Puts a number in that is nobody's; `link` notes behind it the word that it is given.
    #[inline]
    pub(crate) fn push(&self, number: u32, link: impl Fn(u32)) {
        let change = |head: u64| {
            link(low(head));
            Some(word(number + 1, high(head).wrapping_add(1)))
        };
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// Takes a number out; `next` gives the word that was noted behind one, or anything if that was taken
    /// out by another meanwhile.
    #[inline]
    pub(crate) fn pop(&self, next: impl Fn(u32) -> u32) -> Option<u32> {
        let change = |head: u64| {
            let first = low(head).checked_sub(1)?;
            Some(word(next(first), high(head).wrapping_add(1)))
        };
        let popped = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        popped.ok().map(|head| low(head) - 1)
    }
}

fn word(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
fn low(word: u64) -> u32 {
    word as u32
}

fn high(word: u64) -> u32 {
    (word >> 32) as u32
}
