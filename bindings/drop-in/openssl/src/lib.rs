//! OpenSSL's secure heap over a strongroom vault, for an unchanged program: `LD_PRELOAD` puts these functions
//! before libcrypto's own. What differs stands in docs/DROP-IN.md.

#![cfg(target_os = "linux")]

mod ordinary;

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_drop_in::{self as memory, Readiness, Settings};

/// Makes the heap: 1 if it is there, 2 if it is not locked (which the environment has to allow), 0 if there
/// is none or there was one. It grows as far as memory can be locked, whatever `_size` says.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_malloc_init(_size: usize, _smallest: usize) -> c_int {
    if IS_ASKED_FOR.swap(true, Ordering::AcqRel) {
        return 0;
    }
    match memory::prepare() {
        Readiness::Locked => 1,
        Readiness::Unlocked => 2,
        Readiness::Refused => 0,
    }
}

/// Ends the heap: 1 if nothing is allocated there, else 0 and it stays.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_malloc_done() -> c_int {
    if memory::used() > 0 {
        return 0;
    }
    IS_ASKED_FOR.store(false, Ordering::Release);
    1
}

/// Whether there is a heap.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_malloc_initialized() -> c_int {
    c_int::from(is_on() && memory::prepare() != Readiness::Refused)
}

/// `size` bytes of locked memory. NULL if there is no room. If the program never asked for a secure heap, it
/// is ordinary memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CRYPTO_secure_malloc(
    size: usize,
    file: *const c_char,
    line: c_int,
) -> *mut c_void {
    if is_on() { allocate(size) } else { ordinary::malloc(size, file, line) }
}

/// The same, all zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CRYPTO_secure_zalloc(
    size: usize,
    file: *const c_char,
    line: c_int,
) -> *mut c_void {
    if is_on() {
        // It is.
        return allocate(size);
    }
    let memory = ordinary::malloc(size, file, line);
    if !memory.is_null() {
        // SAFETY: it has so many bytes, and nobody else knows of it.
        unsafe { memory.cast::<u8>().write_bytes(0, size) };
    }
    memory
}

/// Wipes memory and releases it; what is not the heap's is ordinary memory, and released as such. If something
/// wrote past an end of it, the process is aborted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CRYPTO_secure_free(
    pointer: *mut c_void,
    file: *const c_char,
    line: c_int,
) {
    if !release(pointer) {
        // SAFETY: then it is as the caller promises, ordinary memory.
        unsafe { ordinary::free(pointer, file, line) };
    }
}

/// The same; ordinary memory has `size` bytes, which are wiped too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CRYPTO_secure_clear_free(
    pointer: *mut c_void,
    size: usize,
    file: *const c_char,
    line: c_int,
) {
    if pointer.is_null() || release(pointer) {
        return;
    }
    // SAFETY: then it is ordinary memory of that size, as the caller promises.
    unsafe { memory::wipe(pointer.cast(), size) };
    // SAFETY: as above.
    unsafe { ordinary::free(pointer, file, line) };
}

/// Whether it lies in memory of the heap's.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_allocated(pointer: *const c_void) -> c_int {
    let address = pointer.addr();
    let is = size(pointer).is_some() || memory::is_within(&(address..address.saturating_add(1)));
    c_int::from(is)
}

/// How many bytes of the heap are handed out.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_used() -> usize {
    memory::used()
}

/// How many bytes were asked for there: there are no more to be used, what follows is a canary.
#[unsafe(no_mangle)]
pub extern "C" fn CRYPTO_secure_actual_size(pointer: *mut c_void) -> usize {
    size(pointer).unwrap_or(0)
}

fn allocate(size: usize) -> *mut c_void {
    memory::allocate(size).map_or(ptr::null_mut(), |pointer| pointer.as_ptr().cast())
}

fn release(pointer: *mut c_void) -> bool {
    NonNull::new(pointer.cast()).is_some_and(memory::release)
}

fn size(pointer: *const c_void) -> Option<usize> {
    NonNull::new(pointer.cast_mut().cast()).and_then(memory::size)
}

/// Once it was asked for, what does not fit is refused: it never becomes ordinary memory.
fn is_on() -> bool {
    IS_ASKED_FOR.load(Ordering::Acquire) || Settings::current().always_has_heap
}

static IS_ASKED_FOR: AtomicBool = AtomicBool::new(false);

// SAFETY: the loader calls what it finds there, once, before the program's first statement.
#[unsafe(link_section = ".init_array")]
#[used]
static AT_LOAD: extern "C" fn() = memory::at_load;
