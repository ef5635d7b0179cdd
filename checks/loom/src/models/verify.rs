//! `verify` meets no half-wiped cell, and keeps nobody from having one.

use crate::arena::{Arena, ONE, TWO};

/// `verify` looks at a cell while it is released.
pub(super) fn frozen() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    let verifier = arena.spawn(|arena| arena.verify(0, ONE));
    arena.release(secret);
    verifier.join().unwrap();
    arena.expect_room(ONE, 1);
}

/// `verify` holds a cell for a moment, while its run is emptied.
pub(super) fn emptied() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(TWO).unwrap(), arena.take(TWO).unwrap());
    let verifier = arena.spawn(|arena| arena.verify(0, TWO));
    arena.release(first);
    arena.release(second);
    verifier.join().unwrap();
    arena.expect_leaves(0);
}

/// `verify` looks at a free cell while another looks for one.
pub(super) fn frozen_and_search() {
    let arena = Arena::new();
    arena.release(arena.cut(ONE).unwrap());
    let verifier = arena.spawn(|arena| arena.verify(0, ONE));
    let taken = arena.take(ONE).is_some();
    verifier.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// `verify` looks at a cell while it is released and another, who finds it free, takes it for a
/// moment: it is taken, but no secret is in it any more.
pub(super) fn frozen_released_and_taken() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    let verifier = arena.spawn(|arena| arena.verify(0, ONE));
    let taker = arena.spawn(|arena| arena.take_at(0, ONE).is_some());
    arena.release(secret);
    let taken = taker.join().unwrap();
    verifier.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// The same, and `verify` looks just while the other has it, whatever happens around that.
pub(super) fn frozen_while_taken() {
    let arena = Arena::new();
    let secret = arena.cut(ONE).unwrap();
    let taker = arena.spawn(|arena| arena.take_verified(0, ONE).is_some());
    arena.release(secret);
    let taken = taker.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// `verify` looks at the cells of a run that is emptied, taken apart and cut anew.
pub(super) fn frozen_and_cut_anew() {
    let arena = Arena::new();
    let (stays, goes) = (arena.allocate_block().unwrap(), arena.cut(TWO).unwrap());
    let verifier = arena.spawn(|arena| arena.verify(1, TWO));
    let cutter = arena.spawn(|arena| arena.cut(ONE).is_some());
    arena.release(goes);
    verifier.join().unwrap();
    let was_cut = cutter.join().unwrap();
    arena.expect_leaves(1 + usize::from(was_cut));
    arena.release(stays);
}
