//! What is not marked is not there, unless whoever made it is still about to say so.

use crate::arena::{Arena, ONE, TWO, class};

/// The marks of two full runs of one place are taken away while their cells are given back.
pub(super) fn cleared_while_marked() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(ONE).unwrap(), arena.cut(ONE).unwrap());
    let other = arena.spawn(move |arena| arena.release(second));
    let cleaner = arena.spawn(|arena| {
        arena.withdraw(0, class(ONE));
        arena.withdraw(1, class(ONE));
    });
    arena.release(first);
    other.join().unwrap();
    cleaner.join().unwrap();
    arena.expect_room(ONE, 2);
}

/// A mark that came too late, for a run that is no more, is taken away while a run is opened there.
pub(super) fn cleared_while_opened() {
    let arena = Arena::new();
    arena.advertise(0, TWO);
    let cutter = arena.spawn(|arena| arena.cut(TWO));
    arena.withdraw(0, class(TWO));
    let secret = cutter.join().unwrap();
    assert!(secret.is_some(), "all leaves were free");
    arena.expect_room(TWO, 1);
}

/// Runs are emptied while another walks over those that are empty; what it misses is found later.
pub(super) fn empty_runs() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(ONE).unwrap(), arena.cut(TWO).unwrap());
    let walker = arena.spawn(Arena::return_empty_runs);
    arena.release(first);
    arena.release(second);
    walker.join().unwrap();
    arena.expect_leaves(0);
}

/// A run is emptied while another thread holds the cell that was given back first, for a moment: it is
/// not ready, or its run is not what it was.
pub(super) fn emptied_while_claimed() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(TWO).unwrap(), arena.take(TWO).unwrap());
    let other = arena.spawn(move |arena| arena.release(second));
    let taker = arena.spawn(|arena| arena.take_at(0, TWO).is_some());
    arena.release(first);
    other.join().unwrap();
    let taken = taker.join().unwrap();
    arena.expect_leaves(usize::from(taken));
}

/// The mark of a class is outdated and cleared on a walk, while a run of it is cut in that place.
pub(super) fn cleared_on_a_walk() {
    let arena = Arena::new();
    arena.release(arena.cut(ONE).unwrap());
    arena.return_empty_runs();
    let cutter = arena.spawn(|arena| arena.release(arena.cut(ONE).unwrap()));
    arena.walk_over_room(ONE);
    cutter.join().unwrap();
    arena.expect_room(ONE, 1);
}
