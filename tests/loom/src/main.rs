//! Explores the interleavings of a few threads with loom, over the real sources of the protocol of
//! cells and runs (`core/src/runs.rs`) and of the vault's line (`std-shim/src/vault/queue.rs`).
//!
//! Each model panics, or blocks for ever, in the first interleaving that breaks its promise. Names
//! on the command line choose among the models. Loom's threads take turns on one: they share by `Rc`.
#![deny(unsafe_code)]

#[path = "../../../core/src/bitmap.rs"]
#[allow(dead_code, reason = "only its word size is needed here")]
mod bitmap;
mod cells;
#[path = "../../../core/src/classes.rs"]
#[allow(dead_code, reason = "only the shapes are needed here")]
mod classes;
mod line;
#[allow(dead_code, reason = "the models use the part that threads race for")]
mod queue {
    include!(concat!(env!("OUT_DIR"), "/queue.rs"));
}
#[allow(dead_code, reason = "the models use the part that threads race for")]
mod runs {
    include!(concat!(env!("OUT_DIR"), "/runs.rs"));
}
#[allow(dead_code, reason = "it offers what either protocol may use")]
mod sync;
#[path = "../../../core/src/tag.rs"]
#[allow(dead_code, reason = "blocks are not modelled")]
mod tag;

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What to explore, and how often a thread may be interrupted where it need not be; `None`: ever.
type Model = (&'static str, Option<usize>, fn());

const MODELS: &[Model] = &[
    ("one cell: one gives back, two take", Some(3), cells::one_cell),
    ("two cells: two take and give back", None, cells::two_cells),
    ("a search and a release", None, cells::search_and_release),
    ("a search and two releases", None, cells::search_and_two_releases),
    ("a stale tag", None, cells::stale_tag),
    ("a stale tag and a search", Some(3), cells::stale_tag_and_search),
    ("a run closed and reopened", None, cells::closed_and_reopened),
    ("frozen and released", None, cells::frozen),
    ("frozen and searched", None, cells::frozen_and_search),
    ("frozen, released and taken", Some(2), cells::frozen_released_and_taken),
    ("frozen while it is taken", None, cells::frozen_while_taken),
    ("line: one waits", None, line::one_waits),
    ("line: two wait", Some(3), line::two_wait),
    ("line: the first gives up", Some(4), line::first_gives_up),
    ("line: the first is served", Some(4), line::first_is_served),
];

fn main() {
    let chosen: Vec<String> = env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|part| name.contains(part));
    for &(name, bound, model) in MODELS.iter().filter(|model| is_chosen(model.0)) {
        explore(name, bound, model);
    }
}

fn explore(name: &str, bound: Option<usize>, model: fn()) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    EXPLORED.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.max_branches = 20_000;
    builder.check(move || {
        EXPLORED.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let explored = EXPLORED.load(Ordering::Relaxed);
    let bound = bound.map_or("all".into(), |bound| format!("up to {bound} interruptions"));
    println!("{name:36} {explored:>9} interleavings ({bound}), {:.1?}", begun.elapsed());
}
