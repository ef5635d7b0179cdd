//! Why there is no arena, or none any more.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use strongroom_core::ArenaError;

use crate::debug::debug_as_displayed;
use crate::pages::LockError;
use crate::windows::WindowError;

debug_as_displayed!(LockedArenaError, LostArena);

/// A [`LockedArena`](super::LockedArena) could not be made. Nothing stays locked.
#[non_exhaustive]
pub enum LockedArenaError {
    /// The pages could not be locked.
    Lock(LockError),
    /// The arena could not be made in them.
    Arena(ArenaError),
    /// The pages are another process's, or this one is about to end.
    Lost(LostArena),
    /// The memory cannot have the windows that were asked for.
    Windows(WindowError),
}

/// There is nothing left of an arena.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostArena {
    /// This process was forked from the one that made the pages, and sees nothing of them.
    Forked,
    /// All memory of this process was wiped ([`wipe_all`](crate::wipe_all)): it is about to end.
    Wiped,
}

impl Display for LockedArenaError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => Display::fmt(error, f),
            Self::Arena(error) => Display::fmt(error, f),
            Self::Lost(error) => Display::fmt(error, f),
            Self::Windows(error) => Display::fmt(error, f),
        }
    }
}

impl Error for LockedArenaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lock(error) => Some(error),
            Self::Arena(error) => Some(error),
            Self::Lost(error) => Some(error),
            Self::Windows(error) => Some(error),
        }
    }
}

impl From<LockError> for LockedArenaError {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<ArenaError> for LockedArenaError {
    fn from(error: ArenaError) -> Self {
        Self::Arena(error)
    }
}

impl From<WindowError> for LockedArenaError {
    fn from(error: WindowError) -> Self {
        Self::Windows(error)
    }
}

impl From<LostArena> for LockedArenaError {
    fn from(error: LostArena) -> Self {
        Self::Lost(error)
    }
}

impl Display for LostArena {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forked => {
                "this process was forked from the one that locked the pages and sees nothing of them: make \
                 an arena of its own here"
            }
            Self::Wiped => {
                "wipe_all was called: this process is about to end and keeps no secrets any more"
            }
        })
    }
}

impl Error for LostArena {}
