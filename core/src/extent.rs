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
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

use crate::canary::{Canary, State};
use crate::classes::{CANARY, LEAF};
use crate::error::FaultKind;
use crate::region::Leaves;
use crate::sync::Shared64;
use crate::wipe::wipe;

/// An extent of an arena's leaves, and the right to do with it what a method's contract says.
#[derive(Clone, Copy)]
pub(crate) struct Extent<'a> {
    leaves: &'a Leaves<'a>,
    canary: Canary,
    start: usize,
    size: usize,
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
    /// - `canary` is that run's or block's.
    pub(crate) unsafe fn new(
        leaves: &'a Leaves<'a>,
        canary: Canary,
        start: usize,
        size: usize,
    ) -> Self {
        Self { leaves, canary, start, size }
    }

    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Where a secret of this alignment begins.
    pub(crate) fn secret_start(&self, align: usize) -> usize {
        self.start.next_multiple_of(align.clamp(CANARY, LEAF)).min(self.start + self.size)
    }

    /// The gap, the secret and the slack, if a secret of this layout fits.
    fn parts(&self, layout: Layout) -> Option<Parts> {
        let start = self.secret_start(layout.align());
        let end = start.checked_add(layout.size())?;
        let extent_end = self.start + self.size;
        (end <= extent_end).then_some(Parts {
            gap: self.start..start,
            secret: start..end,
            slack: end..extent_end,
        })
    }

    /// What the extent is, seen by somebody who has claimed it and found it free.
    ///
    /// # Safety
    /// The caller has claimed the extent and no secret is in it.
    pub(crate) unsafe fn readiness(self) -> Readiness {
        match self.canary.state(self.after()) {
            Some(State::FREE) => {}
            Some(state) if state.as_live().is_some() => return Readiness::Busy,
            _ => return Readiness::Damaged(FaultKind::CanaryAfter),
        }
        // Pairs with the release in `reset`: the wipe is over.
        fence(Ordering::Acquire);
        if !self.is_before_intact() {
            return Readiness::Damaged(FaultKind::CanaryBefore);
        }
        // SAFETY: the caller has claimed the extent, and whoever wiped it is done.
        if is_zero(unsafe { self.leaves.bytes(self.start..self.start + self.size) }) {
            Readiness::Ready
        } else {
            Readiness::Damaged(FaultKind::WriteAfterFree)
        }
    }

    /// Makes a ready extent into a secret of `layout`, all zero, between fresh slack.
    ///
    /// # Safety
    /// The caller has claimed the extent, found it ready, and `layout` fits.
    pub(crate) unsafe fn hand_out(self, layout: Layout) -> NonNull<[u8]> {
        let Some(parts) = self.parts(layout) else {
            unreachable!("the class was chosen for the layout");
        };
        if !parts.gap.is_empty() {
            // SAFETY: the extent is the caller's.
            self.canary.fill(unsafe { self.leaves.bytes_mut(parts.gap) });
        }
        let slack = parts.slack.len();
        if slack > 0 {
            // SAFETY: the extent is the caller's.
            self.canary.fill(unsafe { self.leaves.bytes_mut(parts.slack) });
        }
        // The slack is seen by whoever sees the state.
        fence(Ordering::Release);
        self.canary.plant(self.after(), State::live(layout.align().trailing_zeros(), slack));
        self.leaves.pointer(parts.secret)
    }

    /// Checks that `offset` and `layout` are those of the live secret in here, and that nobody
    /// wrote past its ends.
    ///
    /// # Safety
    /// Nobody writes to the gap or the slack: the extent is live, and is being released or frozen.
    pub(crate) unsafe fn check_release(
        self,
        offset: usize,
        layout: Layout,
    ) -> Result<(), FaultKind> {
        let at_start = |align| offset == self.secret_start(align);
        match self.canary.state(self.after()).map(|state| (state, state.as_live())) {
            Some((_, Some((align_log2, slack)))) => {
                if !at_start(1 << align_log2) {
                    return Err(FaultKind::ForeignFree);
                }
                let same = self
                    .parts(layout)
                    .is_some_and(|parts| at_start(layout.align()) && parts.slack.len() == slack);
                if !same {
                    return Err(FaultKind::WrongLayout);
                }
                // SAFETY: the caller's contract is this method's.
                unsafe { self.check_padding(align_log2, slack) }?;
                if self.is_before_intact() { Ok(()) } else { Err(FaultKind::CanaryBefore) }
            }
            Some(_) => Err(FaultKind::DoubleFree),
            None if at_start(layout.align()) => Err(FaultKind::CanaryAfter),
            None => Err(FaultKind::ForeignFree),
        }
    }

    /// Checks the gap and the slack of a live secret.
    ///
    /// # Safety
    /// Nobody writes to the gap or the slack: the extent is live, and is being released or frozen.
    pub(crate) unsafe fn check_padding(
        self,
        align_log2: u32,
        slack: usize,
    ) -> Result<(), FaultKind> {
        let (end, secret) = (self.start + self.size, self.secret_start(1 << align_log2));
        if slack > end - secret {
            return Err(FaultKind::CanaryAfter);
        }
        // SAFETY: nobody writes to the slack (contract).
        if slack > 0 && !self.canary.fills(unsafe { self.leaves.bytes(end - slack..end) }) {
            return Err(FaultKind::CanaryAfter);
        }
        // SAFETY: nobody writes to the gap (contract).
        let gap = unsafe { self.leaves.bytes(self.start..secret) };
        if self.canary.fills(gap) { Ok(()) } else { Err(FaultKind::CanaryBefore) }
    }

    pub(crate) fn is_before_intact(self) -> bool {
        self.canary.is_intact(self.before())
    }

    /// Zeroes the whole extent and marks it free or quarantined.
    ///
    /// # Safety
    /// The caller has claimed the extent, and the secret's owner uses it no more.
    pub(crate) unsafe fn reset(self, state: State) {
        // SAFETY: the extent is the caller's (contract).
        wipe(unsafe { self.leaves.bytes_mut(self.start..self.start + self.size) });
        // Pairs with the acquire in `readiness`.
        fence(Ordering::Release);
        self.canary.plant(self.after(), state);
    }

    pub(crate) fn state(self) -> Option<State> {
        let state = self.canary.state(self.after());
        // Pairs with the release in `hand_out`.
        fence(Ordering::Acquire);
        state
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

    fn before(&self) -> &'a Shared64 {
        // SAFETY: there is a canary before the extent, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.start - CANARY) }
    }

    fn after(&self) -> &'a Shared64 {
        // SAFETY: there is a canary behind the extent, and the run or block stays (`new`).
        unsafe { self.leaves.canary(self.start + self.size) }
    }
}

struct Parts {
    gap: Range<usize>,
    secret: Range<usize>,
    slack: Range<usize>,
}

/// Whether all bytes are zero, looking at all of them.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let any = words.iter().fold(0, |any, &word| any | u64::from_ne_bytes(word));
    any == 0 && rest.iter().all(|&byte| byte == 0)
}
