//! Regions that are hardly one: of every length and at every address, a typed error or an arena
//! that works, and never a byte written outside.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::mem::MaybeUninit;

use strongroom_core::{Arena, ArenaError, EntropyError, Region};
use strongroom_tests::arena::{Finder, Op, Setup};
use strongroom_tests::noise::{Noise, Refusing};
use strongroom_tests::raw::Ground;

#[test]
fn of_0_to_600_bytes_at_every_offset() {
    for (len, misalignment) in (0..=600).flat_map(|len| (0..16).map(move |at| (len, at))) {
        try_out(len, misalignment);
    }
}

#[test]
fn of_up_to_3000_bytes_at_every_offset() {
    // Eleven has no factor in common with a leaf or a table.
    let lens = (601..=3000).step_by(11);
    for (len, misalignment) in lens.flat_map(|len| (0..16).map(move |at| (len, at))) {
        try_out(len, misalignment);
    }
}

#[test]
fn of_one_length_at_every_offset_of_a_page() {
    for misalignment in (0..4096).step_by(3) {
        try_out(1100, misalignment);
    }
}

#[test]
fn of_the_length_that_the_error_asks_for() {
    let mut ground = Ground::new(0, 0);
    let error = Arena::new(ground.region(), &mut Noise(1)).unwrap_err();
    let ArenaError::RegionTooSmall { bytes: 0, needed } = error else { panic!("{error}") };
    let (mut least, mut most) = (usize::MAX, 0);
    for misalignment in 0..512 {
        let mut ground = Ground::new(needed, misalignment);
        let arena = Arena::new(ground.region(), &mut Noise(1)).unwrap();
        assert!(arena.capacity() >= 256);
        drop(arena);
        let works =
            |len| Arena::new(Ground::new(len, misalignment).region(), &mut Noise(1)).is_ok();
        let enough = (0..needed).find(|&len| works(len)).unwrap_or(needed);
        (least, most) = (least.min(enough), most.max(enough));
        assert!(works(needed + 1));
    }
    assert_eq!(needed, most, "{most} bytes are enough at every address");
    assert!(least < needed, "a lucky address needs less");
}

#[test]
fn a_region_is_as_long_as_its_memory() {
    let mut memory = [MaybeUninit::uninit(); 2];
    for len in 0..=2 {
        let region = Region::new(&mut memory[..len]);
        assert_eq!((region.len(), region.is_empty()), (len, len == 0));
    }
}

#[test]
fn without_entropy_there_is_no_arena_and_nothing_is_left() {
    for len in [1000, 4096, 65_536] {
        let mut ground = Ground::new(len, 0);
        let error = Arena::new(ground.region(), &mut Refusing).unwrap_err();
        assert_eq!(error, ArenaError::Entropy(EntropyError));
        assert!(ground.is_wiped() && ground.is_guard_intact());
    }
}

#[test]
fn every_kind_of_length_is_used_up_to_the_last_leaf() {
    for len in (1000..20_000).step_by(97) {
        let mut ground = Ground::new(len, len % 256);
        let arena = Arena::new(ground.region(), &mut Noise(1)).unwrap();
        let (capacity, wasted) = (arena.capacity(), len - arena.capacity());
        assert!(wasted <= 1050 + capacity / 25, "{wasted} of {len} bytes are not leaves");
    }
}

/// Fills, damages and empties an arena over such a region, if there can be one.
fn try_out(len: usize, misalignment: usize) {
    let damage = |nth| {
        [
            Op::Overflow { nth, mask: 1, finder: Finder::Verify },
            Op::Underflow { nth, mask: 128, finder: Finder::Verify },
        ]
    };
    let ops = [
        Op::Allocate { size: 1, align: 1 },
        Op::Exhaust { size: 13, align: 1 },
        Op::Allocate { size: 240, align: 256 },
        Op::Exhaust { size: 300, align: 32 },
    ];
    let ops = ops.into_iter().chain(damage(0)).chain(damage(1));
    Setup { len, misalignment, seed: len as u64 }.run(ops);
}
