//! The protocol of cells and runs, with no memory behind them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize as Count;
use std::thread;
use std::vec::Vec;

use super::*;
use crate::classes::{LANE_BITS, LANES, LEAF, class_for, shapes_of};
use crate::index::Mask;
use crate::kind::Kind;
use crate::sync::{AtomicU8, AtomicUsize};
use crate::testing::rounds;

struct Tables {
    kinds: Vec<AtomicU8>,
    groups: Vec<Group>,
    heads: Vec<AtomicUsize>,
    classes: Vec<Mask>,
    empty: Vec<Mask>,
}

impl Tables {
    fn new(leaves: usize) -> Self {
        let [heads, classes, empty] = search_tables_for(leaves);
        let masks = |count| (0..count).map(|_| Mask::empty()).collect();
        Self {
            kinds: (0..leaves).map(|_| AtomicU8::new(0)).collect(),
            groups: (0..leaves.div_ceil(LANES)).map(|_| Group::closed(0)).collect(),
            heads: (0..heads).map(|_| AtomicUsize::new(0)).collect(),
            classes: masks(classes),
            empty: masks(empty),
        }
    }

    fn runs(&self) -> Runs<'_> {
        let Self { heads, classes, empty, .. } = self;
        let tables = SearchTables { heads, classes, empty };
        Runs::new(Occupancy::new(&self.kinds, &self.groups), &tables)
    }
}

fn name(claim: &Claim<'_>) -> (usize, usize) {
    (claim.cell().head, claim.cell().index)
}

/// Claims a cell of `class` as an arena does that finds all cells ready.
fn take<'r>(runs: &Runs<'r>, class: usize, start: usize) -> Option<Claim<'r>> {
    runs.runs_with_room(class, start).find_map(|head| {
        let claim = runs.claim(head, class, 0).ok();
        if claim.is_none() {
            runs.withdraw(head, class);
        }
        claim
    })
}

/// Gives a cell back as an arena does.
fn give_back(runs: &Runs<'_>, claim: Claim<'_>) -> Returned {
    let cell = claim.cell();
    let returned = claim.give_back().unwrap();
    if returned.was_full {
        runs.advertise(cell.head, usize::from(cell.shape.class));
    }
    if returned.is_empty {
        runs.note_empty(cell.head);
    }
    returned
}

fn release(runs: &Runs<'_>, claim: Claim<'_>) {
    give_back(runs, claim);
}

/// Another claim on a cell, such as somebody has who releases it twice.
fn again<'r>(claim: &Claim<'r>) -> Claim<'r> {
    // SAFETY: no memory stands behind the cell.
    #[expect(unsafe_code, reason = "breaks the contract on purpose")]
    unsafe {
        Claim::of_owner(claim.cell())
    }
}

fn retire(runs: &Runs<'_>, head: usize, leaves: u8) {
    runs.occupancy().vacate(head..head + usize::from(leaves));
    runs.forget(head);
}

/// Opens runs of `number` from leaf 0 on, as many as fit, and gives their first cells back.
fn open_all(runs: &Runs<'_>, number: usize) -> usize {
    let leaves = usize::from(SHAPES[number].leaves);
    let step = leaves.next_multiple_of(LANES.min(leaves.next_power_of_two()));
    let all = runs.occupancy().leaves();
    let heads = (0..all).step_by(step).filter(|head| head + leaves <= all);
    heads.map(|head| release(runs, runs.open(head, number))).count()
}

#[test]
fn every_cell_of_every_shape_is_taken_once_and_found_by_its_bytes() {
    for (number, shape) in SHAPES.iter().enumerate().step_by(rounds(1, 5)) {
        let tables = Tables::new(rounds(200, usize::from(shape.leaves) + LANES));
        let runs = tables.runs();
        let class = usize::from(shape.class);
        let opened = open_all(&runs, number);
        let mut claims = Vec::new();
        while let Some(claim) = take(&runs, class, 77) {
            claims.push(claim);
        }
        let names: BTreeSet<_> = claims.iter().map(name).collect();
        assert_eq!(names.len(), opened * usize::from(shape.cells));
        assert_eq!(names.len(), claims.len(), "a cell was taken twice");
        for claim in claims {
            let cell = claim.cell();
            let first = cell.head * LEAF + shape.cell_offset(cell.index);
            for offset in [first, first + shape.cell_size() - 1] {
                let found = runs.occupancy().cell_at(offset).unwrap();
                assert_eq!((found.head, found.index), name(&claim));
            }
            assert!(cell.is_taken());
            let twice = again(&claim);
            give_back(&runs, claim);
            assert!(!cell.is_taken());
            assert!(twice.give_back().is_none(), "given back twice");
        }
        (0..names.len()).for_each(|_| assert!(take(&runs, class, 0).is_some()));
    }
}

#[test]
fn neighbours_in_one_word_do_not_touch_each_other() {
    let class = class_for(8).unwrap();
    let one_leaf = shapes_of(class).start;
    assert_eq!(SHAPES[one_leaf].leaves, 1);
    let tables = Tables::new(LANES);
    let runs = tables.runs();
    let _firsts: Vec<_> = (0..LANES).map(|head| runs.open(head, one_leaf)).collect();
    for head in 0..LANES {
        let rest = usize::from(SHAPES[one_leaf].cells) - 1;
        let taken: Vec<_> = (0..rest).map(|_| runs.claim(head, class, 0).ok().unwrap()).collect();
        assert!(matches!(runs.claim(head, class, 0), Err(NoCell::Full)));
        let bits = taken.iter().fold(0, |bits, claim| bits | claim.cell().bit());
        assert_eq!(bits.count_ones() as usize, rest);
        taken.into_iter().for_each(|claim| release(&runs, claim));
        assert!(matches!(runs.claim(head, class, bits), Err(NoCell::Full)), "all passed over");
    }
}

#[test]
fn only_an_empty_run_is_closed_and_then_nobody_takes_from_it() {
    let class = class_for(64).unwrap();
    for number in shapes_of(class) {
        let (tables, shape) = (Tables::new(64), &SHAPES[number]);
        let runs = tables.runs();
        let claim = runs.open(0, number);
        assert!(!runs.occupancy().close(0, shape), "a cell is taken");
        let returned = give_back(&runs, claim);
        assert!(returned.is_empty && !returned.was_full || shape.cells == 1);
        assert!(runs.occupancy().close(0, shape));
        assert!(runs.claim(0, class, 0).is_err());
        assert_eq!(runs.occupancy().reopen(0, shape), 0..LANES);
        assert!(runs.claim(0, class, 0).is_ok());
    }
}

#[test]
fn a_search_finds_every_run_with_room_and_begins_where_it_is_told() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(20_000);
    let runs = tables.runs();
    let heads = [3, 69, 2560, 2625, 19_999 - 3];
    heads.iter().for_each(|&head| release(&runs, runs.open(head, number)));
    let from = |start| runs.runs_with_room(class, start).collect::<Vec<_>>();
    assert_eq!(from(0), heads);
    assert_eq!(from(2560), [2560, 2625, 19_996, 3, 69]);
    assert_eq!(from(2700), [19_996, 3, 69, 2560, 2625], "it goes on from the first leaf");
    assert_eq!(from(usize::MAX), heads);
    assert!(runs.runs_with_room(class + 1, 0).next().is_none());
}

#[test]
fn marks_that_mislead_are_cleared_and_no_others() {
    let (class, other) = (class_for(64).unwrap(), class_for(8).unwrap());
    let (number, lower) = (shapes_of(class).start, shapes_of(other).start);
    let tables = Tables::new(20_000);
    let runs = tables.runs();
    // Another class has room in the same place, before it.
    give_back(&runs, runs.open(5, lower));
    let claims: Vec<_> = [7, 9000, 9002].map(|head| runs.open(head, number)).into();
    let mut rest = Vec::new();
    while let Some(claim) = take(&runs, class, 0) {
        rest.push(claim);
    }
    assert!(runs.next_run_with_room(class, None).is_none());
    assert_eq!(runs.next_run_with_room(other, None), Some((other, 5)));
    assert!(tables.classes.iter().all(|mask| !mask.has(class)));
    for claim in claims {
        let (head, index) = name(&claim);
        assert!(give_back(&runs, claim).was_full);
        assert_eq!(runs.next_run_with_room(other, Some((other, 5))), Some((class, head)));
        assert_eq!(take(&runs, class, 12_000).as_ref().map(name), Some((head, index)));
        assert!(take(&runs, class, 0).is_none(), "and takes the mark away");
    }
}

#[test]
fn a_run_that_was_tried_is_passed_and_a_greater_class_is_better_than_none() {
    let [small, large] = [64, 100].map(|size| class_for(size).unwrap());
    let tables = Tables::new(300);
    let runs = tables.runs();
    for (head, class) in [(10, large), (20, small), (30, small), (290, small)] {
        give_back(&runs, runs.open(head, shapes_of(class).start));
    }
    let mut tried = None;
    let found: Vec<_> = core::iter::from_fn(|| {
        tried = runs.next_run_with_room(small, tried);
        tried
    })
    .collect();
    assert_eq!(found, [(small, 20), (small, 30), (small, 290), (large, 10)]);
    assert!(runs.next_run_with_room(large + 1, None).is_none());
}

#[test]
fn a_cell_that_was_put_back_is_advertised_again() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(128);
    let runs = tables.runs();
    for head in [1, LANES + 2, 127] {
        let (claim, mut rest) = (runs.open(head, number), Vec::new());
        while let Some(claim) = take(&runs, class, 0) {
            rest.push(claim);
        }
        rest.into_iter().for_each(|claim| release(&runs, claim));
        let first = name(&claim);
        give_back(&runs, claim);
        let mut walk = EmptyRuns::default();
        assert_eq!(runs.next_empty(&mut walk), Some(head));
        assert_eq!(runs.next_empty(&mut walk), None);
        // All its cells are looked at by others for a moment.
        let looking: Vec<_> = core::iter::from_fn(|| take(&runs, class, 0)).collect();
        assert!(runs.next_run_with_room(class, None).is_none());
        looking.into_iter().for_each(|claim| runs.put_back(claim));
        assert_eq!(runs.next_empty(&mut EmptyRuns::default()), Some(head), "it is empty");
        assert_eq!(take(&runs, class, 0).as_ref().map(name), Some(first));
        while take(&runs, class, 0).is_some() {}
    }
}

#[test]
fn every_empty_run_is_named_once_until_it_is_empty_again() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(3000);
    let runs = tables.runs();
    let heads: BTreeSet<_> = (0..2990).step_by(13).collect();
    for &head in &heads {
        give_back(&runs, runs.open(head, number));
    }
    let all = || {
        let mut walk = EmptyRuns::default();
        core::iter::from_fn(|| runs.next_empty(&mut walk)).collect::<BTreeSet<_>>()
    };
    assert_eq!((all(), all()), (heads, BTreeSet::new()));
    give_back(&runs, runs.claim(1300, class, 0).ok().unwrap());
    assert_eq!((all(), all()), (BTreeSet::from([1300]), BTreeSet::new()));
}

#[test]
fn an_outdated_kind_takes_nothing() {
    let (small, large) = (class_for(8).unwrap(), class_for(64).unwrap());
    let tables = Tables::new(8);
    let runs = tables.runs();
    let (was, is) = (shapes_of(small).start, shapes_of(large).start);
    give_back(&runs, runs.open(0, was));
    assert!(runs.occupancy().close(0, &SHAPES[was]));
    retire(&runs, 0, SHAPES[was].leaves);
    give_back(&runs, runs.open(0, is));
    assert!(runs.claim(0, small, 0).is_err());
    assert_eq!(runs.occupancy().taken(0, &SHAPES[is]), 0);
}

#[test]
fn nobody_claims_from_a_frozen_run_or_wipes_in_it() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(8);
    let runs = tables.runs();
    let claim = runs.open(0, number);
    runs.occupancy().freeze(0);
    assert!(claim.cell().claim_frozen().is_none(), "it is taken");
    assert!(matches!(runs.claim(0, class, 0), Err(NoCell::Frozen)));
    assert!(!runs.occupancy().close(0, &SHAPES[number]));
    let cell = claim.cell();
    assert!(claim.give_back().unwrap().was_frozen, "it must not be wiped yet");
    let claim = cell.claim_frozen().unwrap();
    runs.occupancy().thaw(0);
    assert!(!give_back(&runs, claim).was_frozen);
    assert!(runs.claim(0, class, 0).is_ok());
}

#[test]
fn the_length_of_a_block_is_kept_in_its_further_leaves() {
    let leaves = rounds(40_000, 200);
    let tables = Tables::new(leaves);
    let occupancy = *tables.runs().occupancy();
    for len in [1, 2, 3, 31, 32, 33, 34, 65, 100, 1024, 1025, 1026, 33_000, leaves] {
        for head in [0, 1, leaves - len.min(leaves)] {
            if head + len > leaves {
                continue;
            }
            occupancy.vacate(0..leaves);
            occupancy.set_block_rest(head + 1..head + len);
            occupancy.set_kind(head, Kind::Block);
            if head + len < leaves {
                occupancy.set_kind(head + len, Kind::Block);
            }
            assert_eq!(occupancy.block_len(head), len, "at {head}");
        }
    }
}

/// Threads take and give back cells while runs are closed, cut anew for another class, and opened.
#[test]
fn no_cell_is_ever_held_twice_and_none_is_lost() {
    let classes = [class_for(8).unwrap(), class_for(64).unwrap()];
    let tables = Tables::new(64);
    let runs = tables.runs();
    let numbers = classes.map(|class| shapes_of(class).start);
    (0..64).for_each(|head| release(&runs, runs.open(head, numbers[head % 2])));
    let owners: Vec<Count> = (0..64 * LANE_BITS).map(|_| Count::new(0)).collect();
    let owner = |(head, index): (usize, usize)| &owners[head * LANE_BITS + index];
    let lock = Mutex::new(());
    let steps = rounds(30_000, 60);
    thread::scope(|scope| {
        for thread in 0..3_usize {
            let (runs, owner, lock) = (&runs, &owner, &lock);
            scope.spawn(move || {
                let mut held = Vec::new();
                for step in 0..steps {
                    let class = classes[(step / 7) % 2];
                    let start = (step * 5 + thread * 21) % 64;
                    for head in runs.runs_with_room(class, start) {
                        let Ok(claim) = runs.claim(head, class, 0) else {
                            let _held = lock.lock().unwrap();
                            runs.withdraw(head, class);
                            continue;
                        };
                        assert_eq!(owner(name(&claim)).fetch_add(1, SeqCst), 0, "held twice");
                        assert_eq!(usize::from(claim.cell().shape.class), class);
                        held.push(claim);
                        break;
                    }
                    if held.len() > 40 || step % 3 == 0 {
                        let Some(claim) = held.pop() else { continue };
                        assert_eq!(owner(name(&claim)).fetch_sub(1, SeqCst), 1);
                        give_back(runs, claim);
                    }
                }
                held.into_iter().for_each(|claim| {
                    owner(name(&claim)).fetch_sub(1, SeqCst);
                    give_back(runs, claim);
                });
            });
        }
        // Under a lock of its own, as under the arena's.
        scope.spawn(|| {
            for step in 0..steps {
                let (head, _held) = (step % 64, lock.lock().unwrap());
                let Some(shape) = runs.occupancy().kind(head).shape() else { continue };
                if runs.occupancy().close(head, shape) {
                    retire(&runs, head, shape.leaves);
                    let number = numbers[usize::from(step.is_multiple_of(3))];
                    give_back(&runs, runs.open(head, number));
                }
            }
        });
    });
    let free: usize = classes
        .map(|class| core::iter::from_fn(|| take(&runs, class, 0)).count())
        .into_iter()
        .sum();
    let cells: usize = (0..64)
        .filter_map(|leaf| runs.occupancy().kind(leaf).shape())
        .map(|shape| usize::from(shape.cells))
        .sum();
    assert_eq!(free, cells, "some were not found again");
}
