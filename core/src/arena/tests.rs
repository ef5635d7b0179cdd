//! What threads do beside each other, step by step on one.

use core::mem::MaybeUninit;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Counting, with_arena};

#[test]
fn what_was_given_up_is_not_looked_at_while_it_is_wiped() {
    with_arena(4096, |arena| {
        let layout = Layout::array::<u8>(57).unwrap();
        let secret = arena.allocate(layout).unwrap();
        let offset = arena.leaves.offset_of(secret.cast()).unwrap();
        let cell = arena.runs.cell_at(offset).unwrap();
        let extent = arena.extent(cell);
        // SAFETY: the secret was just allocated, and is given up here.
        unsafe { extent.give_up() };
        assert!(arena.runs.give_back(cell).is_ok());

        // Another takes the cell to see whether it is ready, while `verify` looks.
        let claimed = arena.runs.claim(cell.head, cell.shape.class.into(), 0).unwrap();
        assert_eq!((claimed.head, claimed.index), (cell.head, cell.index));
        // SAFETY: the secret was given up, and nobody holds a reference to it.
        unsafe { arena.leaves.bytes_mut(offset..offset + 64) }.fill(0);
        assert_eq!(arena.verify(), Ok(()), "no slack is missing where no secret is");
        // SAFETY: the cell was claimed, and no secret is in it.
        assert!(matches!(unsafe { extent.readiness() }, Readiness::Busy));
        arena.runs.put_back_cell(claimed);

        // SAFETY: the secret was given up.
        unsafe { extent.reset(State::FREE) };
        assert_eq!((arena.verify(), arena.stats().live), (Ok(()), 0));
    });
}

#[test]
fn what_is_free_but_not_ready_is_in_use_a_moment_longer_or_damaged() {
    let in_use = [State::RELEASED, State::live(0, 0), State::live(3, 7), State::live(12, 248)];
    let never_free = [State::EDGE, State::QUARANTINED];
    with_arena(4096, |arena| {
        let secret = arena.allocate(Layout::new::<[u8; 64]>()).unwrap();
        let cell = arena.runs.cell_at(arena.leaves.offset_of(secret.cast()).unwrap()).unwrap();
        let after_reset = |state| {
            // SAFETY: the cell is taken, and nobody uses the secret in it.
            unsafe { arena.extent(cell).reset(state) };
            // SAFETY: likewise.
            unsafe { arena.extent(cell).readiness() }
        };
        assert!(matches!(after_reset(State::FREE), Readiness::Ready));
        assert!(in_use.iter().all(|&state| matches!(after_reset(state), Readiness::Busy)));
        assert!(never_free.iter().all(|&state| {
            matches!(after_reset(state), Readiness::Damaged(FaultKind::CanaryAfter))
        }));
    });
}

#[test]
fn the_ledger_counts_what_is_left_when_empty_runs_are_returned() {
    with_arena(1 << 16, |arena| {
        let layout = Layout::new::<[u8; 64]>();
        let secrets: Vec<_> = (0..160).map(|_| arena.allocate(layout).unwrap()).collect();
        for secret in &secrets[40..] {
            // SAFETY: allocated for this layout, and not used any more.
            unsafe { arena.deallocate(secret.cast(), layout) };
        }
        assert!(arena.return_empty_runs(&mut arena.ledger.lock()) > 0);
        let left = arena.stats().classes[7].cells;
        let ledger = arena.ledger.lock();
        assert_eq!((ledger.cells[7], left >= 40), (left, true));
        assert_eq!(ledger.cut, arena.runs.leaves() - arena.buddy.vacant_count());
    });
}

#[test]
#[cfg_attr(miri, ignore = "would take hours")]
fn threads_of_a_slot_cut_runs_in_leaves_of_their_own() {
    with_leaves(LEAST_ZONE * SLOTS, |arena| {
        for slot in 0..SLOTS {
            let zone = slot * LEAST_ZONE..(slot + 1) * LEAST_ZONE;
            for class in [0, 7, 7, 20] {
                let cell = arena.take_in_zone(slot, class, 0).unwrap();
                let last = cell.head + usize::from(cell.shape.leaves) - 1;
                assert!(zone.contains(&cell.head) && zone.contains(&last));
            }
            let zone_is_full = &arena.slots[slot].zone_is_full;
            assert!(!zone_is_full.load(Relaxed));
            zone_is_full.store(true, Relaxed);
            assert!(arena.take_in_zone(slot, 0, 0).is_none());
        }
    });
    with_leaves(LEAST_ZONE * SLOTS - 1, |arena| {
        assert!(arena.take_in_zone(0, 0, 0).is_none(), "here density matters more");
    });
}

#[test]
fn leaves_that_were_just_taken_are_not_looked_at() {
    with_arena(16384, |arena| {
        let leaf = arena.buddy.take(1, &(0..arena.runs.leaves())).unwrap();
        // SAFETY: the leaf was just taken, and nobody else knows of it.
        unsafe { arena.leaves.bytes_mut(leaf * LEAF..leaf * LEAF + 1) }.fill(1);
        assert_eq!(arena.verify(), Ok(()), "a run or block is being made of it");
    });
}

#[test]
fn only_what_is_aligned_to_more_than_a_leaf_takes_whole_leaves() {
    for (align, blocks) in [(LEAF / 2, 0), (LEAF, 0), (2 * LEAF, 1)] {
        with_arena(16384, |arena| {
            assert!(arena.allocate(Layout::from_size_align(8, align).unwrap()).is_ok());
            assert_eq!((arena.stats().live, arena.stats().live_blocks), (1, blocks));
        });
    }
}

/// Calls `test` with an arena of so many leaves.
fn with_leaves(leaves: usize, test: impl FnOnce(&Arena<'_>)) {
    let mut region = vec![MaybeUninit::uninit(); leaves * LEAF * 2];
    for len in (leaves * LEAF..region.len()).step_by(LEAF) {
        let arena = Arena::new(&mut region[..len], &mut Counting(1));
        if let Ok(arena) = arena.as_ref()
            && arena.runs.leaves() == leaves
        {
            return test(arena);
        }
    }
    panic!("no region has {leaves} leaves");
}
