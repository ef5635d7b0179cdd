//! The kernel's keyrings, `keyrings(7)`: keys that it keeps for a process or a session (Linux).
//!
//! The C library has no functions for these calls: they are made by number, touch no memory but what
//! they are given, and may be made in a signal handler.

use std::ffi::CStr;
use std::io;

/// A keyring that a key is put into, by the number that the kernel has for the caller's own.
#[derive(Clone, Copy)]
pub(crate) enum Ring {
    /// `process-keyring(7)`: of the calling thread, and of those that it starts from then on.
    Process,
    /// `session-keyring(7)`.
    Session,
}

/// A key in a keyring, by its serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelKey(i32);

impl KernelKey {
    /// Puts a key into a keyring, `add_key(2)`. One of that description that is there is replaced.
    pub(crate) fn add(ring: Ring, description: &CStr, payload: &[u8]) -> io::Result<Self> {
        call::add(ring, description, payload).map(Self)
    }

    /// Lets all threads of the user who made it use the key, wherever it is: `KEYCTL_SETPERM`.
    pub(crate) fn allow_user(self) -> io::Result<()> {
        call::allow_user(self.0)
    }

    /// Reads the key into `payload` and says how many bytes it has, `KEYCTL_READ`.
    pub(crate) fn read(self, payload: &mut [u8]) -> io::Result<usize> {
        call::read(self.0, payload)
    }

    /// Changes the key, whole or not at all: `KEYCTL_UPDATE`.
    pub(crate) fn update(self, payload: &[u8]) -> io::Result<()> {
        call::update(self.0, payload)
    }

    /// Takes the key from everybody at once; the kernel wipes it. `KEYCTL_INVALIDATE`, or
    /// `KEYCTL_REVOKE` where that is refused. Async-signal-safe, and leaves `errno` as it was.
    pub(crate) fn revoke(self) {
        call::revoke(self.0);
    }

    /// For an atomic; never zero.
    pub(crate) fn serial(self) -> i32 {
        self.0
    }

    pub(crate) fn from_serial(serial: i32) -> Option<Self> {
        (serial != 0).then_some(Self(serial))
    }
}

#[cfg(target_os = "linux")]
mod call {
    use std::ffi::{CStr, c_long, c_ulong};
    use std::io;

    use super::Ring;

    pub(super) fn add(ring: Ring, description: &CStr, payload: &[u8]) -> io::Result<i32> {
        let ring = match ring {
            Ring::Process => libc::KEY_SPEC_PROCESS_KEYRING,
            Ring::Session => session()?,
        };
        // SAFETY: both texts end with zero, the payload is valid for its length, and all are only read.
        serial(unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                description.as_ptr(),
                payload.as_ptr(),
                payload.len(),
                ring,
            )
        })
    }

    /// The session keyring that all threads have. Adding to it by its general number would give the calling
    /// thread a session of its own where there is only the user's.
    fn session() -> io::Result<i32> {
        let (ring, create) = (libc::KEY_SPEC_SESSION_KEYRING, 0);
        // SAFETY: takes two numbers.
        serial(unsafe {
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, ring, create)
        })
    }

    fn serial(result: c_long) -> io::Result<i32> {
        answer(result).and_then(|serial| i32::try_from(serial).map_err(io::Error::other))
    }

    pub(super) fn allow_user(key: i32) -> io::Result<()> {
        // SAFETY: takes two numbers.
        answer(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, PERMISSIONS) })?;
        Ok(())
    }

    pub(super) fn read(key: i32, payload: &mut [u8]) -> io::Result<usize> {
        let (start, len) = (payload.as_mut_ptr(), payload.len());
        // SAFETY: writes at most `len` bytes, for which the payload is valid and borrowed exclusively.
        let read = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, key, start, len) };
        answer(read).and_then(|read| usize::try_from(read).map_err(io::Error::other))
    }

    pub(super) fn update(key: i32, payload: &[u8]) -> io::Result<()> {
        let (start, len) = (payload.as_ptr(), payload.len());
        // SAFETY: the payload is valid for its length, and only read.
        answer(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_UPDATE, key, start, len) })?;
        Ok(())
    }

    pub(super) fn revoke(key: i32) {
        // SAFETY: the place of this thread's `errno`, valid as long as the thread.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let before = unsafe { *errno };
        // SAFETY: takes a number.
        let done = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_INVALIDATE, key) };
        if done < 0 {
            // SAFETY: takes a number.
            unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_REVOKE, key) };
        }
        // SAFETY: as above.
        unsafe { *errno = before };
    }

    fn answer(result: c_long) -> io::Result<c_long> {
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }

    /// All rights for whoever possesses the key; to view, read, write and search for its user.
    const PERMISSIONS: c_ulong = 0x3f0f_0000;
}

/// Elsewhere there is no such thing: always `Unsupported`.
#[cfg(not(target_os = "linux"))]
mod call {
    use std::ffi::CStr;
    use std::io;

    use super::Ring;

    pub(super) fn add(_: Ring, _: &CStr, _: &[u8]) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn allow_user(_: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn read(_: i32, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn update(_: i32, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn revoke(_: i32) {}
}
