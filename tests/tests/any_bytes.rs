//! What a fuzzer would hand over, to the models that have no operations of their own.

use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_tests::{aead, parsers};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Keys, nonces, contexts and texts, some longer than 64 KiB, and changes to what was sealed.
    #[test]
    fn cipher(bytes in vec(any::<u8>(), 0..60)) {
        aead::run(&bytes);
    }

    #[test]
    fn proc(bytes in vec(any::<u8>(), 0..200)) {
        parsers::run(&bytes);
    }

    /// Text with the words that the readers look for.
    #[test]
    fn proc_like(text in "((VmLck|CapEff|user|0|1|[0-9a-f]{1,20}|max|memory|name=systemd|/\\.\\.|/a\\.service|/b\\.scope|kubepods|/dev/zram0)[: \\[\\]\n]{0,3}(kB\n)?){0,12}") {
        parsers::run(text.as_bytes());
    }
}
