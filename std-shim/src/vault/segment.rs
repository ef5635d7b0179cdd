//! A stretch of locked memory with an arena in it, and those who use it.
//!
//! The memory comes and goes while threads look for room: whoever uses it is counted, and it is taken
//! away only while nobody is. Threads are counted apart from each other, each in a cache line of its
//! own.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use strongroom_core::{AllocateError, Arena, Door, Enclave, Lost, Owner, Region, SpanKind};

use super::error::VaultError;
use super::key_share::{KeyShareError, Keyring};
use super::keyring::KeyringShare;
use super::options::Options;
use crate::emergency::{self, Registration};
use crate::entropy::OsEntropy;
use crate::pages::{LockedPages, Policy};
use crate::park::{Park, ParkLock};
use crate::windows::{Gate, Role, Shuts, Window};

/// The owner of a vault's memory: those who wait for its lock sleep, and it knows when all memory was
/// wiped. It has the gate before the memory, if the vault has windows. What a forked child has of it, the
/// vault knows.
#[derive(Debug, Default)]
pub struct VaultOwner {
    gate: Gate,
}

/// The owner of what is no vault's memory, though its type says so.
pub(super) static NO_GATE: VaultOwner = VaultOwner { gate: Gate::None };

impl Owner for VaultOwner {
    const MAY_BE_LOST: bool = true;

    type Lock = ParkLock;
    type Shards = <Park as Owner>::Shards;
    type Window<'o> = Window<'o>;

    #[inline]
    fn open(&self, _: Door) -> Window<'_> {
        self.gate.open()
    }

    #[inline]
    fn lost(&self) -> Option<Lost> {
        emergency::is_wiped().then_some(Lost::Contents)
    }
}

/// A place for memory, and the memory, if there is some.
pub(super) struct Segment {
    stays: bool,
    users: Users,
    state: AtomicU8,
    /// Milliseconds of the vault's clock at which it was seen that nobody uses it.
    idle_since: AtomicU64,
    memory: UnsafeCell<Option<Memory>>,
    /// The one that was added after this.
    pub(super) next: OnceLock<Box<Segment>>,
}

// SAFETY: the memory is changed by one thread at a time while nobody uses it (see `give_back`), and is
// otherwise only shared; all of it may be used from, and dropped in, any thread.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// One whose memory is never given back.
    pub(super) fn that_stays(memory: Memory) -> Self {
        Self { stays: true, ..Self::that_goes(memory) }
    }

    /// One whose memory comes and goes.
    pub(super) fn that_goes(memory: Memory) -> Self {
        Self {
            stays: false,
            users: Users::default(),
            state: AtomicU8::new(OPEN),
            idle_since: AtomicU64::new(0),
            memory: UnsafeCell::new(Some(memory)),
            next: OnceLock::new(),
        }
    }

    /// The memory of a segment that stays.
    #[inline]
    pub(super) fn lasting(&self) -> &Memory {
        // SAFETY: the memory of a segment that stays is not changed; that of another is not looked at.
        let memory = if self.stays { unsafe { &*self.memory.get() } } else { &None };
        let Some(memory) = memory else { unreachable!("{MISSING}") };
        memory
    }

    /// Counts a user of the memory, if there is memory.
    #[inline]
    pub(super) fn enter(&self) -> Option<User<'_>> {
        let user = self.users.enter(self);
        // In the order of all `SeqCst` operations either this sees that the memory is being given
        // back, or `give_back` sees the user.
        (self.state.load(Ordering::SeqCst) != CLOSED).then_some(user)
    }

    #[cold]
    fn end_idleness(&self) {
        let _ = self.state.compare_exchange(IDLE, OPEN, Ordering::SeqCst, Ordering::Relaxed);
    }

    /// How many use the memory: have a secret open here, or look for room at this moment.
    ///
    /// Whoever was not counted any more has given its room back.
    pub(super) fn users(&self) -> usize {
        self.users.count()
    }

    /// How often somebody came to use the memory; it starts again from 0 now and then.
    pub(super) fn entries(&self) -> usize {
        self.users.entries()
    }

    /// Takes the memory away, if nobody has used it since `age` milliseconds ago by a clock that says
    /// `now`; otherwise notes whether somebody does. Says in `is_changed` whether the segment was closed,
    /// if only for a moment.
    ///
    /// Called by one thread at a time, which is the only one to call `put`.
    pub(super) fn give_back(&self, now: u64, age: u64, is_changed: &mut bool) -> Option<Memory> {
        let state = self.state.load(Ordering::Relaxed);
        if self.stays || state == CLOSED || self.users.count() > 0 {
            return None;
        }
        if state == OPEN && age > 0 {
            self.idle_since.store(now, Ordering::Relaxed);
            let _ = self.state.compare_exchange(OPEN, IDLE, Ordering::SeqCst, Ordering::Relaxed);
            return None;
        }
        if now.saturating_sub(self.idle_since.load(Ordering::Relaxed)) < age {
            return None;
        }
        self.state.compare_exchange(state, CLOSED, Ordering::SeqCst, Ordering::Relaxed).ok()?;
        *is_changed = true;
        if self.users.count() > 0 {
            // Somebody came just now.
            self.state.store(OPEN, Ordering::SeqCst);
            return None;
        }
        // SAFETY: nobody uses the memory, whoever comes now sees that it is closed, and no other
        // thread is in here or in `put`.
        unsafe { &mut *self.memory.get() }.take()
    }

    /// Puts memory where there is none; gives it back if there is.
    ///
    /// Called by one thread at a time, which is the only one to call `give_back`.
    pub(super) fn put(&self, memory: Memory) -> Option<Memory> {
        if self.state.load(Ordering::SeqCst) != CLOSED {
            return Some(memory);
        }
        // SAFETY: nobody looks at the memory of a closed segment, and no other thread is in here or
        // in `give_back`.
        unsafe { *self.memory.get() = Some(memory) };
        self.state.store(OPEN, Ordering::SeqCst);
        None
    }
}

/// Somebody who uses a segment's memory, which stays as long as this lives.
pub(super) struct User<'v> {
    segment: &'v Segment,
    /// The shard it is counted in, and [`MOST`]. One whole word: what is smaller is moved in pieces, for
    /// each of which a processor waits.
    counted: usize,
}

impl User<'_> {
    /// Whether so many have never been counted in this thread's shard before.
    #[inline]
    pub(super) fn is_most(&self) -> bool {
        self.counted & MOST != 0
    }

    /// Notes that the memory is of use: something was opened in it.
    #[inline]
    pub(super) fn note_use(&self) {
        if self.segment.state.load(Ordering::Relaxed) == IDLE {
            self.segment.end_idleness();
        }
    }

    /// Stays counted though nobody keeps this: the memory stays until as many have
    /// [rejoined](Self::rejoin_parted).
    #[cfg(feature = "allocator-api2-0_2")]
    pub(super) fn part(self) {
        // Together, whoever it was and in whichever thread: they come back in others.
        self.segment.users.0[PARTED].users.fetch_add(1, Ordering::SeqCst);
    }

    /// Is not counted any more for one that has parted.
    ///
    /// # Safety
    /// One has parted from this segment that has not rejoined.
    #[cfg(feature = "allocator-api2-0_2")]
    pub(super) unsafe fn rejoin_parted(&self) {
        self.segment.users.leave(PARTED);
    }

    #[inline]
    fn memory(&self) -> &Memory {
        // SAFETY: while somebody uses it the memory is not changed.
        let memory = unsafe { &*self.segment.memory.get() };
        let Some(memory) = memory else { unreachable!("{MISSING}") };
        memory
    }

    #[inline]
    pub(super) fn arena(&self) -> &Arena<'_, VaultOwner> {
        self.memory().arena()
    }

    #[inline]
    pub(super) fn pages(&self) -> &LockedPages {
        self.memory().pages()
    }
}

impl Drop for User<'_> {
    #[inline]
    fn drop(&mut self) {
        self.segment.users.leave(self.counted % MOST);
    }
}

/// Locked pages with an arena in them, and perhaps an enclave in that.
pub(super) struct Memory {
    enclave: Option<ManuallyDrop<Enclave<'static, VaultOwner>>>,
    /// On the heap, so that it stays where it is while others point to it.
    arena: NonNull<ManuallyDrop<Arena<'static, VaultOwner>>>,
    /// What has the enclave's key, if it is to lie apart.
    apart: Option<Box<Memory>>,
    /// Goes before the pages it names.
    registration: Registration,
    pages: LockedPages,
    /// What has a share of the enclave's key.
    share: Option<KeyringShare>,
    /// Why it is not in the keyring, though that was asked for.
    share_refusal: Option<KeyShareError>,
}

impl Memory {
    pub(super) fn new(bytes: usize, options: &Options) -> Result<Self, VaultError> {
        Self::of(options.pages(bytes, None)?, options, Role::Secrets)
    }

    pub(super) fn of(
        mut pages: LockedPages,
        options: &Options,
        role: Role,
    ) -> Result<Self, VaultError> {
        let gate = pages.shut(options.shuts, role)?;
        let shut = gate.shut();
        let data = pages.as_non_null();
        // SAFETY: the pages are valid until they are dropped, after which the arena is not used;
        // nobody else gets at them but the wipe of an emergency.
        let region = unsafe { Region::from_raw(data.cast(), data.len()) };
        let arena = Arena::with_owner(region, &mut OsEntropy, VaultOwner { gate })?
            .with_fault_handler(options.on_fault);
        Ok(Self {
            enclave: None,
            arena: NonNull::from(Box::leak(Box::new(ManuallyDrop::new(arena)))),
            registration: Registration::new(data, shut),
            apart: None,
            pages,
            share: None,
            share_refusal: None,
        })
    }

    /// Makes an enclave in the arena.
    pub(super) fn with_enclave(mut self, options: &Options) -> Result<Self, VaultError> {
        if options.shuts != Shuts::Nothing {
            let pages = options.pages(KEY_MEMORY, None)?;
            self.apart = Some(Box::new(Self::of(pages, options, Role::Key)?));
        }
        let arena = self.apart.as_ref().map_or(self.arena, |memory| memory.arena);
        // SAFETY: the arena lives as long as this memory does, and so as the enclave.
        let arena = unsafe { arena.as_ref() };
        let mut enclave = Enclave::new(arena).map_err(|error| match error {
            AllocateError::Lost => VaultError::Wiped,
            error => VaultError::NoRoomForKey(error),
        })?;
        if let Some(keyring) = options.keyring() {
            let handed_over = KeyringShare::new(keyring, options).and_then(|share| {
                // SAFETY: it lives on the heap for as long as `share`, so as this memory and the enclave.
                let keeper = unsafe { NonNull::from(share.keeper()).as_ref() };
                enclave.keep_share_with(keeper).map_err(KeyShareError::from)?;
                Ok(share)
            });
            match handed_over {
                Ok(share) => self.share = Some(share),
                Err(VaultError::KeyShare(refusal)) if options.prefers_keyring() => {
                    self.share_refusal = Some(refusal);
                }
                Err(error) => return Err(error),
            }
        }
        self.enclave = Some(ManuallyDrop::new(enclave));
        Ok(self)
    }

    /// Seals the mappings, if that is asked for. Only of memory that stays: they cannot be given back.
    pub(super) fn seal_mappings(&mut self, options: &Options) -> Result<(), VaultError> {
        if !options.sealed_mapping {
            return Ok(());
        }
        let apart = self.apart.iter_mut().map(|memory| &mut memory.pages);
        for pages in apart.chain([&mut self.pages]) {
            match pages.seal_mapping() {
                Err(error) if options.policy == Policy::Require => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn enclave(&self) -> Option<&Enclave<'_, VaultOwner>> {
        self.enclave.as_deref()
    }

    #[inline]
    pub(super) fn pages(&self) -> &LockedPages {
        &self.pages
    }

    /// The keyring that a share of the key is in, and why it is in none though one was asked for.
    pub(super) fn keyring(&self) -> (Option<Keyring>, Option<KeyShareError>) {
        (self.share.as_ref().map(|share| share.keyring), self.share_refusal)
    }

    /// What has the enclave's key, if that lies apart.
    pub(super) fn key_memory(&self) -> Option<&Self> {
        self.apart.as_deref()
    }

    #[inline]
    pub(super) fn arena(&self) -> &Arena<'_, VaultOwner> {
        // SAFETY: the arena lives as long as this memory.
        unsafe { self.arena.as_ref() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.pages.bytes() + self.key_memory().map_or(0, Self::bytes)
    }
}

/// The longest secret in bytes that fits an arena beside what is in it.
pub(super) fn longest_free(arena: &Arena<'_, VaultOwner>) -> usize {
    let longest_in = |span: strongroom_core::Span| match span.kind {
        SpanKind::Free => span.len.saturating_sub(CANARIES),
        SpanKind::Run { cell_size, cells, live, quarantined }
            if ((live | quarantined).count_ones() as usize) < cells =>
        {
            cell_size
        }
        _ => 0,
    };
    arena.map().map(longest_in).max().unwrap_or(0)
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.pages.is_inherited() {
            self.registration.end();
        }
        // Neither enclave nor arena is dropped: all they would do is to wipe what is wiped with the
        // pages, and in a forked child or after an emergency there is nothing of them left.
        // SAFETY: the box was leaked in `new` and is taken back once.
        drop(unsafe { Box::from_raw(self.arena.as_ptr()) });
    }
}

/// How many use a segment, counted in shards.
#[derive(Default)]
struct Users([Shard; SHARDS]);

#[derive(Default)]
#[repr(align(64))]
struct Shard {
    /// In its lower half how many use the segment, in its upper half how often somebody came: who adds
    /// to one may as well add to both.
    users: AtomicUsize,
    /// The most of them there ever were.
    most: AtomicUsize,
}

impl Users {
    #[inline]
    fn enter<'v>(&self, segment: &'v Segment) -> User<'v> {
        let shard = Park.shard(SHARDS) % SHARDS;
        let Shard { users, most } = &self.0[shard];
        let count = (users.fetch_add(ENTRY + 1, Ordering::SeqCst) + 1) % ENTRY;
        let is_most = count > most.load(Ordering::Relaxed);
        if is_most {
            most.store(count, Ordering::Relaxed);
        }
        User { segment, counted: if is_most { shard | MOST } else { shard } }
    }

    #[inline]
    fn leave(&self, shard: usize) {
        self.0[shard].users.fetch_sub(1, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.0.iter().map(|shard| shard.users.load(Ordering::SeqCst) % ENTRY).sum()
    }

    fn entries(&self) -> usize {
        let entries = self.0.iter().map(|shard| shard.users.load(Ordering::SeqCst) / ENTRY);
        entries.fold(0, usize::wrapping_add) % ENTRY
    }
}

const SHARDS: usize = 16;

/// Set beside the number of a shard that never had so many users before.
const MOST: usize = SHARDS;

/// Where those are counted that have parted.
#[cfg(feature = "allocator-api2-0_2")]
const PARTED: usize = 0;

pub(super) const ENTRY: usize = 1 << (usize::BITS / 2);

const MISSING: &str = "an open segment has memory";

/// There is memory; the same, and nobody used it when it was last looked at; there is none.
const OPEN: u8 = 0;
const IDLE: u8 = 1;
const CLOSED: u8 = 2;

/// Bytes of memory for the key alone: whole pages, as all are.
const KEY_MEMORY: usize = 4096;

/// Bytes of the canaries on both sides of a secret.
const CANARIES: usize = 16;
