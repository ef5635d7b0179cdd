//! Memory that the kernel takes out of its own reach, `memfd_secret(2)` (Linux 5.14).
//!
//! ```text
//! 1  a file in secret memory, as long as the data
//! 2  mapped wherever there is room: here the lock limit decides, and refuses with EAGAIN
//! 3  a reservation with guards, ordinary memory still
//! 4  the mapping moves in between the guards
//! 5  MADV_DONTFORK
//! ```
//! Secret memory is shared by nature: a child that is forked between steps 1 and 5 would see what
//! is stored later. So forks wait meanwhile (`pthread_atfork(3)`).
//!
//! Mapping straight between the guards (`MAP_FIXED`) would leave a hole there when it is refused,
//! into which another thread's mapping may move before it could be unmapped.

use std::ffi::{c_int, c_uint};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Backoff;
use super::unix::{Mapping, check, page_size};

impl Mapping {
    /// Like [`reserve`](Self::reserve), with data in secret memory, which is resident, never
    /// written to the swap device, charged to the lock limit (`WouldBlock` past it) and absent
    /// from children and core dumps. Unlike after `mlock`, it comes page by page as it is
    /// [touched](Self::touch).
    pub(crate) fn reserve_secret(data: usize, guard: usize) -> io::Result<Self> {
        let _pause = ForkPause::begin()?;
        let mut secret = map_secret(data)?;
        let mut mapping = Self::reserve(data, guard)?;
        mapping.take_in(&mut secret)?;
        mapping.advise(libc::MADV_DONTFORK)?;
        Ok(mapping)
    }

    /// Brings a part of the data in, which is zeros still: secret memory comes page by page as it is
    /// touched. Debian's Linux 6.1 counts it against the lock limit only then, root's too: whoever writes
    /// past the limit is sent SIGBUS, but a system call that is to write there gets an error, which is
    /// `WouldBlock` here as in other kernels at once.
    pub(crate) fn touch(&mut self, part: Range<usize>) -> io::Result<()> {
        let part = &mut self.bytes()[part];
        for page in part.chunks_mut(page_size()) {
            // SAFETY: the page is valid for writes; a random byte is as good as any, for it is wiped.
            let count =
                unsafe { libc::getrandom(page.as_mut_ptr().cast(), 1, libc::GRND_NONBLOCK) };
            if count < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        super::wipe(part);
        Ok(())
    }

    /// Moves `other`, which has no guards and as much data, to where this mapping's data is.
    fn take_in(&mut self, other: &mut Self) -> io::Result<()> {
        let (from, to) = (other.data(), self.data());
        // SAFETY: both ranges are owned, of the same length, apart from each other, and nobody
        // holds a reference into either.
        let moved = unsafe {
            libc::mremap(
                from.as_ptr().cast(),
                from.len(),
                to.len(),
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                to.as_ptr().cast::<libc::c_void>(),
            )
        };
        if moved == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            self.keep_guards_only();
            return Err(error);
        }
        other.abandon();
        Ok(())
    }

    /// Unmaps the guards and forgets the data, which may be a hole now that others move into.
    fn keep_guards_only(&mut self) {
        // SAFETY: `guard + data` bytes past the base is inside the mapping, or its end.
        let upper = unsafe { self.base.add(self.guard + self.data) };
        for base in [self.base, upper] {
            drop(Self { base, guard: 0, data: self.guard });
        }
        self.abandon();
    }
}

/// Whether the system gives secret memory to this process, without making any: no computer hibernates
/// while there is some. A kernel that would give it looks at the flags next, and refuses these.
pub(crate) fn ask_for_secret_memory() -> io::Result<()> {
    match memfd_secret(UNKNOWN_FLAGS) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        answer => answer.map(drop),
    }
}

fn map_secret(bytes: usize) -> io::Result<Mapping> {
    let file = memfd_secret(CLOSE_ON_EXEC)?;
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // SAFETY: sets the length of a file that nobody else has.
    check(unsafe { libc::ftruncate(file.as_raw_fd(), length) })?;
    // SAFETY: with a null hint and without MAP_FIXED no existing mapping is touched.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    Ok(Mapping { base, guard: 0, data: bytes })
}

/// The file, or the kernel's answer.
fn memfd_secret(flags: c_uint) -> io::Result<OwnedFd> {
    // SAFETY: makes a file descriptor, or fails.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, flags) };
    match c_int::try_from(descriptor) {
        // SAFETY: the descriptor was opened just now, and nobody else has it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// While one exists, `fork(3)` waits in this process. Only one exists at a time.
///
/// A raw `clone(2)` does not wait: who makes it in a program with threads is on their own.
struct ForkPause;

impl ForkPause {
    fn begin() -> io::Result<Self> {
        install_handlers()?;
        let mut backoff = Backoff::new();
        while FORKS.compare_exchange_weak(0, PAUSED, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            backoff.wait();
        }
        Ok(Self)
    }
}

impl Drop for ForkPause {
    fn drop(&mut self) {
        FORKS.store(0, Ordering::Release);
    }
}

/// Threads that race here install the handlers twice, which [`FORKS`] can bear: it counts.
fn install_handlers() -> io::Result<()> {
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    // SAFETY: the handlers only change an atomic number, which a fork may do at any time.
    match unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) } {
        0 => INSTALLED.store(true, Ordering::Release),
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    Ok(())
}

extern "C" fn before_fork() {
    let one_more = |forks| (forks != PAUSED).then_some(forks + FORK);
    let mut backoff = Backoff::new();
    while FORKS.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more).is_err() {
        backoff.wait();
    }
}

extern "C" fn after_fork() {
    FORKS.fetch_sub(FORK, Ordering::Release);
}

/// The other threads that were forking did not come along.
extern "C" fn in_child() {
    FORKS.store(0, Ordering::Release);
}

/// The forks under way, each counted as [`FORK`]; or [`PAUSED`].
static FORKS: AtomicUsize = AtomicUsize::new(0);
const PAUSED: usize = 1;
const FORK: usize = 2;

/// Forks call the handlers. Children inherit both.
static INSTALLED: AtomicBool = AtomicBool::new(false);

const CLOSE_ON_EXEC: c_uint = libc::O_CLOEXEC.unsigned_abs();
/// Flags that no kernel knows.
const UNKNOWN_FLAGS: c_uint = !CLOSE_ON_EXEC;
