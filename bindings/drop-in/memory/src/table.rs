//! What was handed out, by address. It is kept out of band: no header could be overwritten, and what is not
//! in it was never given, or was released already.
//!
//! There is no lock, which a child that is forked meanwhile would find taken; and nothing of a thread's own,
//! which is gone when the program's last handlers run. Entries are used again and never freed, so the table
//! can be walked at any moment.

use std::alloc::Layout;
use std::iter;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use strongroom::Vault;

/// Memory that was handed out.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) pointer: NonNull<u8>,
    pub(crate) layout: Layout,
    pub(crate) vault: &'static Vault,
}

/// Enters what was just allocated.
pub(crate) fn insert(given: Given) {
    let bucket = bucket(given.pointer.addr().get());
    let unused = |entry: &&Entry| {
        entry.address.compare_exchange(UNUSED, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    match walk(bucket).find(unused) {
        Some(entry) => entry.fill(given),
        None => push(bucket, given),
    }
}

/// Takes it out; of several who ask, one gets it.
pub(crate) fn remove(pointer: NonNull<u8>) -> Option<Given> {
    let address = pointer.addr().get();
    let taken = |entry: &&Entry| {
        entry.address.compare_exchange(address, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let entry = walk(bucket(address)).find(taken)?;
    let given = entry.given();
    entry.address.store(UNUSED, Ordering::Release);
    given
}

/// What stands of an address, which the caller has not released meanwhile.
pub(crate) fn find(pointer: NonNull<u8>) -> Option<Given> {
    let address = pointer.addr().get();
    let is = |entry: &&Entry| entry.address.load(Ordering::Acquire) == address;
    walk(bucket(address)).find(is)?.given()
}

/// All that is handed out; of what comes and goes meanwhile, perhaps not.
pub(crate) fn all() -> impl Iterator<Item = Given> {
    BUCKETS.iter().flat_map(walk).filter_map(|entry| {
        let before = entry.address.load(Ordering::Acquire);
        let given = entry.given().filter(|_| before > TAKEN)?;
        // If it was used anew meanwhile, it is not known whose the parts are.
        let is_same =
            given.pointer.addr().get() == before && entry.address.load(Ordering::Acquire) == before;
        is_same.then_some(given)
    })
}

struct Entry {
    /// Or [`UNUSED`], or [`TAKEN`] by who fills or empties it.
    address: AtomicUsize,
    pointer: AtomicPtr<u8>,
    size: AtomicUsize,
    align: AtomicUsize,
    vault: AtomicPtr<Vault>,
    next: Option<&'static Entry>,
}

impl Entry {
    /// By who took it.
    fn fill(&self, given: Given) {
        self.pointer.store(given.pointer.as_ptr(), Ordering::Relaxed);
        self.size.store(given.layout.size(), Ordering::Relaxed);
        self.align.store(given.layout.align(), Ordering::Relaxed);
        self.vault.store(ptr::from_ref(given.vault).cast_mut(), Ordering::Relaxed);
        self.address.store(given.pointer.addr().get(), Ordering::Release);
    }

    fn given(&self) -> Option<Given> {
        let pointer = NonNull::new(self.pointer.load(Ordering::Acquire))?;
        let size = self.size.load(Ordering::Acquire);
        let layout = Layout::from_size_align(size, self.align.load(Ordering::Acquire)).ok()?;
        // SAFETY: the pointer is null, or that of a vault that is never dropped and only shared.
        let vault = unsafe { self.vault.load(Ordering::Acquire).as_ref() }?;
        Some(Given { pointer, layout, vault })
    }
}

fn push(bucket: &AtomicPtr<Entry>, given: Given) {
    let entry = Box::leak(Box::new(Entry {
        address: AtomicUsize::new(TAKEN),
        pointer: AtomicPtr::new(ptr::null_mut()),
        size: AtomicUsize::new(0),
        align: AtomicUsize::new(0),
        vault: AtomicPtr::new(ptr::null_mut()),
        next: None,
    }));
    entry.fill(given);
    let mut first = bucket.load(Ordering::Acquire);
    loop {
        // SAFETY: the pointer is null, or that of an entry that is never dropped and only shared.
        entry.next = unsafe { first.as_ref() };
        match bucket.compare_exchange(first, entry, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

fn walk(bucket: &AtomicPtr<Entry>) -> impl Iterator<Item = &'static Entry> {
    // SAFETY: the pointer is null, or that of an entry that is never dropped and only shared.
    let first = unsafe { bucket.load(Ordering::Acquire).as_ref() };
    iter::successors(first, |entry| entry.next)
}

fn bucket(address: usize) -> &'static AtomicPtr<Entry> {
    // Addresses have distances of all kinds of powers of two: by the golden ratio (Knuth, TAOCP 3, 6.4).
    let scattered = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &BUCKETS[(scattered >> (u64::BITS - BUCKET_BITS)) as usize]
}

/// No memory begins there.
const UNUSED: usize = 0;
const TAKEN: usize = 1;

const BUCKET_BITS: u32 = 12;
static BUCKETS: [AtomicPtr<Entry>; 1 << BUCKET_BITS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; 1 << BUCKET_BITS];
