//! Locked pages with an arena in them.

use std::ptr::NonNull;
use std::thread;

use strongroom_core::{Arena, Fault, Region};

use super::VaultError;
use crate::entropy::OsEntropy;
use crate::pages::{LockedPages, Protections};

/// One stretch of locked pages and the arena over all of it.
pub(super) struct Room {
    /// On the heap, so that it stays where it is while others point to it.
    arena: NonNull<Arena<'static>>,
    pages: LockedPages,
}

// SAFETY: a room owns its arena, which may be used from and dropped in any thread.
unsafe impl Send for Room {}
// SAFETY: a shared room gives out nothing but its arena, which is `Sync`.
unsafe impl Sync for Room {}

impl Room {
    pub(super) fn new(bytes: usize) -> Result<Self, VaultError> {
        let pages = LockedPages::new(bytes)?;
        let data = pages.as_non_null();
        // SAFETY: the pages are valid until they are dropped, which `drop` does after the arena;
        // nobody else gets at them, for the room does not give them out.
        let region = unsafe { Region::from_raw(data.cast(), data.len()) };
        let arena = Arena::new(region, &mut OsEntropy)?.with_fault_handler(panic_once);
        Ok(Self { arena: NonNull::from(Box::leak(Box::new(arena))), pages })
    }

    pub(super) fn arena(&self) -> &Arena<'_> {
        // SAFETY: the arena lives as long as the room.
        unsafe { self.arena.as_ref() }
    }

    /// The arena, for something that is kept beside the room.
    ///
    /// # Safety
    /// The reference is not used after the room was dropped.
    pub(super) unsafe fn arena_for_owner(&self) -> &'static Arena<'static> {
        // SAFETY: the arena lives as long as the room, and the caller does not use it longer.
        unsafe { self.arena.as_ref() }
    }

    /// Whether this is a forked child, in which the arena holds nothing.
    pub(super) fn is_inherited(&self) -> bool {
        self.pages.is_inherited()
    }

    pub(super) fn bytes(&self) -> usize {
        self.pages.bytes()
    }

    pub(super) fn protections(&self) -> Protections {
        self.pages.protections()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
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
fn panic_once(fault: Fault) {
    assert!(thread::panicking(), "{}", fault.kind.message());
}
