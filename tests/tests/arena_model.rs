//! Random operations on arenas of all kinds, against the shadow model.

use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_tests::arena::{self, Finder, Op, Setup};

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// 4 to 64 KiB, page-aligned or not.
    #[test]
    fn small_regions(
        len in 4096_usize..=65536,
        misalignment in prop_oneof![Just(0), 0_usize..4096],
        seed: u64,
        ops in vec(op(), 0..120),
    ) {
        Setup { len, misalignment, seed }.run(ops);
    }

    /// What is hardly a region at all.
    #[test]
    fn tiny_regions(
        len in 0_usize..=1400,
        misalignment in 0_usize..4096,
        seed: u64,
        ops in vec(op(), 0..60),
    ) {
        Setup { len, misalignment, seed }.run(ops);
    }

    /// Secrets of about one size, so that runs fill up and are taken apart.
    #[test]
    fn one_size(
        size in 1_usize..300,
        seed: u64,
        ops in vec(op(), 0..200),
    ) {
        let ops = ops.into_iter().map(|op| match op {
            Op::Allocate { align, .. } => Op::Allocate { size, align: align.min(16) },
            op => op,
        });
        Setup { len: 8192, misalignment: 0, seed }.run(ops);
    }

    /// What a fuzzer would hand over.
    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..600)) {
        arena::run(&bytes);
    }

    /// Several arenas, and secrets released to the wrong one.
    #[test]
    fn many_arenas(bytes in vec(any::<u8>(), 0..800)) {
        arena::run_many(&bytes);
    }
}

fn op() -> impl Strategy<Value = Op> {
    let nth = 0_usize..64;
    prop_oneof![
        10 => (size(), align()).prop_map(|(size, align)| Op::Allocate { size, align }),
        6 => nth.clone().prop_map(|nth| Op::Release { nth }),
        2 => (nth.clone(), any::<u64>()).prop_map(|(nth, seed)| Op::Write { nth, seed }),
        1 => (0_u8..3).prop_map(|order| Op::ReleaseAll { order }),
        1 => (8_usize..900, align()).prop_map(|(size, align)| Op::Exhaust { size, align }),
        2 => (nth.clone(), any::<u8>(), finder())
            .prop_map(|(nth, mask, finder)| Op::Overflow { nth, mask, finder }),
        2 => (nth.clone(), any::<u8>(), finder())
            .prop_map(|(nth, mask, finder)| Op::Underflow { nth, mask, finder }),
        2 => (nth.clone(), 0_usize..8192, any::<u8>(), finder())
            .prop_map(|(nth, at, mask, finder)| Op::WriteFree { nth, at, mask, finder }),
        1 => nth.clone().prop_map(|nth| Op::DoubleFree { nth }),
        1 => (any::<usize>(), size(), align())
            .prop_map(|(at, size, align)| Op::ForeignFree { at, size, align }),
        1 => (nth, size(), align())
            .prop_map(|(nth, size, align)| Op::WrongLayout { nth, size, align }),
        1 => any::<u64>().prop_map(|seed| Op::Reseed { seed }),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1_usize..130,
        2 => 1_usize..800,
        1 => 0_usize..6000,
        1 => (1_usize..80, 0_usize..3).prop_map(|(cell, beside)| 8 * cell + beside - 1),
        1 => any::<usize>(),
    ]
}

fn align() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => (0_u32..5).prop_map(|log2| 1 << log2),
        1 => (0_u32..14).prop_map(|log2| 1 << log2),
        1 => (0_u32..usize::BITS).prop_map(|log2| 1 << log2),
    ]
}

fn finder() -> impl Strategy<Value = Finder> {
    prop_oneof![
        Just(Finder::Verify),
        Just(Finder::Release),
        Just(Finder::Handler),
        Just(Finder::Neighbour),
        Just(Finder::Allocation),
    ]
}
