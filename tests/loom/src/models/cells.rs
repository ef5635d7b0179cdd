//! No cell is held by two, none is lost, and what one thread wiped another finds wiped.
//!
//! Around the real `Runs` stands as much of an arena as threads could race for: for each cell its
//! bytes, which loom lets nobody touch while another does, and the canary that says whether they
//! are wiped. It is handled as `arena.rs` and `extent.rs` do it, in the same order.

use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Release};

use loom::cell::UnsafeCell;
use loom::sync::atomic::fence;
use loom::thread::{self, JoinHandle};

use crate::classes::{LANES, LEAF, SHAPES};
use crate::runs::{Cell, Group, Judge, Post, Runs, Verdict, posts_for};
use crate::sync::{AtomicU8, Shared64, SharedU32};

/// One taken cell, which is given back while two look for one.
pub(crate) fn one_cell() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    let takers = [(); 2].map(|()| arena.spawn(|arena| arena.take(ONE)));
    arena.release(secret);
    let taken = takers.map(|taker| taker.join().unwrap()).into_iter().flatten().count();
    assert!(taken < 2, "a cell was handed out twice");
    arena.expect_room(ONE, 1 - taken);
}

/// Two cells of one run, which two threads take and give back.
pub(crate) fn two_cells() {
    let arena = Arena::new();
    let secret = arena.cut(0, TWO);
    arena.release(secret);
    let other = arena.spawn(|arena| arena.take(TWO).map(|secret| arena.release(secret)));
    if let Some(secret) = arena.take(TWO) {
        arena.release(secret);
    }
    other.join().unwrap();
    arena.expect_room(TWO, 2);
}

/// A search that finds a run full and takes its signs away, while its cell is given back.
pub(crate) fn search_and_release() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    let searcher = arena.spawn(|arena| arena.take(ONE).is_some());
    arena.release(secret);
    let taken = searcher.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// Two runs whose cells are given back by two threads, one of which then searches.
pub(crate) fn search_and_two_releases() {
    let arena = Arena::new();
    let (first, second) = (arena.cut(0, ONE), arena.cut(1, ONE));
    let other = arena.spawn(move |arena| {
        arena.release(second);
        arena.take(ONE).is_some()
    });
    arena.release(first);
    let taken = other.join().unwrap();
    assert!(taken, "its own cell at least had been given back");
    arena.expect_room(ONE, 1);
}

/// A thread goes by the tag of a run that is closed meanwhile and cut anew for another class.
pub(crate) fn stale_tag() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    arena.release(secret);
    let taker = arena.spawn(|arena| arena.take_at(0, ONE).is_some());
    let was_cut = arena.take_apart(0, ONE);
    if was_cut {
        let secret = arena.cut(0, TWO);
        arena.release(secret);
    }
    let taken = taker.join().unwrap();
    assert!(!(was_cut && taken), "a cell was taken of a run that was closed");
    if was_cut {
        arena.expect_room(TWO, 2);
    } else {
        arena.expect_room(ONE, usize::from(!taken));
    }
}

/// The same while another looks for a cell of what the run becomes.
pub(crate) fn stale_tag_and_search() {
    let arena = Arena::new();
    let secret = arena.cut(0, TWO);
    arena.release(secret);
    let stale = arena.spawn(|arena| arena.take_at(0, TWO).is_some());
    let searcher = arena.spawn(|arena| arena.take(ONE).is_some());
    let was_cut = arena.take_apart(0, TWO);
    if was_cut {
        let secret = arena.cut(0, ONE);
        arena.release(secret);
    }
    let (stale, found) = (stale.join().unwrap(), searcher.join().unwrap());
    assert!(!(was_cut && stale) && (was_cut || !found), "taken of a run that is not there");
    if was_cut {
        arena.expect_room(ONE, usize::from(!found));
    } else {
        arena.expect_room(TWO, 2 - usize::from(stale));
    }
}

/// A run is closed and opened again, as when one of its cells is still being wiped.
pub(crate) fn closed_and_reopened() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    arena.release(secret);
    let taker = arena.spawn(|arena| arena.take(ONE).is_some());
    if arena.runs().close(0, &SHAPES[ONE]) {
        arena.runs().reopen(0, &SHAPES[ONE]);
    }
    let taken = taker.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// `verify` looks at a cell while it is released.
pub(crate) fn frozen() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    let verifier = arena.spawn(move |arena| arena.verify(secret));
    arena.release(secret);
    verifier.join().unwrap();
    arena.expect_room(ONE, 1);
}

/// `verify` looks at a free cell while another looks for one.
pub(crate) fn frozen_and_search() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    arena.release(secret);
    let verifier = arena.spawn(move |arena| arena.verify(secret));
    let taken = arena.take(ONE).is_some();
    verifier.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// `verify` looks at a cell while it is released and another, who finds it free, takes it for a
/// moment: it is taken, but no secret is in it any more.
pub(crate) fn frozen_released_and_taken() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    let verifier = arena.spawn(move |arena| arena.verify(secret));
    let taker = arena.spawn(|arena| arena.take_at(0, ONE).is_some());
    arena.release(secret);
    let taken = taker.join().unwrap();
    verifier.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// The same, and `verify` looks just while the other has it, whatever happens around that.
pub(crate) fn frozen_while_taken() {
    let arena = Arena::new();
    let secret = arena.cut(0, ONE);
    let taker = arena.spawn(move |arena| {
        let verifying = Verifying { arena, secret };
        arena.runs().take_from(0, class(ONE), &verifying).is_some()
    });
    arena.release(secret);
    let taken = taker.join().unwrap();
    arena.expect_room(ONE, usize::from(!taken));
}

/// Shapes of one leaf: with one cell, and with two.
const ONE: usize = shape(1, 1);
const TWO: usize = shape(1, 2);

/// The first shape with so many leaves and cells.
const fn shape(leaves: u8, cells: u8) -> usize {
    let mut number = 0;
    while SHAPES[number].leaves != leaves || SHAPES[number].cells != cells {
        number += 1;
    }
    number
}

fn class(number: usize) -> usize {
    SHAPES[number].class.into()
}

/// The tables of an arena whose leaves share one word, and its cells.
struct Arena {
    tags: Vec<AtomicU8>,
    groups: Vec<Group>,
    posts: Vec<Post>,
    districts: Vec<SharedU32>,
    memory: Vec<[Memory; 2]>,
}

/// What an owner knows of a secret.
#[derive(Clone, Copy)]
struct Secret {
    offset: usize,
}

struct Memory {
    bytes: UnsafeCell<()>,
    canary: Shared64,
}

impl Arena {
    fn new() -> Rc<Self> {
        let (posts, districts) = posts_for(LANES);
        Rc::new(Self {
            tags: (0..LANES).map(|_| AtomicU8::new(0)).collect(),
            groups: vec![Group::closed(Shared64::new(0))],
            posts: (0..posts).map(|_| Post::default()).collect(),
            districts: (0..districts).map(|_| SharedU32::new(0)).collect(),
            memory: (0..2).map(|_| [(); 2].map(|()| Memory::new())).collect(),
        })
    }

    /// Every call has its own note of whether a run was emptied; the models do without.
    fn runs(&self) -> Runs<'_> {
        Runs::new(&self.tags, &self.groups, &self.posts, &self.districts)
    }

    fn spawn<T: 'static>(
        self: &Rc<Self>,
        work: impl FnOnce(&Self) -> T + 'static,
    ) -> JoinHandle<T> {
        let arena = Rc::clone(self);
        thread::spawn(move || work(&arena))
    }

    fn cut(&self, head: usize, number: usize) -> Secret {
        self.hand_out(self.runs().open(head, number))
    }

    /// Closes a run whose cells are all wiped, and forgets it.
    fn take_apart(&self, head: usize, number: usize) -> bool {
        let (runs, shape) = (self.runs(), &SHAPES[number]);
        if !runs.close(head, shape) {
            return false;
        }
        let mut cells = self.memory[head][..shape.cells.into()].iter();
        let are_wiped = cells.all(Memory::is_wiped);
        if are_wiped {
            runs.retire(head, shape);
        } else {
            runs.reopen(head, shape);
        }
        are_wiped
    }

    fn take(&self, number: usize) -> Option<Secret> {
        let cell = self.runs().take(class(number), 0, &(0..LANES), self)?;
        Some(self.hand_out(cell))
    }

    fn take_at(&self, head: usize, number: usize) -> Option<Secret> {
        let cell = self.runs().take_from(head, class(number), self)?;
        Some(self.hand_out(cell))
    }

    fn hand_out(&self, cell: Cell<'_>) -> Secret {
        self.memory(cell).hand_out();
        Secret { offset: cell.head * LEAF + cell.shape.cell_offset(cell.index) }
    }

    fn release(&self, secret: Secret) {
        let cell = self.runs().cell_at(secret.offset).expect("nobody cuts a run with a secret");
        self.memory(cell).give_up();
        let Ok(returned) = self.runs().give_back(cell) else {
            panic!("a cell was given back that was not taken")
        };
        self.memory(cell).wipe();
        if returned.was_full {
            self.runs().advertise(cell.head, cell.shape.class.into());
        }
    }

    fn verify(&self, secret: Secret) {
        let runs = self.runs();
        let cell = runs.cell_at(secret.offset).expect("nobody cuts runs while there is a verify");
        runs.freeze(cell.head);
        if runs.take_frozen(cell) {
            self.memory(cell).is_wiped();
            runs.put_back_cell(cell);
        } else {
            self.memory(cell).look_if_live();
        }
        runs.thaw(cell.head);
    }

    /// Now that all is quiet, a search finds just so many cells.
    fn expect_room(&self, number: usize, cells: usize) {
        let found = std::iter::from_fn(|| self.take(number)).count();
        assert_eq!(found, cells, "cells were lost, or made out of nothing");
    }

    fn memory(&self, cell: Cell<'_>) -> &Memory {
        &self.memory[cell.head][cell.index]
    }
}

impl Judge for Arena {
    fn judge(&self, cell: Cell<'_>) -> Verdict {
        if self.memory(cell).is_wiped() { Verdict::Take } else { Verdict::PutBack }
    }
}

/// Judges as an arena does, after it has had `verify` look.
struct Verifying<'a> {
    arena: &'a Arena,
    secret: Secret,
}

impl Judge for Verifying<'_> {
    fn judge(&self, cell: Cell<'_>) -> Verdict {
        self.arena.verify(self.secret);
        self.arena.judge(cell)
    }
}

impl Memory {
    fn new() -> Self {
        Self { bytes: UnsafeCell::new(()), canary: Shared64::new(FREE) }
    }

    fn hand_out(&self) {
        self.bytes.with_mut(|_| ());
        fence(Release);
        self.canary.store(LIVE);
    }

    /// From here on nobody takes it for a secret.
    fn give_up(&self) {
        self.canary.store(RELEASED);
    }

    fn wipe(&self) {
        self.bytes.with_mut(|_| ());
        fence(Release);
        self.canary.store(FREE);
    }

    /// Whether the canary says so; the bytes are then looked at too.
    fn is_wiped(&self) -> bool {
        let is_free = self.canary.load() == FREE;
        if is_free {
            fence(Acquire);
            self.look();
        }
        is_free
    }

    /// What is being handed out is not looked at.
    fn look_if_live(&self) {
        if self.canary.load() == LIVE {
            fence(Acquire);
            self.look();
        }
    }

    fn look(&self) {
        self.bytes.with(|_| ());
    }
}

const FREE: u64 = 0;
const LIVE: u64 = 1;
const RELEASED: u64 = 2;
