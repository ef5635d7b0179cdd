//! What others find of a cell while it is released, step by step on one thread.

use super::*;
use crate::testing::with_arena;

#[test]
fn what_was_given_up_is_not_looked_at_while_it_is_wiped() {
    with_arena(4096, |arena| {
        let layout = Layout::array::<u8>(57).unwrap();
        let secret = arena.allocate(layout).unwrap();
        let offset = arena.leaves.offset_of(secret.cast()).unwrap();
        let cell = arena.runs.cell_at(offset).unwrap();
        let extent = arena.extent(cell);
        // SAFETY: the secret was just allocated, and is given up here.
        unsafe { extent.give_up() };
        assert!(arena.runs.give_back(cell).is_ok());

        // Another takes the cell to see whether it is ready, while `verify` looks.
        let claimed = arena.runs.claim(cell.head, cell.shape.class.into(), 0).unwrap();
        assert_eq!((claimed.head, claimed.index), (cell.head, cell.index));
        // SAFETY: the secret was given up, and nobody holds a reference to it.
        unsafe { arena.leaves.bytes_mut(offset..offset + 64) }.fill(0);
        assert_eq!(arena.verify(), Ok(()), "no slack is missing where no secret is");
        // SAFETY: the cell was claimed, and no secret is in it.
        assert!(matches!(unsafe { extent.readiness() }, Readiness::Busy));
        arena.runs.put_back_cell(claimed);

        // SAFETY: the secret was given up.
        unsafe { extent.reset(State::FREE) };
        assert_eq!((arena.verify(), arena.stats().live), (Ok(()), 0));
    });
}
