//! No cell is held by two, none is lost, and what one thread wiped another finds wiped.

use std::rc::Rc;

use crate::arena::{Arena, ONE, THREE, TWO};

/// One taken cell, which is given back while two look for one.
pub(super) fn one_cell() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    let takers = [(); 2].map(|()| arena.spawn(|arena| arena.take(ONE)));
    arena.release(secret);
    let taken = takers.map(|taker| taker.join().unwrap()).into_iter().flatten().count();
    assert!(taken < 2, "a cell was handed out twice");
    arena.expect_room(ONE, 1 - taken);
}

/// Two cells of one run, which two threads take and give back.
pub(super) fn two_cells() {
    let arena = Arena::new();
    let secret = arena.cut(TWO).unwrap();
    arena.release(secret);
    let other = arena.spawn(|arena| arena.take(TWO).map(|secret| arena.release(secret)));
    if let Some(secret) = arena.take(TWO) {
        arena.release(secret);
    }
    other.join().unwrap();
    arena.expect_room(TWO, 2);
}

/// A search that finds a run full and takes its marks away, while its cell is given back.
pub(super) fn search_and_release() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    let searcher = arena.spawn(|arena| arena.take(ONE).is_some());
    arena.release(secret);
    let taken = searcher.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// Two runs whose cells are given back by two threads, one of which then searches.
pub(super) fn search_and_two_releases() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(ONE).unwrap(), arena.cut(ONE).unwrap());
    let other = arena.spawn(move |arena| {
        arena.release(second);
        arena.take(ONE).is_some()
    });
    arena.release(first);
    let taken = other.join().unwrap();
    assert!(taken, "its own cell at least had been given back");
    arena.expect_room(ONE, 1);
}

/// A thread goes by the kind of a run that is taken apart meanwhile and cut anew for another class.
pub(super) fn stale_kind() {
    let arena = full_but_for(ONE);
    let taker = arena.spawn(|arena| arena.take_at(1, ONE).is_some());
    let was_cut = arena.cut(TWO).map(|secret| arena.release(secret)).is_some();
    let taken = taker.join().unwrap();
    assert!(!(was_cut && taken), "a cell was taken of a run that was closed");
    if was_cut {
        arena.expect_room(TWO, 2);
    } else {
        arena.expect_room(ONE, usize::from(!taken));
    }
}

/// The same while another looks for a cell of what the run becomes.
pub(super) fn stale_kind_and_search() {
    let arena = full_but_for(TWO);
    let stale = arena.spawn(|arena| arena.take_at(1, TWO).is_some());
    let searcher = arena.spawn(|arena| arena.take(ONE).is_some());
    let was_cut = arena.cut(ONE).map(|secret| arena.release(secret)).is_some();
    let (stale, found) = (stale.join().unwrap(), searcher.join().unwrap());
    assert!(!(was_cut && stale) && (was_cut || !found), "taken of a run that is not there");
    if was_cut {
        arena.expect_room(ONE, usize::from(!found));
    } else {
        arena.expect_room(TWO, 2 - usize::from(stale));
    }
}

/// A run is closed and opened again, as when one of its cells is still being wiped.
pub(super) fn closed_and_reopened() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    arena.release(secret);
    let taker = arena.spawn(|arena| arena.take(ONE).is_some());
    arena.close_and_reopen(0, ONE);
    let taken = taker.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// The last secret of a run is released while another thread, who needs leaves, takes the run apart,
/// takes its leaves, looks at them and cuts them anew.
pub(super) fn cut_anew() {
    let arena = Arena::new();
    let (stays, goes) = (arena.allocate_block().unwrap(), arena.cut(TWO).unwrap());
    let cutter = arena.spawn(|arena| arena.cut(ONE).map(|secret| arena.release(secret)).is_some());
    arena.release(goes);
    if cutter.join().unwrap() {
        arena.expect_room(ONE, 1);
    } else {
        arena.expect_leaves(1);
    }
    arena.release(stays);
}

/// The same when the one who releases the last secret takes the run apart, and the other has nothing
/// to say of its own: the run was neither full nor empty then.
pub(super) fn quietly_released_and_cut_anew() {
    let arena = Arena::for_shapes(&[ONE, THREE]);
    let (stays, first) = (arena.allocate_block().unwrap(), arena.cut(THREE).unwrap());
    let second = arena.take(THREE).unwrap();
    let cutter = arena.spawn(|arena| {
        arena.release(second);
        arena.cut(ONE).is_some()
    });
    arena.release(first);
    let was_cut = cutter.join().unwrap();
    arena.expect_leaves(1 + usize::from(was_cut));
    arena.release(stays);
}

/// The same when two release the secrets of a run.
pub(super) fn two_released_and_cut_anew() {
    let arena = Arena::new();
    let (stays, first) = (arena.allocate_block().unwrap(), arena.cut(TWO).unwrap());
    let second = arena.take(TWO).unwrap();
    let other = arena.spawn(move |arena| arena.release(second));
    let cutter = arena.spawn(|arena| arena.cut(ONE).is_some());
    arena.release(first);
    other.join().unwrap();
    let was_cut = cutter.join().unwrap();
    arena.expect_leaves(1 + usize::from(was_cut));
    arena.release(stays);
}

/// An arena whose first leaf is a block, and whose second is a run without a taken cell.
fn full_but_for(number: usize) -> Rc<Arena> {
    let arena = Arena::new();
    let _stays = arena.allocate_block().unwrap();
    arena.release(arena.cut(number).unwrap());
    arena
}
