//! Says, once in a process and only in a debug build, that a thread waits for room while it holds an
//! open secret: enough of such threads wait for each other.

#[cfg(debug_assertions)]
pub(crate) use self::noted::Mark;
#[cfg(debug_assertions)]
pub(super) use self::noted::say_if_waiting;
#[cfg(not(debug_assertions))]
pub(crate) use self::nothing::Mark;
#[cfg(not(debug_assertions))]
pub(super) use self::nothing::say_if_waiting;

#[cfg(not(debug_assertions))]
mod nothing {
    pub(crate) struct Mark;

    impl Mark {
        #[inline]
        pub(crate) fn new() -> Self {
            Self
        }

        #[cfg(feature = "store")]
        pub(crate) fn none() -> Self {
            Self
        }
    }

    #[inline]
    pub(crate) fn say_if_waiting() {}
}

#[cfg(debug_assertions)]
mod noted {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Once};

    /// One open secret of the thread that opened it, wherever it is dropped.
    pub(crate) struct Mark(Option<Arc<AtomicUsize>>);

    impl Mark {
        pub(crate) fn new() -> Self {
            // None at a thread's very end.
            let held = HELD.try_with(Arc::clone).ok();
            if let Some(held) = &held {
                held.fetch_add(1, Ordering::Relaxed);
            }
            Self(held)
        }

        /// Of a secret that no thread holds.
        #[cfg(feature = "store")]
        pub(crate) fn none() -> Self {
            Self(None)
        }
    }

    impl Drop for Mark {
        fn drop(&mut self) {
            if let Some(held) = &self.0 {
                held.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn say_if_waiting() {
        static SAID: Once = Once::new();
        let held = HELD.try_with(|held| held.load(Ordering::Relaxed)).unwrap_or(0);
        if held > 0 {
            SAID.call_once(|| {
                eprintln!(
                    "strongroom: a thread waits for room while it holds {held} open secrets; if all \
                     others do the same, all wait: open them together (Vault::open_all_timeout). \
                     Said once, in debug builds only."
                );
            });
        }
    }

    thread_local! {
        static HELD: Arc<AtomicUsize> = Arc::default();
    }
}
