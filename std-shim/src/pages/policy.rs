//! What to insist on.

use std::io;
use std::ops::Range;
use std::time::Instant;

use super::refusal::{Call, Refusal};
use crate::sys::Mapping;

/// What to do when memory cannot be locked, hidden or guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It fails, or does not grow.
    #[default]
    Require,
    /// It goes on in unlocked memory, which can be written to the swap device, and says so:
    /// [`LockedPages::protections`](crate::LockedPages::protections),
    /// [`Vault::protections`](crate::Vault::protections).
    Prefer,
}

impl Policy {
    pub(super) fn settle<T>(self, granted: Result<T, Refusal>, otherwise: T) -> Result<T, Refusal> {
        match self {
            Self::Require => granted,
            Self::Prefer => Ok(granted.unwrap_or(otherwise)),
        }
    }

    /// Whether the mapping is locked now, and why not; what is not locked by the deadline is cut off, as
    /// [`in_pieces`] does.
    pub(super) fn lock(
        self,
        mapping: &mut Mapping,
        deadline: Option<Instant>,
    ) -> Result<(bool, Option<Refusal>), Refusal> {
        let locked = in_pieces(mapping, deadline, Mapping::lock);
        let Err(refusal) = locked.map_err(Refusal::of(Call::Lock)) else {
            return Ok((true, None));
        };
        // A lock that failed half way stays charged. If this fails too, nothing was charged.
        let _ = mapping.unlock();
        match self {
            Self::Require => Err(refusal),
            Self::Prefer => Ok((false, Some(refusal))),
        }
    }
}

/// Does `bring_in` with all of a mapping's data, in one go. If there is a deadline, with a [`PIECE`] at
/// a time, and what is left when it has passed is given back: the mapping is shorter then.
pub(super) fn in_pieces(
    mapping: &mut Mapping,
    deadline: Option<Instant>,
    bring_in: impl Fn(&mut Mapping, Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let data = mapping.data().len();
    let Some(deadline) = deadline else { return bring_in(mapping, 0..data) };
    for start in (0..data).step_by(PIECE) {
        if start > 0 && Instant::now() >= deadline {
            return mapping.shorten(start);
        }
        bring_in(mapping, start..data.min(start + PIECE))?;
    }
    Ok(())
}

/// Bytes that are locked before the clock is looked at, a multiple of every page size: some
/// milliseconds' work.
pub(crate) const PIECE: usize = 16 << 20;
