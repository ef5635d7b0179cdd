//! What a faulty program can do to an arena whose fault handler is the default.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use strongroom_core::Buffer;
use strongroom_tests::raw::{Ground, Lab};

use crate::{Outcome, Table};

pub(crate) const ALL: Table = &[
    ("overflow-cell", || write_at(CELL, 64)),
    ("underflow-cell", || write_at(CELL, -1)),
    ("overflow-block", || write_at(BLOCK, 5104)),
    ("underflow-block", || write_at(BLOCK, -1)),
    ("overflow-into-slack-of-cell", || write_at((57, 1), 57)),
    ("overflow-into-slack-of-block", || write_at((5000, 1), 5000)),
    ("underflow-into-gap", || write_at((40, 64), -1)),
    ("write-after-free-of-cell", || write_after_free(CELL)),
    ("write-after-free-of-block", || write_after_free(BLOCK)),
    ("write-to-free-memory-and-verify", write_to_free_memory_and_verify),
    ("neighbour-overflows-and-verify", neighbour_overflows_and_verify),
    ("double-free-of-cell", || free_twice(CELL)),
    ("double-free-of-block", || free_twice(BLOCK)),
    ("free-inside-a-secret", free_inside_a_secret),
    ("free-of-another-arena", free_of_another_arena),
    ("free-of-the-stack", free_of_the_stack),
    ("free-with-wrong-size", || free_as(CELL, (63, 1))),
    ("free-with-wrong-alignment", || free_as(CELL, (64, 16))),
    ("free-a-block-as-a-cell", || free_as(BLOCK, CELL)),
    ("damage-as-a-value", damage_as_a_value),
    ("panic-with-secrets-open", panic_with_secrets_open),
    ("damage-found-while-unwinding", damage_found_while_unwinding),
];

/// Writes one byte `at` bytes from the start of a secret, and frees that.
fn write_at(layout: Form, at: isize) -> Outcome {
    with_lab(|lab| {
        let offset = place(lab, layout);
        lab.flip(offset.checked_add_signed(at).unwrap(), 1);
        lab.drop_at(offset, layout_of(layout));
        Ok(())
    })
}

/// Found when the memory is handed out again.
fn write_after_free(layout: Form) -> Outcome {
    with_lab(|lab| {
        let _beside = place(lab, CELL);
        let offset = place(lab, layout);
        lab.drop_at(offset, layout_of(layout));
        lab.flip(offset + layout.0 / 2, 1);
        lab.allocate(layout_of(layout))?;
        Ok(())
    })
}

fn write_to_free_memory_and_verify() -> Outcome {
    with_lab(|lab| {
        let offset = place(lab, BLOCK);
        lab.drop_at(offset, layout_of(BLOCK));
        // A leaf that belongs to nobody, far from either end.
        lab.flip(lab.first_leaf() + 8 * 256, 1);
        Ok(lab.arena().verify()?)
    })
}

fn neighbour_overflows_and_verify() -> Outcome {
    with_lab(|lab| {
        let [_first, second, _third] = [(); 3].map(|()| place(lab, CELL));
        lab.flip(second + 64, 1);
        Ok(lab.arena().verify()?)
    })
}

fn free_twice(layout: Form) -> Outcome {
    with_lab(|lab| {
        let _beside = place(lab, CELL);
        let offset = place(lab, layout);
        lab.drop_at(offset, layout_of(layout));
        lab.drop_at(offset, layout_of(layout));
        Ok(())
    })
}

fn free_inside_a_secret() -> Outcome {
    with_lab(|lab| {
        lab.drop_at(place(lab, CELL) + 8, layout_of(CELL));
        Ok(())
    })
}

fn free_of_another_arena() -> Outcome {
    with_lab(|lab| {
        let mut ground = Ground::new(1 << 14, 0);
        let other = Lab::new(&mut ground, 2)?;
        let pointer = other.arena().allocate(layout_of(CELL))?;
        free(lab, pointer.cast(), CELL);
        Ok(())
    })
}

fn free_of_the_stack() -> Outcome {
    with_lab(|lab| {
        let mut local = [0_u8; 64];
        free(lab, NonNull::from(&mut local).cast(), CELL);
        Ok(())
    })
}

fn free_as(layout: Form, other: Form) -> Outcome {
    with_lab(|lab| {
        lab.drop_at(place(lab, layout), layout_of(other));
        Ok(())
    })
}

fn damage_as_a_value() -> Outcome {
    with_lab(|lab| {
        let secret = Buffer::new(lab.arena(), 64)?;
        lab.flip(offset_of(lab, &secret) + 64, 1);
        Ok(secret.release()?)
    })
}

/// Says whether the secrets were wiped, and goes on dying.
fn panic_with_secrets_open() -> Outcome {
    with_lab(|lab| {
        let mut offsets = Vec::new();
        let died = catch_unwind(AssertUnwindSafe(|| {
            let mut short = Buffer::random(lab.arena(), 64).unwrap();
            let mut long = Buffer::random(lab.arena(), 5000).unwrap();
            for secret in [&mut short, &mut long] {
                secret.expose_secret_mut().fill(b'S');
                let offset = offset_of(lab, secret);
                assert!(lab.holds(offset, &secret.expose_secret()), "it is there");
                offsets.push(offset..offset + secret.len());
            }
            panic!("a bug elsewhere");
        }));
        let wiped = offsets.into_iter().all(|range| lab.is_zero(range));
        eprintln!("secrets wiped: {wiped}");
        resume_unwind(died.unwrap_err())
    })
}

/// Two panics at once are an abort, but both have said their word.
fn damage_found_while_unwinding() -> Outcome {
    with_lab(|lab| {
        let secret = Buffer::new(lab.arena(), 64)?;
        lab.flip(offset_of(lab, &secret) + 64, 1);
        panic!("a bug elsewhere");
    })
}

fn with_lab(violation: impl FnOnce(&Lab<'_>) -> Outcome) -> Outcome {
    let mut ground = Ground::new(1 << 16, 0);
    violation(&Lab::panicking(&mut ground, 1)?)
}

#[expect(unsafe_code, reason = "the violation itself")]
fn free(lab: &Lab<'_>, pointer: NonNull<u8>, layout: Form) {
    // SAFETY: none: the pointer is not this arena's, which the arena's bookkeeping is to tell
    // before it touches anything.
    unsafe { lab.arena().deallocate(pointer, layout_of(layout)) };
}

fn place(lab: &Lab<'_>, layout: Form) -> usize {
    lab.allocate(layout_of(layout)).unwrap().unwrap()
}

fn offset_of(lab: &Lab<'_>, secret: &Buffer<'_>) -> usize {
    lab.offset_of(NonNull::from(&*secret.expose_secret()).cast())
}

fn layout_of((size, align): Form) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Size and alignment in bytes.
type Form = (usize, usize);

/// Fills a cell, without slack.
const CELL: Form = (64, 1);
/// Fills a block, without slack.
const BLOCK: Form = (5104, 1);
