//! The protocol of cells and runs, with no memory behind them.

use std::collections::BTreeSet;
use std::thread;
use std::vec::Vec;

use super::*;
use crate::classes::{class_for, shapes_of};
use crate::testing::rounds;

struct Tables {
    tags: Vec<AtomicU8>,
    groups: Vec<Group>,
    posts: Vec<Post>,
    districts: Vec<SharedU32>,
}

impl Tables {
    fn new(leaves: usize) -> Self {
        let (posts, districts) = posts_for(leaves);
        Self {
            tags: (0..leaves).map(|_| AtomicU8::new(0)).collect(),
            groups: (0..leaves.div_ceil(LANES)).map(|_| Group::closed(Shared64::new(0))).collect(),
            posts: (0..posts).map(|_| Post::default()).collect(),
            districts: (0..districts).map(|_| SharedU32::new(0)).collect(),
        }
    }

    fn runs(&self) -> Runs<'_> {
        Runs::new(&self.tags, &self.groups, &self.posts, &self.districts)
    }
}

impl<F: Fn(Cell<'_>) -> Verdict> Judge for F {
    fn judge(&self, cell: Cell<'_>) -> Verdict {
        self(cell)
    }
}

fn take(_: Cell<'_>) -> Verdict {
    Verdict::Take
}

fn name(cell: Cell<'_>) -> (usize, usize) {
    (cell.head, cell.index)
}

/// Opens runs of `number` from leaf 0 on, as many as fit, and gives their first cells back.
fn open_all(runs: &Runs<'_>, number: usize) -> usize {
    let leaves = usize::from(SHAPES[number].leaves);
    let step = leaves.next_multiple_of(LANES.min(leaves.next_power_of_two()));
    let heads = (0..runs.leaves()).step_by(step).filter(|head| head + leaves <= runs.leaves());
    heads.map(|head| assert!(runs.give_back(runs.open(head, number)).is_ok())).count()
}

#[test]
fn every_cell_of_every_shape_is_taken_once_and_found_by_its_bytes() {
    for (number, shape) in SHAPES.iter().enumerate().step_by(rounds(1, 47)) {
        let tables = Tables::new(200);
        let runs = tables.runs();
        let opened = open_all(&runs, number);
        let mut cells = Vec::new();
        while let Some(cell) = runs.take(usize::from(shape.class), 77, &(0..runs.leaves()), &take) {
            cells.push(cell);
        }
        let names: BTreeSet<_> = cells.iter().copied().map(name).collect();
        assert_eq!(names.len(), opened * usize::from(shape.cells));
        assert_eq!(names.len(), cells.len(), "a cell was taken twice");
        for &cell in &cells {
            let first = cell.head * LEAF + shape.cell_offset(cell.index);
            for offset in [first, first + shape.cell_size() - 1] {
                assert_eq!(runs.cell_at(offset).map(name), Some(name(cell)));
            }
            assert!(runs.is_taken(cell));
        }
        for &cell in &cells {
            if runs.give_back(cell).ok().unwrap().was_full {
                runs.advertise(cell.head, usize::from(shape.class));
            }
            assert!(runs.give_back(cell).is_err(), "given back twice");
        }
        (0..opened).for_each(|_| {
            assert!(runs.take(usize::from(shape.class), 0, &(0..runs.leaves()), &take).is_some());
        });
    }
}

#[test]
fn neighbours_in_one_word_do_not_touch_each_other() {
    let class = class_for(8).unwrap();
    let one_leaf = shapes_of(class).start;
    assert_eq!(SHAPES[one_leaf].leaves, 1);
    let tables = Tables::new(LANES);
    let runs = tables.runs();
    let cells: Vec<_> = (0..LANES).map(|head| runs.open(head, one_leaf)).collect();
    for (head, &cell) in cells.iter().enumerate() {
        let rest = usize::from(SHAPES[one_leaf].cells) - 1;
        let taken: Vec<_> =
            (0..rest).map(|_| runs.take_from(head, class, &take).unwrap()).collect();
        assert!(runs.take_from(head, class, &take).is_none(), "the run is full");
        taken.into_iter().chain([cell]).for_each(|cell| assert!(runs.give_back(cell).is_ok()));
    }
}

#[test]
fn only_an_empty_run_is_closed_and_then_nobody_takes_from_it() {
    let class = class_for(64).unwrap();
    for number in shapes_of(class) {
        let (tables, shape) = (Tables::new(64), &SHAPES[number]);
        let runs = tables.runs();
        let cell = runs.open(0, number);
        assert!(!runs.close(0, shape), "a cell is taken");
        let returned = runs.give_back(cell).ok().unwrap();
        assert!(returned.is_empty && !returned.was_full || shape.cells == 1);
        assert!(runs.close(0, shape));
        assert!(runs.take_from(0, class, &take).is_none());
        runs.reopen(0, shape);
        assert!(runs.take_from(0, class, &take).is_some());
    }
}

#[test]
fn a_search_follows_signs_and_clears_those_that_mislead() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(64 * POST);
    let runs = tables.runs();
    let heads = [3, POST + 5, 40 * POST, 63 * POST + 1];
    let cells: Vec<_> = heads.iter().map(|&head| runs.open(head, number)).collect();
    let found: BTreeSet<_> =
        core::iter::from_fn(|| runs.take(class, 41 * POST, &(0..runs.leaves()), &take))
            .map(|cell| cell.head)
            .collect();
    assert_eq!(found, heads.into());
    // A district is cleared by a search that has passed through all of it.
    assert!(runs.take(class, 0, &(0..runs.leaves()), &take).is_none());
    for post in &tables.posts {
        assert_eq!(post.classes.load(Relaxed) & 1 << class, 0, "no run there has room");
    }
    assert!(tables.districts.iter().all(|district| district.load(Relaxed) & 1 << class == 0));
    for &cell in &cells {
        assert!(runs.give_back(cell).ok().unwrap().was_full);
        runs.advertise(cell.head, class);
        assert_eq!(runs.take(class, 0, &(0..runs.leaves()), &take).map(name), Some(name(cell)));
    }
}

#[test]
fn a_search_begins_where_it_is_told_and_keeps_to_its_zone() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(8 * POST);
    let runs = tables.runs();
    for post in [0, 2, 3, 6] {
        assert!(runs.give_back(runs.open(post * POST + 7, number)).is_ok());
    }
    let find = |start, zone: Range<usize>| {
        runs.take(class, start, &zone, &take).map(|cell| cell.head / POST)
    };
    assert_eq!(find(4 * POST - 1, 0..8 * POST), Some(3));
    assert_eq!(find(4 * POST, 0..8 * POST), Some(6));
    assert_eq!(find(7 * POST, 0..8 * POST), Some(0), "it goes on from the first leaf");
    assert_eq!(find(2 * POST, 0..8 * POST), Some(2));
    assert_eq!(find(0, 4 * POST..6 * POST), None);
    assert_eq!(find(0, 2 * POST + 1..2 * POST + 2), Some(2), "the zone touches the post");
    assert_eq!(find(usize::MAX, 2 * POST..6 * POST), Some(2));
    assert_eq!(find(5 * POST, 3 * POST..6 * POST), Some(3));
}

#[test]
fn a_search_passes_districts_that_have_no_room() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new((4 * DISTRICT + 5) * POST);
    let runs = tables.runs();
    let heads = [DISTRICT, 3 * DISTRICT, 4 * DISTRICT, 4 * DISTRICT + 4].map(|post| post * POST);
    let cells = heads.map(|head| runs.open(head, number));
    // Cells beside the first, which stay taken.
    while runs.take(class, 0, &(0..runs.leaves()), &take).is_some() {}
    let named = |post: usize| tables.districts[post / DISTRICT].load(Relaxed) & 1 << class != 0;
    assert!((0..tables.posts.len()).all(|post| !named(post)), "a search passed through them all");
    for start in [0, 10, DISTRICT + 1, 2 * DISTRICT, 4 * DISTRICT + 2] {
        for cell in cells {
            assert!(runs.give_back(cell).ok().unwrap().was_full);
            runs.advertise(cell.head, class);
            let found = runs.take(class, start * POST, &(0..runs.leaves()), &take);
            assert_eq!(found.map(name), Some(name(cell)), "from post {start} on");
        }
    }
}

#[test]
fn a_sign_that_misleads_goes_whatever_other_districts_have() {
    assert_eq!(posts_for(DISTRICT * POST), (DISTRICT, 1), "no sign more than there must be");
    assert_eq!(posts_for(DISTRICT * POST + 1), (DISTRICT + 1, 2));
    let class = class_for(64).unwrap();
    let tables = Tables::new(2 * DISTRICT * POST);
    let runs = tables.runs();
    assert!(runs.give_back(runs.open(0, shapes_of(class).start)).is_ok());
    tables.districts[1].fetch_or(1 << class, SeqCst);
    assert!(runs.take(class, 0, &(DISTRICT * POST..runs.leaves()), &take).is_none());
    assert_eq!(tables.districts[1].load(Relaxed) & 1 << class, 0);
    assert!(runs.take(class, 0, &(0..runs.leaves()), &take).is_some());
}

#[test]
fn a_cell_that_was_not_ready_is_found_by_the_next_search() {
    let (class, other) = (class_for(64).unwrap(), class_for(8).unwrap());
    let (number, lower) = (shapes_of(class).start, shapes_of(other).start);
    let tables = Tables::new(5 * POST);
    let runs = tables.runs();
    let all = 0..runs.leaves();
    // Another class has room in the same post, before it.
    assert!(runs.give_back(runs.open(3 * POST + 5, lower)).is_ok());
    let cell = runs.open(3 * POST + 7, number);
    assert!(runs.give_back(cell).is_ok());
    for _ in 0..3 {
        assert!(runs.take(class, 0, &all, &|_: Cell<'_>| Verdict::PutBack).is_none());
    }
    assert_eq!(runs.take(class, 0, &all, &take).map(name), Some(name(cell)));
    // Now a sign may stay that misleads; a search takes it away, and no sign of the other class.
    while runs.take(class, 0, &all, &take).is_some() {}
    assert_eq!(tables.posts[3].classes.load(Relaxed), 1 << other);
    assert_eq!(tables.districts[0].load(Relaxed) & 1 << class, 0);
}

#[test]
fn a_cell_that_was_looked_at_is_advertised_again() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(POST);
    let runs = tables.runs();
    let all = 0..runs.leaves();
    for head in [1, LANES + 2, POST - 1] {
        let cell = runs.open(head, number);
        while runs.take(class, 0, &all, &take).is_some() {}
        runs.suspect_empty();
        assert!(runs.may_be_empty() && !runs.may_be_empty(), "it is asked once");
        assert!(runs.is_taken(cell));
        assert!(runs.give_back(cell).is_ok());
        assert!(!runs.is_taken(cell));
        let claimed = runs.claim(head, class, 0).unwrap();
        assert!(runs.take(class, 0, &all, &take).is_none(), "it takes the sign away");
        runs.put_back_cell(claimed);
        assert!(runs.may_be_empty(), "the release may have been the last");
        assert_eq!(runs.take(class, 0, &all, &take).map(name), Some((head, 0)));
        assert!(runs.take_from(head, class, &take).is_none());
    }
}

#[test]
fn verdicts() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let cells = usize::from(SHAPES[number].cells);
    let tables = Tables::new(8);
    let runs = tables.runs();
    assert!(runs.give_back(runs.open(0, number)).is_ok());
    let not_first = |cell: Cell| if cell.index == 0 { Verdict::PutBack } else { Verdict::Take };
    assert_eq!(runs.take_from(0, class, &not_first).unwrap().index, 1);
    let discard = |cell: Cell| if cell.index == 0 { Verdict::Discard } else { Verdict::Take };
    assert_eq!(runs.take_from(0, class, &discard).unwrap().index, 2);
    assert_eq!(runs.taken(0, &SHAPES[number]), cells, "the discarded cell stays taken");
}

#[test]
fn an_outdated_tag_takes_nothing() {
    let (small, large) = (class_for(8).unwrap(), class_for(64).unwrap());
    let tables = Tables::new(8);
    let runs = tables.runs();
    let (was, is) = (shapes_of(small).start, shapes_of(large).start);
    let cell = runs.open(0, was);
    assert!(runs.give_back(cell).is_ok() && runs.close(0, &SHAPES[was]));
    runs.retire(0, &SHAPES[was]);
    assert!(runs.give_back(runs.open(0, is)).is_ok());
    assert!(runs.take_from(0, small, &take).is_none());
    assert_eq!(runs.taken(0, &SHAPES[is]), 0);
}

#[test]
fn a_frozen_run_waits() {
    let class = class_for(64).unwrap();
    let number = shapes_of(class).start;
    let tables = Tables::new(8);
    let runs = tables.runs();
    let cell = runs.open(0, number);
    runs.freeze(0);
    assert!(!runs.take_frozen(cell), "it is taken");
    let thawed = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(runs.give_back(cell).is_ok());
            assert_eq!(thawed.load(SeqCst), 1, "the cell would be wiped under verify's eyes");
        });
        scope.spawn(|| {
            assert!(runs.take_from(0, class, &take).is_some());
            assert_eq!(thawed.load(SeqCst), 1, "the cell would be handed out under verify's eyes");
        });
        thread::sleep(std::time::Duration::from_millis(20));
        thawed.store(1, SeqCst);
        runs.thaw(0);
    });
}

/// Threads take and give back cells while runs are closed, cut anew for another class, and opened.
#[test]
fn no_cell_is_ever_held_twice() {
    let classes = [class_for(8).unwrap(), class_for(64).unwrap()];
    let tables = Tables::new(64);
    let runs = tables.runs();
    let numbers = classes.map(|class| shapes_of(class).start);
    (0..64).for_each(|head| drop(runs.give_back(runs.open(head, numbers[head % 2]))));
    let owners: Vec<AtomicUsize> = (0..64 * LANE_BITS).map(|_| AtomicUsize::new(0)).collect();
    let owner = |cell: Cell| &owners[cell.head * LANE_BITS + cell.index];
    thread::scope(|scope| {
        for thread in 0..3_usize {
            let (runs, owner) = (&runs, &owner);
            scope.spawn(move || {
                let mut held = Vec::new();
                for step in 0..rounds(30_000, 150) {
                    let class = classes[(step / 7) % 2];
                    if let Some(cell) =
                        runs.take(class, (step * 5 + thread * 21) % 64, &(0..runs.leaves()), &take)
                    {
                        assert_eq!(owner(cell).fetch_add(1, SeqCst), 0, "a cell held twice");
                        assert_eq!(usize::from(cell.shape.class), class);
                        held.push(cell);
                    }
                    if held.len() > 40 || step % 3 == 0 {
                        let Some(cell) = held.pop() else { continue };
                        assert_eq!(owner(cell).fetch_sub(1, SeqCst), 1);
                        if runs.give_back(cell).ok().unwrap().was_full {
                            runs.advertise(cell.head, usize::from(cell.shape.class));
                        }
                    }
                }
                held.into_iter().for_each(|cell| {
                    owner(cell).fetch_sub(1, SeqCst);
                    assert!(runs.give_back(cell).is_ok());
                });
            });
        }
        // One thread alone cuts, as under the arena's lock.
        scope.spawn(|| {
            for step in 0..rounds(20_000, 100) {
                let head = step % 64;
                let Some(shape) = runs.tag(head).shape() else { continue };
                if runs.close(head, shape) {
                    runs.retire(head, shape);
                    let cell = runs.open(head, numbers[usize::from(step % 3 == 0)]);
                    assert!(runs.give_back(cell).is_ok());
                }
            }
        });
    });
    for head in 0..64 {
        assert_eq!(runs.taken(head, runs.tag(head).shape().unwrap()), 0, "a cell was lost");
    }
}
