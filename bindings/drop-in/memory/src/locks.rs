//! Locks on memory of the program's own.
//!
//! The kernel locks pages and does not count: whoever unlocks one of two neighbours on a page unlocks both.
//! So what was locked is kept, and a page stays locked as long as any of it lies there.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::allocation::is_within;
use crate::pages::Pages;
use crate::wipe;

/// Locks the pages of `len` bytes at `first`, and keeps them out of core dumps, of which they stay out even
/// if they cannot be locked.
///
/// # Errors
/// What mlock(2) answers.
pub fn lock(first: *mut u8, len: usize) -> io::Result<()> {
    let (addresses, pages) = of(first, len)?;
    if is_within(&addresses) {
        return Ok(());
    }
    let mut locked = locked();
    pages.hide_from_dumps(true);
    pages.lock()?;
    locked.insert((addresses.start, addresses.end));
    Ok(())
}

/// Overwrites `len` bytes at `first` with zeros, and unlocks their pages, but for those that other memory
/// which was [locked](lock) lies in.
///
/// # Errors
/// What munlock(2) answers.
///
/// # Safety
/// The bytes may be written.
pub unsafe fn unlock_wiped(first: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller promises it.
    unsafe { wipe(first, len) };
    let (addresses, pages) = of(first, len)?;
    if is_within(&addresses) {
        return Ok(());
    }
    let mut locked = locked();
    locked.retain(|&(start, end)| start < addresses.start || addresses.end < end);
    let mut settled = Ok(());
    for page in pages.each() {
        let of_page = page.addresses();
        if locked.iter().any(|&(start, end)| start < of_page.end && of_page.start < end) {
            continue;
        }
        page.hide_from_dumps(false);
        settled = settled.and(page.unlock());
    }
    settled
}

/// A forked child inherits no lock: not those of the kernel's, and not ours either, which another thread
/// of the parent's may have held.
pub(crate) fn forget() {
    LOCKED.store(Box::into_raw(Box::default()), Ordering::Release);
}

fn of(first: *mut u8, len: usize) -> io::Result<(Range<usize>, Pages)> {
    let pages = Pages::of(first, len).ok_or(io::ErrorKind::InvalidInput);
    Ok((first.addr()..first.addr().saturating_add(len), pages?))
}

/// Bytes, from an address to another.
type Locked = BTreeSet<(usize, usize)>;

fn locked() -> MutexGuard<'static, Locked> {
    loop {
        // SAFETY: the pointer is null, or that of a set that is never dropped and only shared.
        let current = unsafe { LOCKED.load(Ordering::Acquire).as_ref() };
        if let Some(locked) = current {
            return locked.lock().unwrap_or_else(PoisonError::into_inner);
        }
        forget();
    }
}

static LOCKED: AtomicPtr<Mutex<Locked>> = AtomicPtr::new(ptr::null_mut());
