//! What Linux and macOS do alike: one owned mapping, and the lock limit.
//!
//! ```text
//! mapping: | guard | data … | guard |     one mmap; the guards may be empty
//!          ^ base
//! ```
//! The mapping's memory belongs to its [`Mapping`] alone until that is dropped. Only the data is
//! ever read or written, and only the guards ever lose their access rights.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{self, NonNull};

/// Pages of this process's own, given back to the system on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(super) base: NonNull<u8>,
    /// Bytes of each guard, a multiple of the page size; zero for none.
    pub(super) guard: usize,
    /// Bytes between the guards, a multiple of the page size.
    pub(super) data: usize,
}

// SAFETY: a mapping belongs to the process and not to the thread that made it, and this value is
// its only owner.
unsafe impl Send for Mapping {}

// SAFETY: through a shared reference no byte of the mapping is read or written: the calls that take
// `&self` change what the kernel does with the pages, and the kernel orders them.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `data` readable and writable bytes of zeros between two guards of `guard` bytes.
    /// The guards are ordinary memory until [`protect_guards`](Self::protect_guards).
    ///
    /// Both must be multiples of the page size; a sum past the address space is `OutOfMemory`.
    pub(crate) fn reserve(data: usize, guard: usize) -> io::Result<Self> {
        let total = guard.checked_mul(2).and_then(|guards| guards.checked_add(data));
        let total = total.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: with a null hint and without MAP_FIXED no existing mapping is touched.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                total,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, guard, data })
    }

    /// The bytes between the guards, as a pointer to the whole of them.
    pub(crate) fn data(&self) -> NonNull<[MaybeUninit<u8>]> {
        // SAFETY: `guard` bytes past the base is inside the mapping, or its end if there is no data.
        let first = unsafe { self.base.add(self.guard) };
        NonNull::slice_from_raw_parts(first.cast(), self.data)
    }

    /// The bytes between the guards. In a forked child from whom the mapping is absent this must
    /// not be called.
    pub(crate) fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the data is mapped readable and writable for as long as `self` lives, is owned by
        // it alone and borrowed from it mutably; `MaybeUninit<u8>` has no invalid value.
        unsafe { self.data().as_mut() }
    }

    /// `mlock(2)` on a part of the data, in whole pages: resident, and kept off the swap device.
    pub(crate) fn lock(&mut self, part: Range<usize>) -> io::Result<()> {
        let part = &mut self.bytes()[part];
        // SAFETY: locking changes no byte and no access right.
        check(unsafe { libc::mlock(part.as_ptr().cast(), part.len()) })
    }

    /// `munlock(2)` on the data.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        // SAFETY: unlocking changes no byte and no access right.
        check(unsafe { libc::munlock(self.data().as_ptr().cast(), self.data) })
    }

    /// The bytes of the data that are not locked any more: `msync(2)` refuses to invalidate those that
    /// are, and does nothing else for memory without a file. One call for each page.
    #[cfg(target_os = "linux")]
    pub(crate) fn unlocked_bytes(&self) -> io::Result<usize> {
        let (page, data) = (page_size(), self.data());
        let mut unlocked = 0;
        for offset in (0..data.len()).step_by(page) {
            // SAFETY: the offset is within the data.
            let start = unsafe { data.cast::<u8>().add(offset) };
            // SAFETY: the page belongs to this mapping, and no byte of it is changed.
            match check(unsafe { libc::msync(start.as_ptr().cast(), page, libc::MS_INVALIDATE) }) {
                Ok(()) => unlocked += page,
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(unlocked)
    }

    /// Takes all access rights from both guards, `mprotect(2)`: touching them is a SIGSEGV. After
    /// `mlockall(MCL_FUTURE)` they were locked like every mapping, which nobody needs.
    pub(crate) fn protect_guards(&mut self) -> io::Result<()> {
        // SAFETY: `guard + data` bytes past the base is inside the mapping, or its end.
        let upper = unsafe { self.base.add(self.guard + self.data) };
        for guard in [self.base, upper] {
            // SAFETY: unlocking changes no byte and no access right. What stays locked is charged.
            let _ = unsafe { libc::munlock(guard.as_ptr().cast(), self.guard) };
            // SAFETY: the guards belong to this mapping, and no reference to them is ever made.
            check(unsafe { libc::mprotect(guard.as_ptr().cast(), self.guard, libc::PROT_NONE) })?;
        }
        Ok(())
    }

    /// What opens and shuts the data, for all threads.
    pub(crate) fn shutter(&self) -> Shutter {
        let data = self.data();
        Shutter::new(data.cast(), data.len())
    }

    /// Gives all threads access to the data.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        // SAFETY: the mapping is there.
        unsafe { self.shutter().set_open(true) }
    }

    /// Overwrites the data with zeros, in a way the compiler cannot leave out.
    pub(crate) fn wipe(&mut self) {
        super::wipe(self.bytes());
    }

    /// Gives back the data from `data` bytes on, a multiple of the page size, none of which is in use.
    /// The guards must not be protected yet: the upper one moves down.
    pub(crate) fn shorten(&mut self, data: usize) -> io::Result<()> {
        let cut = self.data.saturating_sub(data);
        if cut == 0 {
            return Ok(());
        }
        // SAFETY: two guards and `data` bytes past the base is inside the mapping.
        let rest = unsafe { self.base.add(2 * self.guard + data) };
        // SAFETY: `cut` bytes from there are the mapping's last, and nobody holds a reference to them.
        check(unsafe { libc::munmap(rest.as_ptr().cast(), cut) })?;
        self.data = data;
        Ok(())
    }

    /// Lets go of the pages without unmapping or touching them; what is left is empty.
    pub(crate) fn abandon(&mut self) {
        (self.guard, self.data) = (0, 0);
    }

    /// The whole mapping, guards included, for calls about all of it.
    pub(super) fn whole(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base, self.guard * 2 + self.data)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let whole = self.whole();
        if whole.is_empty() {
            return;
        }
        // SAFETY: the mapping is owned by `self`, which is going, so no reference to it is left.
        // A failure leaves the pages mapped, and nobody is left to be told.
        let _ = unsafe { libc::munmap(whole.as_ptr().cast(), whole.len()) };
    }
}

/// What opens and shuts the data of a mapping for all threads, `mprotect(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shutter {
    base: NonNull<MaybeUninit<u8>>,
    len: usize,
}

// SAFETY: it is an address and a length, and the kernel orders what is done with them.
unsafe impl Send for Shutter {}
// SAFETY: as above.
unsafe impl Sync for Shutter {}

impl Shutter {
    /// Of whole pages.
    pub(crate) fn new(base: NonNull<MaybeUninit<u8>>, len: usize) -> Self {
        Self { base, len }
    }

    /// Gives all threads access, or takes it from them. Takes no lock; async-signal-safe.
    ///
    /// # Safety
    /// The mapping is there.
    pub(crate) unsafe fn set_open(self, is_open: bool) -> io::Result<()> {
        let access = if is_open { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_NONE };
        // SAFETY: the mapping is there, as is promised. No byte of it changes, and what is touched while
        // it is shut ends the process.
        check(unsafe { libc::mprotect(self.base.as_ptr().cast(), self.len, access) })
    }
}

/// A resource limit in bytes; `None` stands for `RLIM_INFINITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceLimit {
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

/// `RLIMIT_MEMLOCK`, whose number differs between systems.
pub(crate) fn memlock_limit() -> io::Result<ResourceLimit> {
    read_limit(libc::RLIMIT_MEMLOCK).map(ResourceLimit::from)
}

/// `RLIMIT_CORE`.
pub(crate) fn core_limit() -> io::Result<ResourceLimit> {
    read_limit(libc::RLIMIT_CORE).map(ResourceLimit::from)
}

/// `RLIMIT_AS`: bytes of address space.
pub(crate) fn address_space_limit() -> io::Result<ResourceLimit> {
    read_limit(libc::RLIMIT_AS).map(ResourceLimit::from)
}

/// `RLIMIT_DATA`: bytes of private writable memory, on Linux since 4.7.
pub(crate) fn data_limit() -> io::Result<ResourceLimit> {
    read_limit(libc::RLIMIT_DATA).map(ResourceLimit::from)
}

/// `RLIMIT_NOFILE`: one more than the greatest file descriptor.
#[cfg(target_os = "linux")]
pub(crate) fn descriptor_limit() -> io::Result<ResourceLimit> {
    read_limit(libc::RLIMIT_NOFILE).map(ResourceLimit::from)
}

/// Sets the soft `RLIMIT_MEMLOCK` to the hard one, `setrlimit(2)`, and says what it is now.
pub(crate) fn raise_memlock_limit() -> io::Result<ResourceLimit> {
    let limit = read_limit(libc::RLIMIT_MEMLOCK)?;
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: `raised` is valid during the call, which changes what later locks are allowed.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const raised) })?;
    memlock_limit()
}

fn read_limit(resource: Resource) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer during the call.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(limit)
}

impl From<libc::rlimit> for ResourceLimit {
    fn from(limit: libc::rlimit) -> Self {
        #[allow(clippy::useless_conversion, reason = "rlim_t has 32 bits on some systems")]
        let finite = |bytes: libc::rlim_t| (bytes != libc::RLIM_INFINITY).then_some(bytes.into());
        Self { soft: finite(limit.rlim_cur), hard: finite(limit.rlim_max) }
    }
}

/// What `getrlimit` takes: glibc has a type of its own for it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = c_int;

/// The size of a page in bytes, `sysconf(_SC_PAGESIZE)`.
pub(crate) fn page_size() -> usize {
    // SAFETY: `sysconf` reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(SMALLEST_PAGE).max(SMALLEST_PAGE)
}

/// Turns the C convention, zero or minus one with errno, into a `Result`.
pub(super) fn check(status: c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// No supported system has smaller pages; taken if `sysconf` were to fail, which POSIX rules out.
const SMALLEST_PAGE: usize = 4096;
