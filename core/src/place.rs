//! Memory in a static for one value, handed out once; and the value for all who come later.

use core::cell::UnsafeCell;
use core::fmt::{self, Debug, Formatter};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::error::Taken;
use crate::sync::AtomicBool;

/// Memory in a static, for whoever asks first: a region, or an arena that all of a program shares.
///
/// There is no waiting in it: where an interrupt or another task is still making the value, there is
/// none yet. A static place is all zeros, so that it takes no room in a program's image.
///
/// ```
/// use strongroom_core::{Arena, Buffer, Place, Spin};
/// # use strongroom_core::{ArenaError, Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
///
/// static REGION: Place<[u8; 16 * 1024]> = Place::empty();
/// static ARENA: Place<Arena<'static>> = Place::empty();
///
/// // Once, when the program starts:
/// let arena = ARENA.make(|place| Arena::new_in(place, REGION.take()?, &mut Board, Spin))?;
/// let key = Buffer::random(arena, 32);
///
/// // And anywhere, an interrupt handler for one:
/// let live = ARENA.get().map(|arena| arena.stats().live);
/// assert_eq!(live, Some(1));
/// # Ok::<(), ArenaError>(())
/// ```
pub struct Place<T> {
    memory: UnsafeCell<MaybeUninit<T>>,
    taken: AtomicBool,
    /// The value that was made, or null.
    made: AtomicPtr<T>,
}

// SAFETY: the memory is handed out once, and holds no value then. A value is shared only where its type
// allows that, by `make` and `get`.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    /// A place from which nothing was taken.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            memory: UnsafeCell::new(MaybeUninit::uninit()),
            taken: AtomicBool::new(false),
            made: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The memory, for good. Bytes are a [`Region`](crate::Region) as they are.
    ///
    /// # Errors
    /// [`Taken`], if it was taken before, or a value made in it.
    #[expect(clippy::mut_from_ref, reason = "it is handed out once")]
    pub fn take(&'static self) -> Result<&'static mut MaybeUninit<T>, Taken> {
        if self.taken.swap(true, Relaxed) {
            return Err(Taken);
        }
        // SAFETY: only the first who sets `taken` comes here.
        Ok(unsafe { &mut *self.memory.get() })
    }
}

impl<T: Sync> Place<T> {
    /// Takes the memory, makes a value of it, and shares that from then on.
    ///
    /// # Errors
    /// That of `make`, and [`Taken`] as for [`take`](Self::take). The memory stays taken.
    pub fn make<E: From<Taken>>(
        &'static self,
        make: impl FnOnce(&'static mut MaybeUninit<T>) -> Result<&'static mut T, E>,
    ) -> Result<&'static T, E> {
        let value: *mut T = make(self.take()?)?;
        self.made.store(value, Release);
        // SAFETY: it was borrowed for ever, and is not used for writing any more.
        Ok(unsafe { &*value })
    }

    /// The value, once it was made.
    #[inline]
    pub fn get(&'static self) -> Option<&'static T> {
        // SAFETY: a value that was made was borrowed for ever, and is only shared since.
        unsafe { self.made.load(Acquire).as_ref() }
    }
}

impl<T> Debug for Place<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("taken", &self.taken.load(Relaxed)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::sync::Barrier;
    use std::thread;
    use std::vec::Vec;

    use super::*;
    use crate::arena::Arena;
    use crate::error::{ArenaError, EntropyError};
    use crate::owner::Spin;
    use crate::testing::{Counting, rounds};

    #[test]
    fn memory_is_handed_out_once_whoever_asks() {
        static PLACE: Place<[u64; 4]> = Place::empty();
        const THREADS: usize = rounds(16, 4);
        let all_there = Barrier::new(THREADS);
        let taken: Vec<_> = thread::scope(|scope| {
            let here = || {
                all_there.wait();
                PLACE.take().map(|memory| memory.write([7; 4])[3]).ok()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(here)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken, [7]);
        assert_eq!((PLACE.take().map(|_| ()), PLACE.get()), (Err(Taken), None));
        assert_eq!(format!("{PLACE:?}"), "Place { taken: true, .. }");
    }

    #[test]
    fn what_was_made_is_seen_by_all_threads() {
        static REGION: Place<[u8; 8192]> = Place::empty();
        static ARENA: Place<Arena<'static, Spin<1>>> = Place::empty();
        let attempt = || {
            ARENA.make(|place| {
                assert!(ARENA.get().is_none(), "it is not made yet");
                Arena::new_in(place, REGION.take()?, &mut Counting(1), Spin)
            })
        };
        let mut seen: Vec<_> = thread::scope(|scope| {
            let watch = || {
                while ARENA.get().is_none() {
                    thread::yield_now();
                }
                ARENA.get().map(Arena::region_len)
            };
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(watch)).collect();
            let made = attempt().map(Arena::region_len).ok();
            threads.into_iter().map(|thread| thread.join().unwrap()).chain([made]).collect()
        });
        seen.dedup();
        assert_eq!(seen, [Some(8192)]);
        assert_eq!(attempt().unwrap_err(), ArenaError::Taken);
    }

    #[test]
    fn where_making_failed_there_is_nothing() {
        static PLACE: Place<u32> = Place::empty();
        let failed = PLACE.make(|_| Err(ArenaError::from(EntropyError)));
        assert_eq!((failed, PLACE.get()), (Err(ArenaError::Entropy(EntropyError)), None));
        assert_eq!(PLACE.take().map(|_| ()), Err(Taken));
    }
}
