//! The one door for raw memory: a caller's bytes become tables of bookkeeping and leaves.
//!
//! ```text
//! region:  | bookkeeping tables, each aligned | padding | leaf 0 | leaf 1 | … | leaf n-1 | rest |
//! ```

use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;

use crate::classes::LEAF;
use crate::sync::Shared64;

/// Raw memory for an [`Arena`](crate::Arena), lent for `'r`.
///
/// Any length and alignment will do. Whether it is locked, kept out of dumps or mapped at all ahead
/// of time is the caller's affair: the core neither knows nor asks.
///
/// ```
/// use core::mem::MaybeUninit;
/// use strongroom_core::Region;
///
/// let mut bytes = [MaybeUninit::uninit(); 8192];
/// assert_eq!(Region::new(&mut bytes).len(), 8192);
/// ```
///
/// Whatever takes an `impl Into<Region>` takes a `&mut [MaybeUninit<u8>]`, a reference to such an
/// array, and a `&mut MaybeUninit<[u8; N]>` as well; and a `&'static mut [u8]` or `&'static mut
/// [u8; N]`. Initialised bytes that are lent for less than ever are refused, for their owner could
/// find them uninitialised:
///
/// ```compile_fail,E0597
/// # use strongroom_core::Region;
/// let mut bytes = [0; 8192];
/// assert_eq!(Region::from(&mut bytes).len(), 8192);
/// ```
pub struct Region<'r> {
    base: NonNull<u8>,
    length: usize,
    bytes: PhantomData<&'r mut [MaybeUninit<u8>]>,
}

// SAFETY: a region is an exclusive borrow of plain bytes, which may move between threads.
unsafe impl Send for Region<'_> {}

impl<'r> Region<'r> {
    /// A region over borrowed memory; a `&'static mut` makes one that lives forever.
    pub fn new(bytes: &'r mut [MaybeUninit<u8>]) -> Self {
        let length = bytes.len();
        Self { base: NonNull::from(bytes).cast(), length, bytes: PhantomData }
    }

    /// A region over `length` bytes from `base` on.
    ///
    /// # Safety
    /// For all of `'r`:
    /// - `base` is valid for reads and writes of `length` bytes, all within one allocation (a
    ///   mapping or a linker section counts as one);
    /// - nothing else reads or writes those bytes but through what is made from this region;
    /// - `length` is at most `isize::MAX`.
    #[must_use]
    pub unsafe fn from_raw(base: NonNull<u8>, length: usize) -> Self {
        Self { base, length, bytes: PhantomData }
    }

    /// The region's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the region has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The region's first address, for arithmetic only.
    pub(crate) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// Overwrites the whole region with zeros.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: the region is valid for writes of its length (its constructors' contract).
        unsafe { self.base.write_bytes(0, self.length) };
        zeroize::optimization_barrier(&self.base);
    }

    /// Starts cutting the region up, after zeroing it.
    pub(crate) fn carve(mut self) -> Carver<'r> {
        self.wipe();
        Carver { region: self, used: 0 }
    }
}

impl Debug for Region<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<'r> From<&'r mut [MaybeUninit<u8>]> for Region<'r> {
    fn from(bytes: &'r mut [MaybeUninit<u8>]) -> Self {
        Self::new(bytes)
    }
}

impl<'r, const N: usize> From<&'r mut [MaybeUninit<u8>; N]> for Region<'r> {
    fn from(bytes: &'r mut [MaybeUninit<u8>; N]) -> Self {
        Self::new(bytes)
    }
}

impl<'r, const N: usize> From<&'r mut MaybeUninit<[u8; N]>> for Region<'r> {
    fn from(bytes: &'r mut MaybeUninit<[u8; N]>) -> Self {
        Self { base: NonNull::from(bytes).cast(), length: N, bytes: PhantomData }
    }
}

/// Of bytes that are lent for ever only: what an arena leaves behind when it is forgotten need not be
/// initialised, and nobody reads these again.
impl From<&'static mut [u8]> for Region<'static> {
    fn from(bytes: &'static mut [u8]) -> Self {
        let length = bytes.len();
        Self { base: NonNull::from(bytes).cast(), length, bytes: PhantomData }
    }
}

/// As of a slice: of bytes that are lent for ever only.
impl<const N: usize> From<&'static mut [u8; N]> for Region<'static> {
    fn from(bytes: &'static mut [u8; N]) -> Self {
        bytes.as_mut_slice().into()
    }
}

/// A zeroed region that is being cut up from its start.
pub(crate) struct Carver<'r> {
    region: Region<'r>,
    used: usize,
}

impl<'r> Carver<'r> {
    /// Cuts off a table of `count` values, or nothing if they do not fit.
    ///
    /// The values are never dropped.
    pub(crate) fn table<T>(&mut self, count: usize, make: impl Fn() -> T) -> Option<&'r [T]> {
        let start = self.cut(count.checked_mul(size_of::<T>())?, align_of::<T>())?.cast::<T>();
        for index in 0..count {
            // SAFETY: `index` is within the `count` values that were cut off.
            let place = unsafe { start.add(index) };
            // SAFETY: the place is aligned, within the region, and nobody else's.
            unsafe { place.write(make()) };
        }
        // SAFETY: all `count` values were just written; they were cut off the region for good, so
        // only this shared borrow of `'r` reaches them from here on.
        Some(unsafe { NonNull::slice_from_raw_parts(start, count).as_ref() })
    }

    /// Ends the cutting: what is left becomes `count` leaves.
    pub(crate) fn leaves(mut self, count: usize) -> Option<Leaves<'r>> {
        let base = self.cut(count.checked_mul(LEAF)?, LEAF)?;
        Some(Leaves { base, length: count * LEAF, region: self.region })
    }

    /// Cuts `bytes` bytes off, at the next address that is a multiple of `align`.
    fn cut(&mut self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let padding = (self.region.address() + self.used).wrapping_neg() % align;
        let start = self.used.checked_add(padding)?;
        let end = start.checked_add(bytes).filter(|&end| end <= self.region.length)?;
        self.used = end;
        // SAFETY: `start <= end <= length`, so the result is within the region or one past it.
        Some(unsafe { self.region.base.add(start) })
    }
}

/// The leaves of an arena: zeroed memory, aligned to a leaf, reached by offsets in bytes.
pub(crate) struct Leaves<'r> {
    base: NonNull<u8>,
    length: usize,
    region: Region<'r>,
}

// SAFETY: the leaves are plain bytes. Every access goes through an unsafe method whose contract
// rules out races, or to words that are atomic.
unsafe impl Sync for Leaves<'_> {}
// SAFETY: they are an exclusive borrow of plain bytes, which may move between threads.
unsafe impl Send for Leaves<'_> {}

impl Leaves<'_> {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn region_len(&self) -> usize {
        self.region.length
    }

    /// Bytes from the region's start to the byte `offset` of the leaves.
    pub(crate) fn region_offset(&self, offset: usize) -> usize {
        self.address() - self.region.address() + offset
    }

    /// The leaves' first address, for arithmetic only.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// The offset of a pointer into the leaves.
    #[inline]
    pub(crate) fn offset_of(&self, pointer: NonNull<u8>) -> Option<usize> {
        let offset = pointer.addr().get().checked_sub(self.address())?;
        (offset < self.length).then_some(offset)
    }

    /// A pointer to the byte `offset`, or to the end.
    ///
    /// # Safety
    /// It lies within the leaves or right behind them.
    #[inline]
    pub(crate) unsafe fn pointer(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.length);
        // SAFETY: within the leaves, which are one allocation, or right behind them (contract).
        unsafe { self.base.add(offset) }
    }

    /// # Safety
    /// `range` lies within the leaves.
    #[inline]
    unsafe fn slice(&self, range: Range<usize>) -> NonNull<[u8]> {
        debug_assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: the start is within the leaves (contract).
        let start = unsafe { self.pointer(range.start) };
        // Not `range.len()`, which asks whether the end comes first.
        NonNull::slice_from_raw_parts(start, range.end - range.start)
    }

    /// The canary word at `offset`.
    ///
    /// # Safety
    /// - `offset` is a multiple of eight, and eight bytes from there on lie within the leaves;
    /// - as long as the word is borrowed, nobody writes to it but atomically: it lies in a run or
    ///   block that cannot be returned meanwhile, at a place where that run or block has a canary.
    #[inline]
    pub(crate) unsafe fn canary(&self, offset: usize) -> &Shared64 {
        debug_assert!(offset.is_multiple_of(8) && offset + size_of::<Shared64>() <= self.length);
        // SAFETY: the word is within the leaves (contract).
        let word = unsafe { self.base.add(offset) }.cast::<Shared64>();
        // SAFETY: the word is aligned (leaves are aligned to more than eight bytes), initialised
        // (the region was zeroed) and not written to otherwise (contract).
        unsafe { word.as_ref() }
    }

    /// The bytes of `range`, for reading.
    ///
    /// # Safety
    /// - They lie within the leaves.
    /// - As long as they are borrowed, nobody writes to them.
    #[inline]
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: the bytes are within the leaves (contract).
        let bytes = unsafe { self.slice(range) };
        // SAFETY: they are within the leaves, initialised (zeroed) and not written to (contract).
        unsafe { bytes.as_ref() }
    }

    /// The bytes of `range`, for writing.
    ///
    /// # Safety
    /// - They lie within the leaves.
    /// - As long as they are borrowed, nobody else reads or writes them.
    #[expect(
        clippy::mut_from_ref,
        reason = "the leaves are shared; who owns which is the contract"
    )]
    #[inline]
    pub(crate) unsafe fn bytes_mut(&self, range: Range<usize>) -> &mut [u8] {
        // SAFETY: the bytes are within the leaves (contract).
        let mut bytes = unsafe { self.slice(range) };
        // SAFETY: they are within the leaves, initialised (zeroed) and nobody else's (contract).
        unsafe { bytes.as_mut() }
    }

    /// Overwrites the whole region, bookkeeping included.
    ///
    /// # Safety
    /// Nothing uses what was carved from the region any more.
    pub(crate) unsafe fn wipe_region(&mut self) {
        self.region.wipe();
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    #[test]
    fn a_region_is_made_of_an_array_as_of_its_slice() {
        let mut bytes = [MaybeUninit::uninit(); 300];
        let first = bytes.as_ptr().addr();
        let place = |region: Region<'_>| (region.base.addr().get(), region.len());
        assert_eq!(place((&mut bytes[..]).into()), (first, 300));
        assert_eq!(place((&mut bytes).into()), (first, 300));
        let mut whole = MaybeUninit::<[u8; 300]>::uninit();
        assert_eq!(place((&mut whole).into()), (whole.as_ptr().addr(), 300));
    }

    #[test]
    fn a_region_is_made_of_initialised_bytes_that_are_lent_for_ever() {
        let bytes = Box::leak(Box::new([7; 300]));
        let first = bytes.as_ptr().addr();
        let region: Region<'static> = bytes.into();
        assert_eq!((region.base.addr().get(), region.len()), (first, 300));
        // SAFETY: the region is of these bytes, which are nobody else's.
        drop(unsafe { Box::from_raw(region.base.as_ptr().cast::<[u8; 300]>()) });
    }
}
