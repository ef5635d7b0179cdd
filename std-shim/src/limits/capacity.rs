//! How many secrets fit so many bytes, found by filling an arena.
//!
//! The arena is over ordinary memory, is filled with empty secrets, and holds a vault's key besides,
//! so its figures are a vault's own, or a little lower:
//!
//! - An arena of more than [`STEADY`] bytes keeps threads apart. Which part a thread fills first
//!   depends on where its stack lies, and so do the last few secrets: [`MARGIN`] is taken off.
//! - Beyond [`PIECE`] bytes they are reckoned from pieces of that size, and for secrets beyond a
//!   [`LARGE`]th of it from smaller ones in as much less memory. Where the control group or a resource
//!   limit leaves less than [`SHARE`] pieces, pieces are smaller: counting must not get the process
//!   killed.

use std::fmt::{self, Display, Formatter};
use std::mem;

use strongroom_core::{Arena, Buffer, Enclave};

use super::{Grouped, Limit, Limits};
use crate::entropy::OsEntropy;
use crate::park::Park;
use crate::scratch;

impl Limits {
    /// How many secrets of `size` bytes each can be open at one time, in one
    /// [`Vault`](crate::Vault) that takes all that can be locked now. Sealed secrets do not count:
    /// there can be any number.
    ///
    /// It fills an arena over ordinary memory to find out, 8 MiB of it at most and less where the
    /// control group leaves little, which takes milliseconds. Up to 512 KiB of locked memory the number
    /// is exact, and up to 8 MiB a vault holds a handful more at most; beyond, or if each secret is
    /// longer than 256 KiB, it may hold a few in a hundred more, and so it may where there was less
    /// memory to count in. Allocations that came and went in other sizes leave less room than this.
    #[must_use]
    pub fn fits(&self, size: u64) -> Fit {
        if self.mappings_exhausted().is_some() {
            return Fit::Secrets(0);
        }
        match self.lockable() {
            Limit::Bytes(_) | Limit::Unlimited if size == 0 => Fit::Unlimited,
            Limit::Bytes(bytes) => Fit::Secrets(self.pieces().secrets_within(bytes, size)),
            Limit::Unlimited => Fit::Unlimited,
            Limit::Unknown => Fit::Unknown,
        }
    }

    /// How many secrets of `size` bytes each can be open at one time in a vault with a budget of
    /// `budget` bytes, whatever the limits are. As exact as [`fits`](Self::fits).
    #[must_use]
    pub fn fits_in(&self, budget: u64, size: u64) -> Fit {
        match size {
            0 => Fit::Unlimited,
            _ => Fit::Secrets(self.pieces().secrets_within(budget, size)),
        }
    }

    /// The bytes, in whole pages, that a [`Vault`](crate::Vault) must lock so that `count` secrets
    /// of `size` bytes each can be open at one time. As exact as [`fits`](Self::fits).
    #[must_use]
    pub fn needed(&self, count: u64, size: u64) -> u64 {
        self.pieces().budget_for(count, size, self.page_size as u64)
    }

    /// What can be locked as far as all limits go that are known.
    fn lockable(&self) -> Limit {
        let guards = self.with_guards(0);
        let mapped = self.limits_on_mapping().map(|(_, quota)| match quota.left() {
            Limit::Bytes(left) => Limit::Bytes(left.saturating_sub(guards)),
            left => left,
        });
        mapped.into_iter().chain([self.memory_left()]).fold(
            self.available(),
            |least, other| match (least, other) {
                (Limit::Bytes(least), Limit::Bytes(other)) => Limit::Bytes(least.min(other)),
                (Limit::Unlimited, Limit::Bytes(other)) => Limit::Bytes(other),
                // The lock limit that is not known may be lower.
                (least, _) => least,
            },
        )
    }

    /// Pieces that leave the process and its neighbours most of the memory that they may use.
    fn pieces(&self) -> Pieces {
        let quotas = [self.memory, self.address_space, self.data];
        let least = quotas.into_iter().map(|quota| match quota.left() {
            Limit::Bytes(left) => left / SHARE,
            // There is a limit, and nobody knows how near it is.
            Limit::Unknown if quota.limit != Limit::Unknown => LEAST_PIECE,
            _ => PIECE,
        });
        Pieces(least.min().unwrap_or(PIECE)).clamped()
    }
}

/// How many secrets of one size fit at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fit {
    /// So many.
    Secrets(u64),
    /// No limit on locked memory or on memory holds here, or the secrets are empty and take none.
    Unlimited,
    /// The system did not say what its limits are.
    Unknown,
}

impl Fit {
    /// Whether `count` secrets fit. Not knowing is not fitting.
    #[must_use]
    pub fn holds(self, count: u64) -> bool {
        match self {
            Self::Secrets(most) => count <= most,
            Self::Unlimited => true,
            Self::Unknown => count == 0,
        }
    }
}

impl Display for Fit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secrets(count) => Display::fmt(&Grouped(*count), f),
            Self::Unlimited => f.write_str("unlimited"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The bytes that are filled at a time.
#[derive(Clone, Copy)]
struct Pieces(u64);

impl Pieces {
    fn clamped(self) -> Self {
        let bytes = self.0.clamp(LEAST_PIECE, PIECE);
        Self(1 << bytes.ilog2())
    }

    /// How many secrets of `size` bytes, one or more, a vault with `budget` bytes holds open.
    fn secrets_within(self, budget: u64, size: u64) -> u64 {
        let scale = self.scale_for(size);
        let (budget, size) = (budget / scale, size.div_ceil(scale));
        let pieces = budget / self.0;
        let in_pieces =
            if pieces == 0 { 0 } else { self.fill(self.0, size).saturating_mul(pieces) };
        in_pieces.saturating_add(self.fill(budget % self.0, size))
    }

    /// The least budget in whole pages with which a vault holds `count` secrets of `size` bytes open;
    /// `u64::MAX` if no number is large enough.
    fn budget_for(self, count: u64, size: u64, page_size: u64) -> u64 {
        let scale = self.scale_for(size);
        let size = size.div_ceil(scale).max(1);
        let in_a_piece =
            if count.saturating_mul(size) < self.0 { u64::MAX } else { self.fill(self.0, size) };
        let (pieces, rest) = (count / in_a_piece, count % in_a_piece);
        let rest = if rest == 0 { 0 } else { self.pages_for(rest, size, page_size) * page_size };
        let budget = pieces.saturating_mul(self.0).saturating_add(rest).saturating_mul(scale);
        budget.max(1).checked_next_multiple_of(page_size).unwrap_or(u64::MAX)
    }

    /// The least number of pages, of one piece at most, that hold `count` secrets.
    fn pages_for(self, count: u64, size: u64, page_size: u64) -> u64 {
        // From what the secrets alone take, step by step, then back by halves.
        let (mut too_few, most) = (0, self.0 / page_size);
        let mut pages = (count * size).div_ceil(page_size).clamp(1, most);
        while pages < most {
            let missing = count.saturating_sub(self.fill(pages * page_size, size));
            if missing == 0 {
                break;
            }
            too_few = pages;
            pages = (pages + (missing * size / page_size).max(1)).min(most);
        }
        while pages - too_few > 1 {
            let middle = too_few.midpoint(pages);
            let fits = self.fill(middle * page_size, size) >= count;
            (too_few, pages) = if fits { (too_few, middle) } else { (middle, pages) };
        }
        pages
    }

    /// The power of two by which secrets of `size` bytes are made smaller, so that a piece holds many.
    fn scale_for(self, size: u64) -> u64 {
        size.div_ceil(self.0 / LARGE).checked_next_power_of_two().unwrap_or(u64::MAX)
    }

    /// How many secrets of `size` bytes surely fit an arena of one piece at most, beside a key.
    fn fill(self, bytes: u64, size: u64) -> u64 {
        let count = fill_once(bytes.min(self.0), size);
        if bytes <= STEADY {
            return count;
        }
        let margin = if size <= SHORT { MARGIN } else { 1 };
        // More memory does not hold less.
        count.saturating_sub(margin).max(fill_once(STEADY.min(self.0), size))
    }
}

fn fill_once(bytes: u64, size: u64) -> u64 {
    let (Ok(bytes), Ok(size)) = (usize::try_from(bytes), usize::try_from(size)) else {
        return 0;
    };
    let mut memory = Vec::new();
    let Some(region) = scratch::pages(&mut memory, bytes) else {
        return 0;
    };
    let Ok(arena) = Arena::with_owner(region, &mut OsEntropy, Park) else {
        return 0;
    };
    let Ok(_key) = Enclave::new(&arena) else {
        return 0;
    };
    // Nothing is in them; the arena clears up at once what would take long one by one.
    let secrets = std::iter::from_fn(|| Buffer::new(&arena, size).ok().map(mem::forget));
    secrets.count() as u64
}

/// Larger budgets are reckoned in pieces of so many bytes: a few milliseconds' work each.
const PIECE: u64 = 8 << 20;

/// Up to so many bytes an arena lets every thread begin anywhere.
const STEADY: u64 = 512 << 10;

/// Beyond, fillings differed by two secrets at most, in forty runs of a program.
const MARGIN: u64 = 4;

/// Secrets beyond a few KiB have leaves of their own, and lose to the key's place one at most.
const SHORT: u64 = 4096;

/// Secrets beyond such a part of a piece are reckoned from smaller ones.
const LARGE: u64 = 32;

/// What one piece may take of the memory that is left.
const SHARE: u64 = 16;

/// The smallest pieces, which any process has memory for.
const LEAST_PIECE: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::super::{IpcLock, Quota, quota, small_limits as small};
    use super::*;

    #[test]
    fn the_least_limit_decides_how_many_fit() {
        let all = small().fits(64);
        assert_eq!(all, small().fits_in(65_536, 64));
        assert!(all.holds(16) && !all.holds(1024), "{all}");
        let mapped = Limits { data: quota(32_768, 8192), ..small() };
        assert_eq!(mapped.fits(64), small().fits_in(16_384, 64), "guards are mapped too");
        let root = Limits { ipc_lock: IpcLock::InEffect, ..small() };
        assert_eq!(root.fits(64), Fit::Unlimited);
        let memory = Limits { memory: quota(1 << 30, (1 << 30) - 300_000), ..root };
        let Limit::Bytes(left) = memory.memory_left() else { panic!("{memory}") };
        assert_eq!(memory.fits(64), memory.fits_in(left, 64));
        assert_eq!(Limits { locked: None, ..small() }.fits(64), Fit::Unknown);
        assert_eq!(small().fits(0), Fit::Unlimited);
        assert!(all.holds(500) && small().needed(500, 64) <= 65_536);
    }

    #[test]
    fn what_is_needed_is_enough_and_a_page_less_is_not() {
        for (count, size) in [(1, 1), (16, 64), (500, 64), (100, 1000), (3, 5000), (40, 100_000)] {
            let budget = Pieces(PIECE).budget_for(count, size, 4096);
            assert!(budget.is_multiple_of(4096));
            assert!(
                Pieces(PIECE).secrets_within(budget, size) >= count,
                "{count} of {size}: {budget}"
            );
            let less = Pieces(PIECE).secrets_within(budget - 4096, size);
            assert!(less < count, "{count} of {size}: {less} in {budget} less a page");
        }
    }

    #[test]
    fn small_pieces_promise_no_more_and_little_less() {
        for (budget, size) in [(65_536, 64), (8 << 20, 64), (8 << 20, 4096), (64 << 20, 100_000)] {
            let exact = Pieces(PIECE).secrets_within(budget, size);
            let in_small = Pieces(LEAST_PIECE).secrets_within(budget, size);
            let close = in_small <= exact && in_small >= exact - exact / 8;
            assert!(close, "{in_small}, not {exact}: {size} bytes each in {budget}");
        }
        let tight = Limits { memory: quota(6 << 20, 4 << 20), ..small() };
        assert_eq!(tight.pieces().0, LEAST_PIECE);
        let data = Limits { data: quota(8 << 20, 0), ..small() };
        assert_eq!(data.pieces().0, 512 << 10);
        let unknown = Limits { data: Quota { used: None, ..quota(1 << 30, 0) }, ..small() };
        assert_eq!(unknown.pieces().0, LEAST_PIECE);
        assert_eq!(Limits { memory: quota(1 << 30, 0), ..small() }.pieces().0, PIECE);
    }

    #[test]
    fn large_budgets_are_sums_of_pieces() {
        // Each piece is filled anew, from wherever this thread happens to begin.
        let (piece, most_apart) = (Pieces(PIECE).secrets_within(PIECE, 4096), 5 * MARGIN);
        assert!(Pieces(PIECE).secrets_within(5 * PIECE, 4096).abs_diff(5 * piece) <= most_apart);
        let needed = Pieces(PIECE).budget_for(5 * piece + most_apart + 1, 4096, 4096);
        assert!(needed > 5 * PIECE && needed <= 5 * PIECE + 262_144, "{needed}");
        assert!(Pieces(PIECE).budget_for(5 * piece - most_apart, 4096, 4096) <= 5 * PIECE);
    }

    #[test]
    fn large_secrets_are_reckoned_against_them() {
        for (budget, size) in [(1 << 30, 1 << 20), (1 << 30, 3_000_000), (1 << 40, 1 << 33)] {
            let most = budget / size;
            let fit = Pieces(PIECE).secrets_within(budget, size);
            assert!(fit < most && fit >= most * 7 / 8, "{fit} of {size} in {budget}");
            let needed = Pieces(PIECE).budget_for(fit, size, 4096);
            assert!(needed >= fit * size && needed <= budget + budget / 8, "{needed}");
        }
    }

    #[test]
    fn the_absurd_is_no_overflow() {
        assert_eq!(Pieces(PIECE).secrets_within(0, 1), 0);
        assert_eq!(Pieces(PIECE).secrets_within(100, 1), 0);
        assert_eq!(Pieces(PIECE).secrets_within(65_536, u64::MAX), 0);
        assert!(Pieces(PIECE).secrets_within(u64::MAX, 4096) > 1 << 51);
        assert_eq!(Pieces(PIECE).budget_for(u64::MAX, u64::MAX, 4096), u64::MAX);
        assert_eq!(Pieces(PIECE).budget_for(2, u64::MAX, 4096), u64::MAX);
        assert_eq!(Pieces(PIECE).budget_for(u64::MAX, 4096, 4096), u64::MAX);
    }

    #[test]
    fn not_knowing_is_not_fitting() {
        assert!(Fit::Secrets(5).holds(5) && !Fit::Secrets(5).holds(6));
        assert!(Fit::Unlimited.holds(u64::MAX));
        assert!(!Fit::Unknown.holds(1) && Fit::Unknown.holds(0));
    }
}
