//! What a cell shares between threads: a module of its own, so that `checks/loom` can put loom's in its
//! place.

use std::cell;
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What is behind it is reached by a closure, which loom watches.
pub(super) struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(super) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    #[inline]
    pub(super) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}
