//! Releases of what must not be released, done once in every way there is, and what was caught.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use strongroom_core::Fault;
use strongroom_core::FaultKind::{CanaryAfter, DoubleFree, ForeignFree, WrongLayout};
use strongroom_tests::raw::{Ground, Lab};

use support::{aligned, bytes, fault, place, release, with_lab};

#[test]
fn double_free_of_a_cell() {
    with_lab(|lab| {
        let kept = place(lab, bytes(64));
        let offset = place(lab, bytes(60));
        release(lab, offset, bytes(60)).unwrap();
        for _ in 0..2 {
            assert_eq!(release(lab, offset, bytes(60)), Err(fault(DoubleFree, offset)));
        }
        assert_eq!(lab.arena().stats().live, 1);
        assert_eq!(lab.arena().verify(), Ok(()));
        assert_eq!(place(lab, bytes(60)), offset, "it is handed out as before");
        release(lab, kept, bytes(64)).unwrap();
    });
}

#[test]
fn double_free_of_a_block() {
    with_lab(|lab| {
        let offset = place(lab, bytes(5000));
        release(lab, offset, bytes(5000)).unwrap();
        assert_eq!(release(lab, offset, bytes(5000)), Err(fault(DoubleFree, offset)));
        assert_eq!(lab.arena().verify(), Ok(()));
        assert_eq!(place(lab, bytes(5000)), offset);
    });
}

#[test]
fn double_free_after_damage() {
    for size in [64, 5000] {
        with_lab(|lab| {
            let offset = place(lab, bytes(size));
            lab.flip(offset + size, 1);
            assert_eq!(release(lab, offset, bytes(size)), Err(fault(CanaryAfter, offset)));
            assert_eq!(release(lab, offset, bytes(size)), Err(fault(DoubleFree, offset)));
        });
    }
}

#[test]
fn foreign_pointers_outside_the_region() {
    with_lab(|lab| {
        let len = lab.arena().region_len().cast_signed();
        let foreign = Fault { kind: ForeignFree, offset: None };
        for offset in [-4096, -1, 0, 100, lab.first_leaf().cast_signed() - 1, len, len + 1] {
            assert_eq!(lab.release(offset, bytes(64)), Err(foreign), "at {offset}");
        }
        let mut ground = Ground::new(8192, 0);
        let other = Lab::new(&mut ground, 2).unwrap();
        let offset = place(&other, bytes(64));
        assert_eq!(lab.release_of(&other, offset, bytes(64)), Err(foreign));
        release(&other, offset, bytes(64)).unwrap();
    });
}

#[test]
fn foreign_pointers_inside_the_region() {
    with_lab(|lab| {
        let small = place(lab, bytes(60));
        let large = place(lab, bytes(5000));
        let inside = [small + 1, small + 8, small + 59, small + 60, small - 1, small - 8];
        for offset in inside.into_iter().chain([large + 1, large + 248, large + 4999, large - 1]) {
            for layout in [bytes(60), bytes(5000), bytes(1), aligned(8, 128)] {
                let error = release(lab, offset, layout).unwrap_err();
                assert_eq!(error, fault(ForeignFree, offset), "{layout:?}");
            }
        }
        assert_eq!(lab.arena().verify(), Ok(()));
        assert_eq!(lab.arena().stats().quarantined, 0);
        assert_eq!(release(lab, small, bytes(60)), Ok(()));
        assert_eq!(release(lab, large, bytes(5000)), Ok(()));
        // Nothing that was handed out ever began in the middle of what is free now.
        for offset in [small + 8, small + 59, large + 1000] {
            assert_eq!(release(lab, offset, bytes(8)), Err(fault(ForeignFree, offset)));
        }
    });
}

#[test]
fn foreign_pointers_into_a_damaged_secret() {
    for size in [64, 5104] {
        with_lab(|lab| {
            let offset = place(lab, bytes(size));
            lab.flip(offset + size, 1);
            for layout in [bytes(size - 8), bytes(8), aligned(8, 256)] {
                let error = release(lab, offset + 8, layout);
                assert_eq!(error, Err(fault(ForeignFree, offset + 8)), "{layout:?}");
            }
            assert_eq!(lab.arena().stats().quarantined, 0, "the owner is to be told");
            assert_eq!(release(lab, offset, bytes(size)), Err(fault(CanaryAfter, offset)));
        });
    }
}

#[test]
fn wrong_sizes() {
    // Sizes 4,096 bytes apart leave slack that is the same in twelve bits.
    for (size, wrong) in [
        (60, 59),
        (60, 61),
        (60, 1),
        (60, 4096),
        (60, 9000),
        (5000, 4999),
        (5000, 5001),
        (5000, 904),
    ] {
        with_lab(|lab| {
            let offset = place(lab, bytes(size));
            let error = release(lab, offset, bytes(wrong));
            assert_eq!(error, Err(fault(WrongLayout, offset)), "{size} released as {wrong}");
            assert_eq!(lab.arena().stats().quarantined, 1);
            assert!(lab.is_zero(offset..offset + size));
        });
    }
}

#[test]
fn wrong_alignments() {
    for size in [64, 5000] {
        for (align, wrong) in [(8, 16), (16, 8), (64, 128), (1, 256), (256, 64), (4096, 128)] {
            with_lab(|lab| {
                let offset = place(lab, aligned(size, align));
                let error = release(lab, offset, aligned(size, wrong));
                assert_eq!(error, Err(fault(WrongLayout, offset)), "{align} released as {wrong}");
            });
        }
        // What makes the same gap is the same.
        for (align, same) in [(1, 8), (8, 2), (256, 4096), (1024, 512)] {
            with_lab(|lab| {
                let offset = place(lab, aligned(size, align));
                assert_eq!(release(lab, offset, aligned(size, same)), Ok(()));
            });
        }
    }
}
