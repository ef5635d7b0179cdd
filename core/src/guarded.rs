//! The bytes between two canaries: one cell of a run, or the inside of a block.
//!
//! ```text
//! | canary | gap | secret ........... | slack | canary |
//!          ^ start                            ^ start + size
//! ```
//!
//! The gap brings the secret to its alignment; gap and slack are filled with canary too. While the
//! extent is free, all of it is zero.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::canary::{Canary, State};
use crate::classes::{CANARY, LEAF};
use crate::error::FaultKind;
use crate::region::Leaves;
use crate::sync::Shared64;
use crate::wipe::{is_zero, wipe};

/// An extent of an arena's leaves, and the right to do with it what a method's contract says.
#[derive(Clone, Copy)]
pub(crate) struct Extent<'a> {
    leaves: &'a Leaves<'a>,
    canary: Canary,
    start: usize,
    end: usize,
}

/// What a free extent turned out to be.
pub(crate) enum Readiness {
    /// Zero, between intact canaries.
    Ready,
    /// Somebody is still wiping it.
    Busy,
    /// Somebody wrote to it.
    Damaged(FaultKind),
}

impl<'a> Extent<'a> {
    /// The extent of `size` bytes from `start` on, both multiples of eight.
    ///
    /// # Safety
    /// While the extent or a copy of it is in use:
    /// - the run or block around it cannot be returned, and has canaries on both sides of it;
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
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Where a secret of this alignment, a power of two, begins.
    #[inline]
    pub(crate) fn secret_start(&self, align: usize) -> usize {
        secret_start(self.start, align)
    }

    /// Where a secret of `layout` begins, and how much slack is behind it, if it fits.
    #[inline(always)]
    fn place(&self, layout: Layout) -> Option<(usize, usize)> {
        let start = self.secret_start(layout.align());
        let slack = (self.end.checked_sub(start)?).checked_sub(layout.size())?;
        Some((start, slack))
    }

    /// What the extent is, seen by somebody who has claimed it and found it free.
    ///
    /// # Safety
    /// The caller has claimed the extent and no secret is in it.
    #[inline(always)]
    pub(crate) unsafe fn readiness(self) -> Readiness {
        if !self.canary.is(self.after(), State::FREE) {
            return why_not_free(self.canary, self.after());
        }
        // SAFETY: the caller has claimed the extent, and whoever marked it free was done with it.
        if !is_zero(unsafe { self.leaves.bytes(self.start..self.end) }) {
            return Readiness::Damaged(FaultKind::WriteAfterFree);
        }
        if self.is_before_intact() {
            Readiness::Ready
        } else {
            Readiness::Damaged(FaultKind::CanaryBefore)
        }
    }

    /// Makes a ready extent into a secret of `layout`, all zero, between fresh slack.
    ///
    /// # Safety
    /// The caller has claimed the extent, found it ready, and `layout` fits.
    #[inline(always)]
    pub(crate) unsafe fn hand_out(self, layout: Layout) -> NonNull<u8> {
        let Some((start, slack)) = self.place(layout) else {
            unreachable!("the class was chosen for the layout");
        };
        // SAFETY: the extent is the caller's.
        let bytes = unsafe { self.leaves.bytes_mut(self.start..self.end) };
        // The slack first: what is before it in its piece is taken to be zero.
        if slack > 0 {
            self.canary.fill_end(bytes, slack);
        }
        if start > self.start {
            let gap = start - self.start;
            self.canary.fill_end(&mut bytes[..gap], gap);
        }
        // The state last: whoever sees it reads the slack.
        self.canary.plant(self.after(), State::live(layout.align().trailing_zeros(), slack));
        // SAFETY: the secret begins within the leaves, as its extent does.
        unsafe { self.leaves.pointer(start) }
    }

    /// Checks that `offset` and `layout` are those of the live secret in here, and that nobody
    /// wrote past its ends.
    ///
    /// # Safety
    /// Nobody writes to the gap or the slack: the extent is live, and is being released or frozen.
    #[inline(always)]
    pub(crate) unsafe fn check_release(
        self,
        offset: usize,
        layout: Layout,
    ) -> Result<(), FaultKind> {
        let align_log2 = layout.align().trailing_zeros();
        match self.place(layout) {
            Some((start, slack))
                if start == offset
                    && slack <= State::MOST_SLACK
                    && self.canary.is(self.after(), State::live(align_log2, slack)) =>
            {
                // SAFETY: the secret is being released: its owner and `verify` keep off.
                let bytes = unsafe { self.leaves.bytes(self.start..self.end) };
                let gap = start - self.start;
                if slack > 0 && !self.canary.fills_end(bytes, slack) {
                    Err(FaultKind::CanaryAfter)
                } else if gap > 0 && !self.canary.fills_end(&bytes[..gap], gap) {
                    Err(FaultKind::CanaryBefore)
                } else if self.is_before_intact() {
                    Ok(())
                } else {
                    Err(FaultKind::CanaryBefore)
                }
            }
            _ => Err(mismatch(self.canary, self.after(), self.start, offset, layout.align())),
        }
    }

    /// Checks the gap and the slack of a live secret that begins at `secret`.
    ///
    /// # Safety
    /// Nobody writes to the gap or the slack: the extent is live, and is being released or frozen.
    #[inline(always)]
    pub(crate) unsafe fn check_padding(self, secret: usize, slack: usize) -> Result<(), FaultKind> {
        let end = self.end;
        if secret + slack > end {
            return Err(FaultKind::CanaryAfter);
        }
        // SAFETY: nobody writes to the slack (contract).
        if slack > 0 && !self.canary.fills(unsafe { self.leaves.bytes(end - slack..end) }) {
            return Err(FaultKind::CanaryAfter);
        }
        if secret == self.start {
            return Ok(());
        }
        // SAFETY: nobody writes to the gap (contract).
        let gap = unsafe { self.leaves.bytes(self.start..secret) };
        if self.canary.fills(gap) { Ok(()) } else { Err(FaultKind::CanaryBefore) }
    }

    #[inline]
    pub(crate) fn is_before_intact(self) -> bool {
        self.canary.is_intact(self.before())
    }

    /// Marks a live secret as given up, so that nobody takes it for one while it is wiped.
    ///
    /// # Safety
    /// The secret is the caller's, who gives it up.
    #[inline(always)]
    pub(crate) unsafe fn give_up(self) {
        self.canary.plant(self.after(), State::RELEASED);
    }

    /// Zeroes the whole extent and marks it free or quarantined.
    ///
    /// # Safety
    /// The caller has claimed the extent, and the secret's owner uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn reset(self, state: State) {
        // SAFETY: the extent is the caller's (contract).
        wipe(unsafe { self.leaves.bytes_mut(self.start..self.end) });
        // The state last: whoever sees it takes the extent, or makes vacant leaves of it.
        self.canary.plant(self.after(), state);
    }

    pub(crate) fn state(self) -> Option<State> {
        self.canary.state(self.after())
    }

    /// Plants the canary before the extent, which is a run's or block's first.
    pub(crate) fn plant_edge(self) {
        self.canary.plant(self.before(), State::EDGE);
    }

    /// Plants the canary behind the extent.
    pub(crate) fn plant_free(self) {
        self.canary.plant(self.after(), State::FREE);
    }

    /// Zeroes the canaries on both sides, when the run or block around a free extent goes.
    pub(crate) fn clear_canaries(self) {
        self.before().store(0);
        self.after().store(0);
    }

    #[inline(always)]
    fn before(&self) -> &'a Shared64 {
        // SAFETY: there is a canary before the extent, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.start - CANARY) }
    }

    #[inline(always)]
    fn after(&self) -> &'a Shared64 {
        // SAFETY: there is a canary behind the extent, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.end) }
    }
}

/// Where a secret of this alignment begins in an extent that begins at `start`.
#[inline]
fn secret_start(start: usize, align: usize) -> usize {
    if align <= CANARY {
        return start;
    }
    let last = align.min(LEAF) - 1;
    (start + last) & !last
}

/// What an extent is whose canary does not say that it is free. (These two take what they need one
/// by one, so that the extent itself need never be in memory.)
#[cold]
fn why_not_free(canary: Canary, after: &Shared64) -> Readiness {
    match canary.state(after) {
        Some(State::FREE | State::RELEASED) => Readiness::Busy,
        Some(state) if state.as_live().is_some() => Readiness::Busy,
        _ => Readiness::Damaged(FaultKind::CanaryAfter),
    }
}

/// What is wrong when the canary behind an extent that begins at `start` does not record a live
/// secret of this alignment at `offset`.
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
