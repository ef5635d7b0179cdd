//! Whether an arena's cost grows with its region, and whether it is as good as new once all is freed.
//!
//! The regions are plain memory, not locked, and are filled side by side. Each larger one takes
//! turns with the smallest, so that every ratio is between neighbours in time.

use std::hint::black_box;
use std::iter;
use std::mem::{self, MaybeUninit};

use strongroom::OsEntropy;
use strongroom_core::{Arena, Buffer};

use super::density::{self, mixed_size};
use crate::harness::Harness;
use crate::machine;
use crate::random::Random;
use crate::results::{Growth, Renewed, Skipped};
use crate::units::{kib, thousands};

/// What was measured, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) growth: Vec<Growth>,
    pub(crate) renewed: Vec<Renewed>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Times every row in every region; `operations` wear out the arenas that are then compared with
/// fresh ones.
pub(crate) fn measure(harness: Harness, operations: usize) -> Result<Found, String> {
    let mut found = Found::default();
    time_rows(harness, &mut found)?;
    for region in [density::SMALL, density::LARGE] {
        eprintln!("  as good as new, {}", kib(region));
        found.renewed.push(renew(region, operations)?);
    }
    Ok(found)
}

fn time_rows(harness: Harness, found: &mut Found) -> Result<(), String> {
    let mut memories: Vec<_> = regions(&mut found.skipped).into_iter().map(memory).collect();
    let arenas: Result<Vec<_>, _> = memories.iter_mut().map(|memory| arena(memory)).collect();
    let arenas = arenas?;
    let mut fills: Vec<_> = arenas.iter().map(Fill::new).collect();
    for row in rows() {
        eprintln!("  {}", row.name());
        for fill in &mut fills {
            fill.bring_to(row.level);
            // Untimed: the first takes apart, once, the runs that have become empty.
            fill.repeat(row, 1);
        }
        let Some((smallest, larger)) = fills.split_first_mut() else { break };
        for fill in larger {
            let paired =
                harness.pair(|count| smallest.repeat(row, count), |count| fill.repeat(row, count));
            let region = fill.arena.region_len();
            if mem::take(&mut smallest.amiss) + mem::take(&mut fill.amiss) > 0 {
                let what = format!("growth: {}, {}", row.name(), kib(region));
                let why = "served what should be refused, or refused what should be served";
                found.skipped.push(Skipped { what, why: why.to_owned() });
            } else {
                found.growth.push(Growth { row: row.name(), region, paired });
            }
        }
    }
    fills.into_iter().for_each(Fill::end);
    Ok(())
}

/// The regions that there is memory for.
fn regions(skipped: &mut Vec<Skipped>) -> Vec<usize> {
    let available = machine::available_memory().unwrap_or(0);
    let mut regions = vec![SMALLEST];
    for region in LARGER {
        // What remembers so many live secrets takes half as much again.
        if available >= 2 * region {
            regions.push(region);
        } else {
            let why = format!("less than {} of memory are free", kib(2 * region));
            skipped.push(Skipped { what: format!("growth: {}", kib(region)), why });
        }
    }
    regions
}

/// Memory for a region of `len` bytes at a page's start: the number of leaves depends on the address.
fn memory(len: usize) -> Box<[MaybeUninit<u8>]> {
    Box::new_uninit_slice(len + PAGE)
}

fn arena(memory: &mut [MaybeUninit<u8>]) -> Result<Arena<'_>, String> {
    let (start, len) = (memory.as_ptr().align_offset(PAGE), memory.len() - PAGE);
    Arena::new(&mut memory[start..start + len], &mut OsEntropy).map_err(|error| error.to_string())
}

/// What is timed, on a region filled with secrets of [`FILLING`] bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    level: Level,
    act: Act,
    size: usize,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    /// Even the next secret of [`FILLING`] bytes is refused.
    Full,
    /// What lay behind so many hundredths of the region was released. (A region that is filled from
    /// its start to so much has gaps between its runs, and no room in a row near its end.)
    Percent(usize),
    /// Every second secret was released: half is free, but no leaf is.
    Holes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Serve,
    Refuse,
    /// A secret is released and retaken first, always the same.
    RetakeAndRefuse,
}

impl Row {
    pub(crate) fn name(self) -> String {
        let size = thousands(self.size);
        let act = match self.act {
            Act::Serve => format!("allocate + drop {size} B"),
            Act::Refuse => format!("refuse {size} B"),
            Act::RetakeAndRefuse => format!("release and retake {FILLING} B, refuse {size} B"),
        };
        match self.level {
            Level::Percent(percent) => format!("{act}, {percent} % full"),
            Level::Full => format!("{act}, full"),
            Level::Holes => format!("{act}, every second secret released"),
        }
    }
}

/// Every row, from full to nearly empty, so that one fill serves all but the last.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let served =
        PERCENTS.into_iter().flat_map(|percent| {
            let sizes = [FILLING, 3000, 20_000].into_iter();
            // The smallest region must have room for it.
            sizes
                .filter(move |size| size * 100 <= (100 - percent) * SMALLEST)
                .map(move |size| Row { level: Level::Percent(percent), act: Act::Serve, size })
        });
    let full = [
        (Act::Refuse, FILLING),
        (Act::Refuse, 200),
        (Act::RetakeAndRefuse, 1025),
        (Act::RetakeAndRefuse, 4096),
    ];
    let full = full.into_iter().map(|(act, size)| Row { level: Level::Full, act, size });
    full.chain(served).chain([Row { level: Level::Holes, act: Act::Refuse, size: 3000 }])
}

/// An arena that is filled step by step.
struct Fill<'a> {
    arena: &'a Arena<'a>,
    /// The address of the first secret.
    start: usize,
    live: Vec<Option<Buffer<'a>>>,
    /// Outcomes that are not those of the row.
    amiss: usize,
}

impl<'a> Fill<'a> {
    fn new(arena: &'a Arena<'a>) -> Self {
        let first = Buffer::new(arena, FILLING).ok();
        let start = first.as_ref().map_or(0, |secret| secret.expose_secret().as_ptr().addr());
        // Never moved: a vector that grows holds everything twice.
        let mut live = Vec::with_capacity(arena.capacity() / LEAST_ROOM);
        live.push(first);
        Self { arena, start, live, amiss: 0 }
    }

    fn bring_to(&mut self, level: Level) {
        match level {
            Level::Full => self.fill(),
            Level::Percent(percent) => {
                let end = self.start + self.arena.capacity() / 100 * percent;
                let lies_before =
                    |secret: &Buffer<'_>| secret.expose_secret().as_ptr().addr() < end;
                self.live.retain(|secret| secret.as_ref().is_some_and(lies_before));
            }
            Level::Holes => {
                self.fill();
                self.live.iter_mut().step_by(2).for_each(|secret| *secret = None);
            }
        }
    }

    fn fill(&mut self) {
        let secrets = iter::from_fn(|| Buffer::new(self.arena, FILLING).ok());
        self.live.extend(secrets.map(Some));
    }

    /// Not inlined, so that every region runs the same code.
    #[inline(never)]
    fn repeat(&mut self, row: Row, operations: u64) {
        let middle = self.live.len() / 2;
        for _ in 0..operations {
            if row.act == Act::RetakeAndRefuse {
                self.live[middle] = None;
                self.live[middle] = Buffer::new(self.arena, FILLING).ok();
                self.amiss += usize::from(self.live[middle].is_none());
            }
            let secret = Buffer::new(self.arena, black_box(row.size));
            self.amiss += usize::from(secret.is_ok() != (row.act == Act::Serve));
        }
    }

    /// The arena goes with its secrets, and wipes them at once.
    fn end(self) {
        self.live.into_iter().for_each(mem::forget);
    }
}

/// How many secrets fit a fresh arena, and one in which much was done and all was freed.
fn renew(region: usize, operations: usize) -> Result<Renewed, String> {
    let mut memory = memory(region);
    let fresh = fill(&arena(&mut memory)?);
    let arena = arena(&mut memory)?;
    wear_out(&arena, operations);
    Ok(Renewed { region, operations, size: COUNTED, fresh, after: fill(&arena) })
}

/// Random allocations and releases, two to one; when one is refused, a random half is released. All
/// is released in the end.
fn wear_out<'a>(arena: &'a Arena<'a>, operations: usize) {
    let mut random = Random::new(SEED);
    let mut live = Vec::new();
    for _ in 0..operations {
        if !live.is_empty() && random.below(3) == 0 {
            live.swap_remove(random.below(live.len()));
        } else if let Ok(secret) = Buffer::new(arena, mixed_size(&mut random)) {
            live.push(secret);
        } else {
            random.shuffle(&mut live);
            live.truncate(live.len() / 2);
        }
    }
}

/// How many secrets are live when the next is refused.
fn fill<'a>(arena: &'a Arena<'a>) -> usize {
    let secrets = iter::from_fn(|| Buffer::new(arena, COUNTED).ok());
    secrets.map(mem::forget).count()
}

/// What the others are compared with.
pub(crate) const SMALLEST: usize = 1024 * 1024;

pub(crate) const LARGER: [usize; 2] = [64 * 1024 * 1024, 1024 * 1024 * 1024];

/// How full, in hundredths.
const PERCENTS: [usize; 4] = [99, 90, 50, 1];

/// Bytes of the secrets that a region is filled with, and what each takes of it at least.
const FILLING: usize = 64;
const LEAST_ROOM: usize = 72;

/// Bytes of the secrets that are counted.
const COUNTED: usize = 16;

const PAGE: usize = 4096;

const SEED: u64 = 1;
