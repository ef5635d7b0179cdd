//! What the protocols share between threads, as loom sees it.
//!
//! Loom takes a `SeqCst` operation for one that acquires and releases, which would show orders that
//! the language rules out; but it knows `SeqCst` fences. So before each such operation of the cells
//! stands one: what rests on the single order of all of them is then explored. **It is stronger than
//! the language in one thing: a weaker operation before a `SeqCst` one on another word stays before
//! it. A mistake that shows only there may be missed.** A weaker operation *behind* one is not held
//! back, as on machines whose acquiring loads overtake stores.
//!
//! The line of the vault is explored without: it has fences of its own.

use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use loom::sync::atomic as weak;

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::{Arc, PoisonError};

macro_rules! shared {
    ($name:ident, $inner:ident, $value:ty) => {
        #[derive(Default)]
        pub(crate) struct $name(weak::$inner);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(weak::$inner::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                fenced(order, || self.0.load(if order == SeqCst { Acquire } else { order }))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                fenced(order, || {
                    self.0.store(value, if order == SeqCst { Release } else { order })
                });
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.swap(value, weaker(order)))
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_and(value, weaker(order)))
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_or(value, weaker(order)))
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let failure = if failure == SeqCst { Acquire } else { failure };
                fenced(order, || self.0.compare_exchange(current, new, weaker(order), failure))
            }

            /// Loom's never fails without reason either.
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, order, failure)
            }

            pub(crate) fn try_update(
                &self,
                order: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut before = self.load(failure);
                while let Some(after) = change(before) {
                    match self.compare_exchange_weak(before, after, order, failure) {
                        Ok(before) => return Ok(before),
                        Err(now) => before = now,
                    }
                }
                Err(before)
            }
        }
    };
}

shared!(AtomicBool, AtomicBool, bool);
shared!(AtomicU8, AtomicU8, u8);
shared!(SharedU32, AtomicU32, u32);
shared!(AtomicUsize, AtomicUsize, usize);

/// Written and read whole, ordered by what surrounds it.
pub(crate) struct Shared64(weak::AtomicU64);

impl Shared64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(weak::AtomicU64::new(value))
    }

    pub(crate) fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn store(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// `std::sync::atomic`, for the line.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    /// Without fences around it: the line has its own, and they are what is tried.
    pub(crate) use loom::sync::atomic::{AtomicUsize, fence};
}

/// `std::thread`, for the line.
pub(crate) mod thread {
    pub(crate) use loom::thread::{Thread, current, park};

    /// Time does not pass in a model: this is a wake-up out of the blue.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        loom::thread::yield_now();
    }
}

fn fenced<T>(order: Ordering, operation: impl FnOnce() -> T) -> T {
    if order == SeqCst {
        weak::fence(SeqCst);
    }
    operation()
}

fn weaker(order: Ordering) -> Ordering {
    if order == SeqCst { AcqRel } else { order }
}
