//! Random operations on enclaves, against the shadow model.

use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_tests::enclave::{self, Op, Setup, Tamper};

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Arenas that hold a few secrets, and such that are soon full.
    #[test]
    fn operations(
        len in prop_oneof![1000_usize..4000, 4000_usize..40_000],
        seed: u64,
        ops in vec(op(), 0..60),
    ) {
        Setup { len, seed }.run(ops);
    }

    /// What a fuzzer would hand over.
    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..300)) {
        enclave::run(&bytes);
    }

    /// Records that nobody has sealed.
    #[test]
    fn hostile(bytes in vec(any::<u8>(), 0..200)) {
        enclave::open_hostile(&bytes);
    }
}

fn op() -> impl Strategy<Value = Op> {
    let (nth, context) = (0_usize..32, any::<u8>());
    let len = prop_oneof![4 => 0_usize..150, 1 => 0_usize..1500];
    prop_oneof![
        6 => (len.clone(), context).prop_map(|(len, context)| Op::Seal { len, context }),
        3 => nth.clone().prop_map(|nth| Op::Open { nth }),
        2 => nth.clone().prop_map(|nth| Op::Hold { nth }),
        2 => nth.clone().prop_map(|nth| Op::LetGo { nth }),
        8 => (nth.clone(), tamper()).prop_map(|(nth, how)| Op::Tamper { nth, how }),
        1 => nth.clone().prop_map(|nth| Op::Forget { nth }),
        1 => Just(Op::Refresh),
        1 => Just(Op::Destroy),
        2 => (len, context).prop_map(|(len, context)| Op::SealInPlace { len, context }),
        2 => (nth.clone(), any::<Option<u64>>())
            .prop_map(|(nth, seed)| Op::OpenInPlace { nth, seed }),
        2 => (nth.clone(), any::<usize>(), any::<u8>())
            .prop_map(|(nth, at, mask)| Op::TamperInPlace { nth, at, mask }),
        1 => nth.prop_map(|nth| Op::ForgetInPlace { nth }),
    ]
}

fn tamper() -> impl Strategy<Value = Tamper> {
    let (number, other) = (0_usize..2000, 0_usize..32);
    prop_oneof![
        4 => number.clone().prop_map(|bit| Tamper::Flip { bit }),
        1 => number.clone().prop_map(|len| Tamper::Cut { len }),
        2 => (any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(more, byte, front)| Tamper::Extend { more, byte, front }),
        2 => other.clone().prop_map(|other| Tamper::Swap { other }),
        2 => (other, number.clone()).prop_map(|(other, len)| Tamper::Splice { other, len }),
        2 => any::<u8>().prop_map(|context| Tamper::Context { context }),
        1 => Just(Tamper::OtherEnclave),
        1 => (number, any::<u64>()).prop_map(|(len, seed)| Tamper::Replace { len, seed }),
    ]
}
