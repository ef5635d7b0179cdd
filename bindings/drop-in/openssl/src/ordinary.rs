//! Memory that is not the heap's: libcrypto's own `CRYPTO_malloc`, which a program may have replaced.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) fn malloc(size: usize, file: *const c_char, line: c_int) -> *mut c_void {
    type Malloc = unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void;
    let Some(found) = function(&MALLOC, c"CRYPTO_malloc") else {
        // SAFETY: any size will do.
        return unsafe { libc::malloc(size) };
    };
    // SAFETY: libcrypto's function has this type, in all versions that have a secure heap.
    let call = unsafe { mem::transmute::<*mut c_void, Malloc>(found) };
    // SAFETY: any size will do; the rest is the caller's own place in the source.
    unsafe { call(size, file, line) }
}

/// # Safety
/// It is NULL, or memory of [`malloc`]'s or `CRYPTO_malloc`'s that was not released.
pub(crate) unsafe fn free(pointer: *mut c_void, file: *const c_char, line: c_int) {
    type Free = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);
    let Some(found) = function(&FREE, c"CRYPTO_free") else {
        // SAFETY: the caller promises it, and where there is no libcrypto it was libc's.
        return unsafe { libc::free(pointer) };
    };
    // SAFETY: libcrypto's function has this type, in all versions that have a secure heap.
    let call = unsafe { mem::transmute::<*mut c_void, Free>(found) };
    // SAFETY: the caller promises it.
    unsafe { call(pointer, file, line) };
}

/// A function of libcrypto's, which is found once.
fn function(kept: &AtomicPtr<c_void>, name: &CStr) -> Option<*mut c_void> {
    let mut found = kept.load(Ordering::Acquire);
    if found.is_null() {
        found = look_up(name);
        kept.store(found, Ordering::Release);
    }
    (!found.is_null()).then_some(found)
}

fn look_up(name: &CStr) -> *mut c_void {
    // SAFETY: it is a text, and what is found is not called here.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if !found.is_null() {
        return found;
    }
    // A program that loads it as part of a plugin (Python does) keeps it from others.
    for library in [c"libcrypto.so.4", c"libcrypto.so.3", c"libcrypto.so.1.1"] {
        // SAFETY: it is a text; nothing is loaded that is not there already.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            continue;
        }
        // SAFETY: the handle was just given; what is found is not called here.
        let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
        if !found.is_null() {
            return found;
        }
    }
    ptr::null_mut()
}

static MALLOC: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static FREE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
