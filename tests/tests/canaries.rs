//! Canaries change with what they stand beside.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::iter::zip;

use support::{bytes, place, release, with_lab};

/// Sizes without slack: of cells in runs of one leaf and of many, and of a block.
const SIZES: [usize; 6] = [16, 64, 112, 256, 1264, 5104];

#[test]
fn where_another_secret_lay_the_canaries_are_others() {
    for size in SIZES {
        with_lab(|lab| {
            let whole = bytes(lab.arena().capacity() - 16);
            let [first, second] = [(); 2].map(|()| {
                let places: Vec<_> = (0..8).map(|_| place(lab, bytes(size))).collect();
                let canary = |&at: &usize| (at, lab.read(at + size..at + size + 8));
                let canaries: Vec<_> = places.iter().map(canary).collect();
                places.iter().for_each(|&at| release(lab, at, bytes(size)).unwrap());
                // Only what needs the leaves of empty runs takes those apart.
                let at = place(lab, whole);
                release(lab, at, whole).unwrap();
                canaries
            });
            for ((before_at, before), (at, canary)) in zip(first, second) {
                assert_eq!(before_at, at, "{size} bytes");
                assert_ne!(before, canary, "{size} bytes at {at}");
            }
        });
    }
}
