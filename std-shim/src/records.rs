//! Sealed records by the million, side by side instead of each in a box of its own.

mod free_list;
mod slab;
mod table;

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use strongroom_core::Sealed;

pub use self::slab::RecordCopy;

#[cfg(feature = "store")]
pub(crate) use self::{
    free_list::FreeList,
    slab::{Slab, Slot, still},
    table::Table,
};

#[cfg(not(feature = "store"))]
use self::slab::{Slab, Slot};

/// Sealed records by the million, packed side by side in ordinary memory: of whatever vault, and without
/// names. For each the caller keeps a [`RecordHandle`] of 6 bytes, where a [`Sealed`](crate::Sealed) takes
/// 16 and, with what the allocator adds, 8 bytes more in the heap.
///
/// Who wants names, versions, or secrets that expire takes a `Store` (feature `store`).
///
/// ```
/// use strongroom::strongroom_core::Enclave;
/// use strongroom::{RecordHandle, Records, Vault};
///
/// struct Account {
///     number: u32,
///     password: RecordHandle,
/// }
///
/// let vault = Vault::new(64 * 1024)?;
/// let records = Records::new();
/// let mut accounts = Vec::new();
/// for number in 0..1000_u32 {
///     // The record is copied, so it may come from the stack.
///     let mut record = [0; Enclave::record_len(7)];
///     let sealed = vault.seal_into(b"hunter2", &number.to_ne_bytes(), &mut record)?;
///     accounts.push(Account { number, password: records.insert(&sealed)? });
/// }
///
/// let Account { number, password } = &accounts[500];
/// let sealed = records.get(password).ok_or("not of these records")?;
/// let opened = vault.try_open(&sealed, &number.to_ne_bytes())?;
/// assert_eq!(opened.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What it takes
/// A record takes what it is long (24 bytes more than the secret) rounded up to 8 bytes, a little more
/// beyond 128 bytes; so a secret of 64 bytes takes 94 with its handle. Chunks of records grow from 4 KiB to
/// 1 MiB. Memory that was used for records once is used again for others of about the same length, and is
/// given back when all go.
///
/// # Threads
/// Any number may put in, read and take out at the same time. A lock is taken to make a new chunk, and for
/// nothing else.
///
/// # What it does not
/// It opens nothing and knows no secret: whether a record is what it was shows when its vault opens it.
/// The context that it was sealed for binds it to its owner, as with any record.
pub struct Records {
    slab: Slab,
    len: AtomicUsize,
    number: u16,
}

/// Where a record is among [`Records`]. It takes 6 bytes.
///
/// There is one for each record, and it is given up to remove the record. If it is dropped instead, the
/// record stays until all go.
#[derive(PartialEq, Eq, Hash)]
#[must_use = "a record whose handle is gone is neither found nor removed"]
pub struct RecordHandle {
    /// The slot, in two halves: so it takes no bytes for alignment.
    slot: [u16; 2],
    /// Whose it is.
    records: u16,
}

/// No more records can be had: there is no memory for another chunk, or there are 2³² of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordsFull {
    /// Records that are held now.
    pub held: usize,
    /// The length of the record that was to be put in, in bytes.
    pub len: usize,
}

impl Records {
    /// None yet. They take some 7 KiB.
    #[must_use]
    pub fn new() -> Self {
        static NUMBERS: AtomicU16 = AtomicU16::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { slab: Slab::new(), len: AtomicUsize::new(0), number }
    }

    /// Copies a record in.
    ///
    /// # Errors
    /// [`RecordsFull`] if there is no memory for it.
    pub fn insert<S: AsRef<[u8]>>(&self, sealed: &Sealed<S>) -> Result<RecordHandle, RecordsFull> {
        let record = sealed.record();
        let full = || RecordsFull { held: self.len(), len: record.len() };
        let Slot(slot) = self.slab.put(record, 0).ok_or_else(full)?;
        self.len.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (slot >> 16, slot & u32::from(u16::MAX));
        let half = |half| u16::try_from(half).unwrap_or(u16::MAX);
        Ok(RecordHandle { slot: [half(high), half(low)], records: self.number })
    }

    /// A copy of a record, to be opened. `None` for a handle of others' records (if those were not made
    /// exactly 65,536 or a multiple of it earlier or later).
    #[must_use]
    #[inline]
    pub fn get(&self, handle: &RecordHandle) -> Option<Sealed<RecordCopy>> {
        let slot = self.slot(handle)?;
        // Nobody gives it up meanwhile: that takes the handle.
        self.slab.copy(slot).map(Sealed::from_record)
    }

    /// Takes a record out. `false` for a handle of others' records, which stay.
    #[expect(clippy::needless_pass_by_value, reason = "a handle ends with its record")]
    pub fn remove(&self, handle: RecordHandle) -> bool {
        let Some(slot) = self.slot(&handle) else { return false };
        self.slab.free(slot);
        self.len.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// How many there are, those whose handles were dropped included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of ordinary memory for records, what is free again or was never used included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slab.bytes()
    }

    #[inline]
    fn slot(&self, handle: &RecordHandle) -> Option<Slot> {
        let [high, low] = handle.slot.map(u32::from);
        (handle.records == self.number).then_some(Slot(high << 16 | low))
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Records {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("len", &self.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Debug for RecordHandle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordHandle").finish_non_exhaustive()
    }
}

impl Display for RecordsFull {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { held, len } = self;
        write!(
            f,
            "there is no memory for another record of {len} bytes beside the {held} that are held; \
             remove some, or give the process more memory"
        )
    }
}

impl Error for RecordsFull {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(len: usize, seed: u8) -> Sealed<Vec<u8>> {
        Sealed::from_record((0..len).map(|at| at.to_le_bytes()[0].wrapping_add(seed)).collect())
    }

    #[test]
    fn a_handle_takes_six_bytes_and_tells_any_slot() {
        assert_eq!((size_of::<RecordHandle>(), align_of::<RecordHandle>()), (6, 2));
        let records = Records::new();
        // More than 2¹⁶ slots: both halves of the slot's number are used.
        let handles: Vec<_> =
            (0..200_000_u32).map(|_| records.insert(&sealed(8, 0)).unwrap()).collect();
        let mut slots: Vec<_> =
            handles.iter().map(|handle| records.slot(handle).unwrap().0).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 200_000);
    }

    #[test]
    fn each_length_comes_back_as_it_was() {
        let records = Records::new();
        let lens = [0, 1, 7, 8, 24, 25, 88, 127, 128, 129, 130, 1000, 70_000];
        let handles = lens.map(|len| records.insert(&sealed(len, 3)).unwrap());
        for (len, handle) in lens.into_iter().zip(&handles) {
            assert_eq!(records.get(handle).unwrap().record(), sealed(len, 3).record(), "{len}");
        }
        assert_eq!(records.len(), lens.len());
        assert!(handles.into_iter().all(|handle| records.remove(handle)));
        assert!(records.is_empty());
    }

    #[test]
    fn others_handles_open_and_remove_nothing() {
        let (own, others) = (Records::new(), Records::new());
        let (in_own, in_others) =
            (own.insert(&sealed(88, 1)).unwrap(), others.insert(&sealed(88, 2)).unwrap());
        assert!(own.get(&in_others).is_none());
        assert!(!own.remove(in_others));
        assert_eq!((own.len(), others.len()), (1, 1));
        assert_eq!(own.get(&in_own).unwrap().record(), sealed(88, 1).record());
    }

    #[test]
    fn what_is_removed_makes_room() {
        let records = Records::new();
        let fill =
            || -> Vec<_> { (0..1000).map(|_| records.insert(&sealed(88, 0)).unwrap()).collect() };
        let kept = fill();
        let removed = fill();
        let bytes = records.bytes();
        removed.into_iter().for_each(|handle| assert!(records.remove(handle)));
        let again = fill();
        assert_eq!((records.len(), records.bytes()), (2000, bytes));
        assert!(kept.iter().chain(&again).all(|handle| records.get(handle).is_some()));
        drop(again);
        assert_eq!(records.len(), 2000, "dropped handles leave their records");
    }

    #[test]
    fn threads_put_in_read_and_take_out() {
        let records = &Records::new();
        std::thread::scope(|scope| {
            for seed in 0_u8..4 {
                scope.spawn(move || {
                    for round in 0..300 {
                        let own = sealed(40 + round % 3, seed * 50);
                        let handles: Vec<_> =
                            (0..20).map(|_| records.insert(&own).unwrap()).collect();
                        for handle in handles {
                            assert_eq!(records.get(&handle).unwrap().record(), own.record());
                            assert!(records.remove(handle));
                        }
                    }
                });
            }
        });
        assert!(records.is_empty());
    }
}
