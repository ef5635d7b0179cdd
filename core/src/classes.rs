//! Size classes, and the shapes of the runs that are cut for them.
//!
//! A class is a cell size. A shape is a class with a run length: how many leaves, cut into how many
//! cells. Each class has several shapes, so that a class with few secrets holds few leaves and one
//! with many wastes little on run ends.

/// Bytes in a leaf, the unit in which the buddy allocator hands out memory.
pub(crate) const LEAF: usize = 256;

/// Bits in a machine word.
pub(crate) const WORD_BITS: usize = usize::BITS as usize;

/// Bytes in a canary.
pub(crate) const CANARY: usize = 8;

/// How many classes there are.
pub(crate) const CLASSES: usize = CELL_SIZES.len();

/// The cell size of each class in bytes: multiples of a canary, so that every cell and canary is
/// aligned to eight bytes. Up to 112 each multiple; then four, later two, to each doubling.
pub(crate) const CELL_SIZES: [usize; 36] = [
    8,
    16,
    24,
    32,
    40,
    48,
    56,
    64,
    72,
    80,
    88,
    96,
    104,
    112,
    128,
    144,
    160,
    176,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    640,
    768,
    1024,
    1264,
    1520,
    1776,
    2032,
    2544,
    3056,
    3568,
    LARGEST_CELL,
];

/// The longest secret in bytes that is kept in a run; longer ones get whole leaves of their own.
pub(crate) const LARGEST_CELL: usize = 4096;

/// A run length of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) class: u8,
    pub(crate) leaves: u8,
    pub(crate) cells: u8,
    /// Bytes from one cell to the next: the cell and the canary behind it.
    stride: u16,
    /// 2^32 / stride, rounded up: with a division the hot path would take 1 to 3 % longer on
    /// x86-64, and more where there is no instruction for it.
    reciprocal: u32,
    /// A bit for each cell.
    pub(crate) lane: usize,
    /// From each leaf of a group, how many leaves to pass over before a run begins.
    skip: [u8; LANES],
}

impl Shape {
    #[inline]
    pub(crate) const fn cell_size(&self) -> usize {
        self.stride as usize - CANARY
    }

    /// The best leaf for a run to begin with, of `from` and the few behind it.
    pub(crate) const fn start(&self, from: usize) -> usize {
        from + self.skip[from % LANES] as usize
    }

    /// Bytes from the start of the run to a cell.
    #[inline]
    pub(crate) const fn cell_offset(&self, index: usize) -> usize {
        CANARY + index * self.stride as usize
    }

    /// The cell that holds the byte `offset` bytes from the start of the run, if any does; a
    /// canary belongs to the cell before it.
    #[inline]
    pub(crate) fn cell_at(&self, offset: usize) -> Option<usize> {
        let within = u64::try_from(offset.checked_sub(CANARY)?).ok()?;
        let index = usize::try_from((within * u64::from(self.reciprocal)) >> 32).ok()?;
        (index < self.cells as usize).then_some(index)
    }
}

/// The class with the smallest cells that hold `size` bytes.
#[inline]
pub(crate) fn class_for(size: usize) -> Option<usize> {
    if size <= BY_STEP_LIMIT {
        return Some(CLASS_BY_STEP[size.div_ceil(CANARY)] as usize);
    }
    if size > LARGEST_CELL {
        return None;
    }
    Some(CELL_SIZES.partition_point(|&cell| cell < size))
}

/// The numbers of the shapes of `class`, shortest first.
pub(crate) fn shapes_of(class: usize) -> core::ops::Range<usize> {
    usize::from(TABLE.starts[class])..usize::from(TABLE.starts[class + 1])
}

/// The best shape for one more run of `class`, when its runs have `cells` cells already: the
/// longest that adds no more than a share of them, or one of few leaves that wastes little.
pub(crate) fn shape_for(class: usize, cells: usize) -> usize {
    let fitting = |&number: &usize| SHAPES[number].cells as usize * GROWTH <= cells;
    let usual = usize::from(TABLE.usual[class]);
    (usual + 1..shapes_of(class).end).rev().find(fitting).unwrap_or(usual)
}

/// A run adds at most one part in this many to its class.
const GROWTH: usize = 2;

/// Leaves whose occupancy shares one word.
pub(crate) const LANES: usize = WORD_BITS / LANE_BITS;

/// Occupancy bits for each leaf: enough for the smallest cells.
pub(crate) const LANE_BITS: usize = 16;

/// The most cells in a run: a word's bits but the one that marks it frozen.
const MOST_CELLS: usize = WORD_BITS - 1;

/// Every shape, by class, shortest first.
pub(crate) const SHAPES: &[Shape] = TABLE.shapes.split_at(TABLE.starts[CLASSES] as usize).0;

const TABLE: Table = Table::new();

struct Table {
    shapes: [Shape; MOST_SHAPES],
    /// Where each class's shapes begin.
    starts: [u8; CLASSES + 1],
    /// The shape of each class's first runs.
    usual: [u8; CLASSES],
}

impl Table {
    const fn new() -> Self {
        let mut table = Self {
            shapes: [Shape::new(0, 1); MOST_SHAPES],
            starts: [0; CLASSES + 1],
            usual: [0; CLASSES],
        };
        let (mut class, mut count) = (0, 0);
        while class < CLASSES {
            (table.starts[class], table.usual[class]) = (narrow(count), narrow(count));
            let (mut leaves, mut best) = (1, LEAST_DENSITY);
            while leaves <= longest(class) {
                let shape = Shape::new(class, leaves);
                // Worth a shape if it is denser than all shorter ones.
                if shape.density() > best {
                    if best < USUAL_DENSITY && leaves <= FEW {
                        table.usual[class] = narrow(count);
                    }
                    best = shape.density();
                    table.shapes[count] = shape;
                    count += 1;
                }
                leaves += 1;
            }
            class += 1;
        }
        table.starts[CLASSES] = narrow(count);
        table
    }
}

impl Shape {
    /// How much of the run is cells and the canaries behind them, in thousandths.
    const fn density(&self) -> usize {
        self.cells as usize * self.stride as usize * 1000 / (self.leaves as usize * LEAF)
    }

    /// As many cells of `class` as fit into `leaves` leaves, and no more leaves than they fill.
    const fn new(class: usize, leaves: usize) -> Self {
        let stride = CELL_SIZES[class] + CANARY;
        let room = (leaves * LEAF - CANARY) / stride;
        let most = if leaves < LANES { leaves * LANE_BITS - 1 } else { MOST_CELLS };
        let cells = if room < most { room } else { most };
        Self {
            class: narrow(class),
            leaves: narrow((CANARY + cells * stride).div_ceil(LEAF)),
            cells: narrow(cells),
            stride: narrow_16(stride),
            reciprocal: narrow_32((1_u64 << 32).div_ceil(stride as u64)),
            lane: (1 << cells) - 1,
            skip: skips(cells, stride),
        }
    }
}

/// From each leaf of a group, how many leaves a run passes over so that all its bits lie in one word: of the
/// numbers that do, the one that wastes least if a shorter run of the same class is cut there.
const fn skips(cells: usize, stride: usize) -> [u8; LANES] {
    let mut skips = [0; LANES];
    let mut leaf = 0;
    while leaf < LANES {
        let (mut skip, mut least) = (0, usize::MAX);
        while skip < LANES {
            let passed = skip * LEAF;
            let wasted = passed - passed.saturating_sub(CANARY) / stride * stride;
            if (leaf + skip) % LANES * LANE_BITS + cells <= MOST_CELLS && wasted < least {
                (skips[leaf], least) = (narrow(skip), wasted);
            }
            skip += 1;
        }
        leaf += 1;
    }
    skips
}

/// The most leaves in a run of `class`, before its tail is trimmed.
const fn longest(class: usize) -> usize {
    if CELL_SIZES[class] < 512 { 16 } else { 32 }
}

#[expect(clippy::cast_possible_truncation, reason = "checked, at compile time")]
const fn narrow(value: usize) -> u8 {
    assert!(value <= 0xff);
    value as u8
}

#[expect(clippy::cast_possible_truncation, reason = "checked, at compile time")]
const fn narrow_16(value: usize) -> u16 {
    assert!(value <= 0xffff);
    value as u16
}

#[expect(clippy::cast_possible_truncation, reason = "checked, at compile time")]
const fn narrow_32(value: u64) -> u32 {
    assert!(value <= 0xffff_ffff);
    value as u32
}

const MOST_SHAPES: usize = 192;

/// A run must be denser than this, in thousandths.
const LEAST_DENSITY: usize = 800;

/// The first runs of a class are at least so dense, if [`FEW`] leaves are enough for that. As measured, with
/// secrets of mixed lengths in 64 KiB: they are served until 0.72 of it is payload, and 0.71 without.
const USUAL_DENSITY: usize = 900;

const FEW: usize = 4;

/// Requests up to this size find their class in a table.
const BY_STEP_LIMIT: usize = 512;

const CLASS_BY_STEP: [u8; BY_STEP_LIMIT / CANARY + 1] = {
    let mut table = [0; BY_STEP_LIMIT / CANARY + 1];
    let (mut step, mut class) = (0, 0);
    while step < table.len() {
        if step * CANARY > CELL_SIZES[class] {
            class += 1;
        }
        table[step] = narrow(class);
        step += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rounds;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in (0..=LARGEST_CELL).step_by(rounds(1, 31)) {
            let naive = CELL_SIZES.iter().position(|&cell| cell >= size);
            assert_eq!(class_for(size), naive, "{size} bytes");
        }
        assert_eq!(class_for(LARGEST_CELL + 1), None);
        assert_eq!(class_for(usize::MAX), None);
    }

    #[test]
    fn every_byte_of_every_shape_belongs_to_the_cell_that_division_finds() {
        for shape in SHAPES {
            let stride = shape.cell_size() + CANARY;
            for offset in (0..usize::from(shape.leaves) * LEAF).step_by(rounds(1, 61)) {
                let naive = offset.checked_sub(CANARY).map(|within| within / stride);
                let naive = naive.filter(|&index| index < usize::from(shape.cells));
                assert_eq!(shape.cell_at(offset), naive);
            }
        }
    }

    #[test]
    fn shapes_fit_their_leaves_and_lanes() {
        for (class, &cell_size) in CELL_SIZES.iter().enumerate() {
            assert!(!shapes_of(class).is_empty(), "{cell_size} bytes");
            for number in shapes_of(class) {
                let (shape, leaves) = (SHAPES[number], usize::from(SHAPES[number].leaves));
                assert_eq!(usize::from(shape.class), class);
                assert_eq!(shape.cell_size(), cell_size);
                let end = shape.cell_offset(usize::from(shape.cells));
                assert!(end <= leaves * LEAF && end > (leaves - 1) * LEAF, "no leaf is unused");
                assert!(usize::from(shape.cells) < leaves.min(LANES) * LANE_BITS);
                for from in 0..LANES {
                    let first = shape.start(from);
                    assert!(first - from < LANES);
                    assert!(shape.lane.leading_zeros() as usize > first % LANES * LANE_BITS);
                }
            }
        }
    }

    /// 11 leaves are full to the last byte, and so are 2. One alone has room for 3 of 3.5.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_a_run_passes_over_is_worth_a_run() {
        let class = class_for(64).unwrap();
        let shape = shapes_of(class).map(|number| &SHAPES[number]).find(|shape| shape.leaves == 11);
        assert_eq!([0, 1, 2, 3].map(|from| shape.unwrap().start(from)), [0, 1, 4, 5]);
    }

    #[test]
    fn runs_grow_with_their_class() {
        for class in 0..CLASSES {
            let first = shape_for(class, 0);
            let is_usual = |&number: &usize| {
                SHAPES[number].density() >= USUAL_DENSITY
                    && usize::from(SHAPES[number].leaves) <= FEW
            };
            let naive = shapes_of(class).find(is_usual).unwrap_or(shapes_of(class).start);
            assert_eq!(first, naive);
            assert_eq!(shape_for(class, 10_000), shapes_of(class).end - 1);
            for cells in (0..200).step_by(rounds(1, 29)) {
                let best = shape_for(class, cells);
                for number in shapes_of(class).filter(|&number| number > first) {
                    let is_small = usize::from(SHAPES[number].cells) <= cells / 2;
                    assert_eq!(is_small, number <= best, "one more run of {class} at {cells}");
                }
            }
        }
    }
}
