//! What only macOS does: inheritance, `getentropy`, sysctl, and the wired bytes of the process.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use super::fork_view::ForkView;
use super::unix::{Mapping, check};

impl Mapping {
    /// Linux alone can.
    #[expect(clippy::unused_self, reason = "as where it is done")]
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never needed, for nothing is ever sealed.
    pub(crate) fn leave(&mut self) {
        self.abandon();
    }

    /// macOS has no secret memory: always `Unsupported`.
    pub(crate) fn reserve_secret(_data: usize, _guard: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// There is no secret memory to bring in.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux needs both")]
    pub(crate) fn touch(&mut self, _part: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// macOS does not say whether pages are locked: always `Unsupported`.
    #[expect(clippy::unused_self, reason = "Linux needs it")]
    pub(crate) fn unlocked_bytes(&self) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// macOS cannot leave a single mapping out of core dumps: always `Ok(false)`.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux needs both")]
    pub(crate) fn exclude_from_dumps(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Keeps the mapping from forked children, `minherit(2)` with `VM_INHERIT_NONE`.
    pub(crate) fn hide_from_children(&self) -> io::Result<ForkView> {
        let whole = self.whole();
        // SAFETY: inheritance changes no byte and no access right in this process.
        check(unsafe {
            libc::minherit(whole.as_ptr().cast(), whole.len(), libc::VM_INHERIT_NONE)
        })?;
        Ok(ForkView::Absent)
    }
}

/// Overwrites raw memory with zeros, `memset_s(3)`: the compiler cannot leave it out, as it may a memset.
/// Async-signal-safe.
///
/// # Safety
/// The bytes are mapped and writable. Whoever else uses them can do with zeros.
pub(crate) unsafe fn wipe_raw(base: NonNull<MaybeUninit<u8>>, len: usize) {
    // SAFETY: the contract is the same. It fails for lengths past RSIZE_MAX only, which no mapping has.
    let _ = unsafe { libc::memset_s(base.as_ptr().cast(), len, 0, len) };
}

/// macOS has no secret memory: always `Unsupported`.
pub(crate) fn ask_for_secret_memory() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fills `bytes` from the kernel's generator, `getentropy(2)`.
pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    for piece in bytes.chunks_mut(GETENTROPY_MOST) {
        // SAFETY: the slice is valid for writes over its length.
        check(unsafe { libc::getentropy(piece.as_mut_ptr().cast(), piece.len()) })?;
    }
    Ok(())
}

/// macOS wipes nothing on fork: there is no such word.
pub(crate) fn fork_word() -> Option<&'static AtomicU32> {
    None
}

/// `os_unfair_lock(3)`. Whoever waits sleeps and lends its priority to the holder; whoever holds it
/// already is ended.
pub(crate) struct UnfairLock(UnsafeCell<libc::os_unfair_lock>);

// SAFETY: the lock is for threads to share; only the system's calls reach into it.
unsafe impl Sync for UnfairLock {}

impl UnfairLock {
    pub(crate) const UNLOCKED: Self = Self(UnsafeCell::new(libc::OS_UNFAIR_LOCK_INIT));

    pub(crate) fn lock(&self) {
        // SAFETY: the lock was initialised, and is not moved while it is borrowed or held.
        unsafe { libc::os_unfair_lock_lock(self.0.get()) }
    }

    /// # Safety
    /// The calling thread holds the lock.
    pub(crate) unsafe fn unlock(&self) {
        if self.is_wiped() {
            return;
        }
        // SAFETY: the lock is held by this thread (contract).
        unsafe { libc::os_unfair_lock_unlock(self.0.get()) }
    }

    /// Whether a lock that is held is zero: it lies in memory that was wiped in an emergency. The
    /// system ends a process that unlocks it, which is about to end anyway, but in its own way.
    fn is_wiped(&self) -> bool {
        // SAFETY: the lock is one word, which others change as an atomic one.
        unsafe { AtomicU32::from_ptr(self.0.get().cast()) }.load(Ordering::Relaxed) == 0
    }
}

/// A number from `sysctlbyname(3)`, of 32 or 64 bits.
pub(crate) fn read_control(name: &CStr) -> io::Result<u64> {
    let mut value = [0_u8; size_of::<u64>()];
    let mut length = value.len();
    // SAFETY: the name ends in NUL, `value` is valid for writes of `length` bytes, and `length`
    // for the answer; nothing is set, so there is no new value.
    check(unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            &raw mut length,
            ptr::null_mut(),
            0,
        )
    })?;
    match length {
        4 | 8 => Ok(u64::from_le_bytes(value)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The bytes this process has wired now, `proc_pid_rusage`'s `ri_wired_size`.
pub(crate) fn wired_bytes() -> io::Result<u64> {
    let process = c_int::try_from(std::process::id()).map_err(io::Error::other)?;
    let mut usage = MaybeUninit::<libc::rusage_info_v0>::zeroed();
    // SAFETY: RUSAGE_INFO_V0 fills one `rusage_info_v0`, and `usage` is a valid place for it. The
    // parameter's declared type is one pointer too many, in Apple's header as well.
    check(unsafe {
        libc::proc_pid_rusage(process, libc::RUSAGE_INFO_V0, usage.as_mut_ptr().cast())
    })?;
    // SAFETY: all bits zero is a valid value already, and the call has filled it since.
    Ok(unsafe { usage.assume_init() }.ri_wired_size)
}

/// The most bytes `getentropy` gives in one call.
const GETENTROPY_MOST: usize = 256;

/// `read_control` takes the low bytes first.
const _: () = assert!(cfg!(target_endian = "little"));
