//! What a region's owner brings besides its memory: how those who use it wait for each other, what
//! they remember, and a gate before the memory.

use core::fmt::Debug;

use bytemuck::Zeroable;

use crate::lock::{Lock, SpinLock};
use crate::shards::{Shard, Shards, by_stack_address};

/// Whoever brings a region decides for all who use it; an [`Arena`](crate::Arena) has its owner's
/// type as a parameter, which is [`Spin`] unless said otherwise.
///
/// A program for one core and a scheduler, say:
///
/// ```
/// use core::mem::MaybeUninit;
/// use strongroom_core::{Arena, Buffer, Door, Enclave, Lock, Owner, Shards};
/// # use core::sync::atomic::{AtomicBool, Ordering};
/// # use strongroom_core::{Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # struct Yielding(AtomicBool);
/// # unsafe impl Lock for Yielding {
/// #     const UNLOCKED: Self = Yielding(AtomicBool::new(false));
/// #     fn acquire(&self) {
/// #         while self.0.swap(true, Ordering::Acquire) {}
/// #     }
/// #     unsafe fn release(&self) {
/// #         self.0.store(false, Ordering::Release);
/// #     }
/// # }
///
/// struct Tasks;
///
/// impl Owner for Tasks {
///     type Lock = Yielding; // or one that masks interrupts
///     type Shards = Shards<1>; // a few tasks need no more
///     type Window<'o> = (); // no gate
///
///     fn open(&self, _: Door) {}
/// }
///
/// /// What holds secrets names the owner.
/// struct Session<'a> {
///     key: Buffer<'a, Tasks>,
/// }
///
/// let mut region = [MaybeUninit::uninit(); 8192];
/// let arena = Arena::with_owner(&mut region, &mut Board, Tasks)?;
/// let session = Session { key: Buffer::random(&arena, 32)? };
/// assert_eq!(session.key.len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Owner: Send + Sync {
    /// Whether the region can be [lost](Self::lost) while its arena is there. If so, the arena is no
    /// allocator for collections, which would look at what is there no more.
    const MAY_BE_LOST: bool = false;

    /// The lock of the region's bookkeeping: there is nothing else that anybody waits for.
    type Lock: Lock;

    /// How much threads remember of where there was room: [`Shards<1>`](Shards) for one thread or a
    /// few, `Shards<16>` for many. It lies in the `Arena` value, and is made there, of zeros.
    type Shards: AsRef<[Shard]> + Zeroable + Send + Sync;

    /// Something that keeps the gate open while it lives: `()` where there is no gate.
    type Window<'o>
    where
        Self: 'o;

    /// Opens the gate before the region, for the thread that calls.
    ///
    /// The library does so before it touches a byte of the region, through whichever [`Door`], and
    /// lets the window go when it is done. Windows nest, and may end in another order than they
    /// were opened in. It is called with no lock held.
    fn open(&self, door: Door) -> Self::Window<'_>;

    /// Says, before each use of the region and only if it [may be](Self::MAY_BE_LOST), that it is lost: in
    /// a forked child that has not got it, or after an emergency in which it was wiped.
    ///
    /// It is asked again after a key, random bytes or damage were read, which are then no key, not random
    /// or no damage. So whoever wipes says so first: a store that this loads, then
    /// [`fence(SeqCst)`](core::sync::atomic::fence), then the wipe.
    ///
    /// From then on the arena touches no byte of it and takes no lock. Nothing is allocated, or found
    /// damaged; values are not dropped, and releasing them does nothing. What is lost stays lost.
    #[inline]
    fn lost(&self) -> Option<Lost> {
        None
    }

    /// Which of so many `shards` the calling thread should use. By default that is chosen by the
    /// address of the thread's stack; where processors are numbered, their number is as good.
    #[inline]
    fn shard(&self, shards: usize) -> usize {
        by_stack_address(shards)
    }
}

/// What is lost of a region; see [`Owner::lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// What was in it, which reads as other bytes now: zeros, as a rule.
    Contents,
    /// The memory itself, which must not be touched any more.
    Memory,
}

/// What an owner says is lost of its region.
#[inline]
pub(crate) fn lost<O: Owner>(owner: &O) -> Option<Lost> {
    if O::MAY_BE_LOST { owner.lost() } else { None }
}

/// What the memory behind a gate is about to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Door {
    /// Making the arena, and wiping it at its end.
    Whole,
    /// Taking memory for a secret, or giving it back.
    Allocate,
    /// Looking for damage, counting, or drawing a map.
    Inspect,
    /// The random generator.
    Random,
    /// The shares of an enclave's key.
    Key,
    /// A secret's own bytes.
    Expose,
}

/// The owner of memory that needs nothing: waiters spin, and there is no gate.
///
/// Spinning is right on many cores without priorities. **On one core, a thread of a higher priority
/// or an interrupt handler that meets a lock held by what it interrupted spins for ever**: bring
/// another [`Owner`] there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spin<const SHARDS: usize = 16>;

impl<const SHARDS: usize> Owner for Spin<SHARDS> {
    type Lock = SpinLock;
    type Shards = Shards<SHARDS>;
    type Window<'o> = ();

    #[inline]
    fn open(&self, _: Door) {}
}
