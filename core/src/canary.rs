//! Canaries: eight secret bytes on both sides of every cell, planted and checked.
//!
//! ```text
//! bits      63 … 24 | 23 … 8 | 7 … 0
//!           secret  | state  | secret
//! ```
//!
//! Neighbouring cells share the canary between them. Two bytes inside it, hidden under the secret,
//! say what state the cell *before* it is in: free, quarantined, or live with so many bytes
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

    /// Fills the last `slack` bytes of `cell`, which ends where a word ends and is all zero, so that
    /// they too are canary.
    #[inline]
    pub(crate) fn fill_end(self, cell: &mut [u8], slack: usize) {
        if let Some((end, mask)) = cell.last_chunk_mut::<PIECE>().zip(last_of_piece(slack)) {
            for (word, mask) in end.as_chunks_mut().0.iter_mut().zip(mask.as_chunks().0) {
                *word = (self.bytes() & u64::from_le_bytes(*mask)).to_le_bytes();
            }
            return;
        }
        let words = cell.as_rchunks_mut::<CANARY>().1;
        let (first, mask) = first_word(words.len(), slack);
        if let Some((partial, whole)) = words[first..].split_first_mut() {
            *partial = (self.bytes() & mask).to_le_bytes();
            whole.fill(self.bytes().to_le_bytes());
        }
    }

    /// Whether the last `slack` bytes of a cell, which ends where a word ends, are still canary. `bytes` are
    /// the cell and the canary behind it. What is before the slack is the secret's, who need not have
    /// initialised it: it is not read.
    #[inline]
    pub(crate) fn fills_end(self, bytes: &[u8], slack: usize) -> bool {
        let end = bytes.len().saturating_sub(CANARY);
        let from = end.saturating_sub(slack);
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
            u64::from_le_bytes(word.copied().unwrap_or_default())
        };
        // As it lies from the first byte of slack on.
        #[expect(clippy::cast_possible_truncation, reason = "fewer bits than a word has")]
        let shifted = self.bytes().rotate_left(8 * (slack % CANARY) as u32);
        if let Some(mask) = first_of_short(slack) {
            // A word that is not of the slack is the canary, and masked out.
            let [first, second] = [from, end.min(from + CANARY)].map(|at| word(at) ^ shifted);
            let (mask, of_second) = (mask.as_chunks().0[0], mask.as_chunks().0[1]);
            return first & u64::from_le_bytes(mask) | second & u64::from_le_bytes(of_second) == 0;
        }
        let whole = (from.next_multiple_of(CANARY)..end).step_by(CANARY);
        whole.fold(word(from) ^ shifted, |any, at| any | word(at) ^ self.bytes()) == 0
    }

    /// Whether all of `bytes`, which end where a word ends, are canary; no other byte is read.
    pub(crate) fn fills(self, bytes: &[u8]) -> bool {
        let canary = self.bytes().to_le_bytes();
        bytes.rchunks(CANARY).all(|chunk| *chunk == canary[CANARY - chunk.len()..])
    }

    /// The secret as it lies in memory, first byte lowest.
    #[inline]
    fn bytes(self) -> u64 {
        u64::from_le_bytes(self.0.to_ne_bytes())
    }
}

/// A mask of the last `slack` bytes of a piece, if it has so many.
#[inline]
fn last_of_piece(slack: usize) -> Option<&'static [u8; PIECE]> {
    MASKS.get(slack..)?.first_chunk()
}

/// A mask of the first `slack` bytes of a short piece, if it has so many.
#[inline]
fn first_of_short(slack: usize) -> Option<&'static [u8; SHORT]> {
    FIRST_MASKS.get(SHORT.checked_sub(slack)?..)?.first_chunk()
}

/// Of `words` words, the one in which the last `slack` bytes begin, and a mask of those of them that
/// lie in it.
#[inline]
fn first_word(words: usize, slack: usize) -> (usize, u64) {
    let first = words.saturating_sub(slack.div_ceil(CANARY));
    let outside = (CANARY - slack % CANARY) % CANARY;
    (first, u64::MAX << (8 * outside))
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
    /// The cell's secret was given up and is about to be wiped.
    pub(crate) const RELEASED: Self = Self(0xfffc);
    /// The most slack in bytes that a live state records.
    pub(crate) const MOST_SLACK: usize = SLACK_MASK;

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
        self.as_live().is_some() || self.0 >= Self::RELEASED.0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "four bits of alignment, twelve of slack")]
#[inline]
fn narrow(state: usize) -> u16 {
    state as u16
}

/// Slack of up to so many bytes is filled in one go, without a loop whose end a processor would have to
/// guess.
const PIECE: usize = 32;

/// Zeros, then ones: from the byte `slack` on it is the mask of that many last bytes of a piece.
const MASKS: [u8; 2 * PIECE] = {
    let mut masks = [0; 2 * PIECE];
    masks.split_at_mut(PIECE).1.copy_from_slice(&[0xff; PIECE]);
    masks
};

/// Slack of up to so many bytes, which is most, is checked without a loop.
const SHORT: usize = 16;

/// Ones, then zeros: from the byte `SHORT - slack` on it is the mask of that many first bytes of a short piece.
const FIRST_MASKS: [u8; 2 * SHORT] = {
    let mut masks = [0; 2 * SHORT];
    masks.split_at_mut(SHORT).0.copy_from_slice(&[0xff; SHORT]);
    masks
};

const STATE_SHIFT: u32 = 8;
const STATE_MASK: u64 = 0xffff << STATE_SHIFT;
const _: () = assert!(STATE_MASK >> 32 == 0, "half a word is read whole on every machine");

const SLACK_BITS: u32 = 12;
const SLACK_MASK: usize = (1 << SLACK_BITS) - 1;

/// A canary's own alignment, which every cell has.
const LEAST_ALIGN_LOG2: u32 = CANARY.trailing_zeros();
/// A leaf's alignment.
const GREATEST_ALIGN_LOG2: u32 = crate::classes::LEAF.trailing_zeros();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rounds;

    /// Cells of all lengths that differ, with all the slack that a cell has room for.
    fn cells() -> impl Iterator<Item = (usize, usize)> {
        let lengths = (0..=12).map(|words| words * CANARY);
        lengths.flat_map(|len| (0..=len).map(move |slack| (len, slack))).step_by(rounds(1, 47))
    }

    #[test]
    fn slack_is_filled_and_nothing_else() {
        let canary = Canary::new(0x0102_0304_0506_0708);
        for (len, slack) in cells() {
            let mut cell = [0; 96 + CANARY];
            canary.fill_end(&mut cell[..len], slack);
            let secret = canary.0.to_ne_bytes();
            for (place, byte) in cell.into_iter().enumerate() {
                let is_slack = (len - slack..len).contains(&place);
                let naive = if is_slack { secret[place % CANARY] } else { 0 };
                assert_eq!(byte, naive, "byte {place} of {len} with {slack} of slack");
            }
            cell[len..].fill(0x5a);
            assert!(canary.fills_end(&cell[..len + CANARY], slack));
            assert!(canary.fills(&cell[len - slack..len]));
        }
    }

    #[test]
    fn every_byte_of_slack_is_looked_at_and_no_other() {
        let canary = Canary::new(0x0102_0304_0506_0708);
        for (len, slack) in cells() {
            let mut cell = [0; 96 + CANARY];
            canary.fill_end(&mut cell[..len], slack);
            for place in 0..len + CANARY {
                cell[place] ^= 0x80;
                let is_slack = (len - slack..len).contains(&place);
                assert_eq!(canary.fills_end(&cell[..len + CANARY], slack), !is_slack);
                cell[place] ^= 0x80;
            }
        }
    }
}
