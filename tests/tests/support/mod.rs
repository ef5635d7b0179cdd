//! Short names for what the tests of faults do all the time.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(unreachable_pub, reason = "shared between tests")]

pub mod child;

use std::alloc::Layout;

use strongroom_core::{Fault, FaultKind};
use strongroom_tests::faults;
use strongroom_tests::raw::{Ground, Lab};

/// Runs `test` on an arena of 64 KiB, and finds the region's surroundings untouched.
pub fn with_lab(test: impl FnOnce(&Lab<'_>)) {
    let mut ground = Ground::new(1 << 16, 0);
    {
        let lab = Lab::new(&mut ground, 1).unwrap();
        test(&lab);
        assert_eq!(faults::take(), [], "an unexpected fault");
    }
    assert!(ground.is_guard_intact() && ground.is_wiped());
}

pub fn bytes(size: usize) -> Layout {
    Layout::array::<u8>(size).unwrap()
}

pub fn aligned(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

pub fn place(lab: &Lab<'_>, layout: Layout) -> usize {
    lab.allocate(layout).unwrap().unwrap()
}

pub fn release(lab: &Lab<'_>, offset: usize, layout: Layout) -> Result<(), Fault> {
    lab.release(offset.cast_signed(), layout)
}

pub fn found_by_verify(lab: &Lab<'_>) -> Vec<Fault> {
    let mut found = Vec::new();
    lab.arena().find_faults(|fault| found.push(fault));
    found
}

pub fn fault(kind: FaultKind, offset: usize) -> Fault {
    Fault { kind, offset: Some(offset) }
}
