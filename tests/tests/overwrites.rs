//! Writes where nothing may be written, done once in every way there is, and what was caught.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::alloc::Layout;

use strongroom_core::FaultKind::{self, CanaryAfter, CanaryBefore, DoubleFree, WriteAfterFree};
use strongroom_tests::arena::Survey;
use strongroom_tests::faults;
use strongroom_tests::raw::{Ground, Lab};

use support::{aligned, bytes, fault, found_by_verify, place, release, with_lab};

/// Damages the byte `at` bytes from the start of a secret of `layout`, and finds `kind` by verify
/// first and then by the secret's release.
fn is_caught(layout: Layout, at: isize, kind: FaultKind) {
    is_caught_with(layout, at, 0x10, kind);
}

/// The same with a mask of the bits to flip.
fn is_caught_with(layout: Layout, at: isize, mask: u8, kind: FaultKind) {
    with_lab(|lab| {
        let _beside = [(); 2].map(|()| place(lab, layout));
        let offset = place(lab, layout);
        lab.flip(offset.checked_add_signed(at).unwrap(), mask);
        let found = found_by_verify(lab);
        assert_eq!(found.len(), 1, "{layout:?} damaged at {at}: {found:?}");
        let error = release(lab, offset, layout);
        assert_eq!(error, Err(fault(kind, offset)), "{layout:?} damaged at {at}");
        let stats = lab.arena().stats();
        assert_eq!((stats.live, stats.quarantined, stats.faults), (2, 1, 2));
        assert!(lab.is_zero(offset..offset + layout.size()), "not wiped");
    });
}

#[test]
fn overflow_by_one_into_a_canary() {
    for size in [8, 16, 64, 256, 4096, 5104] {
        is_caught(bytes(size), size.cast_signed(), CanaryAfter);
    }
}

#[test]
fn overflow_into_every_byte_of_slack() {
    for size in [1, 3, 57, 97, 241, 1025] {
        let cell = [8, 64, 104, 256, 1264].into_iter().find(|&cell| cell >= size).unwrap();
        (size..cell).for_each(|at| is_caught(bytes(size), at.cast_signed(), CanaryAfter));
    }
    (5000..5104).for_each(|at| is_caught(bytes(5000), at, CanaryAfter));
}

#[test]
fn slack_differs_from_arena_to_arena() {
    for (size, cell) in CELLS_WITH_SLACK {
        let [first, second] = [1, 2].map(|seed| {
            let mut ground = Ground::new(1 << 16, 0);
            let lab = Lab::new(&mut ground, seed).unwrap();
            let offset = place(&lab, bytes(size));
            lab.read(offset + size..offset + cell)
        });
        assert_ne!(first, second, "anybody could write that");
    }
}

#[test]
fn the_same_change_to_two_words_of_slack_does_not_cancel_out() {
    for (size, cell) in CELLS_WITH_SLACK {
        with_lab(|lab| {
            let offset = place(lab, bytes(size));
            [4, 12].into_iter().for_each(|back| lab.flip(offset + cell - back, 0x10));
            assert_eq!(release(lab, offset, bytes(size)), Err(fault(CanaryAfter, offset)));
        });
    }
}

/// Secrets' sizes, and those of their cells.
const CELLS_WITH_SLACK: [(usize, usize); 3] = [(97, 112), (1025, 1264), (5000, 5104)];

#[test]
fn underflow_by_one_into_a_canary() {
    for size in [8, 64, 256, 4096, 5000] {
        is_caught(bytes(size), -1, CanaryBefore);
    }
}

#[test]
fn underflow_into_every_byte_of_a_gap() {
    let mut gaps = 0;
    for (size, align) in [(1, 16), (40, 64), (100, 256), (5000, 128), (300, 4096)] {
        let layout = aligned(size, align);
        let mut gap = 0;
        with_lab(|lab| {
            // The third of its kind, as below: the same arena puts it at the same place.
            let offset = [(); 3].map(|()| place(lab, layout))[2];
            let survey = Survey::of(lab.arena());
            gap = offset - survey.place_at(offset).unwrap().bytes.start;
        });
        (1..=gap.cast_signed()).for_each(|at| is_caught(layout, -at, CanaryBefore));
        gaps += gap;
    }
    assert!(gaps > 300, "hardly a gap was tested");
}

#[test]
fn underflow_of_the_first_cell_of_a_run() {
    with_lab(|lab| {
        let offset = place(lab, bytes(64));
        lab.flip(offset - 1, 1);
        assert_eq!(found_by_verify(lab), [fault(CanaryBefore, offset)]);
        assert_eq!(release(lab, offset, bytes(64)), Err(fault(CanaryBefore, offset)));
        assert_eq!(lab.arena().verify(), Ok(()), "what was found once is not found again");
    });
}

#[test]
fn canaries_beside_free_cells_are_reported_once() {
    with_lab(|lab| {
        let [first, second, kept] = [(); 3].map(|()| place(lab, bytes(64)));
        for offset in [first, second] {
            release(lab, offset, bytes(64)).unwrap();
        }
        lab.flip(first - 1, 1);
        assert_eq!(found_by_verify(lab), [fault(CanaryBefore, first)]);
        assert_eq!(lab.arena().verify(), Ok(()));
        lab.flip(second + 64, 1);
        assert_eq!(found_by_verify(lab), [fault(CanaryAfter, second)]);
        assert_eq!(lab.arena().stats().quarantined, 2);
        release(lab, kept, bytes(64)).unwrap();
    });
}

#[test]
fn a_write_to_any_byte_of_a_canary_is_found_by_verify() {
    for (at, mask) in (0..8).flat_map(|at| [(at, 1), (at, 0xff)]) {
        with_lab(|lab| {
            let first = lab.first_leaf() + 8;
            while place(lab, bytes(64)) != first {}
            // Two of the bytes may now claim more slack than there are bytes before them.
            lab.flip(first + 64 + at, mask);
            assert_eq!(found_by_verify(lab), [fault(CanaryAfter, first)], "{mask:#x} at {at}");
        });
    }
}

#[test]
fn a_write_to_any_byte_of_a_canary_is_found_by_release() {
    for (size, mask) in [64, 5104].into_iter().flat_map(|size| [(size, 1), (size, 0xff)]) {
        let kinds = [0, 1, 2, 3, 4, 5, 6, 7].map(|at| {
            let mut kind = None;
            with_lab(|lab| {
                let offset = place(lab, bytes(size));
                lab.flip(offset + size + at, mask);
                kind = Some(release(lab, offset, bytes(size)).unwrap_err().kind);
            });
            kind.unwrap()
        });
        // All but the two bytes that record a state, and those are not at an end.
        assert!(kinds.iter().filter(|&&kind| kind == CanaryAfter).count() >= 6, "{kinds:?}");
        assert_eq!((kinds[0], kinds[7]), (CanaryAfter, CanaryAfter));
    }
}

/// The two bytes of a canary that record a state, changed into none that there is.
#[test]
fn a_canary_with_a_state_that_there_is_not() {
    let at = if cfg!(target_endian = "big") { 5 } else { 2 };
    for size in [64, 5104] {
        is_caught_with(bytes(size), size.cast_signed() + at, 0x80, CanaryAfter);
    }
}

#[test]
fn a_neighbours_damaged_canary() {
    with_lab(|lab| {
        let [first, second, third] = [(); 3].map(|()| place(lab, bytes(64)));
        assert_eq!((first + 72, second + 72), (second, third), "neighbours");
        lab.flip(first + 64, 1);
        assert_eq!(found_by_verify(lab), [fault(CanaryAfter, first)]);
        assert_eq!(release(lab, second, bytes(64)), Err(fault(CanaryBefore, second)));
        assert_eq!(found_by_verify(lab), [fault(CanaryAfter, first)]);
        assert_eq!(release(lab, first, bytes(64)), Err(fault(CanaryAfter, first)));
        assert_eq!(release(lab, third, bytes(64)), Ok(()));
        assert_eq!(lab.arena().verify(), Ok(()));
        assert_eq!(lab.arena().stats().quarantined, 2);
    });
}

#[test]
fn write_after_free_to_any_byte_of_a_cell_is_found_by_verify() {
    for size in [8, 24, 64, 1000] {
        for at in (0..size).step_by(1 + size / 50) {
            with_lab(|lab| {
                let kept = place(lab, bytes(size));
                let offset = place(lab, bytes(size));
                release(lab, offset, bytes(size)).unwrap();
                lab.flip(offset + at, 0x80);
                assert_eq!(found_by_verify(lab), [fault(WriteAfterFree, offset)]);
                let stats = lab.arena().stats();
                assert_eq!((stats.live, stats.quarantined), (1, 1));
                assert!(lab.is_zero(offset..offset + size), "not wiped");
                release(lab, kept, bytes(size)).unwrap();
                assert_eq!(lab.arena().verify(), Ok(()));
            });
        }
    }
}

#[test]
fn write_after_free_to_a_cell_is_found_when_it_is_handed_out() {
    with_lab(|lab| {
        let kept = place(lab, bytes(64));
        let offset = place(lab, bytes(64));
        release(lab, offset, bytes(64)).unwrap();
        lab.flip(offset + 63, 1);
        let given = place(lab, bytes(64));
        assert_ne!(given, offset);
        assert_eq!(faults::take(), [fault(WriteAfterFree, offset)]);
        let stats = lab.arena().stats();
        assert_eq!((stats.live, stats.quarantined, stats.faults), (2, 1, 1));
        assert_eq!(release(lab, offset, bytes(64)), Err(fault(DoubleFree, offset)));
        release(lab, kept, bytes(64)).unwrap();
        release(lab, given, bytes(64)).unwrap();
    });
}

#[test]
fn write_after_free_to_a_vacant_leaf() {
    let block = bytes(6000);
    with_lab(|lab| {
        let offset = place(lab, block);
        release(lab, offset, block).unwrap();
        lab.flip(offset + 700, 1);
        let leaf = (offset + 700 - lab.first_leaf()) / 256 * 256 + lab.first_leaf();
        assert_eq!(found_by_verify(lab), [fault(WriteAfterFree, leaf)]);
        assert_eq!(lab.arena().verify(), Ok(()), "what was found is wiped");
        assert_eq!(place(lab, block), offset);
    });
    for at in [0, 700, 5999] {
        with_lab(|lab| {
            let offset = place(lab, block);
            release(lab, offset, block).unwrap();
            lab.flip(offset + at, 1);
            let given = place(lab, block);
            assert!(given >= offset + 6000, "the damaged leaves are not handed out");
            assert_eq!(faults::take(), [fault(WriteAfterFree, offset - 8)]);
            assert_eq!(lab.arena().stats().quarantined, 1);
            assert_eq!(lab.arena().verify(), Ok(()));
            release(lab, given, block).unwrap();
        });
    }
}

#[test]
fn all_damage_at_once_is_found_once_each() {
    with_lab(|lab| {
        let cells = [(); 6].map(|()| place(lab, bytes(60)));
        let block = place(lab, bytes(5000));
        let freed = place(lab, bytes(200));
        release(lab, cells[4], bytes(60)).unwrap();
        release(lab, freed, bytes(200)).unwrap();
        lab.flip(cells[0] + 60, 1);
        lab.flip(cells[2] + 64, 1);
        lab.flip(cells[4] + 9, 1);
        lab.flip(block - 1, 1);
        lab.flip(freed, 1);
        let mut found = found_by_verify(lab);
        found.sort_by_key(|fault| fault.offset);
        let mut expected = [
            fault(CanaryAfter, cells[0]),
            fault(CanaryAfter, cells[2]),
            fault(WriteAfterFree, cells[4]),
            fault(CanaryBefore, block),
            fault(WriteAfterFree, freed),
        ];
        expected.sort_by_key(|fault| fault.offset);
        assert_eq!(found, expected);
        let stats = lab.arena().stats();
        assert_eq!((stats.live, stats.quarantined, stats.faults), (6, 2, 5));
    });
}

#[test]
fn an_overflow_through_a_canary_into_a_free_cell_is_found_in_both() {
    with_lab(|lab| {
        let [first, second, _third] = [(); 3].map(|()| place(lab, bytes(64)));
        release(lab, second, bytes(64)).unwrap();
        lab.write(first + 64, &[0xaa; 20]);
        let expected = [fault(CanaryAfter, first), fault(WriteAfterFree, second)];
        assert_eq!(found_by_verify(lab), expected);
    });
}
