//! Random operations on a store, against the shadow model.

use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_tests::store;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// What a fuzzer would hand over.
    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..1500)) {
        store::run(&bytes);
    }
}
