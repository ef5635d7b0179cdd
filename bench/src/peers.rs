//! Those that are compared: each gives out memory for secrets, and wipes what it takes back.
//!
//! A peer that does not wipe by itself is followed by `explicit_bzero`, as its users would have to.

mod bare;
mod heaps;
mod least;
mod openssl;
mod page_each;
mod sodium;
mod stack;
mod strongroom;

use std::ptr::NonNull;

pub(crate) use self::heaps::Glibc;
pub(crate) use self::sodium::{Aead as SodiumAead, Sodium};
pub(crate) use self::strongroom::{Buffers, Strongroom, vault};

/// Something that gives out memory for secrets.
pub(crate) trait Store {
    /// One live secret.
    type Secret<'s>
    where
        Self: 's;

    /// Whether what is still live must be released before the store goes; where it need not be, the
    /// end of a measurement costs nothing.
    const WANTS_ALL_BACK: bool = true;

    /// Room for a secret of `len` bytes, or `None` if there is no more.
    fn allocate(&self, len: usize) -> Option<Self::Secret<'_>>;

    /// Writes a secret of the length it was allocated for.
    fn write(&self, secret: &mut Self::Secret<'_>, bytes: &[u8]);

    /// Wipes a secret and takes its memory back.
    fn release<'s>(&'s self, secret: Self::Secret<'s>);
}

/// Where a peer's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The process's ordinary heap.
    Heap,
    /// One region of a given size.
    Region,
    /// Likewise, but memory can be used again only when all that was allocated after it is released.
    Stack,
    /// Pages of its own for each secret.
    PageEach,
}

/// What is done with each peer.
pub(crate) trait Visitor {
    /// `open` makes the peer, with a region of so many bytes if it works in one; its error says why
    /// it cannot be had.
    fn visit<S: Store>(&mut self, peer: Peer, open: impl Fn(usize) -> Result<S, String>);
}

/// As [`Visitor`], for peers that threads can share.
pub(crate) trait SharedVisitor {
    fn visit<S: Store + Sync>(&mut self, peer: Peer, open: impl Fn(usize) -> Result<S, String>);
}

/// A peer's name and nature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

const fn peer(name: &'static str, kind: Kind) -> Peer {
    Peer { name, kind }
}

/// The name under which [`Strongroom`] goes: the arena's own interface.
pub(crate) const STRONGROOM: &str = "strongroom (Arena)";
/// The name under which [`Buffers`] goes: what most users hold.
pub(crate) const BUFFERS: &str = "strongroom (Buffer)";
/// What of that cannot be left out.
const LEAST: &str = "the least of it";
/// The name of the floor.
pub(crate) const FLOOR: &str = "glibc malloc";

/// Visits every peer but the floor, for use by one thread.
pub(crate) fn each(visitor: &mut impl Visitor) {
    visitor.visit(peer(STRONGROOM, Kind::Region), Strongroom::new);
    visitor.visit(peer(BUFFERS, Kind::Region), Buffers::new);
    visitor.visit(peer(LEAST, Kind::Heap), |_| Ok(least::Least::new()));
    visitor.visit(peer("mimalloc", Kind::Heap), |_| Ok(heaps::Mimalloc));
    visitor.visit(peer("talc", Kind::Region), bare::Alone::<bare::Talc>::new);
    visitor.visit(peer("linked_list_allocator", Kind::Region), bare::Alone::<bare::List>::new);
    visitor.visit(peer("buddy_system_allocator", Kind::Region), bare::Alone::<bare::Buddy>::new);
    visitor.visit(peer("OpenSSL secure heap", Kind::Region), openssl::SecureHeap::new);
    visitor.visit(peer("secmem-alloc", Kind::Stack), stack::Secmem::new);
    visitor.visit(peer("memsec", Kind::PageEach), |_| Ok(page_each::Memsec));
    visitor.visit(peer("libsodium sodium_malloc", Kind::PageEach), |_| Sodium::new());
    visitor.visit(peer("secrets", Kind::PageEach), |_| page_each::Secrets::new());
}

/// Visits every peer that threads can share, the floor first.
pub(crate) fn each_shared(visitor: &mut impl SharedVisitor) {
    visitor.visit(peer(FLOOR, Kind::Heap), |_| Ok(Glibc));
    visitor.visit(peer(STRONGROOM, Kind::Region), Strongroom::new);
    visitor.visit(peer(BUFFERS, Kind::Region), Buffers::new);
    visitor.visit(peer("mimalloc", Kind::Heap), |_| Ok(heaps::Mimalloc));
    visitor.visit(peer("talc, spin lock", Kind::Region), bare::Locked::<bare::Talc>::new);
    let list = peer("linked_list_allocator, spin lock", Kind::Region);
    visitor.visit(list, bare::Locked::<bare::List>::new);
    let buddy = peer("buddy_system_allocator, spin lock", Kind::Region);
    visitor.visit(buddy, bare::Locked::<bare::Buddy>::new);
    visitor.visit(peer("OpenSSL secure heap", Kind::Region), openssl::SecureHeap::new);
    visitor.visit(peer("memsec", Kind::PageEach), |_| Ok(page_each::Memsec));
    visitor.visit(peer("libsodium sodium_malloc", Kind::PageEach), |_| Sodium::new());
    visitor.visit(peer("secrets", Kind::PageEach), |_| page_each::Secrets::new());
}

/// A live secret as the allocators of the peers know it.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) start: NonNull<u8>,
    pub(crate) len: usize,
}

impl Raw {
    /// Writes the secret.
    ///
    /// # Safety
    /// - `self` is live, and nobody else uses it.
    /// - `bytes` is as long as the secret.
    #[inline(always)]
    unsafe fn fill(&mut self, bytes: &[u8]) {
        // SAFETY: the secret is live, not shared and as long as `bytes` (contract).
        unsafe { self.start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Wipes the secret, for a peer that does not.
    ///
    /// # Safety
    /// `self` is live, and nobody else uses it.
    #[inline(always)]
    unsafe fn wipe(&self) {
        // SAFETY: the secret is live and `len` bytes long (contract).
        unsafe { libc::explicit_bzero(self.start.as_ptr().cast(), self.len) };
    }
}
