//! The shadow of one arena: what is live, what it holds, what was quarantined.

use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet};

use strongroom_core::{AllocateError, Arena, ArenaError, Fault, Stats};

use super::survey::{CANARY, LEAF, Place, State, Survey};
use super::{Op, Setup};
use crate::faults;
use crate::noise::{Noise, Refusing};
use crate::raw::{Ground, Lab};

/// An arena and all that is known of it.
///
/// Invariant: between two operations nothing is damaged, so that `verify` finds nothing. An
/// operation that does damage has it found, and repairs what is left of it.
#[derive(Debug)]
pub struct Model<'g> {
    pub(super) lab: Lab<'g>,
    /// Secrets by their offset in the region.
    pub(super) live: BTreeMap<usize, Live>,
    /// The starts of quarantined cells and blocks.
    pub(super) quarantined: BTreeSet<usize>,
    /// What was released, last things last.
    pub(super) dead: Vec<(usize, Layout)>,
    pub(super) survey: Survey,
    /// How many faults the arena has found, and how many requests it has refused.
    pub(super) faults: usize,
    refused: usize,
    peak: usize,
    noise: Noise,
}

/// A live secret.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) layout: Layout,
    content: Vec<u8>,
}

impl<'g> Model<'g> {
    /// An empty arena, or nothing if the region is too small for one, and the error says so.
    pub fn new(ground: &'g mut Ground, setup: Setup) -> Option<Self> {
        let given = ground.len();
        let lab = match Lab::new(ground, setup.seed) {
            Ok(lab) => lab,
            Err(ArenaError::RegionTooSmall { bytes, needed }) => {
                assert_eq!(bytes, given);
                assert!(bytes < needed, "{bytes} bytes refused, though {needed} would do");
                return None;
            }
            Err(error) => panic!("{given} bytes at {}: {error}", setup.misalignment),
        };
        let mut model = Self {
            survey: Survey::of(lab.arena()),
            lab,
            live: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            dead: Vec::new(),
            faults: 0,
            refused: 0,
            peak: 0,
            noise: Noise(setup.seed),
        };
        drop(faults::take());
        model.check();
        model.check_whole();
        Some(model)
    }

    /// Does `op`, and checks what it answered. Then checks that the map covers the region once,
    /// that every secret lies alone in a cell or block and has kept its content, that exactly the
    /// cells and blocks that were damaged are quarantined, that the statistics are exact, that
    /// `verify` finds nothing, that no fault was reported that the operation did not cause, and
    /// that nothing was written outside the region.
    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Allocate { size, align } => self.allocate(size, align),
            Op::Release { nth } => {
                if let Some(offset) = self.nth(nth) {
                    self.release(offset);
                }
            }
            Op::Write { nth, seed } => self.write(nth, seed),
            Op::ReleaseAll { order } => self.release_all(order),
            Op::Exhaust { size, align } => self.exhaust(size, align),
            Op::Overflow { nth, mask, finder } => self.overflow(nth, mask, finder),
            Op::Underflow { nth, mask, finder } => self.underflow(nth, mask, finder),
            Op::WriteFree { nth, at, mask, finder } => self.write_free(nth, at, mask, finder),
            Op::DoubleFree { nth } => self.double_free(nth),
            Op::ForeignFree { at, size, align } => self.foreign_free(at, size, align),
            Op::WrongLayout { nth, size, align } => self.wrong_layout(nth, size, align),
            Op::Reseed { seed } => self.reseed(seed),
        }
        self.check();
    }

    /// Releases everything, and drops the arena.
    pub fn finish(mut self) {
        self.release_all(2);
        self.check();
        assert!(self.lab.is_guard_intact());
    }

    /// The arena.
    #[must_use]
    pub fn arena(&self) -> &Arena<'g> {
        self.lab.arena()
    }

    /// What lies where at the end of the last operation.
    #[must_use]
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// The offset of the nth live secret.
    pub(super) fn nth(&self, nth: usize) -> Option<usize> {
        self.live.keys().nth(nth.checked_rem(self.live.len())?).copied()
    }

    fn allocate(&mut self, size: usize, align: usize) {
        let Ok(layout) = Layout::from_size_align(size, align) else { return };
        let expected = self.expected(layout);
        let taken = self.take(layout);
        assert_eq!(taken.map(drop), expected, "{layout:?} in {:?}", self.survey);
    }

    /// Allocates, and finds the memory to be zero, free before, and nobody else's.
    pub(super) fn take(&mut self, layout: Layout) -> Result<Option<usize>, AllocateError> {
        let taken = self.lab.allocate(layout).inspect_err(|_| self.refused += 1)?;
        let Some(offset) = taken else { return Ok(None) };
        let end = offset + layout.size();
        assert!(self.survey.leaves.contains(&offset) && end <= self.survey.leaves.end);
        assert!(self.lab.is_zero(offset..end), "not zero on hand-out");
        let last_before = self.live.range(..end).next_back();
        let overlaps = last_before.is_some_and(|(start, live)| start + live.layout.size() > offset);
        assert!(!overlaps, "{layout:?} at {offset} overlaps {last_before:?}");
        let content = self.noise.bytes(layout.size());
        self.lab.write(offset, &content);
        self.live.insert(offset, Live { layout, content });
        Ok(Some(offset))
    }

    /// What a request must be answered in the state that was last surveyed.
    fn expected(&self, layout: Layout) -> Result<(), AllocateError> {
        let (requested, align) = (layout.size(), layout.align());
        let capacity = self.arena().capacity();
        if requested == 0 {
            return Ok(());
        }
        if align > Arena::GREATEST_ALIGN {
            return Err(AllocateError::Alignment { requested: align, largest: 4096 });
        }
        let all = std::slice::from_ref(&self.survey.leaves);
        if !self.has_stretch(all, layout) {
            return Err(AllocateError::TooLarge { requested, largest: capacity - 2 * CANARY });
        }
        let wanted = requested + align.saturating_sub(CANARY);
        let has_cell = align <= LEAF
            && self.survey.places_in(State::Free).any(|place| place.bytes.len() >= wanted);
        if has_cell || self.has_stretch(&self.survey.usable, layout) {
            Ok(())
        } else {
            Err(AllocateError::Full { requested, capacity })
        }
    }

    /// Whether one of these stretches of leaves could hold a secret in leaves of its own.
    fn has_stretch(&self, stretches: &[std::ops::Range<usize>], layout: Layout) -> bool {
        let gap = layout.align().clamp(CANARY, LEAF);
        let len = (gap + CANARY).saturating_add(layout.size()).div_ceil(LEAF).saturating_mul(LEAF);
        stretches.iter().any(|stretch| {
            let starts = stretch.clone().step_by(LEAF).take_while(|at| len <= stretch.end - at);
            let mut secrets = starts.map(|at| self.lab.address(at) + gap);
            secrets.any(|address| address.is_multiple_of(layout.align()))
        })
    }

    /// Releases an undamaged secret.
    pub(super) fn release(&mut self, offset: usize) {
        let layout = self.live[&offset].layout;
        assert_eq!(
            self.lab.release(offset.cast_signed(), layout),
            Ok(()),
            "{layout:?} at {offset}"
        );
        self.bury(offset);
    }

    /// Notes that a secret is no longer live.
    pub(super) fn bury(&mut self, offset: usize) {
        let live = self.live.remove(&offset).unwrap();
        self.dead.push((offset, live.layout));
        let forgotten = self.dead.len().saturating_sub(MOST_DEAD);
        self.dead.drain(..forgotten);
    }

    fn write(&mut self, nth: usize, seed: u64) {
        let Some(offset) = self.nth(nth) else { return };
        let live = self.live.get_mut(&offset).unwrap();
        live.content = Noise(seed).bytes(live.layout.size());
        self.lab.write(offset, &live.content);
    }

    fn release_all(&mut self, order: u8) {
        let mut offsets: Vec<_> = self.live.keys().copied().collect();
        match order % 3 {
            0 => {}
            1 => offsets.reverse(),
            _ => self.noise.shuffle(&mut offsets),
        }
        offsets.into_iter().for_each(|offset| self.release(offset));
        self.check_whole();
    }

    /// Checks that an arena with nothing in it serves one secret as long as all its leaves; or if
    /// some are quarantined, as long as the longest stretch of the others.
    fn check_whole(&mut self) {
        self.survey = Survey::of(self.arena());
        let longest = self.survey.usable.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let Some(size) = longest.checked_sub(2 * CANARY) else { return };
        let mut layout = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
        let error = self.take(layout).unwrap_err();
        if self.quarantined.is_empty() {
            let (requested, largest) = (layout.size(), size);
            assert_eq!(error, AllocateError::TooLarge { requested, largest });
        }
        layout = Layout::from_size_align(size, 1).unwrap();
        let offset = self.take(layout).unwrap().unwrap();
        self.check();
        self.release(offset);
        self.check();
    }

    fn exhaust(&mut self, size: usize, align: usize) {
        let Ok(layout) = Layout::from_size_align(size.max(1), align) else { return };
        let mut taken = Vec::new();
        let error = loop {
            match self.take(layout) {
                Ok(offset) => taken.extend(offset),
                Err(error) => break error,
            }
        };
        self.check();
        assert_eq!(self.expected(layout), Err(error), "{layout:?} in {:?}", self.survey);
        self.noise.shuffle(&mut taken);
        taken.into_iter().for_each(|offset| self.release(offset));
    }

    fn reseed(&mut self, seed: u64) {
        let arena = self.lab.arena();
        arena.reseed(&mut Refusing).unwrap_err();
        arena.reseed(&mut Noise(seed)).unwrap();
        let mut bytes = [0; 32];
        arena.fill_random(&mut bytes);
        assert_ne!(bytes, [0; 32]);
    }

    /// Notes what was found, and that it was nothing else.
    pub(super) fn expect_faults(&mut self, found: &[Fault], expected: &[Fault]) {
        assert_eq!(found, expected, "in {:?}", self.survey);
        self.faults += found.len();
    }

    fn check(&mut self) {
        assert!(self.lab.is_guard_intact(), "written outside the region");
        assert_eq!(self.lab.arena().verify(), Ok(()));
        assert_eq!(faults::take(), [], "the handler was called for nothing");
        self.survey = Survey::of(self.lab.arena());
        let quarantined = self.survey.places_in(State::Quarantined);
        assert!(quarantined.map(|place| &place.bytes.start).eq(&self.quarantined));
        let mut live = self.live.iter();
        for place in self.survey.places_in(State::Live) {
            self.check_live(place, live.next().unwrap());
        }
        assert!(live.next().is_none(), "a live secret is not on the map");
        self.check_stats();
    }

    fn check_live(&self, place: &Place, (&offset, live): (&usize, &Live)) {
        let end = offset + live.layout.size();
        assert!(
            place.bytes.contains(&offset) && end <= place.bytes.end,
            "{offset} is not in place"
        );
        let start = self.start_in(place, live.layout.align());
        assert_eq!(offset, start, "not at its place's first aligned byte");
        assert!(self.lab.holds(offset, &live.content), "content changed at {offset}");
    }

    /// Where a secret of this alignment begins in a place.
    pub(super) fn start_in(&self, place: &Place, align: usize) -> usize {
        let address = self.lab.address(place.bytes.start);
        let gap = address.next_multiple_of(align.clamp(CANARY, LEAF)) - address;
        place.bytes.start + gap
    }

    fn check_stats(&mut self) {
        let stats = self.lab.arena().stats();
        let is_block = |place: &&Place| place.index.is_none();
        assert_eq!(stats.live, self.live.len());
        assert_eq!(stats.live_blocks, self.survey.places_in(State::Live).filter(is_block).count());
        assert_eq!(stats.quarantined, self.quarantined.len());
        assert_eq!((stats.faults, stats.refused), (self.faults, self.refused));
        assert_eq!((stats.capacity, stats.used), (self.survey.leaves.len(), self.survey.used));
        assert!(stats.peak >= stats.used.max(self.peak) && stats.peak <= stats.capacity);
        self.peak = stats.peak;
        self.check_classes(&stats);
    }

    fn check_classes(&self, stats: &Stats) {
        for class in stats.classes {
            let counted = [class.runs, class.cells, class.live, class.quarantined];
            let known = self.survey.classes.iter().find(|(size, _)| *size == class.cell_size);
            assert_eq!(counted, known.map_or([0; 4], |(_, counts)| *counts));
        }
        let cells = |class: &(usize, [usize; 4])| class.1[1];
        let on_map: usize = self.survey.classes.iter().map(cells).sum();
        assert_eq!(on_map, stats.classes.iter().map(|class| class.cells).sum::<usize>());
    }
}

/// How many released pointers are kept for releasing them again.
const MOST_DEAD: usize = 32;
