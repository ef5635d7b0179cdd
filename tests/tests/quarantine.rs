//! What becomes of damage: who is told, and that damaged memory is never used again.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};

use strongroom_core::FaultKind::{
    self, CanaryAfter, CanaryBefore, DoubleFree, ForeignFree, WriteAfterFree, WrongLayout,
};
use strongroom_core::{Buffer, Fault, Secret};
use strongroom_tests::arena::{State, Survey};
use strongroom_tests::faults;
use strongroom_tests::raw::{Ground, Lab};

fn bytes(size: usize) -> Layout {
    Layout::array::<u8>(size).unwrap()
}

fn offset_of(lab: &Lab<'_>, buffer: &Buffer<'_>) -> usize {
    lab.offset_of(std::ptr::NonNull::from(&*buffer.expose_secret()).cast())
}

#[test]
fn a_drop_calls_the_handler_and_a_release_returns_the_fault() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    for (release, kept) in [(true, 0), (false, 1)] {
        let buffer = Buffer::new(lab.arena(), 40).unwrap();
        let offset = offset_of(&lab, &buffer);
        lab.flip(offset + 40, 1);
        let fault = Fault { kind: CanaryAfter, offset: Some(offset) };
        if release {
            assert_eq!(buffer.release(), Err(fault));
        } else {
            drop(buffer);
        }
        let called = faults::take();
        assert_eq!(called.len(), kept);
        assert!(called.iter().all(|&called| called == fault));
    }
    let secret = Secret::<u64>::zeroed(lab.arena()).unwrap();
    let offset = lab.offset_of(std::ptr::NonNull::from(&*secret.expose_secret()).cast());
    lab.flip(offset - 1, 1);
    assert_eq!(secret.release().unwrap_err().kind, CanaryBefore);
    assert_eq!(faults::take(), []);
    assert_eq!(lab.arena().stats().faults, 3);
}

#[test]
fn the_default_handler_panics_with_the_fixed_text_of_each_kind() {
    let texts = [
        (CanaryBefore, "strongroom: canary before a secret overwritten"),
        (CanaryAfter, "strongroom: canary behind a secret overwritten"),
        (WriteAfterFree, "strongroom: free memory written to"),
        (DoubleFree, "strongroom: secret released twice"),
        (ForeignFree, "strongroom: foreign pointer released"),
        (WrongLayout, "strongroom: secret released with another layout"),
    ];
    for (kind, text) in texts {
        assert_eq!(kind.message(), text);
        let mut ground = Ground::new(1 << 14, 0);
        let lab = Lab::panicking(&mut ground, 1).unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| provoke(&lab, kind))).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), text);
        // The arena works on.
        let buffer = Buffer::random(lab.arena(), 64).unwrap();
        assert_eq!(buffer.release(), Ok(()));
    }
}

fn provoke(lab: &Lab<'_>, kind: FaultKind) {
    let layout = bytes(64);
    let kept = lab.allocate(layout).unwrap().unwrap();
    let offset = lab.allocate(layout).unwrap().unwrap();
    match kind {
        CanaryBefore => lab.flip(offset - 1, 1),
        CanaryAfter => lab.flip(offset + 64, 1),
        WriteAfterFree => {
            lab.drop_at(offset, layout);
            lab.flip(offset, 1);
            lab.allocate(layout).unwrap();
            panic!("not found: {kept}");
        }
        DoubleFree => lab.drop_at(offset, layout),
        ForeignFree => return lab.drop_at(offset + 8, layout),
        _ => return lab.drop_at(offset, bytes(63)),
    }
    lab.drop_at(offset, layout);
}

#[test]
fn faults_name_the_place_and_no_content() {
    let inside = Fault { kind: CanaryAfter, offset: Some(1234) };
    let text = "strongroom: canary behind a secret overwritten (byte 1234 of the region)";
    assert_eq!(inside.to_string(), text);
    let outside = Fault { kind: ForeignFree, offset: None };
    assert_eq!(outside.to_string(), "strongroom: foreign pointer released (outside the region)");
}

#[test]
fn damaged_cells_and_blocks_are_never_handed_out_again() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let layouts = [bytes(64), bytes(5), bytes(1000), bytes(4500)];
    let mut damaged = Vec::new();
    for layout in layouts.into_iter().cycle().take(8) {
        let Some(offset) = lab.allocate(layout).ok().flatten() else { continue };
        let Some(beside) = lab.allocate(layout).ok().flatten() else { continue };
        lab.flip(offset + layout.size(), 4);
        lab.release(offset.cast_signed(), layout).unwrap_err();
        lab.release(beside.cast_signed(), layout).unwrap();
        damaged.push(offset..offset + layout.size());
    }
    assert!(damaged.len() >= 6);
    assert_eq!(lab.arena().stats().quarantined, damaged.len());
    for layout in layouts {
        let mut given = Vec::new();
        while let Ok(Some(offset)) = lab.allocate(layout) {
            let end = offset + layout.size();
            assert!(damaged.iter().all(|bad| end <= bad.start || bad.end <= offset));
            lab.write(offset, &vec![0xff; layout.size()]);
            given.push(offset);
        }
        assert!(damaged.iter().all(|bad| lab.is_zero(bad.clone())));
        given.iter().for_each(|offset| lab.release(offset.cast_signed(), layout).unwrap());
        assert_eq!(lab.arena().stats().quarantined, damaged.len());
    }
    assert_eq!(lab.arena().verify(), Ok(()));
    assert_eq!(Survey::of(lab.arena()).places_in(State::Quarantined).count(), damaged.len());
    assert_eq!(faults::take(), []);
}

#[test]
fn each_run_and_block_has_a_canary_of_its_own_time() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    for size in [240, 496, 752, 1264, 5000, 9000] {
        let canary = |_| {
            // What there was goes back first.
            let whole = bytes(lab.arena().capacity() - 16);
            let offset = lab.allocate(whole).unwrap().unwrap();
            lab.release(offset.cast_signed(), whole).unwrap();
            let offset = lab.allocate(bytes(size)).unwrap().unwrap();
            let canary = lab.read(offset - 8..offset);
            lab.release(offset.cast_signed(), bytes(size)).unwrap();
            canary
        };
        let mut canaries: Vec<_> = (0..10).map(canary).collect();
        canaries.sort();
        canaries.dedup();
        assert_eq!(canaries.len(), 10, "a canary of {size} bytes came back");
    }
}
