//! One value that several read at the same time: who reads is counted, and the value is taken away only
//! while nobody does.
//!
//! ```text
//! empty ──begin──▶ opening ──publish──▶ open ──claim, once nobody reads──▶ empty
//!                     └──drop──▶ empty
//! ```
//! Cells are used again. Whoever comes to one may find out only afterwards that what is in it is another's;
//! to be counted for a moment harms nobody. What is *retired* is shown to nobody any more.

use super::sync::{AtomicU64, AtomicUsize, Ordering, UnsafeCell};

pub(super) struct Cell<T> {
    /// How many are counted, and in the upper bits how it stands.
    state: AtomicUsize,
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

/// One who is counted in an open cell, which stays open meanwhile.
pub(super) struct Reader<'c, T>(&'c Cell<T>);

/// Why a cell is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is being opened, for this topic.
    Opening(u64),
    Gone,
}

/// How a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is open, and nobody reads it.
    Unused,
    /// The same, and it was retired.
    Retired,
    /// Somebody reads it.
    Read,
    Empty,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self {
            state: AtomicUsize::new(0),
            contents: UnsafeCell::new(None),
            topic: AtomicU64::new(0),
        }
    }
}

impl<T> Cell<T> {
    /// The right to fill it, for `topic`, if it is empty.
    pub(super) fn begin(&self, topic: u64) -> Option<Filling<'_, T>> {
        let begun = |state| (state & FLAGS == 0).then_some(state | OPENING);
        self.state.fetch_update(Ordering::SeqCst, Ordering::Relaxed, begun).ok()?;
        self.topic.store(topic, Ordering::Release);
        Some(Filling(self))
    }

    /// Counts one more who reads it, if it is open.
    #[inline]
    pub(super) fn read(&self) -> Result<Reader<'_, T>, Unread> {
        let state = self.state.fetch_add(1, Ordering::SeqCst);
        let counted = Reader(self);
        match state & FLAGS {
            OPEN => Ok(counted),
            OPENING => Err(Unread::Opening(self.topic.load(Ordering::Acquire))),
            _ => Err(Unread::Gone),
        }
    }

    #[inline]
    pub(super) fn standing(&self) -> Standing {
        let state = self.state.load(Ordering::SeqCst);
        match state & FLAGS {
            OPEN if state == OPEN => Standing::Unused,
            RETIRED if state == RETIRED => Standing::Retired,
            OPEN | RETIRED => Standing::Read,
            _ => Standing::Empty,
        }
    }

    /// Takes the value, if it stands so.
    pub(super) fn claim(&self, standing: Standing) -> Option<T> {
        let unread = match standing {
            Standing::Unused => OPEN,
            Standing::Retired => RETIRED,
            Standing::Read | Standing::Empty => return None,
        };
        let claim =
            self.state.compare_exchange(unread, CLAIMED, Ordering::SeqCst, Ordering::Relaxed);
        claim.ok()?;
        // SAFETY: nobody reads it, whoever comes now sees that it is not open, and nobody else claims or
        // begins what is claimed.
        let value = self.contents.with_mut(|contents| unsafe { (*contents).take() });
        self.state.fetch_and(!FLAGS, Ordering::SeqCst);
        value
    }
}

impl<'c, T> Filling<'c, T> {
    /// Opens the cell, with its first reader.
    pub(super) fn publish(self, value: T) -> Reader<'c, T> {
        let cell = self.0;
        // SAFETY: nobody reads what is not open yet, and the right to fill it is here alone.
        cell.contents.with_mut(|contents| unsafe { *contents = Some(value) });
        std::mem::forget(self);
        cell.state.fetch_add(OPEN.wrapping_sub(OPENING).wrapping_add(1), Ordering::SeqCst);
        Reader(cell)
    }
}

impl<T> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!FLAGS, Ordering::SeqCst);
    }
}

impl<T> Reader<'_, T> {
    /// Has the value shown to nobody else any more.
    pub(super) fn retire(&self) {
        let retired = |state| (state & FLAGS == OPEN).then_some(state ^ (OPEN | RETIRED));
        // It may be already.
        let _ = self.0.state.fetch_update(Ordering::SeqCst, Ordering::Relaxed, retired);
    }

    #[inline]
    pub(super) fn value(&self) -> &T {
        // SAFETY: a cell in which somebody is counted that found it open is not claimed.
        let value = self.0.contents.with(|contents| unsafe { &*contents });
        let Some(value) = value else { unreachable!("an open cell has contents") };
        value
    }
}

impl<T> Drop for Reader<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::SeqCst);
    }
}

const OPENING: usize = 1 << (usize::BITS - 1);
const OPEN: usize = 1 << (usize::BITS - 2);
const RETIRED: usize = 1 << (usize::BITS - 3);
const CLAIMED: usize = 1 << (usize::BITS - 4);
const FLAGS: usize = OPENING | OPEN | RETIRED | CLAIMED;
