//! One value that several read at the same time: who reads is counted, and the value is taken away only
//! while nobody does.
//!
//! ```text
//! empty ──begin──▶ opening ──publish──▶ open ──retire──▶ retired ──claim, once nobody reads──▶ empty
//!                     └──drop──▶ empty   └──claim, once nobody reads──▶ empty
//! ```
//! Readers are counted apart from each other, in as many counts as whoever has the cell brings, so that
//! those who read the same value do not wait for one cache line. A reader counts itself and then looks
//! how the cell stands; whoever claims it says so and then looks at the counts. In the order of all
//! `SeqCst` operations one of the two sees the other.
//!
//! Cells are used again. Whoever comes to one may find out only afterwards that what is in it is another's;
//! to be counted for a moment harms nobody. What is *retired* is shown to nobody any more.

use super::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

pub(super) struct Cell<T> {
    /// How it stands: see below.
    state: AtomicU32,
    contents: UnsafeCell<Option<T>>,
    /// Whom it was last begun for.
    topic: AtomicU64,
}

// SAFETY: the contents are changed by one thread at a time, which has begun or claimed the cell, and
// are otherwise only shared; they may be used from, and dropped in, any thread.
unsafe impl<T: Send + Sync> Sync for Cell<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Cell<T> {}

/// The right to fill an empty cell, which is given up when dropped.
pub(super) struct Filling<'c, T>(&'c Cell<T>);

/// The right to the value of a cell that nobody reads, which goes when this is dropped.
pub(super) struct Claimed<'c, T>(&'c Cell<T>);

/// One who is counted in an open cell, which stays open meanwhile.
pub(super) struct Reader<'c, T> {
    cell: &'c Cell<T>,
    count: &'c AtomicU32,
}

/// Why a cell is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is being opened, for this topic.
    Opening(u64),
    Gone,
}

/// How a cell stands, whether anybody reads it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing can be read, though somebody may be about to open it or to take its value away.
    Shut,
    Open,
    /// It is open for those who read it already.
    Retired,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self {
            state: AtomicU32::new(EMPTY),
            contents: UnsafeCell::new(None),
            topic: AtomicU64::new(0),
        }
    }
}

impl<T> Cell<T> {
    /// The right to fill it, for `topic`, if it is empty.
    #[inline]
    pub(super) fn begin(&self, topic: u64) -> Option<Filling<'_, T>> {
        // Whoever comes to one that is not takes its line from nobody.
        if self.state.load(Ordering::Relaxed) != EMPTY {
            return None;
        }
        let begun =
            self.state.compare_exchange(EMPTY, OPENING, Ordering::SeqCst, Ordering::Relaxed);
        begun.ok()?;
        self.topic.store(topic, Ordering::Release);
        Some(Filling(self))
    }

    /// Counts one more who reads it, if it is open, in one of the cell's counts.
    #[inline]
    pub(super) fn read<'c>(&'c self, count: &'c AtomicU32) -> Result<Reader<'c, T>, Unread> {
        // Most who come to a cell that was used again find nothing, and need not be counted for that.
        self.look()?;
        count.fetch_add(1, Ordering::SeqCst);
        let counted = Reader { cell: self, count };
        self.look().map(|()| counted)
    }

    /// Whether it is open.
    #[inline]
    fn look(&self) -> Result<(), Unread> {
        match self.state.load(Ordering::SeqCst) {
            OPEN => Ok(()),
            OPENING => Err(Unread::Opening(self.topic.load(Ordering::Acquire))),
            _ => Err(Unread::Gone),
        }
    }

    #[inline]
    pub(super) fn standing(&self) -> Standing {
        match self.state.load(Ordering::SeqCst) {
            OPEN => Standing::Open,
            RETIRED => Standing::Retired,
            _ => Standing::Shut,
        }
    }

    /// The right to the value if it stands so, or is retired, and nobody reads it: `is_read` says so of all
    /// the cell's counts. If somebody comes in this very moment it is retired.
    ///
    /// Whoever leaves while this looks leaves the cell to it.
    #[inline]
    pub(super) fn claim(
        &self,
        standing: Standing,
        is_read: impl Fn() -> bool,
    ) -> Option<Claimed<'_, T>> {
        while !is_read() {
            let state = self.state.load(Ordering::SeqCst);
            if state != RETIRED && (state != OPEN || standing != Standing::Open) {
                return None;
            }
            let claim =
                self.state.compare_exchange(state, CLAIMED, Ordering::SeqCst, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            if !is_read() {
                return Some(Claimed(self));
            }
            // Not as it was: it was gone for those who came meanwhile, and they look for another.
            self.state.store(RETIRED, Ordering::SeqCst);
        }
        None
    }
}

impl<'c, T> Filling<'c, T> {
    /// Opens the cell, with its first reader, in one of the cell's counts.
    #[inline]
    pub(super) fn publish(self, value: T, count: &'c AtomicU32) -> Reader<'c, T> {
        let cell = self.0;
        // SAFETY: nobody reads what is not open yet, and the right to fill it is here alone.
        cell.contents.with_mut(|contents| unsafe { *contents = Some(value) });
        std::mem::forget(self);
        count.fetch_add(1, Ordering::SeqCst);
        cell.state.store(OPEN, Ordering::SeqCst);
        Reader { cell, count }
    }
}

impl<T> Drop for Filling<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.state.store(EMPTY, Ordering::Release);
    }
}

impl<T> Drop for Claimed<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Even if the value's drop panics.
        let _empty = Filling(self.0);
        // SAFETY: nobody reads it, whoever comes now sees that it is not open, and nobody else claims or
        // begins what is claimed.
        self.0.contents.with_mut(|contents| unsafe { *contents = None });
    }
}

impl<T> Reader<'_, T> {
    /// Has the value shown to nobody else any more.
    pub(super) fn retire(&self) {
        // What is retired or claimed already is shown to nobody.
        let _ =
            self.cell.state.compare_exchange(OPEN, RETIRED, Ordering::SeqCst, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn value(&self) -> &T {
        // SAFETY: the value of a cell that was open when this one was counted is not taken while it is.
        let value = self.cell.contents.with(|contents| unsafe { &*contents });
        let Some(value) = value else { unreachable!("an open cell has contents") };
        value
    }
}

impl<T> Drop for Reader<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

const EMPTY: u32 = 0;
const OPENING: u32 = 1;
const OPEN: u32 = 2;
const RETIRED: u32 = 3;
const CLAIMED: u32 = 4;
