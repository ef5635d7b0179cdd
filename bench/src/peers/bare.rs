//! Allocators over one region without canaries, checks or wiping, alone and behind a spin lock.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt::Debug;
use std::ptr::NonNull;

use spin::Mutex;
use strongroom::LockedPages;
use talc::DefaultBinning;
use talc::source::Manual;

use super::{Raw, Store};

/// An allocator over one region.
pub(crate) trait Heap: Sized {
    /// # Safety
    /// The memory is valid for reads and writes, and this heap's alone, for as long as it lives.
    unsafe fn over(memory: NonNull<[u8]>) -> Option<Self>;

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    /// `start` was allocated from this heap for `layout`, and is given up.
    unsafe fn deallocate(&mut self, start: NonNull<u8>, layout: Layout);
}

pub(crate) type Talc = talc::base::Talc<Manual, DefaultBinning>;
pub(crate) type List = linked_list_allocator::Heap;
pub(crate) type Buddy = buddy_system_allocator::Heap<33>;

impl Heap for Talc {
    unsafe fn over(memory: NonNull<[u8]>) -> Option<Self> {
        let mut heap = Self::new(Manual);
        // SAFETY: the memory is the heap's alone (contract).
        unsafe { heap.claim(memory.cast().as_ptr(), memory.len()) }?;
        Some(heap)
    }

    #[inline(always)]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the layout is not of size zero.
        unsafe { Talc::allocate(self, layout) }
    }

    #[inline(always)]
    unsafe fn deallocate(&mut self, start: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { Talc::deallocate(self, start.as_ptr(), layout) };
    }
}

impl Heap for List {
    unsafe fn over(memory: NonNull<[u8]>) -> Option<Self> {
        // SAFETY: the memory is the heap's alone (contract), and long enough: whole pages.
        Some(unsafe { Self::new(memory.cast().as_ptr(), memory.len()) })
    }

    #[inline(always)]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_first_fit(layout).ok()
    }

    #[inline(always)]
    unsafe fn deallocate(&mut self, start: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { List::deallocate(self, start, layout) };
    }
}

impl Heap for Buddy {
    unsafe fn over(memory: NonNull<[u8]>) -> Option<Self> {
        let mut heap = Self::new();
        // SAFETY: the memory is the heap's alone (contract).
        unsafe { heap.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len()) };
        Some(heap)
    }

    #[inline(always)]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.alloc(layout).ok()
    }

    #[inline(always)]
    unsafe fn deallocate(&mut self, start: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { self.dealloc(start, layout) };
    }
}

/// A heap in locked pages, for one thread.
#[derive(Debug)]
pub(crate) struct Alone<H> {
    heap: UnsafeCell<H>,
    _pages: LockedPages,
}

impl<H: Heap> Alone<H> {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        let (heap, pages) = open(bytes)?;
        Ok(Self { heap: UnsafeCell::new(heap), _pages: pages })
    }

    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the type is not `Sync`, and no borrow is kept")]
    fn heap(&self) -> &mut H {
        // SAFETY: one thread has the heap, and each borrow ends before the next begins.
        unsafe { &mut *self.heap.get() }
    }
}

impl<H: Heap> Store for Alone<H> {
    type Secret<'s>
        = Raw
    where
        H: 's;

    const WANTS_ALL_BACK: bool = false;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        Some(Raw { start: self.heap().allocate(layout(len))?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: the secret is live and its owner's.
        unsafe { secret.wipe() };
        // SAFETY: it was allocated here for this layout and is given up.
        unsafe { self.heap().deallocate(secret.start, layout(secret.len)) };
    }
}

/// A heap in locked pages behind a spin lock, for several threads.
pub(crate) struct Locked<H> {
    heap: Mutex<H>,
    _pages: LockedPages,
}

// SAFETY: the heap is reached through the lock only, and its pointers lead into its own pages.
unsafe impl<H> Sync for Locked<H> {}

impl<H: Heap> Locked<H> {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        let (heap, pages) = open(bytes)?;
        Ok(Self { heap: Mutex::new(heap), _pages: pages })
    }
}

impl<H: Heap> Store for Locked<H> {
    type Secret<'s>
        = Raw
    where
        H: 's;

    const WANTS_ALL_BACK: bool = false;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        Some(Raw { start: self.heap.lock().allocate(layout(len))?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: the secret is live and its owner's.
        unsafe { secret.wipe() };
        // SAFETY: it was allocated here for this layout and is given up.
        unsafe { self.heap.lock().deallocate(secret.start, layout(secret.len)) };
    }
}

fn open<H: Heap>(bytes: usize) -> Result<(H, LockedPages), String> {
    let pages = LockedPages::prefer_locked(bytes).map_err(|error| error.to_string())?;
    let memory = pages.as_non_null();
    let memory = NonNull::slice_from_raw_parts(memory.cast(), memory.len());
    // SAFETY: the pages are valid, kept beside the heap and nobody else's.
    let heap = unsafe { H::over(memory) }.ok_or("the region is too small for it")?;
    Ok((heap, pages))
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: 8 is a power of two, and what is measured is far from `isize::MAX` bytes long.
    unsafe { Layout::from_size_align_unchecked(len, 8) }
}
