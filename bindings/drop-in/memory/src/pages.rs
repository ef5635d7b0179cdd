//! System calls on the pages that some bytes lie in.

use std::io;
use std::ops::Range;

use strongroom::page_size;

/// Whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    first: *mut u8,
    len: usize,
}

impl Pages {
    /// Those that `len` bytes at `first` lie in; none if that is past the last address.
    pub(crate) fn of(first: *mut u8, len: usize) -> Option<Self> {
        let before = first.addr() % page_size();
        let len = len.checked_add(before)?.checked_next_multiple_of(page_size())?;
        first.addr().checked_add(len)?;
        Some(Self { first: first.wrapping_sub(before), len })
    }

    pub(crate) fn addresses(self) -> Range<usize> {
        self.first.addr()..self.first.addr() + self.len
    }

    /// Each for itself.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let len = page_size();
        (0..self.len).step_by(len).map(move |at| Self { first: self.first.wrapping_add(at), len })
    }

    pub(crate) fn lock(self) -> io::Result<()> {
        // SAFETY: it changes no byte, and answers for what is not mapped.
        answer(unsafe { libc::mlock(self.first.cast(), self.len) })
    }

    /// Locks what is there and what comes: nothing is copied for it.
    pub(crate) fn lock_on_fault(self) -> io::Result<()> {
        // SAFETY: it changes no byte, and answers for what is not mapped.
        let locked = unsafe { libc::mlock2(self.first.cast(), self.len, libc::MLOCK_ONFAULT) };
        // Linux before 4.4 has no such call.
        answer(locked).or_else(|_| self.lock())
    }

    pub(crate) fn unlock(self) -> io::Result<()> {
        // SAFETY: it changes no byte, and answers for what is not mapped.
        answer(unsafe { libc::munlock(self.first.cast(), self.len) })
    }

    /// Keeps them out of core dumps, or lets them into those again. Not every page can be.
    pub(crate) fn hide_from_dumps(self, is_hidden: bool) {
        let _ = self.advise(if is_hidden { libc::MADV_DONTDUMP } else { libc::MADV_DODUMP });
    }

    /// Lets forked children inherit the contents, which a vault's pages do not: one of the two was done
    /// to them, and undoing what was not done does nothing.
    pub(crate) fn show_to_children(self) {
        let _ = self.advise(libc::MADV_KEEPONFORK);
        let _ = self.advise(libc::MADV_DOFORK);
    }

    fn advise(self, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: none of the advice above changes a byte, and the kernel answers for what is not mapped.
        answer(unsafe { libc::madvise(self.first.cast(), self.len, advice) })
    }
}

fn answer(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
