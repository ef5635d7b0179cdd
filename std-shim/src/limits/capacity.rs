//! How many secrets fit so many bytes, found by filling an arena.
//!
//! The arena is over ordinary memory, is filled with empty secrets, and holds a vault's key besides,
//! so its figures are a vault's own, or a little lower:
//!
//! - An arena of more than [`STEADY`] bytes keeps threads apart. Which part a thread fills first
//!   depends on where its stack lies, and so do the last few secrets: [`MARGIN`] is taken off.
//! - Beyond [`PIECE`] bytes they are reckoned from pieces of that size, and for secrets beyond
//!   [`LARGE`] bytes from smaller ones in as much less memory.

use std::fmt::{self, Display, Formatter};
use std::mem::{self, MaybeUninit};

use strongroom_core::{Arena, Buffer, Enclave};

use super::{Grouped, Limit, Limits};
use crate::entropy::OsEntropy;
use crate::park::Park;

impl Limits {
    /// How many secrets of `size` bytes each can be open at one time, in one
    /// [`Vault`](crate::Vault) that takes all that can be locked now. Sealed secrets do not count:
    /// there can be any number.
    ///
    /// It fills an arena over ordinary memory to find out, which takes milliseconds. Up to 512 KiB of
    /// locked memory the number is exact, and up to 8 MiB a vault holds a handful more at most;
    /// beyond, or if each secret is longer than 256 KiB, it may hold a few in a hundred more.
    /// Allocations that came and went in other sizes leave less room than this.
    #[must_use]
    pub fn fits(&self, size: u64) -> Fit {
        if self.mappings_exhausted().is_some() {
            return Fit::Secrets(0);
        }
        match self.lockable() {
            Limit::Bytes(_) | Limit::Unlimited if size == 0 => Fit::Unlimited,
            Limit::Bytes(bytes) => Fit::Secrets(secrets_within(bytes, size)),
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
            _ => Fit::Secrets(secrets_within(budget, size)),
        }
    }

    /// The bytes, in whole pages, that a [`Vault`](crate::Vault) must lock so that `count` secrets
    /// of `size` bytes each can be open at one time. As exact as [`fits`](Self::fits).
    #[must_use]
    pub fn needed(&self, count: u64, size: u64) -> u64 {
        budget_for(count, size, self.page_size as u64)
    }

    /// What can be locked as far as memory goes: what is beyond its limit gets a process killed.
    fn lockable(&self) -> Limit {
        match (self.available(), self.memory_limit) {
            (Limit::Bytes(available), Limit::Bytes(memory)) => Limit::Bytes(available.min(memory)),
            (Limit::Unlimited, Limit::Bytes(memory)) => Limit::Bytes(memory),
            (available, _) => available,
        }
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

/// How many secrets of `size` bytes, one or more, a vault with `budget` bytes holds open.
fn secrets_within(budget: u64, size: u64) -> u64 {
    let scale = scale_for(size);
    let (budget, size) = (budget / scale, size.div_ceil(scale));
    let pieces = budget / PIECE;
    let in_pieces = if pieces == 0 { 0 } else { fill(PIECE, size).saturating_mul(pieces) };
    in_pieces.saturating_add(fill(budget % PIECE, size))
}

/// The least budget in whole pages with which a vault holds `count` secrets of `size` bytes open;
/// `u64::MAX` if no number is large enough.
fn budget_for(count: u64, size: u64, page_size: u64) -> u64 {
    let scale = scale_for(size);
    let size = size.div_ceil(scale).max(1);
    let in_a_piece = if count.saturating_mul(size) < PIECE { u64::MAX } else { fill(PIECE, size) };
    let (pieces, rest) = (count / in_a_piece, count % in_a_piece);
    let rest = if rest == 0 { 0 } else { pages_for(rest, size, page_size) * page_size };
    let budget = pieces.saturating_mul(PIECE).saturating_add(rest).saturating_mul(scale);
    budget.max(1).checked_next_multiple_of(page_size).unwrap_or(u64::MAX)
}

/// The least number of pages, of one piece at most, that hold `count` secrets.
fn pages_for(count: u64, size: u64, page_size: u64) -> u64 {
    // From what the secrets alone take, step by step, then back by halves.
    let (mut too_few, most) = (0, PIECE / page_size);
    let mut pages = (count * size).div_ceil(page_size).clamp(1, most);
    while pages < most {
        let missing = count.saturating_sub(fill(pages * page_size, size));
        if missing == 0 {
            break;
        }
        too_few = pages;
        pages = (pages + (missing * size / page_size).max(1)).min(most);
    }
    while pages - too_few > 1 {
        let middle = too_few.midpoint(pages);
        let fits = fill(middle * page_size, size) >= count;
        (too_few, pages) = if fits { (too_few, middle) } else { (middle, pages) };
    }
    pages
}

/// The power of two by which secrets of `size` bytes are made smaller, so that a piece holds many.
fn scale_for(size: u64) -> u64 {
    size.div_ceil(LARGE).checked_next_power_of_two().unwrap_or(u64::MAX)
}

/// How many secrets of `size` bytes surely fit an arena of at most [`PIECE`] bytes, beside a key.
fn fill(bytes: u64, size: u64) -> u64 {
    let count = fill_once(bytes, size);
    if bytes <= STEADY {
        return count;
    }
    let margin = if size <= SHORT { MARGIN } else { 1 };
    // More memory does not hold less.
    count.saturating_sub(margin).max(fill_once(STEADY, size))
}

fn fill_once(bytes: u64, size: u64) -> u64 {
    let (Ok(bytes), Ok(size)) = (usize::try_from(bytes.min(PIECE)), usize::try_from(size)) else {
        return 0;
    };
    let mut memory: Vec<MaybeUninit<u8>> = Vec::new();
    if memory.try_reserve_exact(bytes + ALIGN).is_err() {
        return 0;
    }
    memory.resize(bytes + ALIGN, MaybeUninit::uninit());
    // A region begins where a page does.
    let start = memory.as_ptr().align_offset(ALIGN);
    let region = memory.get_mut(start..start + bytes).unwrap_or_default();
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

/// Larger secrets are reckoned from smaller ones.
const LARGE: u64 = PIECE / 32;

/// No supported system has larger pages.
const ALIGN: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::super::{IpcLock, small_limits as small};
    use super::*;

    #[test]
    fn the_least_limit_decides_how_many_fit() {
        let all = small().fits(64);
        assert_eq!(all, small().fits_in(65_536, 64));
        assert!(all.holds(16) && !all.holds(1024), "{all}");
        let memory = Limits { memory_limit: Limit::Bytes(8192), ..small() };
        assert_eq!(memory.fits(64), small().fits_in(8192, 64));
        let root = Limits { ipc_lock: IpcLock::InEffect, ..small() };
        assert_eq!(root.fits(64), Fit::Unlimited);
        assert_eq!(Limits { memory_limit: Limit::Bytes(65_536), ..root }.fits(64), all);
        assert_eq!(Limits { locked: None, ..small() }.fits(64), Fit::Unknown);
        assert_eq!(small().fits(0), Fit::Unlimited);
        assert!(all.holds(500) && small().needed(500, 64) <= 65_536);
    }

    #[test]
    fn what_is_needed_is_enough_and_a_page_less_is_not() {
        for (count, size) in [(1, 1), (16, 64), (500, 64), (100, 1000), (3, 5000), (40, 100_000)] {
            let budget = budget_for(count, size, 4096);
            assert!(budget.is_multiple_of(4096));
            assert!(secrets_within(budget, size) >= count, "{count} of {size}: {budget}");
            let less = secrets_within(budget - 4096, size);
            assert!(less < count, "{count} of {size}: {less} in {budget} less a page");
        }
    }

    #[test]
    fn large_budgets_are_sums_of_pieces() {
        // Each piece is filled anew, from wherever this thread happens to begin.
        let (piece, most_apart) = (secrets_within(PIECE, 4096), 5 * MARGIN);
        assert!(secrets_within(5 * PIECE, 4096).abs_diff(5 * piece) <= most_apart);
        let needed = budget_for(5 * piece + most_apart + 1, 4096, 4096);
        assert!(needed > 5 * PIECE && needed <= 5 * PIECE + 262_144, "{needed}");
        assert!(budget_for(5 * piece - most_apart, 4096, 4096) <= 5 * PIECE);
    }

    #[test]
    fn large_secrets_are_reckoned_against_them() {
        for (budget, size) in [(1 << 30, 1 << 20), (1 << 30, 3_000_000), (1 << 40, 1 << 33)] {
            let most = budget / size;
            let fit = secrets_within(budget, size);
            assert!(fit < most && fit >= most * 7 / 8, "{fit} of {size} in {budget}");
            let needed = budget_for(fit, size, 4096);
            assert!(needed >= fit * size && needed <= budget + budget / 8, "{needed}");
        }
    }

    #[test]
    fn the_absurd_is_no_overflow() {
        assert_eq!(secrets_within(0, 1), 0);
        assert_eq!(secrets_within(100, 1), 0);
        assert_eq!(secrets_within(65_536, u64::MAX), 0);
        assert!(secrets_within(u64::MAX, 4096) > 1 << 51);
        assert_eq!(budget_for(u64::MAX, u64::MAX, 4096), u64::MAX);
        assert_eq!(budget_for(2, u64::MAX, 4096), u64::MAX);
        assert_eq!(budget_for(u64::MAX, 4096, 4096), u64::MAX);
    }

    #[test]
    fn not_knowing_is_not_fitting() {
        assert!(Fit::Secrets(5).holds(5) && !Fit::Secrets(5).holds(6));
        assert!(Fit::Unlimited.holds(u64::MAX));
        assert!(!Fit::Unknown.holds(1) && Fit::Unknown.holds(0));
    }
}
