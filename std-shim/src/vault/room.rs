//! Locked pages with an arena in them.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use strongroom_core::{Arena, Buffer, Fault, Region, SpanKind};

use super::builder::Options;
use super::{OpenError, VaultError};
use crate::emergency::Registration;
use crate::entropy::OsEntropy;
use crate::pages::LockedPages;
use crate::park::Park;

/// One stretch of locked pages and the arena over all of it.
pub(super) struct Room {
    /// On the heap, so that it stays where it is while others point to it.
    arena: NonNull<Arena<'static, Park>>,
    /// Goes before the pages it names.
    registration: Registration,
    pages: LockedPages,
    held: AtomicUsize,
    /// The shortest length that was refused since a secret was dropped here; none shorter was.
    refused_from: AtomicUsize,
    /// Milliseconds of the vault's clock when the last secret was dropped.
    empty_since: AtomicU64,
}

// SAFETY: a room owns its arena, which may be used from and dropped in any thread.
unsafe impl Send for Room {}
// SAFETY: a shared room gives out nothing but its arena, which is `Sync`.
unsafe impl Sync for Room {}

impl Room {
    pub(super) fn new(bytes: usize, options: &Options) -> Result<Self, VaultError> {
        let pages = options.pages(bytes)?;
        let data = pages.as_non_null();
        // SAFETY: the pages are valid until they are dropped, which happens after the arena went;
        // nobody else gets at them but the wipe of an emergency.
        let region = unsafe { Region::from_raw(data.cast(), data.len()) };
        let arena =
            Arena::with_owner(region, &mut OsEntropy, Park)?.with_fault_handler(options.on_fault);
        Ok(Self {
            arena: NonNull::from(Box::leak(Box::new(arena))),
            registration: Registration::new(data),
            pages,
            held: AtomicUsize::new(0),
            refused_from: AtomicUsize::new(NONE_REFUSED),
            empty_since: AtomicU64::new(0),
        })
    }

    pub(super) fn arena(&self) -> &Arena<'_, Park> {
        // SAFETY: the arena lives as long as the room.
        unsafe { self.arena.as_ref() }
    }

    /// The longest secret in bytes that fits beside what is in here now.
    pub(super) fn longest(&self) -> usize {
        let longest_in = |span: strongroom_core::Span| match span.kind {
            SpanKind::Free => span.len.saturating_sub(CANARIES),
            SpanKind::Run { cell_size, cells, live, quarantined }
                if ((live | quarantined).count_ones() as usize) < cells =>
            {
                cell_size
            }
            _ => 0,
        };
        self.arena().map().map(longest_in).max().unwrap_or(0)
    }

    /// The arena, for something that is kept beside the room.
    ///
    /// # Safety
    /// Nothing made with the reference is used after the room was dropped.
    pub(super) unsafe fn arena_for_owner(&self) -> &'static Arena<'static, Park> {
        // SAFETY: the arena lives as long as the room, and the caller does not use it longer.
        unsafe { self.arena.as_ref() }
    }

    /// Calls `open` unless it is known that there is no room for `len` bytes.
    ///
    /// # Safety
    /// The buffer is dropped or forgotten before the room is dropped.
    pub(super) unsafe fn open(
        &self,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Result<Buffer<'static, Park>, OpenError> {
        let refused_from = self.refused_from.load(Ordering::SeqCst);
        if refused_from != NONE_REFUSED && len >= refused_from {
            return Err(OpenError::no_room(len));
        }
        // SAFETY: the contract is the same.
        let arena = unsafe { self.arena_for_owner() };
        let mut opened = open(arena);
        if matches!(&opened, Err(error) if error.is_shortage()) {
            self.refused_from.fetch_min(len, Ordering::SeqCst);
            // Pairs with the one in `release`: a secret dropped before the mark was set cannot
            // clear it, but its room is seen now.
            fence(Ordering::SeqCst);
            opened = open(arena);
        }
        if opened.is_ok() {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    /// Counts a secret that was dropped here, at a time of the vault's clock.
    pub(super) fn release(&self, now: impl FnOnce() -> u64) {
        fence(Ordering::SeqCst);
        self.refused_from.store(NONE_REFUSED, Ordering::SeqCst);
        if self.held.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.empty_since.store(now(), Ordering::Relaxed);
        }
    }

    /// Notes since when nothing is open here.
    pub(super) fn mark_empty(&self, now: u64) {
        self.empty_since.store(now, Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Milliseconds of the vault's clock since when nothing is open here.
    pub(super) fn empty_since(&self) -> Option<u64> {
        (self.held() == 0).then(|| self.empty_since.load(Ordering::Relaxed))
    }

    pub(super) fn pages(&self) -> &LockedPages {
        &self.pages
    }

    /// Whether this is a forked child, in which the arena holds nothing.
    pub(super) fn is_inherited(&self) -> bool {
        self.pages.is_inherited()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.registration.end();
        if self.is_inherited() {
            // The arena's tables did not come along; its box is left to the child's end.
            return;
        }
        // SAFETY: the box was leaked in `new` and is taken back once.
        drop(unsafe { Box::from_raw(self.arena.as_ptr()) });
    }
}

/// Panics with the fault's fixed text, unless the thread is panicking already: then the process
/// would abort and the first panic's message would be lost. The fault stays in the statistics.
pub(super) fn panic_once(fault: Fault) {
    assert!(std::thread::panicking(), "{}", fault.kind.message());
}

/// Bytes of the canaries on both sides of a secret.
const CANARIES: usize = 16;

const NONE_REFUSED: usize = usize::MAX;
