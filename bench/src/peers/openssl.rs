//! OpenSSL's secure heap (`CRYPTO_secure_malloc(3)`), loaded at run time.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

use libloading::Library;

use super::{Raw, Store};

/// The secure heap; there is one in a process, and it goes when this is dropped.
pub(crate) struct SecureHeap {
    malloc: Malloc,
    clear_free: ClearFree,
    done: Done,
    _library: Library,
}

type Init = unsafe extern "C" fn(size: usize, least: usize) -> c_int;
type Malloc = unsafe extern "C" fn(size: usize, file: *const c_char, line: c_int) -> *mut c_void;
type ClearFree = unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int);
type Done = unsafe extern "C" fn() -> c_int;

impl SecureHeap {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        let library = NAMES.into_iter().find_map(|name| {
            // SAFETY: libcrypto's initialisers have no requirements.
            unsafe { Library::new(name) }.ok()
        });
        let library = library.ok_or("libcrypto is not installed")?;
        let missing = |error: libloading::Error| error.to_string();
        // SAFETY: the signature is that of openssl/crypto.h.
        let init =
            *unsafe { library.get::<Init>(b"CRYPTO_secure_malloc_init\0") }.map_err(missing)?;
        // SAFETY: the signature is that of openssl/crypto.h.
        let malloc =
            *unsafe { library.get::<Malloc>(b"CRYPTO_secure_malloc\0") }.map_err(missing)?;
        // SAFETY: the signature is that of openssl/crypto.h.
        let clear_free = unsafe { library.get::<ClearFree>(b"CRYPTO_secure_clear_free\0") };
        let clear_free = *clear_free.map_err(missing)?;
        // SAFETY: the signature is that of openssl/crypto.h.
        let done =
            *unsafe { library.get::<Done>(b"CRYPTO_secure_malloc_done\0") }.map_err(missing)?;
        // SAFETY: both are powers of two. 2 says that the heap could not be locked.
        match unsafe { init(bytes, LEAST) } {
            1 | 2 => Ok(Self { malloc, clear_free, done, _library: library }),
            _ => Err(format!("libcrypto made no secure heap of {bytes} bytes")),
        }
    }
}

impl Drop for SecureHeap {
    fn drop(&mut self) {
        // SAFETY: nobody else uses the heap; if something is live in it, it stays.
        unsafe { (self.done)() };
    }
}

impl Store for SecureHeap {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        // SAFETY: the heap is initialised, and any size may be asked for.
        let start = unsafe { (self.malloc)(len, c"bench".as_ptr(), 0) };
        Some(Raw { start: NonNull::new(start.cast())?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        let start = secret.start.as_ptr().cast();
        // SAFETY: it came from the secure heap and is given up; OpenSSL wipes it.
        unsafe { (self.clear_free)(start, secret.len, c"bench".as_ptr(), 0) };
    }
}

/// The smallest block in bytes.
const LEAST: usize = 16;

const NAMES: [&str; 4] = ["libcrypto.so.4", "libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"];
