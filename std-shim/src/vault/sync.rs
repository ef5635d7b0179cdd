//! What the line shares between threads: a module of its own, so that `tests/loom` can put loom's
//! in its place.

pub(super) use std::sync::atomic::{AtomicUsize, fence};
pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use std::thread;
