//! The owner of memory that a process's threads share: those who wait for its lock let go of the
//! processor.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use strongroom_core::{Door, Owner, Shards};

#[cfg(target_os = "linux")]
pub use self::linux::ParkLock;
#[cfg(target_os = "macos")]
pub use self::macos::ParkLock;

/// The owner of memory that the threads of a process share: a waiting thread lets go of the
/// processor and lends its priority to whoever holds the lock.
///
/// A [`Vault`](crate::Vault) uses it. For memory of your own, give it to
/// [`Arena::with_owner`](strongroom_core::Arena::with_owner):
///
/// ```
/// use strongroom::strongroom_core::{Arena, Buffer};
/// use strongroom::{LockedPages, OsEntropy, Park};
///
/// /// What holds secrets names the owner.
/// struct Session<'a> {
///     key: Buffer<'a, Park>,
/// }
///
/// let mut pages = LockedPages::new(16 * 1024)?;
/// let arena = Arena::with_owner(pages.as_region(), &mut OsEntropy, Park)?;
/// let session = Session { key: Buffer::random(&arena, 32)? };
/// assert_eq!(session.key.len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who waits for whom
/// With `core`'s own [`Spin`](strongroom_core::Spin), a real-time thread that meets the lock while a
/// thread of a lower priority holds it on the same processor spins for ever. Here it looks again for
/// a moment, yields a few times, and then sleeps (Linux: `FUTEX_LOCK_PI`; macOS: `os_unfair_lock`).
/// While it does, the holder runs at its priority, so that no third thread in between can keep both
/// from going on. Where the kernel has no such call or a sandbox refuses it, those who wait sleep in
/// steps of up to two milliseconds, and lend nothing.
///
/// A vault's other locks are the standard library's, whose waiters sleep but lend nothing. They are
/// contended only while a vault grows or shrinks, and by those who wait for room: a vault with a
/// fixed budget and calls that do not wait never depend on them.
///
/// # Not in signal handlers
/// A handler that interrupts a thread which holds the lock would wait for its own thread. Nothing
/// that takes the lock can be called there; if it meets the lock held by its own thread, it panics
/// (macOS: the process is ended) rather than hang.
///
/// # Forked children
/// A child that is forked while another thread holds the lock has no such thread. There, whatever
/// takes the lock panics instead of waiting (Linux). Ask
/// [`LockedPages::is_inherited`](crate::LockedPages::is_inherited) first, as for everything in pages
/// that came by `fork(2)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;

impl Owner for Park {
    type Lock = ParkLock;
    type Shards = Shards<16>;
    type Window<'o> = ();

    #[inline]
    fn open(&self, _: Door) {}
}
