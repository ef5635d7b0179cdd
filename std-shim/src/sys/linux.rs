//! What only Linux does: dump and fork advice, `getrandom`, and the word that a fork wipes.

use std::ffi::{c_int, c_long};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::fork_view::ForkView;
use super::unix::{Mapping, check, page_size};

impl Mapping {
    /// Leaves the mapping out of core dumps, `MADV_DONTDUMP` (Linux 3.4).
    ///
    /// `Ok(false)` would say that the system cannot.
    pub(crate) fn exclude_from_dumps(&self) -> io::Result<bool> {
        self.advise(libc::MADV_DONTDUMP).map(|()| true)
    }

    /// Keeps the mapping's contents from forked children: `MADV_WIPEONFORK` (Linux 4.14), or
    /// `MADV_DONTFORK` where that is refused.
    pub(crate) fn hide_from_children(&self) -> io::Result<ForkView> {
        if self.advise(libc::MADV_WIPEONFORK).is_ok() {
            return Ok(ForkView::Zeroed);
        }
        self.advise(libc::MADV_DONTFORK).map(|()| ForkView::Absent)
    }

    /// Has the kernel refuse everybody, this process included, to unmap the mapping, to move it, to map
    /// something else there or to change its protection: `mseal(2)` (Linux 6.10, 64 bits). For good: it is
    /// [left](Self::leave), not unmapped.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let whole = self.whole();
        let (start, flags): (*mut u8, c_long) = (whole.as_ptr().cast(), 0);
        // SAFETY: no byte and no access right changes.
        let sealed = unsafe { libc::syscall(SYS_MSEAL, start, whole.len(), flags) };
        if sealed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives back the memory of a mapping that cannot be unmapped, but not its addresses.
    pub(crate) fn leave(&mut self) {
        let data = self.data();
        // SAFETY: nobody uses the data any more. What is refused stays as it is: overwritten.
        let _ = unsafe { libc::madvise(data.as_ptr().cast(), data.len(), libc::MADV_DONTNEED) };
        self.abandon();
    }

    pub(super) fn advise(&self, advice: c_int) -> io::Result<()> {
        let whole = self.whole();
        // SAFETY: the advices above change no byte and no access right in this process.
        check(unsafe { libc::madvise(whole.as_ptr().cast(), whole.len(), advice) })
    }
}

/// Overwrites raw memory with zeros, `explicit_bzero(3)`: the compiler cannot leave it out, as it may a
/// memset. Async-signal-safe.
///
/// # Safety
/// The bytes are mapped and writable. Whoever else uses them can do with zeros.
pub(crate) unsafe fn wipe_raw(base: NonNull<MaybeUninit<u8>>, len: usize) {
    // SAFETY: the contract is the same.
    unsafe { libc::explicit_bzero(base.as_ptr().cast(), len) }
}

/// Fills `bytes` from the kernel's generator, `getrandom(2)`, waiting until it is seeded.
pub(crate) fn fill_random(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the slice is valid for writes over its length.
        let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(count) {
            // Nothing at all is not an answer of this call; better an error than an endless loop.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
            Err(_) => interrupted_or(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// A word in ordinary memory that reads as zero in every newly forked child, or `None` where the
/// kernel cannot do that. The answer is the same for the life of a process and its children.
///
/// Takes no lock: a child forked while another thread is in here finds nothing half done.
#[inline]
pub(crate) fn fork_word() -> Option<&'static AtomicU32> {
    let word = NonNull::new(FORK_WORD.load(Ordering::Acquire)).unwrap_or_else(install_fork_word);
    if ptr::eq(word.as_ptr(), &raw const NO_FORK_WORD) {
        return None;
    }
    // SAFETY: the pointer was put there by `install_fork_word`: to a mapped page of zeros or more
    // recent values, page-aligned, written through atomics only and never unmapped.
    Some(unsafe { word.as_ref() })
}

#[cold]
fn install_fork_word() -> NonNull<AtomicU32> {
    let mut page = wiped_page();
    let word = page.as_ref().map_or((&raw const NO_FORK_WORD).cast_mut(), first_word);
    let kept =
        FORK_WORD.compare_exchange(ptr::null_mut(), word, Ordering::AcqRel, Ordering::Acquire);
    if kept.is_ok()
        && let Some(page) = page.as_mut()
    {
        page.abandon();
    }
    NonNull::new(kept.err().unwrap_or(word)).unwrap_or_else(|| NonNull::from(&NO_FORK_WORD))
}

fn wiped_page() -> Option<Mapping> {
    let page = Mapping::reserve(page_size(), 0).ok()?;
    (page.hide_from_children().ok()? == ForkView::Zeroed).then_some(page)
}

fn first_word(page: &Mapping) -> *mut AtomicU32 {
    page.data().as_ptr().cast()
}

/// The effective capabilities of the calling thread, `capget(2)`, those below 32.
pub(crate) fn effective_capabilities() -> io::Result<u32> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION_3, thread: 0 };
    let mut sets = [CapabilitySets::default(); 2];
    // SAFETY: the header is valid during the call, and version 3 fills two of these sets.
    let status = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) };
    if status == 0 { Ok(sets[0].effective) } else { Err(io::Error::last_os_error()) }
}

/// Whether the process may dump core at all, `prctl(2)` with `PR_GET_DUMPABLE`.
pub(crate) fn is_dumpable() -> io::Result<bool> {
    // SAFETY: asks for a number of this process.
    match unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        dumpable => Ok(dumpable != 0),
    }
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    /// 0 for the calling one.
    thread: c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// On all processors but MIPS and Alpha, which refuse it; libc does not have it for each of them.
const SYS_MSEAL: c_long = 462;

fn interrupted_or(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// Null until first asked for; then the word, or [`NO_FORK_WORD`] for good.
static FORK_WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// Its address says that there is no such word. It is never read or written.
static NO_FORK_WORD: AtomicU32 = AtomicU32::new(0);
