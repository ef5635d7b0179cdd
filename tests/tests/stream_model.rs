//! Random operations on streams, against the shadow model.

use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_tests::stream::{self, Attack, Look, Op, Setup};

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn operations(
        chunk in prop_oneof![1_usize..20, 20_usize..300],
        seed: u64,
        ops in vec(op(), 0..20),
        looks in vec(look(), 0..20),
        attacks in vec(attack(), 0..20),
    ) {
        Setup { chunk, seed }.run(&ops, &looks, &attacks);
    }

    /// What a fuzzer would hand over.
    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..200)) {
        stream::run(&bytes);
    }

    /// Streams that nobody has sealed.
    #[test]
    fn hostile(bytes in vec(any::<u8>(), 0..200)) {
        stream::open_hostile(&bytes);
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0_usize..700).prop_map(|len| Op::Write { len }),
        1 => Just(Op::Flush),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![
        (0_usize..700).prop_map(|len| Look::Read { len }),
        any::<usize>().prop_map(|consume| Look::Chunk { consume }),
    ]
}

fn attack() -> impl Strategy<Value = Attack> {
    let (place, chunk) = (any::<usize>(), any::<usize>());
    prop_oneof![
        place.prop_map(|bit| Attack::Flip { bit }),
        place.prop_map(|len| Attack::Cut { len }),
        any::<u8>().prop_map(|more| Attack::Append { more }),
        (chunk, chunk).prop_map(|(one, other)| Attack::Swap { one, other }),
        (chunk, chunk).prop_map(|(one, at)| Attack::Repeat { one, at }),
        chunk.prop_map(|one| Attack::Remove { one }),
        chunk.prop_map(|one| Attack::Graft { one }),
        chunk.prop_map(|one| Attack::End { one }),
        Just(Attack::Behead),
        any::<u64>().prop_map(|seed| Attack::Forge { seed }),
    ]
}
