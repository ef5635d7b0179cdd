//! Collections in an arena, beside those of std.

use core::hash::BuildHasherDefault;
use core::mem::MaybeUninit;
use std::collections::HashMap as StdMap;
use std::hash::DefaultHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec;
use std::vec::Vec as StdVec;

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::HashMap;

use super::*;
use crate::classes::CANARY;
use crate::lock::SpinLock;
use crate::shards::Shards;
use crate::sync::AtomicUsize;
use crate::testing::{Counting, Noise, rounds, with_open_arena};
use core::sync::atomic::Ordering::Relaxed;

#[test]
fn a_vec_in_the_arena_does_what_one_of_std_does() {
    with_open_arena(LARGE, |arena| {
        let mut noise = Noise(1);
        for _ in 0..rounds(40, 2) {
            let (mut ours, mut theirs) = (Vec::new_in(arena), StdVec::new());
            for _ in 0..rounds(400, 60) {
                step(&mut noise, &mut ours, &mut theirs);
                assert_eq!(ours.as_slice(), theirs.as_slice());
                let place = NonNull::from(ours.as_slice()).cast();
                let is_inside = arena.cells.leaves.offset_of(place).is_some();
                assert!(is_inside || ours.capacity() == 0, "it lies elsewhere");
            }
            assert_eq!(arena.verify(), Ok(()));
        }
        assert_eq!(arena.stats().live, 0);
        assert_content(arena);
    });
}

/// Does the same to both.
fn step(noise: &mut Noise, ours: &mut Vec<u64, &Arena<'_>>, theirs: &mut StdVec<u64>) {
    let value = noise.word();
    let place = below(noise, theirs.len() + 1);
    match below(noise, 12) {
        0..4 => {
            ours.push(value);
            theirs.push(value);
        }
        4 => assert_eq!(ours.pop(), theirs.pop()),
        5 => {
            ours.insert(place, value);
            theirs.insert(place, value);
        }
        6 if place < theirs.len() => assert_eq!(ours.remove(place), theirs.remove(place)),
        7 if below(noise, 4) == 0 => {
            ours.truncate(place);
            theirs.truncate(place);
        }
        8 => ours.shrink_to_fit(),
        9 => ours.try_reserve(below(noise, 100)).unwrap(),
        10 => *ours = ours.clone(),
        11 if theirs.len() < 500 => {
            ours.extend_from_slice(&theirs[..place]);
            theirs.extend_from_within(..place);
        }
        _ => {}
    }
}

#[test]
fn a_map_in_the_arena_does_what_one_of_std_does() {
    with_open_arena(LARGE, |arena| {
        let mut noise = Noise(2);
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut ours = HashMap::with_hasher_in(hasher, arena);
        let mut theirs = StdMap::new();
        for _ in 0..rounds(3000, 100) {
            let (key, value) = (below(&mut noise, 200), noise.word());
            match below(&mut noise, 8) {
                0..4 => assert_eq!(ours.insert(key, value), theirs.insert(key, value)),
                4..7 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                _ => ours.shrink_to_fit(),
            }
            assert_eq!((ours.len(), ours.get(&key)), (theirs.len(), theirs.get(&key)));
        }
        assert_eq!(arena.stats().live, 1);
        let mut all: StdVec<_> = ours.iter().map(|(&key, &value)| (key, value)).collect();
        let mut expected: StdVec<_> = theirs.into_iter().collect();
        all.sort_unstable();
        expected.sort_unstable();
        assert_eq!(all, expected);
        drop(ours);
        assert_content(arena);
    });
}

/// Miri would say so.
#[test]
fn what_is_not_initialised_is_not_looked_at() {
    fn come_and_go<const LEN: usize>(arena: &Arena<'_>) {
        drop(Box::try_new_in(MaybeUninit::<[u8; LEN]>::uninit(), arena).unwrap());
    }
    with_open_arena(1 << 14, |arena| {
        let lengths: [fn(&Arena<'_>); 8] = [
            come_and_go::<1>,
            come_and_go::<20>,
            come_and_go::<57>,
            come_and_go::<64>,
            come_and_go::<113>,
            come_and_go::<130>,
            come_and_go::<1100>,
            come_and_go::<4500>,
        ];
        lengths.into_iter().for_each(|come_and_go| come_and_go(arena));
        assert_eq!((arena.stats().live, arena.stats().faults), (0, 0));
    });
}

#[test]
fn a_box_in_the_arena_drops_its_value_and_is_wiped() {
    with_open_arena(8192, |arena| {
        let drops = AtomicUsize::new(0);
        let boxed = Box::try_new_in([MARK; 32], arena).unwrap();
        let dropped = Box::new_in(Dropped(&drops), arena);
        let nothing = Box::new_in((), arena);
        assert_eq!((arena.stats().live, marks(arena)), (2, 32), "what has no bytes takes none");
        drop((boxed, dropped, nothing));
        assert_eq!((drops.load(Relaxed), marks(arena)), (1, 0));
        assert_content(arena);
    });
}

/// Counts when it is dropped.
struct Dropped<'a>(&'a AtomicUsize);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn what_was_grown_or_shrunk_from_is_wiped() {
    with_open_arena(LARGE, |arena| {
        let mut grown = Vec::new_in(arena);
        // Cells of all classes, and blocks.
        for len in 1..rounds(6000, 200) {
            grown.push(MARK);
            assert!(len % rounds(61, 39) > 0 || marks(arena) == len, "{} of {len}", marks(arena));
        }
        while grown.len() > 7 {
            grown.truncate(grown.len() / 2);
            grown.shrink_to_fit();
            assert_eq!(marks(arena), grown.len());
        }
        drop(grown);
        assert_eq!(marks(arena), 0);
        assert_content(arena);
    });
}

#[test]
fn layouts_of_every_alignment_are_served_or_refused() {
    with_open_arena(LARGE, |arena| {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        for align in (0..=12).map(|log2| 1 << log2) {
            let [small, large] = [layout(3, align), layout(700, align)];
            let memory = arena.allocate_zeroed(small).unwrap();
            // SAFETY: just allocated, and zeroed.
            let bytes = unsafe { memory.as_ref() };
            assert_eq!((bytes, bytes.as_ptr().addr() % align), (&[0; 3][..], 0));
            // SAFETY: allocated for `small`, and used no more.
            let memory = unsafe { (&arena).grow_zeroed(memory.cast(), small, large) }.unwrap();
            assert_eq!((memory.len(), memory.addr().get() % align), (700, 0));
            // SAFETY: allocated for `large`, and used no more.
            let memory = unsafe { (&arena).shrink(memory.cast(), large, small) }.unwrap();
            // SAFETY: allocated for `small`, and used no more.
            unsafe { (&arena).deallocate(memory.cast(), small) };
        }
        let too_much = layout(1, 2 * <Arena<'_>>::GREATEST_ALIGN);
        assert_eq!(Allocator::allocate(&arena, too_much), Err(AllocError));
        assert_content(arena);
    });
}

#[test]
fn nothing_has_a_layout_too() {
    with_open_arena(8192, |arena| {
        let (none, some) = (Layout::new::<[u64; 0]>(), Layout::new::<[u64; 4]>());
        let nothing = Allocator::allocate(&arena, none).unwrap();
        let beyond = nothing.addr().get() % align_of::<u64>();
        assert_eq!((nothing.len(), beyond, arena.stats().live), (0, 0, 0));
        // SAFETY: allocated for `none`.
        let memory = unsafe { (&arena).grow(nothing.cast(), none, some) }.unwrap();
        assert_eq!((memory.len(), arena.stats().live), (32, 1));
        // SAFETY: allocated for `some`, and used no more.
        let nothing = unsafe { (&arena).shrink(memory.cast(), some, none) }.unwrap();
        assert_eq!((nothing.len(), arena.stats().live), (0, 0));
        // SAFETY: allocated for `none`.
        unsafe { (&arena).deallocate(nothing.cast(), none) };
        let inside = arena.cells.leaves.address();
        let somewhere = NonNull::without_provenance(inside.try_into().unwrap());
        // SAFETY: any address will do for nothing.
        unsafe { (&arena).deallocate(somewhere, Layout::new::<()>()) };
        assert_eq!(arena.stats().faults, 0);
        assert_content(arena);
    });
}

#[test]
fn a_full_arena_is_an_error_and_the_collection_stays() {
    with_open_arena(4096, |arena| {
        let mut line = Vec::new_in(arena);
        line.extend_from_slice(b"hunter2");
        assert!(line.try_reserve(arena.capacity()).is_err());
        assert!(Box::try_new_in([0_u8; 4096], arena).is_err());
        assert_eq!(line, b"hunter2");
        drop(line);
        assert_content(arena);
    });
}

#[test]
fn damage_is_told_once_by_what_grows_and_by_what_is_dropped() {
    // A block's length is the least under Miri, which counts marks slowly.
    let block = rounds(5000, 4200);
    for (bytes, grows) in [(64, true), (64, false), (1240, true), (block, true), (block, false)] {
        let mut region = vec![MaybeUninit::uninit(); rounds(1 << 15, 1 << 14)];
        let arena = Arena::new(&mut region[..], &mut Counting(1)).unwrap();
        let arena = arena.with_fault_handler(|_| ());
        let mut damaged = overrun(&arena, bytes);
        if grows {
            damaged.push(MARK);
            assert_eq!((arena.stats().faults, marks(&arena)), (1, bytes + 1));
            assert_eq!(damaged.as_slice(), vec![MARK; bytes + 1]);
        }
        drop(damaged);
        assert_eq!((arena.stats().faults, arena.stats().live, marks(&arena)), (1, 0, 0), "{bytes}");
        assert_eq!(arena.verify(), Ok(()));
    }
}

#[test]
fn a_handler_that_panics_while_a_vec_grows_panics_once() {
    for bytes in [64, 5000] {
        with_open_arena(rounds(1 << 15, 1 << 14), |arena| {
            let mut damaged = overrun(arena, bytes);
            // The vector is dropped by the unwinding: another panic would end the process.
            let panic = catch_unwind(AssertUnwindSafe(move || damaged.push(MARK))).unwrap_err();
            let message = panic.downcast::<String>().unwrap();
            assert_eq!(*message, FaultKind::CanaryAfter.message());
            assert_eq!((arena.stats().faults, arena.stats().live, marks(arena)), (1, 0, 0));
        });
    }
}

/// A vector of `bytes` marks without spare room, with damage behind it.
fn overrun<'a, 'r>(arena: &'a Arena<'r>, bytes: usize) -> Vec<u8, &'a Arena<'r>> {
    let mut vector = Vec::with_capacity_in(bytes, arena);
    vector.resize(bytes, MARK);
    let start = arena.cells.leaves.offset_of(NonNull::from(vector.as_slice()).cast()).unwrap();
    let behind = (start + bytes).next_multiple_of(CANARY);
    // SAFETY: a canary lies behind the vector, which fills its cell or block but for some slack.
    unsafe { arena.cells.leaves.canary(behind) }.store(7);
    vector
}

#[test]
fn the_gate_is_open_while_what_grows_is_copied() {
    let mut region = vec![MaybeUninit::uninit(); 8192];
    let exposed = AtomicUsize::new(0);
    let arena = Arena::with_owner(&mut region[..], &mut Counting(1), Gate(&exposed)).unwrap();
    let mut vector = Vec::with_capacity_in(8, &arena);
    vector.extend_from_slice(&[MARK; 8]);
    assert_eq!(exposed.load(Relaxed), 0);
    vector.push(MARK);
    assert_eq!(exposed.load(Relaxed), 1);
    vector.shrink_to_fit();
    assert_eq!(exposed.load(Relaxed), 2);
}

/// An owner that counts for how many secrets its gate was opened.
struct Gate<'a>(&'a AtomicUsize);

impl Owner for Gate<'_> {
    type Lock = SpinLock;
    type Shards = Shards<1>;
    type Window<'o>
        = ()
    where
        Self: 'o;

    fn open(&self, door: Door) {
        self.0.fetch_add(usize::from(door == Door::Expose), Relaxed);
    }
}

/// How many bytes of the leaves are marks. Only where all secrets are bytes.
fn marks<O: Owner>(arena: &Arena<'_, O>) -> usize {
    // SAFETY: nobody else uses the arena meanwhile, and all that was written is initialised.
    let leaves = unsafe { arena.cells.leaves.bytes(0..arena.capacity()) };
    let (mut marks, mut row) = (0, 0);
    #[expect(clippy::needless_range_loop, reason = "Miri looks long at a reference to each byte")]
    for at in 0..leaves.len() {
        row = if leaves[at] == MARK { row + 1 } else { 0 };
        marks += match row {
            0..3 => 0,
            3 => 3,
            _ => 1,
        };
    }
    marks
}

/// Nothing is live, and nothing was found damaged.
fn assert_content<O: Owner>(arena: &Arena<'_, O>) {
    assert_eq!((arena.verify(), arena.stats().live, arena.stats().faults), (Ok(()), 0, 0));
    arena.reclaim();
    // SAFETY: nobody uses the arena meanwhile.
    let leaves = unsafe { arena.cells.leaves.bytes(0..arena.capacity()) };
    assert!(leaves == vec![0; leaves.len()], "something was left");
}

fn below(noise: &mut Noise, limit: usize) -> usize {
    usize::try_from(noise.word() % limit as u64).unwrap()
}

/// Bytes of a region for many secrets.
const LARGE: usize = rounds(1 << 16, 1 << 14);

/// No canary has three of them in a row, for these seeds.
const MARK: u8 = 0xc3;
