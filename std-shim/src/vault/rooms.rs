//! The rooms of a vault: one that stays, and those that come and go with the load.
//!
//! Each new room is as large as all before it together, so there are a handful at any size, and the
//! oldest are filled first, so the youngest fall empty. A room goes when nothing has been open in it
//! for a while. An open secret holds on to its room and is never moved.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use strongroom_core::{Arena, Buffer};

use super::builder::Options;
use super::room::Room;
use super::{OpenError, VaultError};
use crate::error::LockError;
use crate::pages::page_size;
use crate::park::Park;

/// A buffer and the room it lies in.
pub(super) struct Held {
    /// Ends before the room does.
    pub(super) buffer: Buffer<'static, Park>,
    pub(super) room: Arc<Room>,
}

/// Both locks are the standard library's: whoever waits sleeps, but lends no priority. The list is
/// written only when a room comes or goes, so with a budget that does not grow nobody ever waits.
pub(super) struct Rooms {
    list: RwLock<Vec<Arc<Room>>>,
    options: Options,
    /// Held while a room is being made, which takes long; the list stays free meanwhile.
    growing: Mutex<Growth>,
    /// Milliseconds of the clock before which the system is not asked again for more.
    refused_until: AtomicU64,
    /// The system refused to lock more, the last time it was asked.
    is_refused: AtomicBool,
    begun: Instant,
    /// Milliseconds of the clock before which no room needs to be looked at.
    next_trim: AtomicU64,
    pub(super) grown: AtomicUsize,
    pub(super) given_back: AtomicUsize,
    pub(super) growth_refusals: AtomicUsize,
}

#[derive(Default)]
struct Growth {
    /// Why it refused, the last time it was asked.
    refusal: Option<LockError>,
}

impl Rooms {
    pub(super) fn new(first: Arc<Room>, options: Options) -> Self {
        Self {
            list: RwLock::new(vec![first]),
            options,
            growing: Mutex::default(),
            refused_until: AtomicU64::new(0),
            is_refused: AtomicBool::new(false),
            begun: Instant::now(),
            next_trim: AtomicU64::new(0),
            grown: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
            growth_refusals: AtomicUsize::new(0),
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Opens in the first room that has room, or in a new one.
    pub(super) fn open(
        &self,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Result<Held, OpenError> {
        self.trim_now_and_then();
        loop {
            let rooms = self.read();
            let known = rooms.len();
            let opened = open_in_any(&rooms, len, open);
            drop(rooms);
            match opened {
                Err(error) if error.is_about_room() => match self.grow(known, len) {
                    Ok(()) => {}
                    // It would fit if others gave way.
                    Err(CannotGrow::Now) => return Err(OpenError::no_room(len)),
                    Err(CannotGrow::Ever) => return Err(error),
                },
                settled => return settled,
            }
        }
    }

    /// The longest secret in bytes that fits when nothing else is open: beside what is in the first
    /// room now, or in one that is made for it.
    pub(super) fn longest(&self) -> usize {
        let first = self.read().first().map_or(0, |room| room.longest());
        let grown = self.options.ceiling.saturating_sub(self.options.floor);
        first.max(longest_in(grown / page_size() * page_size()))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    pub(super) fn refusal(&self) -> Option<LockError> {
        self.growth().refusal.clone()
    }

    /// Milliseconds since the vault was made.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives back the rooms but the first in which nothing has been open for `age`.
    pub(super) fn trim(&self, age: Duration) {
        // Nobody locks more until what goes is unlocked: the ceiling holds at every moment.
        let _nobody_grows = self.growth();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let stays = |room: &Arc<Room>| {
            let empty_for = room.empty_since().map(|since| now.saturating_sub(since));
            // Another owner is somebody who is about to drop a secret.
            empty_for.is_none_or(|time| time < age) || Arc::strong_count(room) > 1
        };
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let (mut kept, mut gone) = (Vec::with_capacity(list.len()), Vec::new());
        for (index, room) in list.drain(..).enumerate() {
            if index == 0 || stays(&room) { kept.push(room) } else { gone.push(room) }
        }
        *list = kept;
        drop(list);
        if !gone.is_empty() {
            self.given_back.fetch_add(gone.len(), Ordering::Relaxed);
            // Wiping and unlocking them takes long, and happens here, while the list is free.
            drop(gone);
            self.refused_until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Room>>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Trims if rooms were added and it was not done lately.
    fn trim_now_and_then(&self) {
        if self.grown.load(Ordering::Relaxed) == self.given_back.load(Ordering::Relaxed) {
            return;
        }
        let (now, linger) = (self.now(), self.options.linger);
        let due = self.next_trim.load(Ordering::Relaxed);
        let pause = u64::try_from(linger.as_millis()).unwrap_or(u64::MAX) / 4;
        let next = now.saturating_add(pause.max(1));
        // One of those who come when it is due does it.
        let exchange =
            |next| self.next_trim.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if now >= due && exchange(next).is_ok() {
            self.trim(linger);
        }
    }

    /// Adds a room for `len` bytes, unless somebody has added one to the `known` ones meanwhile.
    fn grow(&self, known: usize, len: usize) -> Result<(), CannotGrow> {
        let needed = needed_for(len).ok_or(CannotGrow::Ever)?;
        if needed > self.options.ceiling.saturating_sub(self.options.floor) {
            return Err(CannotGrow::Ever);
        }
        // Whoever is refused learns it without the lock, which is not fair: if all asked for it all
        // the time, one of them could wait for seconds.
        if let Some(settled) = self.growth_settled(known, needed) {
            return settled;
        }
        let mut growth = self.growth();
        if let Some(settled) = self.growth_settled(known, needed) {
            return settled;
        }
        let locked = locked_in(&self.read());
        let mut size = locked.max(needed).min(self.left(locked));
        let refusal = loop {
            match Room::new(size, &self.options) {
                Ok(room) => {
                    room.mark_empty(self.now());
                    let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
                    list.push(Arc::new(room));
                    self.grown.fetch_add(1, Ordering::Relaxed);
                    growth.refusal = None;
                    self.is_refused.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                Err(VaultError::Lock(_)) if size / 2 >= needed => {
                    size = (size / 2).next_multiple_of(page_size());
                }
                Err(VaultError::Lock(error)) => break Some(error),
                Err(_) => break None,
            }
        };
        self.growth_refusals.fetch_add(1, Ordering::Relaxed);
        self.refused_until.store(self.now().saturating_add(GROWTH_PAUSE), Ordering::Relaxed);
        self.is_refused.store(refusal.is_some(), Ordering::Relaxed);
        growth.refusal = refusal;
        Err(CannotGrow::Now)
    }

    /// What there is to say of growth by `needed` bytes without trying: somebody has added a room to
    /// the `known` ones, or it is of no use now.
    fn growth_settled(&self, known: usize, needed: usize) -> Option<Result<(), CannotGrow>> {
        let rooms = self.read();
        if rooms.len() > known {
            return Some(Ok(()));
        }
        let has_left = needed <= self.left(locked_in(&rooms));
        let is_refused = self.now() < self.refused_until.load(Ordering::Relaxed);
        (is_refused || !has_left).then_some(Err(CannotGrow::Now))
    }

    /// Bytes of whole pages up to the ceiling, when so many are locked.
    fn left(&self, locked: usize) -> usize {
        self.options.ceiling.saturating_sub(locked) / page_size() * page_size()
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No room can be added.
enum CannotGrow {
    /// The ceiling is reached, or the system refuses.
    Now,
    /// Not even if all other rooms were given back.
    Ever,
}

/// Bytes of pages in all of `rooms`.
fn locked_in(rooms: &[Arc<Room>]) -> usize {
    rooms.iter().map(|room| room.pages().bytes()).sum()
}

/// Opens in one of `rooms`, oldest first.
pub(super) fn open_in_any(
    rooms: &[Arc<Room>],
    len: usize,
    open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
) -> Result<Held, OpenError> {
    let mut refusal = None;
    for room in rooms {
        // SAFETY: the buffer is kept together with its room (`Held`), and goes first.
        match unsafe { room.open(len, open) } {
            Ok(buffer) => return Ok(Held { buffer, room: Arc::clone(room) }),
            Err(error) if error.is_shortage() => refusal = Some(error),
            // Too large for this room; another may be larger.
            Err(error) if error.is_about_room() => _ = refusal.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    Err(refusal.unwrap_or(OpenError::no_room(len)))
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

/// Milliseconds for which the system is not asked for more after it refused.
const GROWTH_PAUSE: u64 = 100;

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
