//! What core's sources share between threads, as loom sees it; the 64-bit words are core's own.
//!
//! Loom takes a `SeqCst` operation for one that acquires and releases, which would show orders that
//! the language rules out; but it knows `SeqCst` fences. So before each such operation of the cells
//! stands one: what rests on the single order of all of them is then explored. **It is stronger than
//! the language in two things: a weaker operation before a `SeqCst` one on another word stays before
//! it; and whoever comes to such a fence sees all that others did before theirs. A mistake that shows
//! only there may be missed**: so some models let a thread end with a weaker operation. A weaker
//! operation *behind* a `SeqCst` one is not held back, as on machines whose acquiring loads overtake
//! stores.
//!
//! The line of the vault is explored without: it has fences of its own.

use std::cell::Cell;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Release, SeqCst};

use loom::sync::atomic as weak;

pub(crate) use loom::sync::atomic::fence;

#[cfg(feature = "halves")]
#[path = "../../../core/src/sync/halves.rs"]
#[allow(unfulfilled_lint_expectations, reason = "core has more lints")]
mod halves;
#[cfg(not(feature = "halves"))]
#[path = "../../../core/src/sync/whole.rs"]
mod whole;

#[cfg(feature = "halves")]
pub(crate) use self::halves::Shared64;
#[cfg(not(feature = "halves"))]
pub(crate) use self::whole::Shared64;

macro_rules! shared {
    ($name:ident, $inner:ident, $value:ty) => {
        #[derive(Default)]
        pub(crate) struct $name(weak::$inner);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(weak::$inner::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                if PLAINLY.get() {
                    // SAFETY: loom reports it if a store is not ordered before or behind.
                    return unsafe { self.0.unsync_load() };
                }
                fenced(order, || self.0.load(if order == SeqCst { Acquire } else { order }))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                fenced(order, || {
                    self.0.store(value, if order == SeqCst { Release } else { order });
                });
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_and(value, weaker(order)))
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_or(value, weaker(order)))
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_add(value, weaker(order)))
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_sub(value, weaker(order)))
            }

            pub(crate) fn fetch_update(
                &self,
                order: Ordering,
                failure: Ordering,
                change: impl Fn($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut current = self.load(failure);
                loop {
                    let Some(new) = change(current) else { return Err(current) };
                    match self.compare_exchange(current, new, order, failure) {
                        Ok(old) => return Ok(old),
                        Err(other) => current = other,
                    }
                }
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
        }
    };
}

shared!(AtomicU8, AtomicU8, u8);
shared!(SharedU32, AtomicU32, u32);
#[cfg(not(feature = "halves"))]
shared!(AtomicU64, AtomicU64, u64);
shared!(AtomicUsize, AtomicUsize, usize);

/// Reads a word as plain bytes: every store to it has to be ordered before, or behind.
pub(crate) fn load_plainly(word: &Shared64) -> u64 {
    PLAINLY.set(true);
    let value = word.load();
    PLAINLY.set(false);
    value
}

thread_local! {
    /// Loom's threads take turns on one, but not while this is set: a plain load is no branch.
    static PLAINLY: Cell<bool> = const { Cell::new(false) };
}

fn fenced<T>(order: Ordering, operation: impl FnOnce() -> T) -> T {
    if order == SeqCst {
        fence(SeqCst);
    }
    operation()
}

fn weaker(order: Ordering) -> Ordering {
    if order == SeqCst { AcqRel } else { order }
}
