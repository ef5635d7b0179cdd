//! Random sequences of calls; the fuzz target `c_interface` plays the same.

#[expect(unreachable_pub, reason = "shared with the fuzz target")]
mod sequences;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::proptest;

proptest! {
    #[test]
    fn any_calls_are_answered(bytes in vec(any::<u8>(), 0..400)) {
        sequences::run(&bytes);
    }
}
