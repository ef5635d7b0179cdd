//! The operations that do damage, and what must find it.
//!
//! Each expects exact faults: kind, place and number. What the arena does not repair by itself, as
//! the canary of a neighbour that is still live, the operation repairs, so that the next one begins
//! with an undamaged arena.

use std::alloc::Layout;
use std::ops::Range;

use strongroom_core::{Fault, FaultKind};

use super::Finder;
use super::model::Model;
use super::survey::{CANARY, LEAF, Place, State};
use crate::faults;

/// One damaged byte between the live secret at `offset` and whatever is next to it.
struct Harm {
    offset: usize,
    place: Place,
    /// The damaged byte.
    at: usize,
    /// What the secret's release finds.
    kind: FaultKind,
    /// The cell on the other side, if the byte belongs to a canary that it shares.
    neighbour: Option<Place>,
}

impl Model<'_> {
    pub(super) fn overflow(&mut self, nth: usize, mask: u8, finder: Finder) {
        let Some(offset) = self.nth(nth) else { return };
        let place = self.survey.place_at(offset).unwrap().clone();
        let at = offset + self.live[&offset].layout.size();
        let neighbour =
            self.survey.neighbours(&place)[1].filter(|_| at == place.bytes.end).cloned();
        self.harm(
            &Harm { offset, place, at, kind: FaultKind::CanaryAfter, neighbour },
            mask,
            finder,
        );
    }

    pub(super) fn underflow(&mut self, nth: usize, mask: u8, finder: Finder) {
        let Some(offset) = self.nth(nth) else { return };
        let place = self.survey.place_at(offset).unwrap().clone();
        let neighbours = self.survey.neighbours(&place);
        let neighbour = neighbours[0].filter(|_| offset == place.bytes.start).cloned();
        let (at, kind) = (offset - 1, FaultKind::CanaryBefore);
        self.harm(&Harm { offset, place, at, kind, neighbour }, mask, finder);
    }

    fn harm(&mut self, harm: &Harm, mask: u8, finder: Finder) {
        let mask = mask.max(1);
        self.lab.flip(harm.at, mask);
        let damaged = self.lab.read(harm.at..harm.at + 1);
        match (finder, &harm.neighbour) {
            (Finder::Verify, _) => self.find_by_verify(harm),
            (Finder::Neighbour, Some(place)) if place.state == State::Live => {
                let (&offset, _) = self.live.range(place.bytes.clone()).next().unwrap();
                self.find_by_release(offset, place, harm.kind_beyond());
            }
            (Finder::Allocation, Some(place)) if place.state == State::Free => {
                let fault = self.fault(harm.kind_beyond(), place.bytes.start);
                self.find_by_allocating(place, fault);
            }
            (Finder::Handler, _) => self.find_by_handler(harm),
            _ => self.find_by_release(harm.offset, &harm.place, harm.kind),
        }
        self.mend(harm, mask, &damaged);
    }

    /// Repairs what is still damaged: padding of a secret that lives on, or a canary that nobody
    /// has planted anew.
    fn mend(&mut self, harm: &Harm, mask: u8, damaged: &[u8]) {
        let is_padding = harm.place.bytes.contains(&harm.at);
        let goes_on = !is_padding || self.live.contains_key(&harm.offset);
        if goes_on && self.lab.holds(harm.at, damaged) {
            self.lab.flip(harm.at, mask);
        }
    }

    /// `verify` reports a canary once, as the one behind the cell before it.
    fn find_by_verify(&mut self, harm: &Harm) {
        let beyond = harm.neighbour.as_ref().filter(|_| harm.kind == FaultKind::CanaryBefore);
        let (kind, place) = match beyond {
            Some(before) => (FaultKind::CanaryAfter, before),
            None => (harm.kind, &harm.place),
        };
        let expected = self.fault(kind, place.bytes.start);
        self.verify_finds(expected);
        if place.state == State::Free {
            self.quarantine(place);
        } else {
            // A damaged secret stays with its owner, so it is found again.
            assert_eq!(self.lab.arena().verify(), Err(expected));
            self.faults += 1;
        }
    }

    fn find_by_release(&mut self, offset: usize, place: &Place, kind: FaultKind) {
        let fault = self.lab.release(offset.cast_signed(), self.live[&offset].layout).unwrap_err();
        self.expect_faults(&[fault], &[self.fault(kind, offset)]);
        self.bury(offset);
        self.quarantine(place);
    }

    fn find_by_handler(&mut self, harm: &Harm) {
        self.lab.drop_at(harm.offset, self.live[&harm.offset].layout);
        self.expect_faults(&faults::take(), &[self.fault(harm.kind, harm.offset)]);
        self.bury(harm.offset);
        self.quarantine(&harm.place);
    }

    /// Allocates cells of a free cell's size until one comes upon the damage, which must be before
    /// a new run is cut.
    fn find_by_allocating(&mut self, place: &Place, expected: Fault) {
        let layout = Layout::from_size_align(place.bytes.len(), 1).unwrap();
        let same = |other: &&Place| other.index.is_some() && other.bytes.len() == layout.size();
        let most = self.survey.places_in(State::Free).filter(same).count();
        let mut taken = Vec::new();
        let mut found = Vec::new();
        for _ in 0..most {
            taken.extend(self.take_or_refuse(layout));
            found = faults::take();
            if !found.is_empty() {
                break;
            }
        }
        self.expect_faults(&found, &[expected]);
        self.quarantine(place);
        assert!(!taken.iter().any(|offset| place.bytes.contains(offset)), "handed out damaged");
        taken.into_iter().for_each(|offset| self.release(offset));
    }

    pub(super) fn write_free(&mut self, nth: usize, at: usize, mask: u8, finder: Finder) {
        let cells: Vec<_> = self.survey.places_in(State::Free).cloned().collect();
        let (vacant, ends) = (self.survey.vacant.clone(), self.survey.ends.clone());
        let Some(nth) = nth.checked_rem(cells.len() + vacant.len() + ends.len()) else { return };
        let byte = |range: &Range<usize>| range.start + at % range.len();
        if let Some(place) = cells.get(nth) {
            self.lab.flip(byte(&place.bytes), mask.max(1));
            self.find_in_cell(place, finder);
        } else if let Some(range) = vacant.get(nth - cells.len()) {
            self.lab.flip(byte(range), mask.max(1));
            self.find_in_leaf(byte(range), finder);
        } else {
            let range = &ends[nth - cells.len() - vacant.len()];
            self.lab.flip(byte(range), mask.max(1));
            self.verify_finds(self.fault(FaultKind::WriteAfterFree, range.start));
            assert!(self.lab.is_zero(range.clone()), "not wiped");
        }
    }

    fn find_in_cell(&mut self, place: &Place, finder: Finder) {
        let expected = self.fault(FaultKind::WriteAfterFree, place.bytes.start);
        if finder == Finder::Allocation {
            self.find_by_allocating(place, expected);
        } else {
            self.verify_finds(expected);
            self.quarantine(place);
        }
    }

    fn find_in_leaf(&mut self, at: usize, finder: Finder) {
        let leaf = at - (at - self.survey.leaves.start) % LEAF;
        if finder != Finder::Allocation {
            self.verify_finds(self.fault(FaultKind::WriteAfterFree, leaf));
            assert!(self.lab.is_zero(leaf..leaf + LEAF), "not wiped");
            return;
        }
        // Takes every leaf that is left, and every cell.
        let layout = Layout::from_size_align(100, 1).unwrap();
        let mut taken = Vec::new();
        while let Some(offset) = self.take_or_refuse(layout) {
            taken.push(offset);
        }
        let found = faults::take();
        let start = found.first().and_then(|fault| fault.offset).unwrap();
        self.expect_faults(&found, &[self.fault(FaultKind::WriteAfterFree, start)]);
        self.survey = super::Survey::of(self.lab.arena());
        let place = self.survey.place_at(start + CANARY).unwrap().clone();
        assert_eq!((place.index, place.bytes.start), (None, start + CANARY));
        assert!((start..place.bytes.end + CANARY).contains(&at), "another place is quarantined");
        assert!(self.lab.is_zero(start..place.bytes.end + CANARY), "not wiped");
        self.quarantined.insert(place.bytes.start);
        taken.into_iter().for_each(|offset| self.release(offset));
    }

    pub(super) fn double_free(&mut self, nth: usize) {
        let Some(nth) = nth.checked_rem(self.dead.len()) else { return };
        let (offset, layout) = self.dead[self.dead.len() - 1 - nth];
        if self.live.contains_key(&offset) {
            return;
        }
        let known = self.survey.place_at(offset).filter(|place| {
            place.state != State::Live && self.start_in(place, layout.align()) == offset
        });
        let kinds: &[_] = match known {
            Some(place) if place.index.is_some() => &[FaultKind::DoubleFree],
            // The bookkeeping of a block or run goes with it.
            _ => &[FaultKind::DoubleFree, FaultKind::ForeignFree],
        };
        self.release_finds(offset.cast_signed(), layout, kinds);
    }

    pub(super) fn foreign_free(&mut self, at: usize, size: usize, align: usize) {
        let Ok(layout) = Layout::from_size_align(size, align) else { return };
        let around = self.lab.arena().region_len() + 2 * AROUND;
        let offset = (at % around).cast_signed() - AROUND.cast_signed();
        let inside = usize::try_from(offset).ok().filter(|at| self.survey.leaves.contains(at));
        if inside.is_some_and(|offset| self.live.contains_key(&offset)) {
            return;
        }
        if size == 0 && inside.is_none() {
            assert_eq!(self.lab.release(offset, layout), Ok(()), "no bytes are nobody's");
            return;
        }
        let place = inside.and_then(|offset| self.survey.place_at(offset));
        let is_free = inside.is_some() && place.is_none_or(|place| place.state != State::Live);
        let kinds: &[_] = if is_free {
            // It may be where a secret once was.
            &[FaultKind::DoubleFree, FaultKind::ForeignFree]
        } else {
            &[FaultKind::ForeignFree]
        };
        self.release_finds(offset, layout, kinds);
    }

    /// Releases what is not live, which must change nothing and be found as one of `kinds`.
    fn release_finds(&mut self, offset: isize, layout: Layout, kinds: &[FaultKind]) {
        let fault = self.lab.release(offset, layout).unwrap_err();
        let inside = usize::try_from(offset).ok().filter(|at| self.survey.leaves.contains(at));
        assert!(kinds.contains(&fault.kind), "{fault:?} for {layout:?} in {:?}", self.survey);
        assert_eq!(fault.offset, inside);
        self.faults += 1;
    }

    pub(super) fn wrong_layout(&mut self, nth: usize, size: usize, align: usize) {
        let Some(offset) = self.nth(nth) else { return };
        let right = self.live[&offset].layout;
        let Ok(layout) = Layout::from_size_align(size.max(1), align) else { return };
        let place = self.survey.place_at(offset).unwrap().clone();
        // What counts of an alignment is the gap that it makes, from a canary's to a leaf's.
        let gap = |layout: Layout| layout.align().clamp(CANARY, LEAF);
        if (layout.size(), gap(layout)) == (right.size(), gap(right)) {
            return;
        }
        let fault = self.lab.release(offset.cast_signed(), layout).unwrap_err();
        self.expect_faults(&[fault], &[self.fault(FaultKind::WrongLayout, offset)]);
        self.bury(offset);
        self.quarantine(&place);
    }

    /// Releases another arena's secrets to this one, which must know none of them.
    pub(super) fn refuse_secrets_of(&mut self, other: &Self) {
        for (&offset, live) in other.live.iter().take(3) {
            let fault = self.lab.release_of(&other.lab, offset, live.layout).unwrap_err();
            self.expect_faults(&[fault], &[Fault { kind: FaultKind::ForeignFree, offset: None }]);
        }
    }

    fn verify_finds(&mut self, expected: Fault) {
        let mut found = Vec::new();
        self.lab.arena().find_faults(|fault| found.push(fault));
        self.expect_faults(&found, &[expected]);
    }

    fn take_or_refuse(&mut self, layout: Layout) -> Option<usize> {
        self.take(layout).ok().flatten()
    }

    /// Notes that a place was quarantined, and finds it wiped.
    fn quarantine(&mut self, place: &Place) {
        assert!(self.lab.is_zero(place.bytes.clone()), "not wiped");
        self.quarantined.insert(place.bytes.start);
    }

    fn fault(&self, kind: FaultKind, offset: usize) -> Fault {
        assert!(self.survey.leaves.contains(&offset));
        Fault { kind, offset: Some(offset) }
    }
}

impl Harm {
    /// What whoever is on the other side of the damaged canary finds.
    fn kind_beyond(&self) -> FaultKind {
        match self.kind {
            FaultKind::CanaryBefore => FaultKind::CanaryAfter,
            _ => FaultKind::CanaryBefore,
        }
    }
}

/// Bytes before and behind the region that foreign pointers point to.
const AROUND: usize = 64;
