//! What threads do beside each other, step by step on one.

mod lost;

use core::mem::MaybeUninit;
use std::vec::Vec;

use super::leaves::{APART, LARGE};
use super::*;
use crate::buffer::Buffer;
use crate::canary::State;
use crate::classes::CLASSES;
use crate::guarded::Guarded;
use crate::lock::SpinLock;
use crate::runs::Cell;
use crate::shards::Shards;
use crate::testing::{Counting, fill, rounds, with_arena};

#[test]
fn what_was_given_up_is_not_looked_at_while_it_is_wiped() {
    with_arena(4096, |arena| {
        let layout = Layout::array::<u8>(57).unwrap();
        let secret = arena.allocate(layout).unwrap();
        let _window = arena.owner().open(Door::Whole);
        let cell = cell_of(arena, secret);
        // SAFETY: the secret was just allocated, and is given up here.
        let claimed = unsafe { arena.cells.take_back(cell) };
        let offset = claimed.cell().start();
        let mut looks = 0;
        let mut wait = || {
            // Another claims the cell to see whether it is ready, while `verify` looks.
            let other = arena.cells.claim(cell.head, cell.shape.class.into(), 0).ok().unwrap();
            assert_eq!((other.cell().head, other.cell().index), (cell.head, cell.index));
            // SAFETY: the secret was given up, and nobody holds a reference to it.
            unsafe { arena.cells.leaves.bytes_mut(offset..offset + 64) }.fill(0);
            assert_eq!(arena.verify(), Ok(()), "no slack is missing where no secret is");
            assert_eq!(other.look(), Err(NotReady::Busy));
            arena.cells.put_back(other);
            looks += 1;
        };
        arena.cells.runs.occupancy().freeze(cell.head);
        let returned = claimed.release(|| {
            arena.cells.runs.occupancy().thaw(cell.head);
            wait();
        });
        assert!(returned.unwrap().is_empty && looks == 1);
        assert_eq!((arena.verify(), arena.stats().live), (Ok(()), 0));
    });
}

#[test]
fn a_run_whose_first_canary_is_damaged_is_not_taken_apart() {
    with_arena(4096, |arena| {
        let secret = arena.allocate(Layout::new::<[u8; 64]>()).unwrap().cast::<u8>();
        // SAFETY: the secret was just allocated, and nobody uses it.
        unsafe { arena.deallocate(secret, Layout::new::<[u8; 64]>()) };
        let window = arena.owner().open(Door::Whole);
        let first = arena.cells.leaves.offset_of(secret).unwrap() - CANARY;
        // SAFETY: the canary before what was a run's first cell, which nobody uses.
        unsafe { arena.cells.leaves.bytes_mut(first..first + CANARY) }.fill(1);
        drop(window);
        arena.reclaim();
        assert_eq!(arena.verify().unwrap_err().kind, FaultKind::CanaryBefore);
        assert_eq!((arena.verify(), arena.stats().quarantined), (Ok(()), 1));
    });
}

#[test]
fn what_is_free_but_not_ready_is_in_use_a_moment_longer_or_damaged() {
    let in_use = [State::RELEASED, State::live(0, 0), State::live(3, 7), State::live(12, 248)];
    let never_free = [State::EDGE, State::QUARANTINED];
    with_arena(4096, |arena| {
        let secret = arena.allocate(Layout::new::<[u8; 64]>()).unwrap();
        let _window = arena.owner().open(Door::Whole);
        let cell = cell_of(arena, secret);
        let after_reset = |state| {
            // SAFETY: the cell is taken, and nobody uses the secret in it.
            let between = unsafe { arena.cells.between(cell) };
            // SAFETY: the cell is taken, and nobody uses the secret in it.
            unsafe { Guarded::new(between) }.reset(state);
            // SAFETY: the secret in the cell is this test's, which does not use it any more.
            unsafe { arena.cells.take_back(cell) }.look()
        };
        assert_eq!(after_reset(State::FREE), Ok(()));
        assert!(in_use.iter().all(|&state| after_reset(state) == Err(NotReady::Busy)));
        let damaged = Err(NotReady::Damaged(FaultKind::CanaryAfter));
        assert!(never_free.iter().all(|&state| after_reset(state) == damaged));
    });
}

#[test]
fn what_others_are_wiping_is_passed_over() {
    with_arena(4096, |arena| {
        let layout = Layout::new::<[u8; 64]>();
        let [kept, given_up] = [(); 2].map(|()| arena.allocate(layout).unwrap());
        let _window = arena.owner().open(Door::Whole);
        // SAFETY: the secret is this test's, which does not use it any more.
        let claimed = unsafe { arena.cells.take_back(cell_of(arena, given_up)) };
        // Somebody else is wiping it, and does not go on.
        arena.cells.put_back(claimed);
        let next = arena.allocate(layout).unwrap();
        assert!(![kept, given_up].map(NonNull::addr).contains(&next.addr()));
        assert_eq!(arena.stats().faults, 0);
    });
}

/// The cell that a secret is in.
fn cell_of<'a, O: Owner>(arena: &'a Arena<'_, O>, secret: NonNull<[u8]>) -> Cell<'a> {
    let offset = arena.cells.leaves.offset_of(secret.cast()).unwrap();
    arena.cells.runs.occupancy().cell_at(offset).unwrap()
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
        let before = arena.ledger.lock().cut;
        let mut walk = EmptyRuns::default();
        let _window = arena.owner().open(Door::Allocate);
        while arena.return_empty_runs(&mut arena.ledger.lock(), &mut walk) {}
        let left = arena.stats().classes[7].cells;
        let ledger = *arena.ledger.lock();
        assert_eq!((ledger.cells[7] as usize, left >= 40), (left, true));
        let leaves = 0..arena.cells.runs.occupancy().leaves();
        assert_eq!(ledger.cut, leaves.filter(|&leaf| !arena.buddy.is_free(leaf)).count());
        assert!(ledger.cut < before);
    });
}

#[test]
fn leaves_that_were_just_taken_are_not_looked_at() {
    with_arena(16384, |arena| {
        let _window = arena.owner().open(Door::Whole);
        let leaf = arena.buddy.take(1, 1, 0).unwrap();
        // SAFETY: the leaf was just taken, and nobody else knows of it.
        unsafe { arena.cells.leaves.bytes_mut(leaf * LEAF..leaf * LEAF + 1) }.fill(1);
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

#[test]
fn an_arena_with_one_shard_is_at_most_a_kibibyte_long() {
    let bytes = size_of::<Arena<'_, Spin<1>>>();
    assert!(bytes <= 1024, "{bytes} bytes");
}

#[test]
fn an_arena_made_in_its_place_serves_and_is_dropped_there() {
    let mut region = std::vec![MaybeUninit::new(1); 8192];
    let mut place: MaybeUninit<Arena<'_, Spin<2>>> = MaybeUninit::uninit();
    let at = place.as_ptr().addr();
    let arena = Arena::new_in(&mut place, &mut region[..], &mut Counting(1), Spin).unwrap();
    arena.set_fault_handler(|_| ());
    assert_eq!(core::ptr::from_ref(arena).addr(), at);
    for shard in arena.shards.as_ref() {
        let hints = (0..CLASSES).map(|class| shard.recent(class).first());
        assert!(hints.into_iter().all(|head| head > arena.capacity()), "a new arena knows no run");
    }
    let layout = Layout::new::<[u8; 32]>();
    let secret = arena.allocate(layout).unwrap().cast::<u8>();
    // SAFETY: allocated for this layout, and not used any more.
    unsafe { arena.deallocate(secret, layout) };
    // SAFETY: the memory is free, within the region, and nobody is looking at it.
    unsafe { secret.write(0xee) };
    assert!(arena.allocate(layout).is_ok(), "the handler returns");
    assert_eq!(arena.stats().faults, 1, "found, told and quarantined");
    // SAFETY: the arena was made in its place, and is not used any more.
    unsafe { place.assume_init_drop() };
    // SAFETY: it was initialised above, and the arena wrote plain bytes at its end.
    let left = region.iter().map(|byte| unsafe { byte.assume_init() });
    assert!(left.into_iter().all(|byte| byte == 0), "wiped");
}

#[test]
fn nothing_is_made_in_its_place_where_an_arena_cannot_be() {
    let (mut place, mut region) = (MaybeUninit::uninit(), [MaybeUninit::uninit(); 9]);
    let error = Arena::new_in(&mut place, &mut region, &mut Counting(1), Spin::<1>);
    assert!(matches!(error, Err(ArenaError::RegionTooSmall { bytes: 9, .. })));
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn an_arena_made_in_its_place_needs_little_more_stack_than_its_generator() {
    let mut probe = crate::stack_probe::StackProbe::new();
    let generator =
        with_arena(8192, |arena| probe.run(|| arena.reseed(&mut Counting(2)).unwrap()).len());
    let mut region = std::vec![0_u8; 8192];
    let mut place = std::boxed::Box::new(MaybeUninit::<Arena<'_>>::uninit());
    let in_place = probe.run(|| {
        // SAFETY: this runs once, and the bytes outlive the arena, which is forgotten.
        let region = unsafe { Region::from_raw(NonNull::from(&mut region[..]).cast(), 8192) };
        assert!(Arena::new_in(&mut place, region, &mut Counting(1), Spin).is_ok());
    });
    let more = in_place.len() - generator;
    assert!(more < size_of::<Arena<'_>>() / 2, "{more} bytes more: the arena was there");
}

#[test]
fn what_runs_keep_is_reclaimed() {
    with_arena(16 * 1024, |arena| {
        let free = || arena.map().filter(|span| span.kind == SpanKind::Free).map(|span| span.len);
        let fresh: Vec<usize> = free().collect();
        let some: Vec<_> = (1..5).map(|len| Buffer::new(arena, 40 * len).unwrap()).collect();
        let kept = Buffer::new(arena, 32).unwrap();
        drop(some);
        assert!(free().sum::<usize>() < fresh[0] - LEAF, "nothing to reclaim");
        arena.reclaim();
        assert_eq!(free().sum::<usize>(), fresh[0] - LEAF);
        drop(kept);
        arena.reclaim();
        assert_eq!(free().collect::<Vec<_>>(), fresh);
    });
}

#[test]
fn the_last_leaves_are_not_cut_where_a_larger_cell_is_free() {
    with_arena(4096, |arena| {
        let cut = || arena.ledger.lock().cut;
        let larger = Buffer::new(arena, 96).unwrap();
        let before = cut();
        let far = Buffer::new(arena, 32).unwrap();
        assert_eq!(cut(), before + 1, "a cell much larger would be wasted");
        let near = Buffer::new(arena, 72).unwrap();
        assert_eq!(cut(), before + 1, "a cell of 96 bytes was free");
        drop((larger, near, far));
    });
    with_arena(64 * 1024, |arena| {
        let larger = Buffer::new(arena, 96).unwrap();
        let before = arena.ledger.lock().cut;
        let near = Buffer::new(arena, 72).unwrap();
        assert_eq!(arena.ledger.lock().cut, before + 1, "there are leaves enough");
        drop((larger, near));
    });
}

#[test]
fn secrets_of_one_length_take_the_last_leaves_too() {
    with_arena(8192, |arena| {
        let secrets = fill(arena, 64);
        let leaves = arena.cells.runs.occupancy().leaves();
        assert!(secrets.len() * 10 >= leaves * 34, "{} in {leaves} leaves", secrets.len());
    });
}

#[test]
fn what_others_gave_back_is_as_good_as_new() {
    for bytes in [rounds(8192, 1024), rounds(64 * 1024, 2048)] {
        let fresh = with_arena(bytes, |arena| fill(arena, 16).len());
        with_arena(bytes, |arena| {
            drop(fill(arena, 24));
            assert_eq!(fill(arena, 16).len(), fresh, "in {bytes} bytes");
        });
    }
}

/// An owner that is told which shard the caller is of.
struct InShard(AtomicUsize);

impl Owner for InShard {
    type Lock = SpinLock;
    type Shards = Shards<16>;
    type Window<'o> = ();

    fn open(&self, _: Door) {}

    fn shard(&self, _: usize) -> usize {
        self.0.load(Relaxed)
    }
}

#[test]
#[cfg_attr(miri, ignore = "it is of placement alone, in regions of a MiB, which take minutes")]
fn threads_use_runs_apart_where_there_is_room_for_that() {
    let leaves_of_two = |bytes, cut_before| {
        let mut region = std::vec![MaybeUninit::uninit(); bytes];
        let owner = InShard(AtomicUsize::new(0));
        let arena = Arena::with_owner(&mut region[..], &mut Counting(1), owner).unwrap();
        let before = Buffer::new(&arena, cut_before).unwrap();
        let layout = Layout::new::<[u8; 64]>();
        let leaves = [0, 1].map(|shard| {
            arena.owner.0.store(shard, Relaxed);
            let cell = arena.allocate(layout).unwrap();
            arena.cells.leaves.offset_of(cell.cast()).unwrap() / LEAF
        });
        drop(before);
        leaves
    };
    let apart = |[one, other]: [usize; 2]| one / APART != other / APART;
    assert!(apart(leaves_of_two(LARGE * LEAF + 65_536, 0)));
    assert!(!apart(leaves_of_two(LARGE * LEAF, 0)), "a small region has no room to spare");
    let half = LARGE * LEAF / 2 + 65_536;
    assert!(!apart(leaves_of_two(LARGE * LEAF + 65_536, half)), "nor has one that is half full");
}
