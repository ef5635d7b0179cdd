//! The owner of locked pages that stand together with their arena.

use strongroom_core::{Door, Lost, Owner};

use super::error::LostArena;
use crate::emergency;
use crate::fork::Generation;
use crate::pages::{ForkView, LockedPages};
use crate::park::{Park, ParkLock};
use crate::windows::{Gate, Window};

/// The owner of a [`LockedArena`](super::LockedArena)'s memory: those who wait for its lock sleep, and it
/// knows when there is nothing left of the memory. It has the gate before the memory, if that was made
/// [with windows](super::LockedArena::with_windows).
#[derive(Debug)]
pub struct LockedOwner {
    /// The process whose pages these are.
    process: Generation,
    fork_view: ForkView,
    gate: Gate,
}

impl LockedOwner {
    pub(super) fn of(pages: &LockedPages, gate: Gate) -> Self {
        Self { process: pages.owner(), fork_view: pages.protections().fork_view, gate }
    }

    /// Whether what is in the pages can be believed.
    #[inline]
    pub(super) fn check(&self) -> Result<(), LostArena> {
        if self.process != Generation::current() {
            Err(LostArena::Forked)
        } else if emergency::is_wiped() {
            Err(LostArena::Wiped)
        } else {
            Ok(())
        }
    }
}

impl Owner for LockedOwner {
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
        match self.check() {
            Ok(()) => None,
            Err(LostArena::Forked) if self.fork_view == ForkView::Absent => Some(Lost::Memory),
            Err(_) => Some(Lost::Contents),
        }
    }
}
