//! libsodium's memory functions over a strongroom vault, for an unchanged program: `LD_PRELOAD` puts these
//! before libsodium's own. What differs stands in docs/DROP-IN.md.

#![cfg(target_os = "linux")]

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr::{self, NonNull};

use errno::{Errno, set_errno};
use strongroom_drop_in::{self as memory, Settings, end};

/// `size` bytes of locked memory, each of them 0xdb. NULL with errno ENOMEM if there is no room.
#[unsafe(no_mangle)]
pub extern "C" fn sodium_malloc(size: usize) -> *mut c_void {
    let Some(pointer) = memory::allocate(size) else {
        set_errno(Errno(libc::ENOMEM));
        return ptr::null_mut();
    };
    // SAFETY: it has so many bytes, and nobody else knows of it.
    unsafe { pointer.write_bytes(FILLING, size) };
    pointer.as_ptr().cast()
}

/// Room for `count` objects of `size` bytes each, as `sodium_malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn sodium_allocarray(count: usize, size: usize) -> *mut c_void {
    // What does not fit an address at all is refused by `sodium_malloc`.
    sodium_malloc(count.saturating_mul(size))
}

/// Wipes memory and releases it; nothing if it is NULL. The process is aborted, after a line to the standard
/// error, if something wrote past an end of it, and if it was released already or never given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_free(pointer: *mut c_void) {
    let Some(pointer) = NonNull::new(pointer.cast::<u8>()) else { return };
    if !memory::release(pointer) {
        end(
            "sodium_free was given what is no memory of the drop-in's: it was released already, or is another \
             library's",
        );
    }
}

/// Locks memory of the caller's, and keeps it out of core dumps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_mlock(first: *mut c_void, len: usize) -> c_int {
    status(memory::lock(first.cast(), len))
}

/// Wipes memory of the caller's and unlocks it, but for pages that hold other memory which is locked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_munlock(first: *mut c_void, len: usize) -> c_int {
    // SAFETY: the caller promises that the bytes may be written.
    status(unsafe { memory::unlock_wiped(first.cast(), len) })
}

/// Protects nothing: see `protect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_mprotect_noaccess(pointer: *mut c_void) -> c_int {
    protect(pointer)
}

/// Protects nothing: see `protect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_mprotect_readonly(pointer: *mut c_void) -> c_int {
    protect(pointer)
}

/// It can be read and written all the time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_mprotect_readwrite(pointer: *mut c_void) -> c_int {
    protect(pointer)
}

/// Overwrites memory with zeros, for good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sodium_memzero(first: *mut c_void, len: usize) {
    // SAFETY: the caller promises that the bytes may be written.
    unsafe { memory::wipe(first.cast(), len) };
}

/// Other secrets lie on the same page. The call succeeds all the same: a program that looks at the answer
/// would end, and one that does not would go on just so, so that to fail protects nobody. Who would rather
/// know sets `STRONGROOM_DROP_IN_PROTECT=refuse`, and gets what libsodium answers where it cannot protect.
fn protect(pointer: *mut c_void) -> c_int {
    let known = NonNull::new(pointer.cast()).and_then(memory::size);
    let errno = match known {
        None => libc::EINVAL,
        Some(_) if Settings::current().refuses_protection => libc::ENOSYS,
        Some(_) => return 0,
    };
    set_errno(Errno(errno));
    -1
}

fn status(result: io::Result<()>) -> c_int {
    let Err(error) = result else { return 0 };
    set_errno(Errno(error.raw_os_error().unwrap_or(libc::EINVAL)));
    -1
}

/// What libsodium fills memory with, so that nobody takes it for zeros.
const FILLING: u8 = 0xdb;

// SAFETY: the loader calls what it finds there, once, before the program's first statement.
#[unsafe(link_section = ".init_array")]
#[used]
static AT_LOAD: extern "C" fn() = memory::at_load;
