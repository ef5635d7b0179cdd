//! Where to look: for a run of a class that has room, and for a run that has no taken cell.
//!
//! Marks are made by whoever makes room, without a lock, and may be outdated: what they name is looked
//! at before it is believed. They are cleared under the arena's lock alone, so its holder can rely
//! on this: what is not marked is not there, unless whoever made it is still about to say so.

use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, SeqCst};

use super::Runs;
use crate::classes::{CLASSES, WORD_BITS};
use crate::index::{KINDS, Mask, masks_for};
use crate::sync::{AtomicUsize, fence};

/// The tables of a search, all zero.
pub(crate) struct SearchTables<'r> {
    pub(crate) heads: &'r [AtomicUsize],
    pub(crate) classes: &'r [Mask],
    pub(crate) empty: &'r [Mask],
}

/// How many entries the tables for `leaves` leaves have, in the order of [`SearchTables`].
pub(crate) fn search_tables_for(leaves: usize) -> [usize; 3] {
    let places = leaves.div_ceil(PLACE);
    [places, masks_for(places), masks_for(leaves.div_ceil(KINDS))]
}

/// Where a walk over the runs that may be empty is.
#[derive(Default)]
pub(crate) struct EmptyRuns {
    kind: usize,
    place: usize,
}

impl Runs<'_> {
    /// Says that the run of `class` at `head` has room.
    #[inline]
    pub(crate) fn advertise(&self, head: usize, class: usize) {
        let (place, bit) = (head / PLACE, head_bit(head));
        if self.heads[place].load(SeqCst) & bit == 0 {
            self.heads[place].fetch_or(bit, SeqCst);
        }
        // In any case: the bit may be somebody's who took the run for one of another class.
        self.classes.mark(place, class);
    }

    /// Says that the run at `head` may have no taken cell.
    #[inline]
    pub(crate) fn note_empty(&self, head: usize) {
        self.empty.mark(head / KINDS, head % KINDS);
    }

    /// Says of the runs that begin in `leaves` what is true of them now.
    pub(crate) fn look_again(&self, leaves: Range<usize>) {
        for head in leaves {
            self.advertise_if_room(head);
        }
    }

    fn advertise_if_room(&self, head: usize) {
        if let Some(shape) = self.occupancy.kind(head).shape() {
            let taken = self.occupancy.taken(head, shape);
            if taken < usize::from(shape.cells) {
                self.advertise(head, usize::from(shape.class));
            }
            if taken == 0 {
                self.note_empty(head);
            }
        }
    }

    /// The runs of `class` that may have room, in a place at a time: all from the place of `start` on,
    /// then those before it.
    pub(crate) fn runs_with_room(&self, class: usize, start: usize) -> impl Iterator<Item = usize> {
        let middle = if start < self.occupancy.leaves() { start / PLACE } else { 0 };
        self.runs_in(class, middle..self.heads.len()).chain(self.runs_in(class, 0..middle))
    }

    fn runs_in(&self, class: usize, places: Range<usize>) -> impl Iterator<Item = usize> {
        let mut next = places.start;
        let in_places = core::iter::from_fn(move || {
            let place = self.classes.next(class, next).filter(|&place| place < places.end)?;
            next = place + 1;
            Some(place)
        });
        in_places.flat_map(move |place| self.runs_at(class, place))
    }

    fn runs_at(&self, class: usize, place: usize) -> impl Iterator<Item = usize> {
        let mut heads = self.heads[place].load(Acquire);
        core::iter::from_fn(move || {
            while heads != 0 {
                let head = place * PLACE + heads.trailing_zeros() as usize;
                heads &= heads - 1;
                if self.occupancy.is_run_of(head, class) {
                    return Some(head);
                }
            }
            None
        })
    }

    /// The first run of `class` or a greater one that may have room, behind `after`. Clears on the
    /// way what is outdated: called under the lock.
    pub(crate) fn next_run_with_room(
        &self,
        class: usize,
        after: Option<(usize, usize)>,
    ) -> Option<(usize, usize)> {
        let from = after.map_or((class, 0), |(class, head)| (class, head + 1));
        (from.0..CLASSES).find_map(|class| {
            if !self.classes.is_anywhere(class) {
                return None;
            }
            let first = if class == from.0 { from.1 } else { 0 };
            let mut next = first / PLACE;
            while let Some(place) = self.classes.next(class, next) {
                let mut heads = self.runs_at(class, place);
                if let Some(head) = heads.find(|&head| head >= first) {
                    return Some((class, head));
                }
                if place * PLACE >= first {
                    self.clear_class(place, class);
                }
                next = place + 1;
            }
            None
        })
    }

    /// Takes the mark of a run that was found full, unless it has room again. Called under the lock.
    pub(crate) fn withdraw(&self, head: usize, class: usize) {
        self.heads[head / PLACE].fetch_and(!head_bit(head), SeqCst);
        // A cell given back before the bit went has found it set and said nothing; and another run
        // may have been opened here meanwhile. The fence is for the loads, which are weaker.
        fence(SeqCst);
        self.advertise_if_room(head);
        if self.runs_at(class, head / PLACE).next().is_none() {
            self.clear_class(head / PLACE, class);
        }
    }

    fn clear_class(&self, place: usize, class: usize) {
        self.classes.clear(place, class, || self.runs_at(class, place).next().is_some());
    }

    /// Takes the marks of a run that is no more. Called under the lock, when its leaves are not of its
    /// kind any more.
    pub(crate) fn forget(&self, head: usize) {
        self.heads[head / PLACE].fetch_and(!head_bit(head), SeqCst);
    }

    /// The next run on a walk that may have no taken cell; its mark is taken. Called under the lock.
    pub(crate) fn next_empty(&self, walk: &mut EmptyRuns) -> Option<usize> {
        while walk.kind < KINDS {
            if self.empty.is_anywhere(walk.kind)
                && let Some(place) = self.empty.next(walk.kind, walk.place)
            {
                walk.place = place + 1;
                self.empty.clear(place, walk.kind, || false);
                return Some(place * KINDS + walk.kind);
            }
            (walk.kind, walk.place) = (walk.kind + 1, 0);
        }
        None
    }
}

/// The bit of a run's first leaf in its place.
#[inline]
fn head_bit(head: usize) -> usize {
    1 << (head % PLACE)
}

/// Leaves to a place.
const PLACE: usize = WORD_BITS;

const _: () = assert!(CLASSES <= KINDS, "a mask has a bit for each class");
