//! The segments of a vault: those that stay, and those that come and go with the load.
//!
//! A new segment is as large as all before it together until that becomes too much to lock in one go
//! ([`STEP`]), so there are a few dozen at any size. The oldest are filled first, so the youngest fall
//! empty. A segment goes when nothing has been open in it for a while. An open secret is never moved.
//!
//! Whoever looks for room takes no lock. Whoever asks the system for memory, or gives some back, does
//! it alone, and no lock is held meanwhile.

use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_core::Enclave;
#[cfg(feature = "allocator-api2-0_2")]
use strongroom_core::Fault;

use super::error::{Denied, VaultError};
use super::lease::Lease;
use super::options::Options;
use super::request::Request;
use super::segment::{Memory, Segment, User, VaultOwner, longest_free};
use crate::pages::{LockError, LockedPages, PIECE, page_size};
use crate::windows::{Role, Shuts};

pub(super) struct Pool {
    first: Segment,
    options: Options,
    /// The bytes that stay locked, and the most that are ever locked, in whole pages.
    floor: usize,
    ceiling: usize,
    /// The longest secret in bytes that fits when nothing else is open.
    longest: usize,
    /// Bytes of pages in all segments.
    locked: AtomicUsize,
    /// How often memory has come or gone.
    changes: AtomicUsize,
    system: Mutex<System>,
    settled: Condvar,
    /// Milliseconds of the clock before which the system is not asked again for more.
    refused_until: AtomicU64,
    /// The system refused to lock more, the last time it was asked.
    is_refused: AtomicBool,
    begun: Instant,
    /// Milliseconds of the clock before which no segment needs to be looked at.
    next_look: AtomicU64,
    pub(super) grown: AtomicUsize,
    pub(super) given_back: AtomicUsize,
    pub(super) growth_refusals: AtomicUsize,
}

/// What is known of the system's answers.
#[derive(Default)]
struct System {
    /// Somebody asks for memory or gives some back. Not the lock itself: that is held for moments.
    is_busy: bool,
    /// Why it refused, the last time it was asked.
    refusal: Option<LockError>,
}

/// How long to wait for somebody who is asking the system for memory.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all: whoever has asked says when it is over.
    None,
    Until(Option<Instant>),
}

impl Patience {
    /// When whoever asks the system itself has to be done.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::None | Self::Until(None) => None,
            Self::Until(deadline) => deadline,
        }
    }

    fn is_over(self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Pool {
    /// A pool of `floor` bytes at least and `ceiling` bytes at most, in whole pages; with an enclave if
    /// it is the `main` one.
    pub(super) fn new(
        floor: usize,
        ceiling: usize,
        options: &Options,
        is_main: bool,
    ) -> Result<Self, VaultError> {
        let page = page_size();
        let floor = floor.checked_next_multiple_of(page).unwrap_or(floor);
        let for_key = if is_main && options.shuts != Shuts::Nothing { page } else { 0 };
        let floor = floor.max(2 * for_key);
        let ceiling = (ceiling / page * page).max(floor);
        if floor > MOST_SEGMENT {
            // What the system has not got is refused as a whole, before a part is locked.
            LockedPages::try_reserving(floor)?;
        }
        let mut memory = Memory::new(floor.min(MOST_SEGMENT) - for_key, options)?;
        if is_main {
            memory = memory.with_enclave(options)?;
        }
        memory.seal_mappings(options)?;
        let (mut locked, mut longest) = (memory.bytes(), longest_free(memory.arena()));
        let first = Segment::that_stays(memory);
        while locked < floor {
            let mut memory = Memory::new((floor - locked).min(MOST_SEGMENT), options)?;
            memory.seal_mappings(options)?;
            locked += memory.bytes();
            longest = longest.max(longest_free(memory.arena()));
            append(&first, Segment::that_stays(memory));
        }
        let longest = longest.max(longest_in((ceiling - floor).min(MOST_SEGMENT)));
        Ok(Self {
            first,
            options: options.clone(),
            floor,
            ceiling,
            longest,
            locked: AtomicUsize::new(locked),
            changes: AtomicUsize::new(0),
            system: Mutex::default(),
            settled: Condvar::new(),
            refused_until: AtomicU64::new(0),
            is_refused: AtomicBool::new(false),
            begun: Instant::now(),
            next_look: AtomicU64::new(0),
            grown: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
            growth_refusals: AtomicUsize::new(0),
        })
    }

    /// The first segment's memory, which stays and, in a pool that was made with one, has the enclave.
    #[inline]
    pub(super) fn lasting(&self) -> &Memory {
        self.first.lasting()
    }

    /// Those who use a segment each, oldest first, as long as they are kept.
    pub(super) fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.segments().filter_map(Segment::enter)
    }

    /// How many have a secret open, or look for room at this moment. Whoever was not counted any more
    /// has given its room back.
    pub(super) fn held(&self) -> usize {
        self.segments().map(Segment::users).sum()
    }

    /// How often somebody came to a segment, and how many segments there are.
    pub(super) fn entries(&self) -> (usize, usize) {
        let both = |sum: (usize, usize), segment: &Segment| {
            (sum.0.wrapping_add(segment.entries()), sum.1 + 1)
        };
        self.segments().fold((0, 0), both)
    }

    /// The longest secret in bytes that fits beside what is open now.
    pub(super) fn longest_now(&self) -> usize {
        self.users().map(|user| longest_free(user.arena())).max().unwrap_or(0)
    }

    /// Whether there is room for `len` bytes that the system refused, or was not asked for.
    pub(super) fn could_grow(&self, len: usize) -> bool {
        needed_for(len).is_some_and(|needed| needed <= self.left().min(MOST_SEGMENT))
    }

    /// What is told of damage.
    #[cfg(feature = "allocator-api2-0_2")]
    pub(super) fn on_fault(&self) -> fn(Fault) {
        self.options.on_fault
    }

    /// The most bytes that are ever locked.
    pub(super) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// The bytes that stay locked.
    pub(super) fn floor(&self) -> usize {
        self.floor
    }

    /// The longest secret in bytes that fits when nothing else is open.
    #[inline]
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    pub(super) fn refusal(&self) -> Option<LockError> {
        self.system().refusal.clone()
    }

    /// Does what is requested in the memory that is there.
    #[inline]
    pub(super) fn open(
        &self,
        enclave: &Enclave<'_, VaultOwner>,
        request: &Request<'_>,
    ) -> Result<Lease<'_>, Denied> {
        for user in self.users() {
            match Lease::new(user, enclave, request) {
                Err(Denied::NotNow) => {}
                settled => return settled,
            }
        }
        Err(Denied::NotNow)
    }

    /// How often memory has come or gone; for [`grow`](Self::grow).
    pub(super) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    /// Adds memory for secrets of so many bytes, of which the longest has `longest`, unless memory has
    /// come or gone since there were `seen` changes. After `Ok` it may be tried again; if anything was
    /// done, those who wait have to be told.
    pub(super) fn grow(
        &self,
        seen: usize,
        total: usize,
        longest: usize,
        patience: Patience,
    ) -> Grown {
        if self.changes() != seen {
            return Grown::Changed;
        }
        // Whoever can be told without asking the system is told without waiting for others who do.
        let Some(needed) = self.needed(total, longest).filter(|_| self.may_ask()) else {
            return Grown::Denied;
        };
        if needed > PIECE && patience.is_over() {
            return Grown::NotYet;
        }
        let Some(mut turn) = self.turn(patience) else { return Grown::NotYet };
        if self.changes() != seen {
            return Grown::Changed;
        }
        if needed > self.left() {
            while turn.give_back(0, 1) && !patience.is_over() {}
            if needed > self.left() && patience.is_over() {
                return Grown::GaveUp;
            }
        }
        if needed > self.left() || !self.may_ask() {
            return Grown::Refused;
        }
        turn.grow(needed, patience.deadline())
    }

    /// Gives back the segments beyond the floor in which nothing is open. Those who wait have to be
    /// told.
    pub(super) fn trim(&self) {
        if let Some(mut turn) = self.turn(Patience::Until(None)) {
            turn.give_back(0, usize::MAX);
        }
    }

    /// Gives back a segment in which nothing has been open for a while, if it is time to look for one
    /// and nobody else is busy with it. Whether it looked, and those who wait have to be told.
    #[inline]
    pub(super) fn trim_now_and_then(&self) -> bool {
        self.locked.load(Ordering::Relaxed) > self.floor && self.look()
    }

    fn look(&self) -> bool {
        let (now, linger) = (self.now(), millis(self.options.linger));
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.saturating_add((linger / 4).max(1));
        let exchange =
            |next| self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if now < due || exchange(next).is_err() {
            return false;
        }
        let Some(mut turn) = self.turn(Patience::None) else { return false };
        // One at a time, as that takes a while; others follow at once.
        let gone = turn.give_back(linger, 1);
        if gone {
            self.next_look.store(now, Ordering::Relaxed);
        }
        true
    }

    #[inline]
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        iter::successors(Some(&self.first), |segment| segment.next.get().map(|next| &**next))
    }

    /// Bytes of pages for secrets of so many bytes; `None` if there can never be so many.
    fn needed(&self, total: usize, longest: usize) -> Option<usize> {
        let most = (self.ceiling - self.floor).min(MOST_SEGMENT);
        // One at a time if not all together.
        let needed = needed_for(total).filter(|&needed| needed <= most);
        needed.or_else(|| needed_for(longest).filter(|&needed| needed <= most))
    }

    /// Bytes up to the ceiling.
    fn left(&self) -> usize {
        self.ceiling - self.locked.load(Ordering::Relaxed)
    }

    /// Whether the system has not refused just now, and there is something left to ask for or to give
    /// back for it.
    fn may_ask(&self) -> bool {
        let is_at_floor = self.locked.load(Ordering::Relaxed) == self.floor;
        self.now() >= self.refused_until.load(Ordering::Relaxed)
            && (!is_at_floor || self.left() > 0)
    }

    /// Milliseconds since the vault was made.
    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    fn system(&self) -> MutexGuard<'_, System> {
        self.system.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to ask the system for memory, which one thread has at a time.
    fn turn(&self, patience: Patience) -> Option<Turn<'_>> {
        let mut system = self.system();
        while system.is_busy {
            let left = match patience {
                Patience::None => return None,
                Patience::Until(None) => LONG,
                Patience::Until(Some(deadline)) => {
                    deadline.saturating_duration_since(Instant::now())
                }
            };
            if left.is_zero() {
                return None;
            }
            let woken = self.settled.wait_timeout(system, left);
            system = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        system.is_busy = true;
        Some(Turn { pool: self })
    }
}

/// What came of asking for memory.
pub(super) enum Grown {
    /// There is more, or others have changed something; others yet may have been told that there is none
    /// meanwhile, or have waited for this turn.
    Changed,
    /// The system is being asked by others, for longer than there is patience.
    NotYet,
    /// The system did not do all in time, and has what it did back; others may have waited for this turn.
    GaveUp,
    /// The system refused, or the budget is used up; others may have waited for the answer.
    Refused,
    /// Likewise, without asking.
    Denied,
}

/// The right to ask the system for memory and to give some back.
struct Turn<'p> {
    pool: &'p Pool,
}

impl Turn<'_> {
    /// Gives back at most `most` segments that nobody has used for `age` milliseconds. Whether there
    /// were any.
    fn give_back(&mut self, age: u64, most: usize) -> bool {
        let (pool, now, mut is_changed) = (self.pool, self.pool.now(), false);
        let gone = pool
            .segments()
            .filter_map(|segment| segment.give_back(now, age, &mut is_changed))
            .take(most);
        let count = gone
            .map(|memory| {
                let bytes = memory.bytes();
                // Wiped and unlocked before the budget has room for as much again.
                drop(memory);
                pool.locked.fetch_sub(bytes, Ordering::Relaxed);
            })
            .count();
        if is_changed {
            pool.changes.fetch_add(1, Ordering::SeqCst);
        }
        if count > 0 {
            pool.given_back.fetch_add(count, Ordering::Relaxed);
            pool.refused_until.store(0, Ordering::Relaxed);
        }
        count > 0
    }

    /// Adds a segment of at least `needed` bytes of pages, if the system gives as many until the deadline.
    fn grow(self, needed: usize, deadline: Option<Instant>) -> Grown {
        let pool = self.pool;
        let memory = |size| {
            let pages = pool.options.pages(size, deadline)?;
            if pages.bytes() < needed {
                return Ok(None);
            }
            Memory::of(pages, &pool.options, Role::Secrets).map(Some)
        };
        let locked = pool.locked.load(Ordering::Relaxed);
        let step = locked.min((locked / 8).max(STEP)) / page_size() * page_size();
        let mut size = step.max(needed).min(pool.left()).min(MOST_SEGMENT);
        let refusal = loop {
            match memory(size) {
                Ok(None) => return Grown::GaveUp,
                Ok(Some(memory)) => {
                    pool.locked.fetch_add(memory.bytes(), Ordering::Relaxed);
                    // Where there was some before, or else behind the last.
                    let left =
                        pool.segments().try_fold(memory, |memory, closed| closed.put(memory));
                    if let Some(memory) = left {
                        append(&pool.first, Segment::that_goes(memory));
                    }
                    pool.grown.fetch_add(1, Ordering::Relaxed);
                    pool.is_refused.store(false, Ordering::Relaxed);
                    pool.system().refusal = None;
                    pool.changes.fetch_add(1, Ordering::SeqCst);
                    return Grown::Changed;
                }
                Err(VaultError::Lock(_)) if size / 2 >= needed => {
                    size = (size / 2).next_multiple_of(page_size());
                }
                Err(VaultError::Lock(error)) => break Some(error),
                Err(_) => break None,
            }
        };
        pool.growth_refusals.fetch_add(1, Ordering::Relaxed);
        pool.refused_until.store(pool.now().saturating_add(GROWTH_PAUSE), Ordering::Relaxed);
        pool.is_refused.store(refusal.is_some(), Ordering::Relaxed);
        pool.system().refusal = refusal;
        Grown::Refused
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.system().is_busy = false;
        self.pool.settled.notify_all();
    }
}

/// Adds a segment behind the last.
fn append(first: &Segment, segment: Segment) {
    let mut last = first;
    let mut segment = Box::new(segment);
    loop {
        match last.next.set(segment) {
            Ok(()) => return,
            Err(refused) => segment = refused,
        }
        let Some(next) = last.next.get() else { return };
        last = next;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes of pages that hold a secret of `len` bytes beside the arena's bookkeeping.
fn needed_for(len: usize) -> Option<usize> {
    let bookkeeping = len / BOOKKEEPING_SHARE + BOOKKEEPING;
    len.checked_add(bookkeeping)?.checked_next_multiple_of(page_size())
}

/// The longest secret in bytes that needs no more than `bytes` of pages: the inverse of `needed_for`.
fn longest_in(bytes: usize) -> usize {
    let most = bytes.saturating_sub(BOOKKEEPING);
    // Of 17 bytes, 16 are the secret's; the rounding is in its favour at most by one.
    let longest = most - most.div_ceil(BOOKKEEPING_SHARE + 1);
    if most > 0 && needed_for(longest + 1).is_some_and(|needed| needed <= bytes) {
        longest + 1
    } else {
        longest
    }
}

/// Bytes of an arena's bookkeeping, and the part of a secret's length that it grows by.
const BOOKKEEPING: usize = 2048;
const BOOKKEEPING_SHARE: usize = 16;

/// Bytes that are added in one go, unless a secret is longer or an eighth of all is more.
const STEP: usize = PIECE;

/// The most bytes in one segment: an arena's work is done in moments, but to lock a segment or to give
/// it back takes a tenth of a second for so many.
const MOST_SEGMENT: usize = 1 << 30;

/// Milliseconds for which the system is not asked for more after it refused.
const GROWTH_PAUSE: u64 = 100;

/// Looked at again after so long.
const LONG: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_that_needs_so_much_needs_no_more() {
        for bytes in (1..200).map(|pages| pages * page_size()) {
            let longest = longest_in(bytes);
            assert!(needed_for(longest).unwrap() <= bytes, "{bytes}");
            assert!(needed_for(longest + 1).unwrap() > bytes, "{bytes}");
        }
        assert_eq!(longest_in(0), 0);
    }
}
