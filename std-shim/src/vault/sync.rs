//! What the line shares between threads: a module of its own, so that `checks/loom` can put loom's
//! in its place.

pub(super) use std::sync::atomic::{AtomicUsize, fence};
pub(super) use std::thread;

use crate::park::ParkLock;

/// Whoever waits for it lends its priority to the holder.
pub(super) type Mutex<T> = strongroom_core::Mutex<T, ParkLock>;
