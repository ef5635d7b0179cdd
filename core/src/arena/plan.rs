//! How a region is divided: as many leaves as fit beside the tables that they need.

use core::sync::atomic::AtomicUsize;

use crate::bitmap::{Bitmap, summary_words, words_for};
use crate::buddy::{Buddy, MAX_LEAVES, block_bits};
use crate::classes::{LANES, LEAF};
use crate::crypto::drbg::{Drbg, Seed};
use crate::error::ArenaError;
use crate::lock::{Lock, Mutex};
use crate::owner::Owner;
use crate::region::{Carver, Leaves, Region};
use crate::runs::{Group, Post, Runs, posts_for};
use crate::sync::{AtomicU8, Shared64, SharedU32};

/// The sizes of the tables for a number of leaves.
pub(super) struct Plan {
    leaves: usize,
    groups: usize,
    block_words: usize,
    vacant_words: usize,
    posts: usize,
    districts: usize,
}

impl Plan {
    /// The plan with the most leaves that fits `region`.
    pub(super) fn for_region<O: Owner>(region: &Region<'_>) -> Result<Self, ArenaError> {
        let bytes = region.len();
        let limit = MAX_LEAVES.saturating_mul(LEAF);
        if bytes > limit {
            return Err(ArenaError::RegionTooLarge { bytes, limit });
        }
        let padding = region.padding_to(LEAF);
        let mut leaves = bytes / LEAF;
        while leaves > 0 {
            let plan = Self::for_leaves(leaves);
            // Tables begin where the region does; leaves begin at the next whole leaf.
            let tables = plan.table_bytes::<O>(region.padding_to(align_of::<Group>()));
            let end = tables + (padding + LEAF - tables % LEAF) % LEAF + leaves * LEAF;
            if end <= bytes {
                return Ok(plan);
            }
            leaves -= ((end - bytes) / (LEAF + MOST_TABLE_BYTES)).max(1);
        }
        Err(ArenaError::RegionTooSmall { bytes, needed: least_region::<O>() })
    }

    fn for_leaves(leaves: usize) -> Self {
        let (posts, districts) = posts_for(leaves);
        Self {
            leaves,
            groups: leaves.div_ceil(LANES),
            block_words: words_for(block_bits(leaves)),
            vacant_words: words_for(leaves),
            posts,
            districts,
        }
    }

    /// Where the tables end, if they begin at the aligned offset `start`.
    fn table_bytes<O: Owner>(&self, start: usize) -> usize {
        let words = self.block_words
            + summary_words(self.block_words)
            + self.vacant_words
            + summary_words(self.vacant_words);
        let mut end = start;
        end = after::<Mutex<Drbg, O::Lock>>(end, 1);
        end = after::<Group>(end, self.groups);
        end = after::<AtomicUsize>(end, words);
        end = after::<Post>(end, self.posts);
        end = after::<SharedU32>(end, self.districts);
        after::<AtomicU8>(end, self.leaves)
    }

    /// Divides the region, and fills its tables for an empty arena.
    pub(super) fn carve<'r, O: Owner>(
        &self,
        region: Region<'r>,
        seed: &Seed,
    ) -> Result<Tables<'r, O::Lock>, ArenaError> {
        let (bytes, needed) = (region.len(), least_region::<O>());
        self.carve_tables(region.carve(), seed).ok_or(ArenaError::RegionTooSmall { bytes, needed })
    }

    fn carve_tables<'r, L: Lock>(
        &self,
        mut carver: Carver<'r>,
        seed: &Seed,
    ) -> Option<Tables<'r, L>> {
        let drbg = carver.table(1, || Mutex::new(Drbg::unseeded()))?.first()?;
        drbg.lock().reseed(seed);
        let groups = carver.table(self.groups, || Group::closed(Shared64::new(draw(drbg))))?;
        let blocks = bitmap(&mut carver, self.block_words)?;
        let vacant = bitmap(&mut carver, self.vacant_words)?;
        let posts = carver.table(self.posts, Post::default)?;
        let districts = carver.table(self.districts, || SharedU32::new(0))?;
        let kinds = carver.table(self.leaves, || AtomicU8::new(0))?;
        Some(Tables {
            runs: Runs::new(kinds, groups, posts, districts),
            buddy: Buddy::new(blocks, vacant, self.leaves),
            leaves: carver.leaves(self.leaves)?,
            drbg,
        })
    }
}

/// What lies in the region.
pub(super) struct Tables<'r, L> {
    pub(super) runs: Runs<'r>,
    pub(super) buddy: Buddy<'r>,
    pub(super) leaves: Leaves<'r>,
    pub(super) drbg: &'r Mutex<Drbg, L>,
}

/// A fresh secret for canaries.
pub(super) fn draw<L: Lock>(drbg: &Mutex<Drbg, L>) -> u64 {
    let mut bytes = [0; 8];
    drbg.lock().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn bitmap<'r>(carver: &mut Carver<'r>, words: usize) -> Option<Bitmap<'r>> {
    let zero = || AtomicUsize::new(0);
    Some(Bitmap::new(carver.table(words, zero)?, carver.table(summary_words(words), zero)?))
}

/// Where `count` values of `T` end that begin at `offset` or the next aligned one.
fn after<T>(offset: usize, count: usize) -> usize {
    offset.next_multiple_of(align_of::<T>()) + count * size_of::<T>()
}

/// The shortest region in bytes that holds an arena at any alignment.
fn least_region<O: Owner>() -> usize {
    let tables = Plan::for_leaves(1).table_bytes::<O>(align_of::<Group>() - 1);
    tables + (LEAF - 1) + LEAF
}

/// More than the tables take for one leaf, in bytes.
const MOST_TABLE_BYTES: usize = 32;

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::owner::Spin;

    #[test]
    fn a_region_with_more_leaves_than_can_be_counted_is_refused() {
        let limit = MAX_LEAVES * LEAF;
        // Reserved, and never touched.
        let mut memory = Vec::new();
        if memory.try_reserve_exact(limit + 1).is_err() {
            std::eprintln!("skipped: this system does not reserve 8 GiB");
            return;
        }
        let mut leaves_in = |bytes| {
            let region = Region::new(&mut memory.spare_capacity_mut()[..bytes]);
            Plan::for_region::<Spin>(&region).map(|plan| plan.leaves)
        };
        let too_large = ArenaError::RegionTooLarge { bytes: limit + 1, limit };
        assert_eq!(leaves_in(limit + 1), Err(too_large));
        let leaves = leaves_in(limit).unwrap();
        assert!((MAX_LEAVES / 100 * 95..MAX_LEAVES).contains(&leaves), "{leaves} leaves");
    }
}
