//! Explores the interleavings of a few threads with loom, over the real sources of core's cells, runs
//! and indexes, from their words up, and of the vault's line (`std-shim/src/vault/queue.rs`).
//!
//! Each model panics, or blocks for ever, in the first interleaving that breaks its promise. Names
//! on the command line choose among the models. Loom's threads take turns on one: they share by `Rc`.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "says which cells and leaves are whose, as core's arena does")]
mod arena;
mod models;
#[allow(unsafe_code, reason = "lends bytes as core's region does")]
mod region;
#[allow(dead_code, unsafe_code, reason = "it offers what core may use, and a load that is plain")]
mod sync;

/// Core's own files.
#[path = "../../../core/src"]
#[allow(dead_code, unsafe_code, reason = "core says where, and the models use a part")]
#[allow(unfulfilled_lint_expectations, reason = "what is not used is not looked at")]
mod taken {
    pub(crate) mod arch;
    pub(crate) mod buddy;
    pub(crate) mod canary;
    pub(crate) mod cells;
    pub(crate) mod classes;
    pub(crate) mod error;
    pub(crate) mod guarded;
    pub(crate) mod index;
    pub(crate) mod kind;
    pub(crate) mod lent;
    pub(crate) mod runs;
    pub(crate) mod wipe;
}
use self::taken::{
    arch, buddy, canary, cells, classes, error, guarded, index, kind, lent, runs, wipe,
};

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use self::models::{MODELS, Model, WITHOUT_WORDS};

fn main() {
    let chosen: Vec<String> = env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|part| name.contains(part));
    MODELS.iter().chain(WITHOUT_WORDS).filter(|model| is_chosen(model.0)).for_each(explore);
}

fn explore(&(name, bound, model): &Model) {
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
    println!("{name:39} {explored:>9} interleavings ({bound}), {:.1?}", begun.elapsed());
}
