//! Whether several secrets could be open together, found by allocating them in arenas over ordinary
//! memory: how much is lost between them depends on all their lengths.

use strongroom_core::{Arena, Buffer, Enclave};

use super::pool::Pool;
use super::segment::{Memory, VaultOwner};
use crate::entropy::OsEntropy;
use crate::scratch;

/// Whether secrets of these lengths fit the memory of `pools` when nothing else is open there. Where
/// that is a great deal of memory, those that take less than half of it are not tried: they fit.
pub(super) fn fit_together<'p>(
    pools: impl Iterator<Item = &'p Pool> + Clone,
    mut left: Vec<usize>,
) -> bool {
    let sum = left.iter().fold(0, |sum: usize, &len| sum.saturating_add(least(len)));
    let memory = pools.clone().fold(0, |sum: usize, pool| sum.saturating_add(pool.ceiling()));
    if sum > memory || (memory > MOST && sum <= memory / 2) {
        return sum <= memory;
    }
    let parts = pools.flat_map(|pool| {
        let apart = pool.lasting().key_memory().map_or(0, Memory::bytes);
        let has_key = pool.lasting().enclave().is_some() && apart == 0;
        [(pool.floor() - apart, has_key), (pool.ceiling() - pool.floor(), false)]
    });
    left.sort_unstable_by(|a, b| b.cmp(a));
    for (bytes, has_key) in parts {
        allocate(&mut left, bytes, has_key);
    }
    left.is_empty()
}

/// Takes out of `lens` what fits an arena of `bytes`.
fn allocate(lens: &mut Vec<usize>, bytes: usize, has_key: bool) {
    let mut memory = Vec::<u8>::new();
    let Some(region) = scratch::pages(&mut memory, bytes) else {
        // Not known; so nobody is refused for it.
        return lens.clear();
    };
    let Ok(arena) = Arena::with_owner(region, &mut OsEntropy, VaultOwner::default()) else {
        return;
    };
    let _key = has_key.then(|| Enclave::new(&arena));
    let mut open = Vec::new();
    lens.retain(|&len| match Buffer::new(&arena, len) {
        Ok(buffer) => {
            open.push(buffer);
            false
        }
        Err(_) => true,
    });
}

/// The bytes that a secret takes wherever it lies: whole words, and a canary.
fn least(len: usize) -> usize {
    len.checked_next_multiple_of(WORD).map_or(len, |whole| whole.saturating_add(WORD))
}

const WORD: usize = 8;

/// Bytes of memory up to which all is tried.
const MOST: usize = 16 << 20;
