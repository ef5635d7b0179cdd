//! strongroom, through the arena's own interface, through `Buffer`, and as a vault.

use std::alloc::Layout;
use std::mem;

use strongroom::{LockedPages, OsEntropy, Policy, Vault};
use strongroom_core::{Arena, Buffer, Enclave, Owner, Region, Spin};

use super::{Raw, Store};

/// `Arena::allocate` and `deallocate`, in locked pages, with an enclave's key shares in the arena.
#[derive(Debug)]
pub(crate) struct Strongroom<O: Owner<Lock: 'static> = Spin> {
    /// Goes before the pages.
    arena: Arena<'static, O>,
    _pages: LockedPages,
}

impl Strongroom {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        Self::with_owner(bytes, Spin)
    }
}

impl<O: Owner<Lock: 'static>> Strongroom<O> {
    pub(crate) fn with_owner(bytes: usize, owner: O) -> Result<Self, String> {
        let pages = LockedPages::prefer_locked(bytes).map_err(|error| error.to_string())?;
        let memory = pages.as_non_null();
        // SAFETY: the pages outlive the arena, which is declared first, and nobody else has them.
        let region = unsafe { Region::from_raw(memory.cast(), memory.len()) };
        let arena = Arena::with_owner(region, &mut OsEntropy, owner);
        let arena = arena.map_err(|error| error.to_string())?;
        // The shares of the key stay in their cells for as long as there is the arena.
        mem::forget(Enclave::new(&arena).map_err(|error| error.to_string())?);
        Ok(Self { arena, _pages: pages })
    }

    pub(crate) fn arena(&self) -> &Arena<'_, O> {
        &self.arena
    }
}

impl Store for Strongroom {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        let memory = self.arena.allocate(layout(len)).ok()?;
        Some(Raw { start: memory.cast(), len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: it was allocated here for this layout and is given up.
        unsafe { self.arena.deallocate(secret.start, layout(secret.len)) };
    }
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: 1 is a power of two, and what is measured is far from `isize::MAX` bytes long.
    unsafe { Layout::from_size_align_unchecked(len, 1) }
}

/// `Buffer::new` and its drop.
#[derive(Debug)]
pub(crate) struct Buffers(Strongroom);

impl Buffers {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        Strongroom::new(bytes).map(Self)
    }
}

impl Store for Buffers {
    type Secret<'s> = Buffer<'s>;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Buffer<'_>> {
        Buffer::new(&self.0.arena, len).ok()
    }

    #[inline(always)]
    fn write(&self, secret: &mut Buffer<'_>, bytes: &[u8]) {
        secret.expose_secret_mut().copy_from_slice(bytes);
    }

    #[inline(always)]
    fn release<'s>(&'s self, secret: Buffer<'s>) {
        drop(secret);
    }
}

/// A vault that neither grows nor shrinks, in locked pages if it may lock so many.
pub(crate) fn vault(bytes: usize) -> Result<Vault, String> {
    let builder = Vault::builder().budget(bytes..=bytes).policy(Policy::Prefer);
    builder.build().map_err(|error| error.to_string())
}
