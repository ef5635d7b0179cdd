//! What a name stands for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::records::Slot;

/// One name's secret: where its record is, and in which version.
pub(super) struct Entry {
    /// No other entry of this process had the same.
    pub(super) birth: u64,
    /// The [`Word`] of what the name stands for, which alone says so.
    pub(super) word: AtomicU64,
    pub(super) hint: Hint,
}

/// A slot, and the version of the secret in it. The same never comes again in one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Where one who looks for the secret finds it open, if it is: the number of its cell, plus 1, below; and
/// above it a tag that no two changes leave the same.
#[derive(Default)]
pub(super) struct Hint(AtomicU64);

/// A secret in one version: no other in this process is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) birth: u64,
    pub(super) version: u32,
}

impl Entry {
    pub(super) fn new(birth: u64, word: Word) -> Self {
        Self { birth, word: AtomicU64::new(word.0), hint: Hint::default() }
    }

    /// `None` once the name was removed.
    #[inline]
    pub(super) fn word(&self) -> Option<Word> {
        let word = self.word.load(Ordering::SeqCst);
        (word != REMOVED).then_some(Word(word))
    }

    /// Puts another secret, or nothing, in the place of one; `false` if it stands for that no more.
    pub(super) fn replace(&self, old: Word, new: Option<Word>) -> bool {
        let new = new.map_or(REMOVED, |new| new.0);
        self.word.compare_exchange(old.0, new, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// A new entry's number.
    pub(super) fn birth() -> u64 {
        static BIRTHS: AtomicU64 = AtomicU64::new(1);
        BIRTHS.fetch_add(1, Ordering::Relaxed)
    }
}

impl Word {
    pub(super) fn new(slot: Slot, version: u32) -> Self {
        Self(u64::from(version) << 32 | u64::from(slot.0))
    }

    #[inline]
    pub(super) fn slot(self) -> Slot {
        #[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
        Slot(self.0 as u32)
    }

    /// From 1 on.
    #[inline]
    pub(super) fn version(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Hint {
    #[inline]
    pub(super) fn load(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// The number of a cell in what was loaded.
    #[inline]
    pub(super) fn cell(loaded: u64) -> Option<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
        let number = loaded as u32;
        number.checked_sub(1)
    }

    /// Names another cell, unless somebody has since it was loaded.
    #[inline]
    pub(super) fn change(&self, loaded: u64, cell: u32) -> bool {
        let new = (loaded >> 32).wrapping_add(1) << 32 | u64::from(cell + 1);
        self.0.compare_exchange(loaded, new, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// No version is 0.
const REMOVED: u64 = 0;
