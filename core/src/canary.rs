//! Canaries: eight secret bytes on both sides of every cell, planted and checked.
//!
//! ```text
//! byte      0   1   2 | 3   4 | 5   6   7
//!           secret    | state |    secret
//! ```
//!
//! Neighbouring cells share the canary between them. The two bytes in its middle, hidden under the
//! secret, say what state the cell *before* it is in: free, quarantined, or live with so many bytes
//! of slack and such an alignment. So the length of a live secret is known without a table, and a
//! write past either end meets secret bytes before it meets the state.

use crate::classes::CANARY;
use crate::sync::Shared64;

/// The secret value behind all canaries of one run or block.
#[derive(Clone, Copy)]
pub(crate) struct Canary(u64);

impl Canary {
    #[inline]
    pub(crate) fn new(secret: u64) -> Self {
        Self(secret)
    }

    #[inline]
    pub(crate) fn plant(self, word: &Shared64, state: State) {
        word.store(self.0 ^ (u64::from(state.0) << STATE_SHIFT));
    }

    /// The state that `word` records, or `None` if it was overwritten.
    pub(crate) fn state(self, word: &Shared64) -> Option<State> {
        let difference = word.load() ^ self.0;
        let state = State(u16::try_from((difference >> STATE_SHIFT) & 0xffff).ok()?);
        (difference & !STATE_MASK == 0 && state.is_known()).then_some(state)
    }

    /// Whether the secret bytes of `word` are whole; its state, which a neighbour may be changing,
    /// is not looked at.
    #[inline]
    pub(crate) fn is_intact(self, word: &Shared64) -> bool {
        (word.load() ^ self.0) & !STATE_MASK == 0
    }

    /// Whether `word` records just this state, and was not overwritten.
    #[inline]
    pub(crate) fn is(self, word: &Shared64, state: State) -> bool {
        word.load() == self.0 ^ (u64::from(state.0) << STATE_SHIFT)
    }

    /// Fills the slack behind or the gap before a secret, so that it too is canary.
    ///
    /// Both end where a word ends, so only the first bytes can be less than a word.
    #[inline]
    pub(crate) fn fill(self, slack: &mut [u8]) {
        let bytes = self.0.to_ne_bytes();
        let (part, words) = slack.as_rchunks_mut::<CANARY>();
        words.fill(bytes);
        let skipped = CANARY - part.len();
        part.iter_mut().zip(&bytes[skipped..]).for_each(|(byte, canary)| *byte = *canary);
    }

    #[inline]
    pub(crate) fn fills(self, slack: &[u8]) -> bool {
        let bytes = self.0.to_ne_bytes();
        let (part, words) = slack.as_rchunks::<CANARY>();
        let skipped = CANARY - part.len();
        let words_differ =
            words.iter().fold(0, |any, &word| any | (u64::from_ne_bytes(word) ^ self.0));
        let part_differs = part.iter().zip(&bytes[skipped..]).fold(0, |any, (a, b)| any | (a ^ b));
        words_differ == 0 && part_differs == 0
    }
}

/// What a canary says about the cell before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u16);

impl State {
    /// The cell is free and all its bytes are zero.
    pub(crate) const FREE: Self = Self(0xffff);
    /// The cell was damaged; it is never handed out again.
    pub(crate) const QUARANTINED: Self = Self(0xfffe);
    /// There is no cell before: this is the first canary of a run or block.
    pub(crate) const EDGE: Self = Self(0xfffd);

    /// The cell holds a secret aligned to `1 << align_log2` bytes, with `slack` bytes behind it.
    ///
    /// An alignment below a canary's is the same as a canary's, and one above a leaf's is the same
    /// as a leaf's: what counts is the gap before the secret.
    #[inline]
    pub(crate) fn live(align_log2: u32, slack: usize) -> Self {
        let align = if align_log2 <= LEAST_ALIGN_LOG2 {
            LEAST_ALIGN_LOG2
        } else {
            align_log2.min(GREATEST_ALIGN_LOG2)
        };
        debug_assert!(slack <= SLACK_MASK, "no cell has so much slack");
        Self(narrow(((align as usize) << SLACK_BITS) | (slack & SLACK_MASK)))
    }

    /// The alignment's logarithm and the slack of a live cell.
    pub(crate) fn as_live(self) -> Option<(u32, usize)> {
        let (align, slack) = (u32::from(self.0) >> SLACK_BITS, usize::from(self.0) & SLACK_MASK);
        (LEAST_ALIGN_LOG2..=GREATEST_ALIGN_LOG2).contains(&align).then_some((align, slack))
    }

    fn is_known(self) -> bool {
        self.as_live().is_some() || self.0 >= Self::EDGE.0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "four bits of alignment, twelve of slack")]
#[inline]
fn narrow(state: usize) -> u16 {
    state as u16
}

const STATE_SHIFT: u32 = 24;
const STATE_MASK: u64 = 0xffff << STATE_SHIFT;

const SLACK_BITS: u32 = 12;
const SLACK_MASK: usize = (1 << SLACK_BITS) - 1;

/// A canary's own alignment, which every cell has.
const LEAST_ALIGN_LOG2: u32 = CANARY.trailing_zeros();
/// A leaf's alignment.
const GREATEST_ALIGN_LOG2: u32 = crate::classes::LEAF.trailing_zeros();
