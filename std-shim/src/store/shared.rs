//! Secrets that are open for all who ask for them at the same time, each in one cell.
//!
//! ```text
//! look      the cell that a name's hint names, if it is open for the version that the name stands for
//! open      an empty cell: begun, named by the hint, filled, and shown to the others
//! leave     whoever is the last takes it away, unless it is to linger
//! retire    what a name stands for no more is shown to nobody, and goes with its last reader
//! ```
//! First the name says what it stands for, then its cell is found; whoever has the cell asks the name
//! again. Whoever changes what a name stands for looks for a cell afterwards. In the order of all
//! `SeqCst` operations one of the two sees the other.

use std::fmt::{self, Debug, Formatter};
use std::hint::spin_loop;
use std::mem;
use std::str;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_core::Owner;

use super::cell::{Cell, Claimed, Filling, Reader, Standing, Unread};
use super::entry::{Hint, Identity};
use crate::park::Park;
use crate::records::{FreeList, Table};
use crate::vault::{
    Chance, Exposed, Keeper, Mark, OpenError, OwnedOpened, SealError, Sealed, Share, watch,
};

/// A secret of a [`Store`](super::Store) that is open for whoever asks for it. Whoever else opens the same
/// name meanwhile reads the same memory; the last one to drop it wipes it, and makes room for those who
/// wait, unless it is to [linger](super::Store::with_lingering).
///
/// It can be read, not changed: who wants to change a secret opens it
/// [alone](super::Store::try_open_alone).
pub struct SharedOpened<'s> {
    /// Leaves before the cell is looked after.
    reader: Reader<'s, Occupant>,
    _after: LookAfter<'s>,
    /// Somebody holds an open secret.
    _held: Mark,
}

/// Takes a cell away that its last reader has left.
struct LookAfter<'s> {
    cells: &'s SharedCells,
    place: Place<'s>,
}

pub(super) struct SharedCells {
    share: Share,
    own: Weak<Self>,
    cells: Table<Block>,
    empty: FreeList,
    /// Milliseconds for which a secret stays open that nobody uses; 0 for none.
    lingering: u64,
    begun: Instant,
    /// Of secrets that may linger: rises with each that is opened, and every few milliseconds while any do.
    tick: AtomicU64,
    /// A thread looks after those who linger.
    is_watched: AtomicBool,
    /// Those that nobody used, the longest unused last, with the tick at which somebody last did.
    unused: Mutex<Vec<(u64, u32)>>,
    pub(super) given_up: AtomicU64,
}

/// Cells, and who reads them.
#[derive(Default)]
struct Block {
    slots: [Slot; BLOCK as usize],
    readers: [Counts; GROUPS as usize],
}

/// How many threads of one group read each cell of a block.
#[derive(Default)]
#[repr(align(64))]
struct Counts([AtomicU32; BLOCK as usize]);

/// A cell, and what is known of it without a look inside.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    cell: Cell<Occupant>,
    /// The number of the next empty one, plus 1.
    next: AtomicU32,
    /// The tick at which somebody last left it.
    last_used: AtomicU64,
    /// That tick when it was last looked after, and the clock when it was first so.
    seen: AtomicU64,
    seen_since: AtomicU64,
    /// Milliseconds of the clock; 0 for never.
    expires: AtomicU64,
    /// How many secrets were opened in it. Only who opens one changes it.
    opened: AtomicU64,
}

/// Where a cell is.
#[derive(Clone, Copy)]
struct Place<'s> {
    number: u32,
    block: &'s Block,
    slot: &'s Slot,
}

struct Occupant {
    identity: Identity,
    opened: OwnedOpened,
}

/// What a name stands for at one moment.
pub(super) trait Current {
    fn identity(&self) -> Identity;

    fn hint(&self) -> &Hint;

    /// Whether it stands for the same still.
    fn is_current(&self) -> bool;

    /// Its record, with its context and when it expires; `None` if it stands for something else now.
    fn record<R>(&self, open: impl FnOnce(&Sealed<&[u8]>, &[u8], u64) -> R) -> Option<R>;
}

/// What came of an attempt.
pub(super) enum Attempt<'s> {
    Opened(SharedOpened<'s>),
    Failed(OpenError),
    Expired,
    /// There is no room.
    NotNow,
    /// The name stands for something else now.
    Changed,
}

impl SharedCells {
    pub(super) fn new(share: Share, lingering: Duration) -> Arc<Self> {
        let cells = Arc::new_cyclic(|own| Self {
            share,
            own: own.clone(),
            cells: Table::new(),
            empty: FreeList::default(),
            lingering: u64::try_from(lingering.as_millis()).unwrap_or(u64::MAX),
            begun: Instant::now(),
            tick: AtomicU64::new(1),
            is_watched: AtomicBool::new(false),
            unused: Mutex::default(),
            given_up: AtomicU64::new(0),
        });
        if cells.lingering > 0 {
            cells.share.add_keeper(cells.own.clone());
        }
        cells
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Milliseconds of the store's clock, from 1 on.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether the time of something is over that expires then: never, if that is 0.
    #[inline]
    pub(super) fn is_over(&self, expires: u64) -> bool {
        expires != 0 && expires <= self.now()
    }

    /// The secret, if it is open in the cell that a hint names.
    #[inline]
    fn find(&self, current: &impl Current, hint: u64) -> Result<SharedOpened<'_>, Unread> {
        let number = Hint::cell(hint).ok_or(Unread::Gone)?;
        let place = self.place(number).ok_or(Unread::Gone)?;
        let reader = place.read();
        // Made at once: to be counted for a moment may make it the last one, who looks after the cell.
        let after = LookAfter { cells: self, place };
        let reader = reader?;
        let is_it = reader.value().identity == current.identity() && current.is_current();
        let shared = SharedOpened { reader, _after: after, _held: Mark::new() };
        if !is_it || self.is_over(place.slot.expires.load(Ordering::Relaxed)) {
            return Err(Unread::Gone);
        }
        Ok(shared)
    }

    /// The secret, open for others too: as it is, or else opened now.
    #[inline]
    pub(super) fn open(
        &self,
        current: &impl Current,
        chance: Chance<'_>,
        may_sleep: bool,
    ) -> Attempt<'_> {
        let hint = current.hint().load();
        match self.find(current, hint) {
            Ok(shared) => self.checked(shared),
            Err(unread) => self.open_unread(current, chance, may_sleep, (hint, unread)),
        }
    }

    /// The same, where it was `seen` with a hint that it is not open.
    fn open_unread(
        &self,
        current: &impl Current,
        chance: Chance<'_>,
        may_sleep: bool,
        seen: (u64, Unread),
    ) -> Attempt<'_> {
        let mut patience = Patience { waits: 0, may_sleep };
        let (mut hint, mut unread) = seen;
        loop {
            match unread {
                _ if !current.is_current() => return Attempt::Changed,
                Unread::Opening(birth) if birth == current.identity().birth => {
                    if !patience.wait() {
                        // By somebody who does not come to an end.
                        return self.open_anew(current, chance, None);
                    }
                }
                _ => match self.open_anew(current, chance, Some(hint)) {
                    Attempt::Changed if current.is_current() => {}
                    attempt => return attempt,
                },
            }
            hint = current.hint().load();
            unread = match self.find(current, hint) {
                Ok(shared) => return self.checked(shared),
                Err(unread) => unread,
            };
        }
    }

    /// What was found open, unless it is open to nobody any more.
    #[inline]
    fn checked<'s>(&self, shared: SharedOpened<'s>) -> Attempt<'s> {
        match self.share.check() {
            Ok(()) => Attempt::Opened(shared),
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Opens it in a cell of its own; for others too, if `hint` is what led to no cell of its.
    #[inline]
    fn open_anew(
        &self,
        current: &impl Current,
        chance: Chance<'_>,
        hint: Option<u64>,
    ) -> Attempt<'_> {
        let identity = current.identity();
        let Some((vacancy, filling)) = self.begin(identity.birth) else { return Attempt::NotNow };
        let place = vacancy.place;
        let slot = place.slot;
        if hint.is_some_and(|hint| !current.hint().change(hint, place.number)) {
            // Another was faster.
            drop(filling);
            return Attempt::Changed;
        }
        let opened = current.record(|record, context, expires| {
            if self.is_over(expires) {
                return Err(Attempt::Expired);
            }
            match self.share.open_for_others(chance, record, context) {
                None => Err(Attempt::NotNow),
                Some(Err(error)) => Err(Attempt::Failed(error)),
                Some(Ok(opened)) => Ok((opened, expires)),
            }
        });
        let (opened, expires) = match opened {
            None => return Attempt::Changed,
            Some(Err(attempt)) => return attempt,
            Some(Ok(opened)) => opened,
        };
        slot.opened.store(slot.opened.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        slot.expires.store(expires, Ordering::Relaxed);
        if self.lingering > 0 {
            self.tick.fetch_add(1, Ordering::Relaxed);
        }
        let reader = filling.publish(Occupant { identity, opened }, place.count());
        mem::forget(vacancy);
        let after = LookAfter { cells: self, place };
        if hint.is_none() {
            reader.retire();
        }
        let shared = SharedOpened { reader, _after: after, _held: Mark::new() };
        if !current.is_current() {
            shared.reader.retire();
            return Attempt::Changed;
        }
        if hint.is_some() {
            self.share.tell(identity.birth);
            self.watch();
        }
        match self.share.check() {
            Ok(()) => Attempt::Opened(shared),
            Err(error) => {
                shared.reader.retire();
                Attempt::Failed(error)
            }
        }
    }

    /// Has a secret shown to nobody any more that its name has just ceased to stand for.
    pub(super) fn retire(&self, hint: &Hint, identity: Identity) {
        let Some(number) = Hint::cell(hint.load()) else { return };
        let Some(place) = self.place(number) else { return };
        let reader = place.read();
        let _after = LookAfter { cells: self, place };
        // One that is being opened is retired by whoever opens it.
        if let Ok(reader) = reader
            && reader.value().identity == identity
        {
            reader.retire();
        }
    }

    /// The right to fill an empty cell, for `topic`: that of the calling thread's group, which is in no list,
    /// or else another.
    #[inline]
    fn begin(&self, topic: u64) -> Option<(Vacancy<'_>, Filling<'_, Occupant>)> {
        self.begin_in(group(), topic).or_else(|| self.begin_in(self.listed()?, topic))
    }

    #[inline]
    fn begin_in(&self, number: u32, topic: u64) -> Option<(Vacancy<'_>, Filling<'_, Occupant>)> {
        let vacancy = Vacancy { cells: self, place: self.place(number)? };
        let filling = vacancy.place.slot.cell.begin(topic)?;
        Some((vacancy, filling))
    }

    /// An empty cell out of the list.
    #[inline]
    fn listed(&self) -> Option<u32> {
        let next =
            |number| self.place(number).map_or(0, |place| place.slot.next.load(Ordering::Relaxed));
        self.empty.pop(next).or_else(|| self.add_block())
    }

    /// Adds cells, and takes one of them.
    #[cold]
    fn add_block(&self) -> Option<u32> {
        let block = self.cells.add(MOST_CELLS / BLOCK)? * BLOCK;
        let first = block.max(GROUPS);
        let others = (first + 1..block + BLOCK).rev();
        others.filter_map(|number| self.place(number)).for_each(|place| self.vacate(place));
        Some(first)
    }

    #[inline]
    fn vacate(&self, place: Place<'_>) {
        if place.number >= GROUPS {
            self.empty.push(place.number, |next| place.slot.next.store(next, Ordering::Relaxed));
        }
    }

    #[inline]
    fn place(&self, number: u32) -> Option<Place<'_>> {
        let block = self.cells.at(number / BLOCK)?;
        Some(Place { number, block, slot: &block.slots[(number % BLOCK) as usize] })
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.cells.iter().flat_map(|(first, block)| {
            let numbers = first * BLOCK..;
            numbers.zip(&block.slots).map(move |(number, slot)| Place { number, block, slot })
        })
    }

    /// Takes a cell away that stands so, if it still does and nobody reads it.
    #[inline]
    fn take_away(&self, place: Place<'_>, standing: Standing) -> bool {
        let Some(occupant) = place.claim(standing) else { return false };
        // Even if the fault handler panics.
        let _vacant = Vacancy { cells: self, place };
        drop(occupant);
        true
    }

    fn look_after(&self, place: Place<'_>, standing: Standing) {
        // In a forked child there is nothing to take away.
        if !self.share.vault().is_inherited() {
            self.take_away(place, standing);
        }
    }

    /// Whether a secret that nobody uses may stay open.
    #[inline]
    fn lingers(&self) -> bool {
        self.lingering > 0 && self.is_watched.load(Ordering::Relaxed) && !self.share.is_waited_for()
    }

    /// How many cells are open, and how many of them nobody uses.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = self.places().filter(|place| place.slot.cell.standing() != Standing::Shut);
        open.fold((0, 0), |(open, unused), place| {
            (open + 1, unused + usize::from(place.is_unused()))
        })
    }

    /// How many secrets were opened.
    pub(super) fn decryptions(&self) -> u64 {
        self.places().map(|place| place.slot.opened.load(Ordering::Relaxed)).sum()
    }

    fn unused(&self) -> MutexGuard<'_, Vec<(u64, u32)>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret that was not used for the longest time.
    fn longest_unused(&self) -> Option<Place<'_>> {
        let mut unused = self.unused();
        let mut is_fresh = false;
        loop {
            while let Some((tick, number)) = unused.pop() {
                let Some(place) = self.place(number) else { continue };
                if place.slot.last_used.load(Ordering::Relaxed) == tick && place.is_unused() {
                    return Some(place);
                }
            }
            if is_fresh {
                return None;
            }
            is_fresh = true;
            let all = self.places().filter(Place::is_unused);
            unused.extend(
                all.map(|place| (place.slot.last_used.load(Ordering::Relaxed), place.number)),
            );
            unused.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    /// Has a thread look after those who linger.
    #[inline]
    fn watch(&self) {
        if self.lingering > 0 && !self.is_watched.swap(true, Ordering::SeqCst) {
            self.begin_watch();
        }
    }

    #[cold]
    fn begin_watch(&self) {
        let every = Duration::from_millis((self.lingering / 16).clamp(5, 20));
        let begun =
            watch::begin("strongroom-linger", self.own.clone(), every, Self::pass, Self::end_watch);
        if begun.is_err() {
            // Nobody would end it in time, so nothing lingers.
            self.is_watched.store(false, Ordering::SeqCst);
        }
    }

    /// Takes those away that have lingered for long enough, or have expired. Whether any are open.
    fn pass(&self, _: Instant) -> bool {
        self.tick.fetch_add(1, Ordering::Relaxed);
        let now = self.now();
        let mut is_any = false;
        for place in self.places() {
            let slot = place.slot;
            if slot.cell.standing() == Standing::Shut {
                continue;
            }
            is_any = true;
            if !place.is_unused() {
                continue;
            }
            let used = slot.last_used.load(Ordering::Relaxed);
            if slot.seen.swap(used, Ordering::Relaxed) != used {
                slot.seen_since.store(now, Ordering::Relaxed);
            }
            let unused = now.saturating_sub(slot.seen_since.load(Ordering::Relaxed));
            if unused >= self.lingering || self.is_over(slot.expires.load(Ordering::Relaxed)) {
                self.take_away(place, Standing::Open);
            }
        }
        is_any
    }

    fn end_watch(&self) -> bool {
        self.is_watched.store(false, Ordering::SeqCst);
        // One may have been opened just now that took this to go on.
        self.count().0 == 0 || self.is_watched.swap(true, Ordering::SeqCst)
    }
}

impl Keeper for SharedCells {
    fn give_up(&self, most: usize) -> usize {
        let mut count = 0;
        while count < most
            && let Some(place) = self.longest_unused()
        {
            count += usize::from(self.take_away(place, Standing::Open));
        }
        self.given_up.fetch_add(count as u64, Ordering::Relaxed);
        count
    }
}

impl<'s> Place<'s> {
    /// Where the calling thread is counted.
    #[inline]
    fn count(&self) -> &'s AtomicU32 {
        let Counts(counts) = &self.block.readers[group() as usize];
        &counts[(self.number % BLOCK) as usize]
    }

    #[inline]
    fn read(&self) -> Result<Reader<'s, Occupant>, Unread> {
        self.slot.cell.read(self.count())
    }

    /// Whether anybody reads it.
    #[inline]
    fn is_read(&self) -> bool {
        let own = (self.number % BLOCK) as usize;
        self.block.readers.iter().any(|Counts(counts)| counts[own].load(Ordering::SeqCst) > 0)
    }

    /// Whether it is open, to linger, and nobody reads it.
    fn is_unused(&self) -> bool {
        self.slot.cell.standing() == Standing::Open && !self.is_read()
    }

    #[inline]
    fn claim(&self, standing: Standing) -> Option<Claimed<'s, Occupant>> {
        self.slot.cell.claim(standing, || self.is_read())
    }
}

/// The group of the calling thread.
#[inline]
fn group() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it is a small number")]
    let group = Park.shard(GROUPS as usize) as u32;
    group % GROUPS
}

/// An empty cell, which goes back to the others when dropped.
struct Vacancy<'s> {
    cells: &'s SharedCells,
    place: Place<'s>,
}

impl Drop for Vacancy<'_> {
    fn drop(&mut self) {
        self.cells.vacate(self.place);
    }
}

impl Drop for LookAfter<'_> {
    #[inline]
    fn drop(&mut self) {
        let slot = self.place.slot;
        match slot.cell.standing() {
            Standing::Shut => {}
            Standing::Open if self.cells.lingers() => {
                let (last_used, tick) = (&slot.last_used, self.cells.tick.load(Ordering::Relaxed));
                // Others read it in this very moment.
                if last_used.load(Ordering::Relaxed) != tick {
                    last_used.store(tick, Ordering::Relaxed);
                }
            }
            standing => self.cells.look_after(self.place, standing),
        }
    }
}

/// How long somebody waits for another who is opening the same.
struct Patience {
    waits: u32,
    may_sleep: bool,
}

impl Patience {
    /// Whether it waited.
    fn wait(&mut self) -> bool {
        self.waits += 1;
        match self.waits {
            0..100 => spin_loop(),
            100..150 => thread::yield_now(),
            150..350 if self.may_sleep => thread::sleep(Duration::from_micros(50)),
            _ => return false,
        }
        true
    }
}

impl SharedOpened<'_> {
    fn opened(&self) -> &OwnedOpened {
        &self.reader.value().opened
    }

    /// The secret, for as long as the guard lives; see
    /// [`Opened::expose_secret`](crate::Opened::expose_secret).
    #[inline]
    pub fn expose_secret(&self) -> Exposed<'_> {
        self.opened().expose_secret()
    }

    /// The secret as text, for as long as the guard lives.
    ///
    /// # Errors
    /// [`OpenError::NotUtf8`] if it is none.
    pub fn try_expose_text(&self) -> Result<Exposed<'_, str>, OpenError> {
        str::from_utf8(&self.expose_secret()).map_err(|_| OpenError::NotUtf8)?;
        // It still is, but while an emergency wipes it.
        Ok(Exposed::map(self.expose_secret(), |bytes| str::from_utf8(bytes).unwrap_or_default()))
    }

    /// Calls `look` with the secret.
    #[inline]
    pub fn with_secret<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        self.opened().with_secret(look)
    }

    /// The secret's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opened().len()
    }

    /// Whether the secret has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the secret equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &[u8]) -> bool {
        self.opened().constant_time_eq(other)
    }

    /// The version that it is of its name's secret. The name may stand for a later one by now.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.reader.value().identity.version
    }

    /// Seals the secret from where it is open, for a context of the caller's; see
    /// [`Vault::seal`](crate::Vault::seal).
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8]) -> Result<Sealed, SealError> {
        self.opened().seal(context)
    }
}

impl Debug for SharedOpened<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOpened")
            .field("len", &self.len())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// Each takes locked memory.
const MOST_CELLS: u32 = u32::MAX - 1;

/// Cells in a block.
const BLOCK: u32 = 16;

/// Groups of threads that are counted apart, and have each a cell of its own: fewer than a block has cells.
const GROUPS: u32 = 8;
