//! What the line shares between threads: a module of its own, so that `checks/loom` can put loom's
//! in its place.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
pub(super) use std::sync::atomic::{AtomicUsize, fence};
pub(super) use std::thread;

use crate::park::ParkLock;

/// Whoever waits for it lends its priority to the holder.
pub(super) type Mutex<T> = strongroom_core::Mutex<T, ParkLock>;

/// Does what may panic and is no business of the caller's. By then the panic hook has printed why.
pub(super) fn apart(work: impl FnOnce()) {
    if let Err(why) = catch_unwind(AssertUnwindSafe(work)) {
        // Its drop might panic as well.
        mem::forget(why);
    }
}
