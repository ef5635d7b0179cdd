//! Runs: buddy blocks cut into equal cells, taken and given back by atomic operations alone.
//!
//! ```text
//! kind byte of each leaf:   run | rest | rest | rest | run | block | rest of block | vacant …
//! occupancy, one word to   ← one lane of 16 bits for each leaf; a run's cells use the bits from
//! each group of leaves       its first leaf's lane on, within that word
//! ```
//!
//! Invariant: **a clear bit is a free cell of an open run.** Bits of leaves that are not in an open
//! run, and bits beyond a run's cells, are set. So a thread that goes by an outdated kind can at
//! worst set a bit that is not of the run it meant: it sees the kind changed, clears the bit, and
//! until then nobody could close the run to which the bit belongs.
//!
//! Opening and closing runs happens under the arena's lock; taking and giving back cells does not.
//! It computes on numbers alone: no memory stands behind a cell here.

use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::fence;

use crate::bitmap::WORD_BITS;
use crate::classes::{CLASSES, LANE_BITS, LANES, LEAF, SHAPES, Shape};
use crate::kind::{Kind, distance_of, shape_of};
use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, Shared64, SharedU32};

/// Which leaves are runs, and which of their cells are taken.
pub(crate) struct Runs<'r> {
    kinds: &'r [AtomicU8],
    groups: &'r [Group],
    posts: &'r [Post],
    /// For each [`DISTRICT`] posts, the classes that any of them names.
    districts: &'r [SharedU32],
    /// Some run may have no taken cell, and could be closed.
    emptied: AtomicBool,
}

/// A signpost for searches, over [`POST`] leaves. It may point to a run that has no room any more,
/// but it names every run that has.
#[derive(Default)]
pub(crate) struct Post {
    /// The first leaves of runs that may have room.
    heads: AtomicUsize,
    /// The classes of those runs.
    classes: SharedU32,
}

/// Leaves that share an occupancy word, and the canary of the runs and blocks that begin there.
pub(crate) struct Group {
    pub(crate) canary: Shared64,
    occupancy: AtomicUsize,
}

impl Group {
    /// A group without an open run.
    pub(crate) fn closed(canary: Shared64) -> Self {
        Self { canary, occupancy: AtomicUsize::new(!FROZEN) }
    }
}

/// A cell of an open run.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'r> {
    /// The run's first leaf.
    pub(crate) head: usize,
    pub(crate) index: usize,
    pub(crate) shape: &'static Shape,
    /// The group of the first leaf.
    pub(crate) group: &'r Group,
}

/// Says what becomes of a cell that was just taken.
pub(crate) trait Judge {
    fn judge(&self, cell: Cell<'_>) -> Verdict;

    /// Waits until what was found frozen is not any more.
    fn wait_for_thaw(&self);
}

/// What becomes of a cell that was just taken.
pub(crate) enum Verdict {
    Take,
    /// It goes back, and another is tried.
    PutBack,
    /// It stays taken for good, and another is tried.
    Discard,
}

/// What giving a cell back made of its run.
pub(crate) struct Returned {
    pub(crate) was_full: bool,
    pub(crate) is_empty: bool,
    /// Somebody is looking at the cell: it must not be wiped before that is over.
    pub(crate) was_frozen: bool,
}

/// Why no cell was claimed.
pub(crate) enum NoCell {
    /// There is none that is free.
    Full,
    /// Nobody can know before `thaw`.
    Frozen,
}

/// A cell was given back that was not taken.
pub(crate) struct NotTaken;

impl<'r> Runs<'r> {
    /// Runs over closed tables: all kinds vacant, all groups closed, no post naming a class.
    pub(crate) fn new(
        kinds: &'r [AtomicU8],
        groups: &'r [Group],
        posts: &'r [Post],
        districts: &'r [SharedU32],
    ) -> Self {
        Self { kinds, groups, posts, districts, emptied: AtomicBool::new(false) }
    }

    pub(crate) fn leaves(&self) -> usize {
        self.kinds.len()
    }

    #[inline]
    pub(crate) fn group(&self, leaf: usize) -> &'r Group {
        &self.groups[leaf / LANES]
    }

    /// A cell of the run of `shape` at `head`.
    #[inline]
    pub(crate) fn cell(&self, head: usize, index: usize, shape: &'static Shape) -> Cell<'r> {
        Cell { head, index, shape, group: self.group(head) }
    }

    pub(crate) fn kind(&self, leaf: usize) -> Kind {
        Kind::from_byte(self.kinds[leaf].load(Acquire))
    }

    pub(crate) fn set_kind(&self, leaf: usize, kind: Kind) {
        self.kinds[leaf].store(kind.byte(), Release);
    }

    pub(crate) fn set_kinds(&self, leaves: Range<usize>, kind: Kind) {
        self.kinds[leaves].iter().for_each(|byte| byte.store(kind.byte(), Release));
    }

    /// Changes the kind of `leaf` from one to another, or says what it is instead.
    pub(crate) fn exchange_kind(&self, leaf: usize, from: Kind, to: Kind) -> Result<(), Kind> {
        self.kinds[leaf]
            .compare_exchange(from.byte(), to.byte(), SeqCst, SeqCst)
            .map(drop)
            .map_err(Kind::from_byte)
    }

    /// Makes the leaves from `head` on into a run of which the first cell is taken, the rest free.
    pub(crate) fn open(&self, head: usize, number: usize) -> Cell<'r> {
        let shape = &SHAPES[number];
        for distance in 1..usize::from(shape.leaves) {
            self.set_kind(head + distance, Kind::RunRest(distance));
        }
        self.set_kind(head, Kind::Run(number));
        let cell = self.cell(head, 0, shape);
        self.group(head).occupancy.fetch_and(!lane(head, shape) | cell.bit(), SeqCst);
        // A search that takes a sign away after it was found here sees the kinds.
        fence(SeqCst);
        self.advertise(head, usize::from(shape.class));
        cell
    }

    /// Closes the run at `head` if none of its cells is taken: from then on nobody can take one.
    pub(crate) fn close(&self, head: usize, shape: &Shape) -> bool {
        let (word, lane) = (&self.group(head).occupancy, lane(head, shape));
        word.try_update(SeqCst, SeqCst, |taken| {
            (taken & (lane | FROZEN) == 0).then_some(taken | lane)
        })
        .is_ok()
    }

    /// Undoes `close`.
    pub(crate) fn reopen(&self, head: usize, shape: &Shape) {
        self.put_back(head, lane(head, shape));
    }

    /// Marks the leaves of a closed run as vacant.
    pub(crate) fn retire(&self, head: usize, shape: &Shape) {
        self.posts[head / POST].heads.fetch_and(!head_bit(head), SeqCst);
        self.set_kinds(head..head + usize::from(shape.leaves), Kind::Vacant);
    }

    /// Takes a free cell of the run at `head`, if it is one of `class`.
    ///
    /// `judge` is asked about a cell that was just taken.
    pub(crate) fn take_from(
        &self,
        head: usize,
        class: usize,
        judge: &impl Judge,
    ) -> Option<Cell<'r>> {
        let mut passed_over = 0;
        loop {
            let cell = match self.claim(head, class, passed_over) {
                Ok(cell) => cell,
                Err(NoCell::Full) => return None,
                Err(NoCell::Frozen) => {
                    judge.wait_for_thaw();
                    continue;
                }
            };
            match judge.judge(cell) {
                Verdict::Take => return Some(cell),
                Verdict::PutBack => self.put_back_cell(cell),
                Verdict::Discard => {}
            }
            passed_over |= cell.bit();
        }
    }

    /// Takes the first free cell of the run at `head`, if it is one of `class`, but none of those
    /// whose bits are in `passed_over`. Nobody has looked yet whether the cell is ready.
    #[inline(always)]
    pub(crate) fn claim(
        &self,
        head: usize,
        class: usize,
        passed_over: usize,
    ) -> Result<Cell<'r>, NoCell> {
        let kind = self.kinds[head].load(Acquire);
        let shape = shape_of(kind).filter(|shape| usize::from(shape.class) == class);
        let shape = shape.ok_or(NoCell::Full)?;
        let group = self.group(head);
        let word = &group.occupancy;
        let (first, lane) = (first_bit(head), lane(head, shape));
        let mut taken = word.load(Relaxed);
        loop {
            let free = !taken & lane & !passed_over;
            if taken & FROZEN != 0 {
                return Err(NoCell::Frozen);
            }
            if free == 0 {
                return Err(NoCell::Full);
            }
            let bit = free & free.wrapping_neg();
            if let Err(now) = word.compare_exchange_weak(taken, taken | bit, SeqCst, Relaxed) {
                taken = now;
                continue;
            }
            if self.kinds[head].load(Relaxed) != kind {
                self.put_back(head, bit);
                return Err(NoCell::Full);
            }
            let index = bit.trailing_zeros() as usize - first;
            return Ok(Cell { head, index, shape, group });
        }
    }

    /// Takes a free cell of any run of `class` that begins in `zone` or in a post that the zone
    /// touches, looking from `start` on first.
    pub(crate) fn take(
        &self,
        class: usize,
        start: usize,
        zone: &Range<usize>,
        judge: &impl Judge,
    ) -> Option<Cell<'r>> {
        let (first, end) = (zone.start / POST, zone.end.div_ceil(POST));
        let start = (start / POST).clamp(first, end);
        self.take_from_posts(start..end, class, judge)
            .or_else(|| self.take_from_posts(first..start, class, judge))
    }

    fn take_from_posts(
        &self,
        posts: Range<usize>,
        class: usize,
        judge: &impl Judge,
    ) -> Option<Cell<'r>> {
        let mut post = posts.start;
        while post < posts.end {
            if !self.district_may_have(post, class) {
                post = (post / DISTRICT + 1) * DISTRICT;
            } else if let Some(cell) = self.take_from_post(post, class, judge) {
                return Some(cell);
            } else {
                post += 1;
                if post.is_multiple_of(DISTRICT) || post == self.posts.len() {
                    self.clear_district((post - 1) / DISTRICT, class);
                }
            }
        }
        None
    }

    /// Gives a cell back: from here on it counts as free, though it is not ready until it was wiped.
    ///
    /// If the run is frozen, the caller may wipe the cell only when that is over.
    #[expect(clippy::unused_self, reason = "a cell is asked for where it was taken")]
    #[inline(always)]
    pub(crate) fn give_back(&self, cell: Cell<'_>) -> Result<Returned, NotTaken> {
        let (word, bit) = (&cell.group.occupancy, cell.bit());
        let lane = lane(cell.head, cell.shape);
        let before = word.fetch_and(!bit, SeqCst);
        if before & bit == 0 {
            return Err(NotTaken);
        }
        Ok(Returned {
            was_full: before & lane == lane,
            is_empty: before & lane == bit,
            was_frozen: before & FROZEN != 0,
        })
    }

    #[expect(clippy::unused_self, reason = "a cell is asked for where it was taken")]
    #[inline]
    pub(crate) fn is_taken(&self, cell: Cell<'_>) -> bool {
        cell.group.occupancy.load(Acquire) & cell.bit() != 0
    }

    /// How many cells of the run at `head` are taken.
    pub(crate) fn taken(&self, head: usize, shape: &Shape) -> usize {
        (self.group(head).occupancy.load(Acquire) & lane(head, shape)).count_ones() as usize
    }

    /// Takes a particular cell of a frozen run, if it is free.
    #[expect(clippy::unused_self, reason = "a cell is asked for where it was taken")]
    pub(crate) fn take_frozen(&self, cell: Cell<'_>) -> bool {
        cell.group.occupancy.fetch_or(cell.bit(), SeqCst) & cell.bit() == 0
    }

    /// Undoes `claim` or `take_frozen`.
    pub(crate) fn put_back_cell(&self, cell: Cell<'_>) {
        self.put_back(cell.head, cell.bit());
    }

    /// Clears bits of the group of `leaf` that were set for a moment only. Meanwhile a search may have found a run full that was not, and a release may not have
    /// seen that it was the last: so what those do then is done here.
    #[cold]
    fn put_back(&self, leaf: usize, bits: usize) {
        self.group(leaf).occupancy.fetch_and(!bits, SeqCst);
        let group = leaf / LANES * LANES;
        for head in group..self.leaves().min(group + LANES) {
            self.advertise_if_room(head);
        }
        self.suspect_empty();
    }

    /// Notes that some run may have no taken cell.
    #[inline]
    pub(crate) fn suspect_empty(&self) {
        if !self.emptied.load(SeqCst) {
            self.emptied.store(true, SeqCst);
        }
    }

    /// Whether that was noted since this was last asked.
    pub(crate) fn may_be_empty(&self) -> bool {
        self.emptied.swap(false, SeqCst)
    }

    /// Keeps the cells of the group of `leaf` from being taken or wiped, until `thaw`.
    pub(crate) fn freeze(&self, leaf: usize) {
        self.group(leaf).occupancy.fetch_or(FROZEN, SeqCst);
    }

    pub(crate) fn thaw(&self, leaf: usize) {
        self.group(leaf).occupancy.fetch_and(!FROZEN, SeqCst);
    }

    /// The cell that holds the byte `offset` of the leaves, if a run does.
    #[inline(always)]
    pub(crate) fn cell_at(&self, offset: usize) -> Option<Cell<'r>> {
        let leaf = offset / LEAF;
        let distance = distance_of(self.kinds[leaf].load(Acquire));
        let head = leaf.checked_sub(distance)?;
        // The same kind once more if the leaf is the first: that costs less than a wrong guess.
        let shape = shape_of(self.kinds[head].load(Acquire))?;
        let index = shape.cell_at(offset - head * LEAF)?;
        Some(self.cell(head, index, shape))
    }

    /// Lets searches know that the run of `class` at `head` has room.
    #[inline]
    pub(crate) fn advertise(&self, head: usize, class: usize) {
        let (post, bit) = (&self.posts[head / POST], 1 << class);
        if post.heads.load(SeqCst) & head_bit(head) == 0 {
            post.heads.fetch_or(head_bit(head), SeqCst);
        }
        if post.classes.load(SeqCst) & bit == 0 {
            self.name(head / POST, class);
        }
    }

    /// Has a post and its district name a class, in this order.
    fn name(&self, post: usize, class: usize) {
        self.posts[post].classes.fetch_or(1 << class, SeqCst);
        self.districts[post / DISTRICT].fetch_or(1 << class, SeqCst);
    }

    fn district_may_have(&self, post: usize, class: usize) -> bool {
        self.districts[post / DISTRICT].load(Relaxed) & 1 << class != 0
    }

    /// Takes a cell of `class` from the runs that a post names, and clears from the post what it
    /// names in vain.
    fn take_from_post(&self, post: usize, class: usize, judge: &impl Judge) -> Option<Cell<'r>> {
        let (first_leaf, signs, bit) = (post * POST, &self.posts[post], 1 << class);
        if signs.classes.load(Relaxed) & bit == 0 {
            return None;
        }
        let mut heads = signs.heads.load(Acquire);
        while heads != 0 {
            let head = first_leaf + heads.trailing_zeros() as usize;
            heads &= heads - 1;
            if self.is_run_of(head, class) {
                if let Some(cell) = self.take_from(head, class, judge) {
                    return Some(cell);
                }
                self.withdraw(head);
            }
        }
        signs.classes.fetch_and(!bit, SeqCst);
        // A run advertised before the bit went has found it set and said nothing. The fence is for
        // the loads of kinds, which are weaker.
        fence(SeqCst);
        if self.names(post, class) {
            // The district too: another search may have cleared it while the post had no bit.
            self.name(post, class);
        }
        None
    }

    /// Lets searches pass a run that was found full, unless it has room again.
    fn withdraw(&self, head: usize) {
        self.posts[head / POST].heads.fetch_and(!head_bit(head), SeqCst);
        // A cell given back before the bit went has found it set and said nothing; and another run
        // may have been opened here meanwhile. The fence is for the loads, which are weaker.
        fence(SeqCst);
        self.advertise_if_room(head);
    }

    fn advertise_if_room(&self, head: usize) {
        if let Some(shape) = self.kind(head).shape()
            && self.taken(head, shape) < usize::from(shape.cells)
        {
            self.advertise(head, usize::from(shape.class));
        }
    }

    /// Whether a post names a run of `class`.
    fn names(&self, post: usize, class: usize) -> bool {
        let mut heads = self.posts[post].heads.load(SeqCst);
        while heads != 0 {
            if self.is_run_of(post * POST + heads.trailing_zeros() as usize, class) {
                return true;
            }
            heads &= heads - 1;
        }
        false
    }

    fn is_run_of(&self, head: usize, class: usize) -> bool {
        let shape = shape_of(self.kinds[head].load(Acquire));
        shape.is_some_and(|shape| usize::from(shape.class) == class)
    }

    /// Clears a district's bit if none of its posts has it.
    fn clear_district(&self, district: usize, class: usize) {
        let bit = 1 << class;
        let end = self.posts.len().min((district + 1) * DISTRICT);
        let posts = &self.posts[district * DISTRICT..end];
        let any = || posts.iter().any(|post| post.classes.load(SeqCst) & bit != 0);
        if !any() {
            self.districts[district].fetch_and(!bit, SeqCst);
            // A post set before the bit went has found it set and said nothing.
            if any() {
                self.districts[district].fetch_or(bit, SeqCst);
            }
        }
    }
}

impl Cell<'_> {
    #[inline]
    fn bit(self) -> usize {
        1 << (first_bit(self.head) + self.index)
    }
}

/// The lowest bit of a run that begins at `head`.
#[inline]
fn first_bit(head: usize) -> usize {
    head % LANES * LANE_BITS
}

/// The bits of the cells of a run.
#[inline]
fn lane(head: usize, shape: &Shape) -> usize {
    shape.lane << first_bit(head)
}

/// The bit of a run's first leaf in its post.
#[inline]
fn head_bit(head: usize) -> usize {
    1 << (head % POST)
}

/// Leaves to a post.
const POST: usize = WORD_BITS;
/// Posts to a district.
const DISTRICT: usize = 64;

/// How many posts and districts `leaves` leaves have.
pub(crate) fn posts_for(leaves: usize) -> (usize, usize) {
    (leaves.div_ceil(POST), leaves.div_ceil(POST * DISTRICT))
}

/// The bit that keeps a word's cells where they are: no run is so long that it would use it.
const FROZEN: usize = 1 << (usize::BITS - 1);

const _: () = assert!(CLASSES <= 32, "a post has a bit for each class");

#[cfg(test)]
mod tests;
