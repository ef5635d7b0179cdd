//! Ordinary memory for sealed records where there is no allocator: a heap over a second region.
//!
//! The region need not be locked, and should not be: only ciphertext goes there.

use core::alloc::Layout;
use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use linked_list_allocator::Heap;

use crate::error::BulkError;
use crate::lock::{Lock, Mutex, SpinLock};

/// A heap for sealed records, over memory that the caller lends.
///
/// Records of about the same length suit it best: it looks for the first hole that is long enough,
/// so taking and giving back a record takes a time that grows with the number of holes.
///
/// ```
/// use core::mem::MaybeUninit;
/// use strongroom_core::{Arena, Bulk, Enclave};
/// # use strongroom_core::{Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
///
/// let (mut locked, mut ordinary) = ([MaybeUninit::uninit(); 8192], [MaybeUninit::uninit(); 65536]);
/// let arena = Arena::new(&mut locked[..], &mut Board)?;
/// let enclave = Enclave::new(&arena)?;
/// let bulk = Bulk::new(&mut ordinary)?;
///
/// let record = bulk.allocate(Enclave::record_len(7))?;
/// let sealed = enclave.seal(b"hunter2", b"", record)?;
/// assert_eq!(enclave.open(&sealed, b"")?.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Bulk<'m, L: Lock = SpinLock> {
    heap: Mutex<Heap, L>,
    memory: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

impl<'m> Bulk<'m> {
    /// A heap over `memory`, whose waiters spin.
    ///
    /// # Errors
    /// [`BulkError::RegionTooSmall`] if it cannot hold one record.
    pub fn new(memory: &'m mut [MaybeUninit<u8>]) -> Result<Self, BulkError> {
        Self::with_lock(memory)
    }
}

impl<'m, L: Lock> Bulk<'m, L> {
    /// A heap over `memory`, whose users wait for each other by a [`Lock`] of the caller's choice.
    ///
    /// # Errors
    /// As for [`new`](Bulk::new).
    pub fn with_lock(memory: &'m mut [MaybeUninit<u8>]) -> Result<Self, BulkError> {
        let bytes = memory.len();
        let padding = memory.as_ptr().addr().wrapping_neg() % WORD;
        let whole = memory.get_mut(padding..).map_or(&mut [][..], |rest| {
            let length = rest.len() - rest.len() % WORD;
            &mut rest[..length]
        });
        if whole.len() < LEAST {
            return Err(BulkError::RegionTooSmall { bytes, needed: LEAST + 2 * (WORD - 1) });
        }
        // SAFETY: the memory is lent to this heap alone for as long as it lives; it is aligned and
        // long enough for a hole, which `linked_list_allocator` does not check by itself.
        let heap = unsafe { Heap::new(whole.as_mut_ptr().cast(), whole.len()) };
        Ok(Self { heap: Mutex::new(heap), memory: PhantomData })
    }

    /// Memory for a record of `len` bytes, all zero.
    ///
    /// # Errors
    /// [`BulkError::Full`] if there is no hole that is long enough.
    pub fn allocate(&self, len: usize) -> Result<BulkBox<'_, L>, BulkError> {
        let full = |heap: &Heap| BulkError::Full { requested: len, free: heap.free() };
        let mut heap = self.heap.lock();
        // Far below where adding a hole's overhead could overflow.
        if len > heap.size() {
            return Err(full(&heap));
        }
        let layout = layout(len);
        let start = heap.allocate_first_fit(layout).map_err(|()| full(&heap))?;
        // SAFETY: the heap has just given `len` bytes out, to this call alone.
        unsafe { start.write_bytes(0, len) };
        Ok(BulkBox { heap: &self.heap, bytes: NonNull::slice_from_raw_parts(start, len) })
    }

    /// Bytes that are free in all, not necessarily in a row.
    #[must_use]
    pub fn free(&self) -> usize {
        self.heap.lock().free()
    }
}

impl<L: Lock> Debug for Bulk<'_, L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").field("free", &self.free()).finish_non_exhaustive()
    }
}

/// Bytes of a [`Bulk`] heap, given back when dropped.
pub struct BulkBox<'b, L: Lock = SpinLock> {
    heap: &'b Mutex<Heap, L>,
    bytes: NonNull<[u8]>,
}

// SAFETY: the bytes belong to this box alone, and the heap is behind a lock.
unsafe impl<L: Lock> Send for BulkBox<'_, L> {}
// SAFETY: a shared box gives out shared references to its bytes, and nothing else.
unsafe impl<L: Lock> Sync for BulkBox<'_, L> {}

impl<L: Lock> AsRef<[u8]> for BulkBox<'_, L> {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes are this box's alone, were zeroed, and are only borrowed with it.
        unsafe { self.bytes.as_ref() }
    }
}

impl<L: Lock> AsMut<[u8]> for BulkBox<'_, L> {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the bytes are this box's alone, were zeroed, and are borrowed mutably with it.
        unsafe { self.bytes.as_mut() }
    }
}

impl<L: Lock> Drop for BulkBox<'_, L> {
    fn drop(&mut self) {
        // SAFETY: the bytes were given out by this heap for this layout, and end here.
        unsafe { self.heap.lock().deallocate(self.bytes.cast(), layout(self.bytes.len())) };
    }
}

impl<L: Lock> Debug for BulkBox<'_, L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkBox").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Bytes, at least one.
fn layout(len: usize) -> Layout {
    Layout::array::<u8>(len.max(1)).unwrap_or(Layout::new::<u8>())
}

const WORD: usize = size_of::<usize>();
/// A hole's two words, twice: one to give out and one to go on with.
const LEAST: usize = 4 * WORD;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::rounds;

    #[test]
    fn tiny_and_misaligned_regions() {
        let mut memory = [MaybeUninit::new(0xaa); 600 + 16];
        for offset in (0..16).step_by(rounds(1, 3)) {
            for len in (0..600).step_by(rounds(1, 89)) {
                let Ok(bulk) = Bulk::new(&mut memory[offset..offset + len]) else {
                    assert!(len < LEAST + 2 * (WORD - 1));
                    continue;
                };
                assert!(len >= 4 * WORD, "room for two holes");
                let mut boxes = Vec::new();
                while let Ok(mut record) = bulk.allocate(25) {
                    record.as_mut().fill(boxes.len().to_le_bytes()[0]);
                    boxes.push(record);
                }
                for (number, record) in boxes.iter().enumerate() {
                    assert_eq!(record.as_ref(), [number.to_le_bytes()[0]; 25]);
                }
                let used = boxes.len();
                drop(boxes);
                let again: Vec<_> = (0..used).map_while(|_| bulk.allocate(25).ok()).collect();
                assert_eq!(again.len(), used, "what was given back can be taken again");
            }
        }
    }

    #[test]
    fn nothing_is_written_outside_the_region() {
        let places = (0..16).flat_map(|offset| (0..100).map(move |len| (offset, len)));
        for (offset, len) in places.step_by(rounds(1, 41)) {
            let mut bytes = [0xaa_u8; 200];
            let (base, inner) = (bytes.as_mut_ptr(), 50 + offset..50 + offset + len);
            // SAFETY: the range is within `bytes`.
            let start = unsafe { base.add(inner.start) }.cast();
            // SAFETY: nobody else uses the range while the heap has it.
            let region = unsafe { core::slice::from_raw_parts_mut(start, len) };
            if let Ok(bulk) = Bulk::new(region) {
                while let Ok(record) = bulk.allocate(1) {
                    core::mem::forget(record);
                }
            }
            let mut outside = bytes[..inner.start].iter().chain(&bytes[inner.end..]);
            assert!(outside.all(|&byte| byte == 0xaa), "{len} bytes at {offset}");
        }
    }

    #[test]
    fn what_is_free_is_counted_and_can_be_taken_whole() {
        let mut memory = [MaybeUninit::uninit(); 4096];
        let bulk = Bulk::new(&mut memory).unwrap();
        let all = bulk.free();
        assert!(all <= 4096 && all > 4096 - 2 * WORD);
        let record = bulk.allocate(1000).unwrap();
        assert_eq!(bulk.free(), all - 1000);
        drop(record);
        let whole = bulk.allocate(all).unwrap();
        let error = bulk.allocate(1).unwrap_err();
        assert_eq!(error, BulkError::Full { requested: 1, free: 0 });
        drop(whole);
        assert_eq!(bulk.free(), all);
    }

    #[test]
    fn odd_sizes_are_refused_or_served() {
        let mut memory = [MaybeUninit::uninit(); 4096];
        let bulk = Bulk::new(&mut memory).unwrap();
        for len in [usize::MAX, usize::MAX / 2, isize::MAX as usize, 4097] {
            assert!(matches!(bulk.allocate(len), Err(BulkError::Full { .. })));
        }
        assert!(bulk.allocate(0).unwrap().as_ref().is_empty());
        assert!(bulk.allocate(4000).is_ok());
    }
}
