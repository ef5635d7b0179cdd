//! The bytes between two canaries: one cell of a run, or the inside of a block.
//!
//! ```text
//! | canary | gap | secret ........... | slack | canary |
//!          ^ start                            ^ end
//! ```
//!
//! The gap brings the secret to its alignment; gap and slack are filled with canary too. While it is
//! free, all of it is zero.
//!
//! The state in the canary behind it is stored last, after everything else that belongs to a change,
//! and loaded first: whoever sees a state comes after that store and all before it.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::canary::{Canary, State};
use crate::classes::{CANARY, LEAF};
use crate::error::FaultKind;
use crate::region::Leaves;
use crate::sync::Shared64;
use crate::wipe::{is_zero, wipe};

/// Where the bytes between two canaries are, with the canaries; no right to the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Between<'a> {
    leaves: &'a Leaves<'a>,
    canary: Canary,
    start: usize,
    end: usize,
}

/// The right to the bytes between two canaries: nobody else claims them, and they stay where they
/// are. Those of them that are a live secret are its owner's.
#[must_use]
pub(crate) struct Guarded<'a> {
    between: Between<'a>,
}

/// Guarded bytes that are free: zero, between intact canaries.
#[must_use]
pub(crate) struct Ready<'a> {
    between: Between<'a>,
}

/// Why guarded bytes cannot be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// Somebody is still wiping them.
    Busy,
    /// Somebody wrote to them.
    Damaged(FaultKind),
}

impl<'a> Between<'a> {
    /// The `size` bytes from `start` on, both multiples of eight.
    ///
    /// # Safety
    /// While this or a copy of it is in use:
    /// - the run or block around the bytes cannot be returned, and has canaries on both sides of
    ///   them;
    /// - `canary` is that run's or block's;
    /// - both canaries lie within the leaves.
    #[inline(always)]
    pub(crate) unsafe fn new(
        leaves: &'a Leaves<'a>,
        canary: Canary,
        start: usize,
        size: usize,
    ) -> Self {
        Self { leaves, canary, start, end: start + size }
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        self.start
    }

    pub(crate) fn state(self) -> Option<State> {
        self.canary.state(self.after())
    }

    #[inline]
    pub(crate) fn is_before_intact(self) -> bool {
        self.canary.is_intact(self.before())
    }

    /// Plants the canary before the bytes, which are a run's or block's first.
    pub(crate) fn plant_edge(self) {
        self.canary.plant(self.before(), State::EDGE);
    }

    /// Plants the canary behind the bytes, which are zero.
    pub(crate) fn plant_free(self) {
        self.canary.plant(self.after(), State::FREE);
    }

    /// Zeroes the canaries on both sides, when the run or block around free bytes goes.
    pub(crate) fn clear_canaries(self) {
        self.before().store(0);
        self.after().store(0);
    }

    /// Checks what is taken, while it is frozen: live, being handed out, or quarantined.
    ///
    /// # Safety
    /// Nobody takes, gives back or wipes the bytes meanwhile.
    pub(crate) unsafe fn check_taken(self, is_first: bool) -> Result<(), FaultKind> {
        let state = self.state().ok_or(FaultKind::CanaryAfter)?;
        if let Some((align_log2, slack)) = state.as_live() {
            // SAFETY: nobody wipes what is live, and its owner keeps to the secret (contract).
            unsafe { self.check_padding(secret_start(self.start, 1 << align_log2), slack) }?;
        }
        if is_first && !self.is_before_intact() { Err(FaultKind::CanaryBefore) } else { Ok(()) }
    }

    /// Checks the gap and the slack of a live secret that begins at `secret`.
    ///
    /// # Safety
    /// Nobody writes to the gap or the slack.
    unsafe fn check_padding(self, secret: usize, slack: usize) -> Result<(), FaultKind> {
        if secret + slack > self.end {
            return Err(FaultKind::CanaryAfter);
        }
        // SAFETY: the slack lies within the bytes, and nobody writes to it (contract).
        let behind = unsafe { self.leaves.bytes(self.end - slack..self.end) };
        if !self.canary.fills(behind) {
            return Err(FaultKind::CanaryAfter);
        }
        // SAFETY: the gap lies within the bytes, and nobody writes to it (contract).
        let gap = unsafe { self.leaves.bytes(self.start..secret) };
        if self.canary.fills(gap) { Ok(()) } else { Err(FaultKind::CanaryBefore) }
    }

    /// Where a secret of `layout` begins, and how much slack is behind it, if it fits.
    #[inline(always)]
    fn place(self, layout: Layout) -> Option<(usize, usize)> {
        let start = secret_start(self.start, layout.align());
        let slack = (self.end.checked_sub(start)?).checked_sub(layout.size())?;
        Some((start, slack))
    }

    #[inline(always)]
    fn before(&self) -> &'a Shared64 {
        // SAFETY: there is a canary before the bytes, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.start - CANARY) }
    }

    #[inline(always)]
    fn after(&self) -> &'a Shared64 {
        // SAFETY: there is a canary behind the bytes, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.end) }
    }
}

impl<'a> Guarded<'a> {
    /// # Safety
    /// The caller has claimed the bytes, or made them of leaves that nobody else knows of; or it
    /// owns the secret in them and gives it up.
    #[inline(always)]
    pub(crate) unsafe fn new(between: Between<'a>) -> Self {
        Self { between }
    }

    pub(crate) fn between(&self) -> Between<'a> {
        self.between
    }

    /// Takes the bytes for free ones without a look.
    ///
    /// # Safety
    /// They are zero, and the canary behind them says free.
    pub(crate) unsafe fn assume_ready(self) -> Ready<'a> {
        Ready { between: self.between }
    }

    /// Looks whether the bytes can be handed out.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<Ready<'a>, NotReady> {
        let Between { leaves, canary, start, end } = self.between;
        if !canary.is(self.between.after(), State::FREE) {
            return Err(why_not_free(canary, self.between.after()));
        }
        // SAFETY: the bytes are the holder's, and whoever marked them free was done with them.
        if !is_zero(unsafe { leaves.bytes(start..end) }) {
            return Err(NotReady::Damaged(FaultKind::WriteAfterFree));
        }
        if self.between.is_before_intact() {
            Ok(Ready { between: self.between })
        } else {
            Err(NotReady::Damaged(FaultKind::CanaryBefore))
        }
    }

    /// Checks that `offset` and `layout` are those of the live secret in here, and that nobody
    /// wrote past its ends.
    #[inline(always)]
    pub(crate) fn check_release(&self, offset: usize, layout: Layout) -> Result<(), FaultKind> {
        let Between { leaves, canary, start: begin, end } = self.between;
        let align_log2 = layout.align().trailing_zeros();
        match self.between.place(layout) {
            Some((start, slack))
                if slack <= State::MOST_SLACK
                    && start == offset
                    && canary.is(self.between.after(), State::live(align_log2, slack)) =>
            {
                // SAFETY: the secret was given up, and so is the canary behind it; `verify` only reads what
                // lies beside it.
                let bytes = unsafe { leaves.bytes(begin..end + CANARY) };
                let gap = start - begin;
                if slack > 0 && !canary.fills_end(bytes, slack) {
                    Err(FaultKind::CanaryAfter)
                } else if gap > 0 && !canary.fills(&bytes[..gap])
                    || !self.between.is_before_intact()
                {
                    Err(FaultKind::CanaryBefore)
                } else {
                    Ok(())
                }
            }
            _ => Err(mismatch(canary, self.between.after(), begin, offset, layout.align())),
        }
    }

    /// Marks a live secret as given up, so that nobody takes it for one while it is wiped.
    #[inline(always)]
    pub(crate) fn give_up(&self) {
        self.between.canary.plant(self.between.after(), State::RELEASED);
    }

    /// Zeroes all the bytes and marks them as free or quarantined. Nobody else may be looking.
    #[inline(always)]
    pub(crate) fn reset(self, state: State) {
        let Between { leaves, canary, start, end } = self.between;
        // SAFETY: the bytes are the holder's, who has waited for whoever looked.
        wipe(unsafe { leaves.bytes_mut(start..end) });
        canary.plant(self.between.after(), state);
    }
}

impl Ready<'_> {
    /// Makes free bytes into a secret of `layout`, all zero, between fresh slack.
    ///
    /// # Panics
    /// If the layout does not fit.
    #[inline(always)]
    pub(crate) fn hand_out(self, layout: Layout) -> NonNull<u8> {
        let Some((secret, slack)) = self.between.place(layout) else {
            unreachable!("the class was chosen for the layout");
        };
        let Between { leaves, canary, start, end } = self.between;
        // SAFETY: the bytes are the holder's.
        let bytes = unsafe { leaves.bytes_mut(start..end) };
        // The slack first: what is before it in its piece is taken to be zero.
        if slack > 0 {
            canary.fill_end(bytes, slack);
        }
        if secret > start {
            let gap = secret - start;
            canary.fill_end(&mut bytes[..gap], gap);
        }
        canary.plant(self.between.after(), State::live(layout.align().trailing_zeros(), slack));
        // SAFETY: the secret begins within the leaves, as its cell or block does.
        unsafe { leaves.pointer(secret) }
    }
}

/// Where a secret of this alignment, a power of two, begins in bytes that begin at `start`.
#[inline]
pub(crate) fn secret_start(start: usize, align: usize) -> usize {
    if align <= CANARY {
        return start;
    }
    let last = align.min(LEAF) - 1;
    (start + last) & !last
}

/// Why the canary behind some bytes does not say that they are free. (These two take what they need
/// one by one, so that the rest need never be in memory.)
#[cold]
fn why_not_free(canary: Canary, after: &Shared64) -> NotReady {
    match canary.state(after) {
        Some(State::FREE | State::RELEASED) => NotReady::Busy,
        Some(state) if state.as_live().is_some() => NotReady::Busy,
        _ => NotReady::Damaged(FaultKind::CanaryAfter),
    }
}

/// What is wrong when the canary behind bytes that begin at `start` does not record a live secret of
/// this alignment at `offset`.
#[cold]
fn mismatch(
    canary: Canary,
    after: &Shared64,
    start: usize,
    offset: usize,
    align: usize,
) -> FaultKind {
    let starts_here = |align| offset == secret_start(start, align);
    match canary.state(after) {
        Some(state) => match state.as_live() {
            Some((align_log2, _)) if starts_here(1 << align_log2) => FaultKind::WrongLayout,
            Some(_) => FaultKind::ForeignFree,
            None => FaultKind::DoubleFree,
        },
        None if starts_here(align) => FaultKind::CanaryAfter,
        None => FaultKind::ForeignFree,
    }
}
