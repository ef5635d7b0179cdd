//! Mutual exclusion, in the way that a region's owner brings.

use core::cell::UnsafeCell;
use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::sync::SpinMutex;

/// A lock without data: how the threads, tasks or interrupts of one program keep each other out.
///
/// The library holds one only for bookkeeping on numbers or for a few hundred bytes of keystream,
/// runs nobody else's code meanwhile, never takes the same lock twice, and never waits for anything
/// while it holds one.
///
/// [`SpinLock`] burns the processor until the holder is done. Where the holder may need that very
/// processor (one core with priorities, interrupts), bring another: one that parks and lends its
/// priority, one that yields to a scheduler, or one that masks interrupts:
///
/// ```
/// use core::cell::UnsafeCell;
/// use strongroom_core::Lock;
///
/// /// A critical section, on a single core: what interrupts were enabled before is kept in the lock.
/// struct Masked(UnsafeCell<u32>);
///
/// // SAFETY: the cell is touched only by the holder, of which there is one.
/// unsafe impl Sync for Masked {}
///
/// // SAFETY: while interrupts are masked nothing else runs on the only core.
/// unsafe impl Lock for Masked {
///     const UNLOCKED: Self = Masked(UnsafeCell::new(0));
///
///     fn acquire(&self) {
///         let enabled = mask_interrupts();
///         // SAFETY: the lock is held from here on.
///         unsafe { *self.0.get() = enabled };
///     }
///
///     unsafe fn release(&self) {
///         // SAFETY: the lock is held up to here.
///         restore_interrupts(unsafe { *self.0.get() });
///     }
/// }
/// # fn mask_interrupts() -> u32 { 1 }
/// # fn restore_interrupts(_: u32) {}
/// # Masked::UNLOCKED.acquire();
/// ```
///
/// # Safety
/// From the moment in which `acquire` returns until `release` is called, no other `acquire` of the
/// same lock returns; and what was written before a `release` is seen after the next `acquire`.
pub unsafe trait Lock: Send + Sync {
    /// A lock that nobody holds.
    const UNLOCKED: Self;

    /// Waits until nobody else holds the lock, and takes it.
    fn acquire(&self);

    /// Gives the lock up.
    ///
    /// # Safety
    /// The caller holds it: it has called `acquire`, and not `release` since.
    unsafe fn release(&self);
}

/// A lock whose waiters spin: for any machine, and right where who holds it always goes on running.
pub struct SpinLock(SpinMutex<()>);

// SAFETY: it is spin's mutex, whose guard is forgotten in `acquire` and made up for in `release`.
unsafe impl Lock for SpinLock {
    const UNLOCKED: Self = Self(SpinMutex::new(()));

    #[inline]
    fn acquire(&self) {
        core::mem::forget(self.0.lock());
    }

    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the lock is held, and its guard was forgotten (contract).
        unsafe { self.0.force_unlock() };
    }
}

impl Debug for SpinLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

/// A value that one caller at a time reaches, by a region owner's way of waiting.
///
/// ```
/// use strongroom_core::{Mutex, SpinLock};
///
/// let count: Mutex<u32, SpinLock> = Mutex::new(0);
/// *count.lock() += 1;
/// assert_eq!(*count.lock(), 1);
/// ```
pub struct Mutex<T, L> {
    lock: L,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the lock alone, so by one thread at a time.
unsafe impl<T: Send, L: Lock> Sync for Mutex<T, L> {}

impl<T, L: Lock> Mutex<T, L> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        Self { lock: L::UNLOCKED, value: UnsafeCell::new(value) }
    }

    /// Waits for the lock, as it waits, and gives access to the value until the guard is dropped. A
    /// panic meanwhile gives the lock up like any other drop: there is no poisoning.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, L> {
        self.lock.acquire();
        MutexGuard { mutex: self, stays: PhantomData }
    }
}

impl<T: Default, L: Lock> Default for Mutex<T, L> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T, L> Debug for Mutex<T, L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`]; gives the lock up when dropped, on the thread that took it.
#[must_use = "the lock is given up when the guard is dropped"]
pub struct MutexGuard<'m, T, L: Lock> {
    mutex: &'m Mutex<T, L>,
    /// Some locks are given up by the thread that took them, and by no other.
    stays: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out nothing but a shared reference to the value.
unsafe impl<T: Sync, L: Lock> Sync for MutexGuard<'_, T, L> {}

impl<T, L: Lock> Deref for MutexGuard<'_, T, L> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this is the only guard, for the lock is held.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T, L: Lock> DerefMut for MutexGuard<'_, T, L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard, for the lock is held.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T, L: Lock> Debug for MutexGuard<'_, T, L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").finish_non_exhaustive()
    }
}

impl<T, L: Lock> Drop for MutexGuard<'_, T, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the lock was acquired when this guard was made.
        unsafe { self.mutex.lock.release() };
    }
}
