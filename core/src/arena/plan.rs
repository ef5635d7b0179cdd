//! How a region is divided: as many leaves as fit beside the tables that they need.

use crate::buddy::{self, Buddy, MAX_LEAVES};
use crate::cells::Cells;
use crate::classes::{LANES, LEAF};
use crate::crypto::drbg::{Drbg, Seed};
use crate::error::ArenaError;
use crate::index::Mask;
use crate::lock::{Lock, Mutex};
use crate::owner::Owner;
use crate::region::{Carver, Region};
use crate::runs::{Group, Occupancy, Runs, SearchTables, search_tables_for};
use crate::sync::{AtomicU8, AtomicUsize};

/// The sizes of the tables for a number of leaves.
pub(super) struct Plan {
    leaves: usize,
    groups: usize,
    /// Words of free leaves, and blocks over them.
    buddy: (usize, usize),
    search: [usize; 3],
}

impl Plan {
    /// The plan with the most leaves that fits `region`.
    pub(super) fn for_region<O: Owner>(region: &Region<'_>) -> Result<Self, ArenaError> {
        let bytes = region.len();
        let limit = MAX_LEAVES.saturating_mul(LEAF);
        if bytes > limit {
            return Err(ArenaError::RegionTooLarge { bytes, limit });
        }
        let mut leaves = bytes / LEAF;
        while leaves > 0 {
            let plan = Self::for_leaves(leaves);
            let needed = plan.bytes::<O>(region.address());
            if needed <= bytes {
                return Ok(plan);
            }
            let over = (needed - bytes) / (LEAF + MOST_TABLE_BYTES);
            leaves = leaves.saturating_sub(over.max(1));
        }
        Err(ArenaError::RegionTooSmall { bytes, needed: least_region::<O>() })
    }

    fn for_leaves(leaves: usize) -> Self {
        Self {
            leaves,
            groups: leaves.div_ceil(LANES),
            buddy: buddy::tables_for(leaves),
            search: search_tables_for(leaves),
        }
    }

    /// How many bytes of a region at `address` it takes: tables from there on, and leaves from the next whole
    /// leaf on.
    fn bytes<O: Owner>(&self, address: usize) -> usize {
        let start = address % alignment::<O>();
        self.tables_end::<O>(start).next_multiple_of(LEAF) + self.leaves * LEAF - start
    }

    /// Where the tables end, if they begin at `start` or the next aligned address.
    fn tables_end<O: Owner>(&self, start: usize) -> usize {
        let [heads, classes, empty] = self.search;
        let mut end = start;
        end = after::<Mutex<Drbg, O::Lock>>(end, 1);
        end = after::<Group>(end, self.groups);
        end = after::<AtomicUsize>(end, self.buddy.0 + heads);
        end = after::<buddy::Block>(end, self.buddy.1);
        end = after::<Mask>(end, classes + empty);
        after::<AtomicU8>(end, self.leaves)
    }

    /// Divides the region, and fills its tables for an empty arena.
    pub(super) fn carve<'r, O: Owner>(
        &self,
        region: Region<'r>,
        seed: &Seed,
    ) -> Result<Tables<'r, O::Lock>, ArenaError> {
        let bytes = region.len();
        self.carve_tables(region.carve(), seed)
            .ok_or_else(|| ArenaError::RegionTooSmall { bytes, needed: least_region::<O>() })
    }

    fn carve_tables<'r, L: Lock>(
        &self,
        mut carver: Carver<'r>,
        seed: &Seed,
    ) -> Option<Tables<'r, L>> {
        let drbg = carver.table(1, || Mutex::new(Drbg::unseeded()))?.first()?;
        drbg.lock().reseed(seed);
        let groups = carver.table(self.groups, || Group::closed(fresh_canary(drbg)))?;
        let word = || AtomicUsize::new(0);
        let free = carver.table(self.buddy.0, word)?;
        let [heads, classes, empty] = self.search;
        let heads = carver.table(heads, word)?;
        let blocks = carver.table(self.buddy.1, buddy::Block::default)?;
        let (classes, empty) =
            (carver.table(classes, Mask::empty)?, carver.table(empty, Mask::empty)?);
        let kinds = carver.table(self.leaves, || AtomicU8::new(0))?;
        let search = SearchTables { heads, classes, empty };
        let runs = Runs::new(Occupancy::new(kinds, groups), &search);
        Some(Tables {
            cells: Cells { runs, leaves: carver.leaves(self.leaves)? },
            buddy: Buddy::new(free, blocks, self.leaves),
            drbg,
        })
    }
}

/// What lies in the region.
pub(super) struct Tables<'r, L> {
    pub(super) cells: Cells<'r>,
    pub(super) buddy: Buddy<'r>,
    pub(super) drbg: &'r Mutex<Drbg, L>,
}

/// A fresh secret for canaries.
pub(super) fn fresh_canary<L: Lock>(drbg: &Mutex<Drbg, L>) -> u64 {
    let mut bytes = [0; 8];
    drbg.lock().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Where `count` values of `T` end that begin at `start` or the next aligned address.
fn after<T>(start: usize, count: usize) -> usize {
    start.next_multiple_of(align_of::<T>()) + count * size_of::<T>()
}

/// The shortest region in bytes that holds an arena at any address.
fn least_region<O: Owner>() -> usize {
    let plan = Plan::for_leaves(1);
    (0..alignment::<O>()).map(|address| plan.bytes::<O>(address)).max().unwrap_or(LEAF)
}

/// What all that lies in a region is aligned to.
fn alignment<O: Owner>() -> usize {
    align_of::<Mutex<Drbg, O::Lock>>().max(LEAF)
}

/// More than the tables take for one leaf, in bytes.
const MOST_TABLE_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use std::vec::Vec;

    use super::*;
    use crate::arena::Arena;
    use crate::lock::SpinLock;
    use crate::owner::{Door, Spin};
    use crate::shards::Shards;
    use crate::testing::{Counting, rounds};

    #[test]
    #[cfg(target_pointer_width = "64")]
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

    #[test]
    fn there_is_no_room_for_a_leaf_more() {
        let mut memory = Vec::with_capacity(rounds(1 << 24, 1 << 13) + 200);
        for bytes in [700, 4096, 65_536, 1 << 20, 10_000_000, 1 << 24] {
            for start in [0, 8, 100] {
                let Some(memory) = memory.spare_capacity_mut().get_mut(start..start + bytes) else {
                    continue;
                };
                let leaves = Plan::for_region::<Spin>(&Region::new(memory)).unwrap().leaves;
                let mut is_carved = |leaves| {
                    let region = Region::new(memory);
                    Plan::for_leaves(leaves).carve::<Spin>(region, &Seed::zero()).is_ok()
                };
                assert!(is_carved(leaves) && !is_carved(leaves + 1), "{bytes} bytes at {start}");
            }
        }
    }

    /// A lock that is aligned to more than a leaf.
    #[repr(align(512))]
    struct Padded(SpinLock);

    // SAFETY: all is the inner lock's.
    unsafe impl Lock for Padded {
        const UNLOCKED: Self = Self(SpinLock::UNLOCKED);

        fn acquire(&self) {
            self.0.acquire();
        }

        unsafe fn release(&self) {
            // SAFETY: the contract is the same.
            unsafe { self.0.release() }
        }
    }

    struct Aligned;

    impl Owner for Aligned {
        type Lock = Padded;
        type Shards = Shards<1>;
        type Window<'o> = ();

        fn open(&self, _: Door) {}
    }

    #[test]
    fn the_region_that_is_said_to_be_needed_is_enough_wherever_it_begins() {
        let made = |bytes: &mut [MaybeUninit<u8>]| {
            Arena::with_owner(bytes, &mut Counting(1), Aligned).map(|arena| arena.capacity())
        };
        let mut memory = std::vec![MaybeUninit::uninit(); 4096];
        let Err(ArenaError::RegionTooSmall { needed, .. }) = made(&mut memory[..512]) else {
            panic!("512 bytes are enough");
        };
        for start in (0..512).step_by(rounds(1, 37)) {
            assert!(made(&mut memory[start..start + 512]).is_err(), "at {start}");
            assert!(made(&mut memory[start..start + needed]).is_ok(), "at {start}");
            let bytes = 4096 - 512;
            let leaves = made(&mut memory[start..start + bytes]).unwrap() / LEAF;
            assert!((bytes - needed) / (LEAF + MOST_TABLE_BYTES) <= leaves, "{leaves} at {start}");
        }
    }
}
