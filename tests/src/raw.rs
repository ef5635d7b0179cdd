//! A region between guard bytes, and hands that can do to it what a faulty program would.
//!
//! ```text
//! ground:  | guard bytes | misalignment | region: bookkeeping | leaves | guard bytes |
//! ```
//!
//! Everything goes by offsets in bytes from the start of the region. A [`Lab`] stays on one thread,
//! and its arena keeps no reference into the leaves between two calls, so that what the hands do in
//! between is defined; the bookkeeping they refuse to touch.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use strongroom_core::{AllocateError, Arena, ArenaError, Fault, Region};

use crate::faults;
use crate::noise::Noise;

/// Memory for a region of any length and alignment, with guard bytes on both sides.
#[derive(Debug)]
pub struct Ground {
    memory: NonNull<u8>,
    layout: Layout,
    region: Range<usize>,
}

impl Ground {
    /// Ground for a region of `len` bytes that begins `misalignment` bytes behind a multiple of
    /// 4,096.
    #[must_use]
    pub fn new(len: usize, misalignment: usize) -> Self {
        let start = GUARD + misalignment % GUARD;
        let layout = Layout::from_size_align(start + len + GUARD, GUARD).unwrap();
        // SAFETY: the layout is longer than a guard, so not empty.
        let memory = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap();
        // SAFETY: `layout.size()` bytes were just allocated.
        unsafe { memory.write_bytes(UNTOUCHED, layout.size()) };
        Self { memory, layout, region: start..start + len }
    }

    /// The region's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// Whether the region has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// The region, to be used as one.
    pub fn region(&mut self) -> Region<'_> {
        // SAFETY: the start is within the memory, or one past its last byte but the guard.
        let base = unsafe { self.memory.add(self.region.start) };
        // SAFETY: the range is within the memory, which is borrowed as long as the region lives.
        unsafe { Region::from_raw(base, self.region.len()) }
    }

    /// Whether the guard bytes are as they were.
    #[must_use]
    pub fn is_guard_intact(&self) -> bool {
        let untouched = |range: Range<usize>| all(self.bytes(range), &[UNTOUCHED; 4096]);
        untouched(0..self.region.start) && untouched(self.region.end..self.layout.size())
    }

    /// Whether all bytes of the region are zero.
    #[must_use]
    pub fn is_wiped(&self) -> bool {
        all(self.bytes(self.region.clone()), &[0; 4096])
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.end <= self.layout.size());
        // SAFETY: within the memory (checked).
        let start = unsafe { self.memory.add(range.start) };
        // SAFETY: within the memory (checked), which was initialised in `new`; a `Lab` calls this
        // for guard bytes only, and otherwise the region is not lent while `self` is borrowed.
        unsafe { NonNull::slice_from_raw_parts(start, range.len()).as_ref() }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// An arena on a [`Ground`], with hands in its leaves.
#[derive(Debug)]
pub struct Lab<'g> {
    arena: Arena<'g>,
    base: NonNull<u8>,
    len: usize,
    /// Where the bookkeeping ends.
    first_leaf: usize,
    ground: NonNull<Ground>,
    lent: PhantomData<&'g mut Ground>,
}

impl<'g> Lab<'g> {
    /// An arena over the ground's region whose faults go to [`faults::take`].
    ///
    /// # Errors
    /// Those of [`Arena::new`].
    pub fn new(ground: &'g mut Ground, seed: u64) -> Result<Self, ArenaError> {
        let mut lab = Self::panicking(ground, seed)?;
        lab.arena = lab.arena.with_fault_handler(faults::remember);
        Ok(lab)
    }

    /// An arena over the ground's region whose fault handler is the default.
    ///
    /// # Errors
    /// Those of [`Arena::new`].
    pub fn panicking(ground: &'g mut Ground, seed: u64) -> Result<Self, ArenaError> {
        let mut ground = NonNull::from(ground);
        // SAFETY: a region is raw memory and keeps no reference to the ground itself.
        let region = unsafe { ground.as_mut() }.region();
        let arena = Arena::new(region, &mut Noise(seed))?;
        // SAFETY: the ground is lent for `'g`, and nobody holds a reference to it.
        let lent_ground = unsafe { ground.as_ref() };
        // SAFETY: the region's start is within the ground's memory.
        let base = unsafe { lent_ground.memory.add(lent_ground.region.start) };
        let first_leaf = arena.map().next().unwrap().len;
        let len = lent_ground.region.len();
        Ok(Self { arena, base, len, first_leaf, ground, lent: PhantomData })
    }

    /// The arena.
    #[must_use]
    pub fn arena(&self) -> &Arena<'g> {
        &self.arena
    }

    /// Bytes from the region's start to the first leaf.
    #[must_use]
    pub fn first_leaf(&self) -> usize {
        self.first_leaf
    }

    /// Whether the bytes around the region are as they were.
    #[must_use]
    pub fn is_guard_intact(&self) -> bool {
        // SAFETY: the ground is lent for `'g`, and only shared references to it are made.
        unsafe { self.ground.as_ref() }.is_guard_intact()
    }

    /// Allocates; says where, or `None` for no bytes at all.
    ///
    /// # Errors
    /// Those of [`Arena::allocate`].
    pub fn allocate(&self, layout: Layout) -> Result<Option<usize>, AllocateError> {
        let given = self.arena.allocate(layout)?;
        assert_eq!(given.len(), layout.size());
        assert_eq!(given.cast::<u8>().addr().get() % layout.align(), 0, "misaligned: {layout:?}");
        Ok((layout.size() > 0).then(|| self.offset_of(given.cast())))
    }

    /// Releases whatever lies at `offset`, which may be outside the region, or nothing at all.
    ///
    /// # Errors
    /// The fault that [`Arena::try_deallocate`] found.
    pub fn release(&self, offset: isize, layout: Layout) -> Result<(), Fault> {
        let pointer = NonNull::new(self.base.as_ptr().wrapping_offset(offset)).unwrap();
        // SAFETY: nobody holds a reference to a secret of this lab. Whether one lies there is what
        // the caller tests: the bookkeeping is to tell.
        unsafe { self.arena.try_deallocate(pointer, layout) }
    }

    /// Releases like [`release`](Self::release), but through the fault handler.
    pub fn drop_at(&self, offset: usize, layout: Layout) {
        // SAFETY: `offset` is within the region.
        let pointer = unsafe { self.base.add(self.checked(offset, 1)) };
        // SAFETY: as in `release`.
        unsafe { self.arena.deallocate(pointer, layout) };
    }

    /// Releases a pointer that another lab gave out.
    ///
    /// # Errors
    /// The fault that [`Arena::try_deallocate`] found.
    pub fn release_of(&self, other: &Lab<'_>, offset: usize, layout: Layout) -> Result<(), Fault> {
        // SAFETY: `offset` is within the other lab's region.
        let pointer = unsafe { other.base.add(other.checked(offset, 1)) };
        // SAFETY: as in `release`.
        unsafe { self.arena.try_deallocate(pointer, layout) }
    }

    /// The offset of an address in the region.
    #[must_use]
    pub fn offset_of(&self, pointer: NonNull<u8>) -> usize {
        let offset = pointer.addr().get().checked_sub(self.base.addr().get()).unwrap();
        assert!(offset < self.len, "outside the region");
        offset
    }

    /// The address of an offset, for arithmetic only.
    #[must_use]
    pub fn address(&self, offset: usize) -> usize {
        self.base.addr().get() + offset
    }

    /// A copy of the bytes of `range`.
    #[must_use]
    pub fn read(&self, range: Range<usize>) -> Vec<u8> {
        self.with(range, <[u8]>::to_vec)
    }

    /// Whether `expected` lies at `offset`.
    #[must_use]
    pub fn holds(&self, offset: usize, expected: &[u8]) -> bool {
        self.with(offset..offset + expected.len(), |bytes| bytes == expected)
    }

    /// Whether all bytes of `range` are zero.
    #[must_use]
    pub fn is_zero(&self, range: Range<usize>) -> bool {
        self.with(range, |bytes| all(bytes, &[0; 4096]))
    }

    /// Overwrites the bytes from `offset` on.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let start = self.checked(offset, bytes.len());
        // SAFETY: `start` is within the region.
        let place = unsafe { self.base.add(start) };
        // SAFETY: within the leaves (checked), of which nobody holds a reference: the arena does
        // not between two calls, and the lab stays on one thread.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Flips the bits of `mask` in one byte.
    pub fn flip(&self, offset: usize, mask: u8) {
        let before = self.read(offset..offset + 1)[0];
        self.write(offset, &[before ^ mask]);
    }

    fn with<R>(&self, range: Range<usize>, look: impl FnOnce(&[u8]) -> R) -> R {
        let start = self.checked(range.start, range.len());
        // SAFETY: `start` is within the region.
        let first = unsafe { self.base.add(start) };
        // SAFETY: within the leaves (checked), which are initialised, and to which nobody writes
        // while `look` runs: it knows only the bytes.
        look(unsafe { NonNull::slice_from_raw_parts(first, range.len()).as_ref() })
    }

    fn checked(&self, offset: usize, len: usize) -> usize {
        assert!(offset >= self.first_leaf, "hands off the bookkeeping");
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "outside the region");
        offset
    }
}

/// An allocation of any layout that may move to another thread, given back when dropped.
#[derive(Debug)]
pub struct Lent<'a> {
    arena: &'a Arena<'a>,
    bytes: NonNull<[u8]>,
    layout: Layout,
}

// SAFETY: the memory belongs to this value alone, and an arena may be used from any thread.
unsafe impl Send for Lent<'_> {}

impl<'a> Lent<'a> {
    /// Allocates, and finds the memory zero and aligned.
    ///
    /// # Errors
    /// Those of [`Arena::allocate`].
    pub fn new(arena: &'a Arena<'_>, layout: Layout) -> Result<Self, AllocateError> {
        let mut lent = Self { arena, bytes: arena.allocate(layout)?, layout };
        assert_eq!(lent.bytes.cast::<u8>().addr().get() % layout.align(), 0, "{layout:?}");
        assert!(lent.bytes().iter().all(|&byte| byte == 0), "not zero on hand-out");
        Ok(lent)
    }

    /// The memory.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the arena gave these bytes to this value alone, initialised to zero.
        unsafe { self.bytes.as_mut() }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated from this arena with this layout, and not used any more.
        let released = unsafe { self.arena.try_deallocate(self.bytes.cast(), self.layout) };
        if !std::thread::panicking() {
            assert_eq!(released, Ok(()), "{:?}", self.layout);
        }
    }
}

/// Whether `bytes` are all the same as those of `pattern`; at memcmp's speed, even when debugging.
fn all(bytes: &[u8], pattern: &[u8; 4096]) -> bool {
    bytes.chunks(pattern.len()).all(|chunk| *chunk == pattern[..chunk.len()])
}

/// Guard bytes on either side, and the alignment of the ground.
const GUARD: usize = 4096;
/// What a guard byte holds.
const UNTOUCHED: u8 = 0xa5;
