//! Every size, every alignment, every order of release; and what is beyond them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::alloc::Layout;

use strongroom_core::{AllocateError, Arena, Buffer};
use strongroom_tests::arena::{State, Survey};
use strongroom_tests::noise::Noise;
use strongroom_tests::raw::{Ground, Lab};

#[test]
fn every_size_and_alignment_released_in_order() {
    every_size_and_alignment(|_| {});
}

#[test]
fn every_size_and_alignment_released_in_reverse() {
    every_size_and_alignment(<[_]>::reverse);
}

#[test]
fn every_size_and_alignment_released_in_random_order() {
    let mut noise = Noise(3);
    every_size_and_alignment(|secrets| noise.shuffle(secrets));
}

/// Sizes 0 to 5,000, alignments 1 to 4,096.
fn every_size_and_alignment(mut order: impl FnMut(&mut [(usize, Layout)])) {
    let mut ground = Ground::new(1 << 20, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let pattern: Vec<u8> = (0..=255).cycle().take(5001 + 256).collect();
    let content = |layout: Layout| &pattern[layout.size() % 251..][..layout.size()];
    let sizes: Vec<usize> = (0..=5000).collect();
    for align in (0..13).map(|log2| 1 << log2) {
        for batch in sizes.chunks(100) {
            let mut secrets = Vec::new();
            for &size in batch {
                let layout = Layout::from_size_align(size, align).unwrap();
                let Some(offset) = lab.allocate(layout).unwrap() else { continue };
                assert!(lab.is_zero(offset..offset + size), "{layout:?} is not zero on hand-out");
                lab.write(offset, content(layout));
                secrets.push((offset, layout));
            }
            assert_eq!(lab.arena().stats().live, secrets.len());
            order(&mut secrets);
            for (offset, layout) in secrets {
                assert!(lab.holds(offset, content(layout)), "{layout:?} shares its bytes");
                assert_eq!(lab.release(offset.cast_signed(), layout), Ok(()), "{layout:?}");
            }
        }
        assert_eq!(lab.arena().stats().live, 0);
        assert_eq!(lab.arena().verify(), Ok(()));
        everything_is_one_block(&lab);
    }
    assert!(lab.is_guard_intact());
}

/// An empty arena serves a secret as long as all its leaves.
fn everything_is_one_block(lab: &Lab<'_>) {
    let too_large = Layout::array::<u8>(isize::MAX as usize).unwrap();
    let Err(AllocateError::TooLarge { requested, largest }) = lab.allocate(too_large) else {
        panic!("nothing is that large");
    };
    assert_eq!((requested, largest), (too_large.size(), lab.arena().capacity() - 16));
    let whole = Layout::array::<u8>(largest).unwrap();
    let offset = lab.allocate(whole).unwrap().unwrap();
    assert_eq!(lab.arena().stats().peak, lab.arena().capacity(), "leaves that nobody has count");
    lab.release(offset.cast_signed(), whole).unwrap();
    assert!(lab.allocate(Layout::array::<u8>(largest + 1).unwrap()).is_err());
}

#[test]
fn around_every_class_the_smallest_cell_that_holds_it_is_taken() {
    let mut ground = Ground::new(1 << 20, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let cells: Vec<usize> = lab.arena().stats().classes.map(|class| class.cell_size).to_vec();
    for &cell in &cells {
        for size in [cell - 1, cell, cell + 1] {
            let layout = Layout::array::<u8>(size).unwrap();
            let offset = lab.allocate(layout).unwrap().unwrap();
            let survey = Survey::of(lab.arena());
            let place = survey.place_at(offset).unwrap();
            let smallest = cells.iter().find(|&&cell| cell >= size);
            match smallest {
                Some(&smallest) => assert_eq!(place.bytes.len(), smallest, "{size} bytes"),
                None => assert_eq!(place.index, None, "{size} bytes have leaves of their own"),
            }
            lab.release(offset.cast_signed(), layout).unwrap();
        }
    }
    everything_is_one_block(&lab);
}

#[test]
fn absurd_sizes_and_alignments_are_told() {
    let mut ground = Ground::new(1 << 16, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let most = isize::MAX as usize;
    for size in [usize::MAX, usize::MAX - 7, most + 1, most, most - 4096, usize::MAX / 2, 1 << 20] {
        let largest = lab.arena().capacity() - 16;
        let refused = Buffer::new(lab.arena(), size).unwrap_err();
        assert_eq!(refused, AllocateError::TooLarge { requested: size, largest });
        assert!(Buffer::random(lab.arena(), size).is_err());
    }
    for log2 in 0..usize::BITS {
        for size in [0, 1, 8, 4096, most] {
            let Ok(layout) = Layout::from_size_align(size, 1 << log2) else { continue };
            let served = lab.allocate(layout);
            match size {
                0 => assert_eq!(served, Ok(None), "{layout:?}"),
                _ if log2 > 12 => {
                    let (requested, largest) = (1 << log2, Arena::GREATEST_ALIGN);
                    assert_eq!(served, Err(AllocateError::Alignment { requested, largest }));
                }
                _ if size == most => {
                    assert!(matches!(served, Err(AllocateError::TooLarge { .. })), "{layout:?}");
                }
                _ => lab.release(served.unwrap().unwrap().cast_signed(), layout).unwrap(),
            }
        }
    }
    assert_eq!(lab.arena().stats().live, 0);
    everything_is_one_block(&lab);
}

#[test]
fn a_full_arena_says_so_and_recovers() {
    for size in [1, 8, 16, 32, 64, 100, 256, 1000, 4096, 5000, 20_000] {
        let mut ground = Ground::new(1 << 16, 0);
        let lab = Lab::new(&mut ground, 1).unwrap();
        let layout = Layout::array::<u8>(size).unwrap();
        let fill = || -> Vec<_> { (0..).map_while(|_| lab.allocate(layout).ok()?).collect() };
        let secrets = fill();
        let refusal = AllocateError::Full { requested: size, capacity: lab.arena().capacity() };
        assert_eq!(lab.allocate(layout), Err(refusal));
        let stats = lab.arena().stats();
        assert_eq!((stats.live, stats.refused), (secrets.len(), 2));
        for &offset in &secrets {
            lab.release(offset.cast_signed(), layout).unwrap();
            assert_eq!(lab.allocate(layout), Ok(Some(offset)), "the one place that is left");
            assert_eq!(lab.allocate(layout), Err(refusal));
        }
        secrets.iter().for_each(|offset| lab.release(offset.cast_signed(), layout).unwrap());
        everything_is_one_block(&lab);
        assert_eq!(fill().len(), secrets.len(), "as many fit as before");
    }
}

#[test]
fn leaves_of_empty_runs_become_cells_of_another_size() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let (large, small) = (Layout::new::<[u8; 448]>(), Layout::new::<[u8; 8]>());
    let secrets: Vec<_> = (0..).map_while(|_| lab.allocate(large).ok()?).collect();
    while lab.allocate(small).is_ok() {}
    secrets.iter().for_each(|offset| lab.release(offset.cast_signed(), large).unwrap());
    let before = lab.arena().stats().classes[0];
    lab.allocate(small).unwrap().unwrap();
    let after = lab.arena().stats().classes[0];
    assert_eq!((after.live, after.runs), (before.live + 1, before.runs + 1));
}

#[test]
fn runs_are_short_again_when_those_before_them_are_gone() {
    let mut ground = Ground::new(1 << 18, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    for class in 0..lab.arena().stats().classes.len() {
        let cells = || lab.arena().stats().classes[class].cells;
        let layout = Layout::array::<u8>(lab.arena().stats().classes[class].cell_size).unwrap();
        let first_runs = [1, 4, 40].map(|count| {
            let place = |_| lab.allocate(layout).unwrap().unwrap();
            let first = place(0);
            let first_run = cells();
            let mut secrets: Vec<_> = (1..count).map(place).collect();
            secrets.push(first);
            secrets.iter().for_each(|at| lab.release(at.cast_signed(), layout).unwrap());
            everything_is_one_block(&lab);
            assert_eq!(cells(), 0);
            first_run
        });
        assert_eq!(first_runs, [first_runs[0]; 3], "{layout:?}");
    }
}

#[test]
fn runs_grow_with_the_secrets_of_their_class() {
    let mut ground = Ground::new(1 << 18, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    for count in 0..160 {
        assert!(lab.allocate(Layout::new::<[u8; 64]>()).is_ok(), "the {count}th");
    }
    let class = lab.arena().stats().classes[7];
    assert_eq!((class.cell_size, class.live), (64, 160));
    // A word has a bit for each cell of a run.
    let most = if usize::BITS == 64 { 20 } else { 30 };
    assert!(class.runs < most, "{} runs; of one leaf each they were 54", class.runs);
}

#[test]
fn a_larger_cell_is_used_before_anything_is_refused() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let large = Layout::array::<u8>(448).unwrap();
    let secrets: Vec<_> = (0..).map_while(|_| lab.allocate(large).ok()?).collect();
    while lab.allocate(Layout::array::<u8>(8).unwrap()).is_ok() {}
    let cell = secrets[secrets.len() / 2];
    lab.release(cell.cast_signed(), large).unwrap();
    let small = Layout::array::<u8>(3).unwrap();
    assert_eq!(lab.allocate(small), Ok(Some(cell)));
    let survey = Survey::of(lab.arena());
    assert_eq!(survey.place_at(cell).unwrap().bytes.len(), 448);
    assert_eq!(survey.places_in(State::Free).count(), 0);
    // All the rest of the cell is canary.
    lab.flip(cell + 448 - 1, 1);
    assert!(lab.arena().verify().is_err());
}

/// From the second leaf on, where a leaf's multiple is: the first has the gap before the secret.
#[test]
fn the_longest_secret_of_every_alignment_fills_the_rest_of_the_arena() {
    for (log2, misalignment) in (9..13).flat_map(|log2| (0..16).map(move |at| (log2, at * 256))) {
        let mut ground = Ground::new(1 << 13, misalignment);
        let lab = Lab::new(&mut ground, 1).unwrap();
        let leaves = Survey::of(lab.arena()).leaves;
        let align = 1 << log2;
        let first = lab.address(leaves.start + 256).next_multiple_of(align) - lab.address(0);
        let longest = leaves.end - 8 - first;
        let layout = Layout::from_size_align(longest, align).unwrap();
        assert_eq!(lab.allocate(layout), Ok(Some(first)), "{layout:?}");
        assert!(matches!(lab.allocate(layout), Err(AllocateError::Full { .. })), "{layout:?}");
        let layout = Layout::from_size_align(longest + 1, align).unwrap();
        let refused = lab.allocate(layout);
        assert!(matches!(refused, Err(AllocateError::TooLarge { .. })), "{layout:?}: {refused:?}");
    }
}

#[test]
fn secrets_of_the_greatest_alignment_fit_between_others() {
    let mut ground = Ground::new(1 << 16, 100);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let small = Layout::array::<u8>(64).unwrap();
    let aligned = Layout::from_size_align(64, 4096).unwrap();
    let mut found = 0;
    while lab.allocate(aligned).is_ok() {
        found += 1;
        lab.allocate(small).unwrap();
    }
    assert!(found >= 14, "only {found} of 16 pages");
    assert_eq!(lab.arena().stats().live_blocks, found);
}
