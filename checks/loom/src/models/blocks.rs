//! Leaves go from a block to a run and back, wiped.

use crate::arena::{Arena, ONE, TWO};

/// A block is released while another thread needs its leaves, to cut them as a run, and `verify`
/// looks at what is there.
pub(super) fn released_and_cut() {
    let arena = Arena::new();
    let (stays, goes) = (arena.cut(ONE).unwrap(), arena.allocate_block().unwrap());
    let cutter = arena.spawn(|arena| arena.cut(TWO).is_some());
    let verifier = arena.spawn(|arena| arena.verify(1, TWO));
    arena.release(goes);
    verifier.join().unwrap();
    let was_cut = cutter.join().unwrap();
    arena.expect_leaves(1 + usize::from(was_cut));
    arena.release(stays);
}

/// `verify` looks at a block, then at its leaf, while it is released.
pub(super) fn frozen() {
    let arena = Arena::new();
    let secret = arena.allocate_block().unwrap();
    let verifier = arena.spawn(|arena| {
        arena.check_leaf(0);
        arena.check_leaf(0);
    });
    arena.release(secret);
    verifier.join().unwrap();
    arena.expect_leaves(0);
}

/// A run is emptied while another needs its leaf for a block, at which `verify` then looks.
pub(super) fn made_of_a_run() {
    let arena = Arena::new();
    let (stays, goes) = (arena.allocate_block().unwrap(), arena.cut(ONE).unwrap());
    let allocator = arena.spawn(|arena| {
        let block = arena.allocate_block();
        arena.verify(1, ONE);
        block.is_some()
    });
    arena.release(goes);
    let was_made = allocator.join().unwrap();
    arena.expect_leaves(1 + usize::from(was_made));
    arena.release(stays);
}
