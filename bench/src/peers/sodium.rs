//! libsodium, loaded at run time.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use libloading::Library;

use super::{Raw, Store};

/// `sodium_malloc` and `sodium_free`.
pub(crate) struct Sodium {
    malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    /// What the functions are in; it goes after them.
    _library: Library,
}

impl Sodium {
    pub(crate) fn new() -> Result<Self, String> {
        let library = load()?;
        // SAFETY: the signature is that of sodium/utils.h.
        let malloc = unsafe { library.get(b"sodium_malloc\0") };
        // SAFETY: the signature is that of sodium/utils.h.
        let free = unsafe { library.get(b"sodium_free\0") };
        Ok(Self {
            malloc: *malloc.map_err(|error| error.to_string())?,
            free: *free.map_err(|error| error.to_string())?,
            _library: library,
        })
    }
}

impl Store for Sodium {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        // SAFETY: libsodium is initialised, and any size may be asked for.
        let start = unsafe { (self.malloc)(len) };
        Some(Raw { start: NonNull::new(start.cast())?, len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: it came from `sodium_malloc` and is given up; libsodium wipes it.
        unsafe { (self.free)(secret.start.as_ptr().cast()) };
    }
}

/// `crypto_aead_chacha20poly1305_ietf_*_detached`.
pub(crate) struct Aead {
    encrypt: Encrypt,
    decrypt: Decrypt,
    _library: Library,
}

type Encrypt = unsafe extern "C" fn(
    ciphertext: *mut u8,
    tag: *mut u8,
    tag_len: *mut u64,
    message: *const u8,
    message_len: u64,
    context: *const u8,
    context_len: u64,
    unused: *const u8,
    nonce: *const u8,
    key: *const u8,
) -> c_int;

type Decrypt = unsafe extern "C" fn(
    message: *mut u8,
    unused: *mut u8,
    ciphertext: *const u8,
    ciphertext_len: u64,
    tag: *const u8,
    context: *const u8,
    context_len: u64,
    nonce: *const u8,
    key: *const u8,
) -> c_int;

impl Aead {
    pub(crate) fn new() -> Result<Self, String> {
        let library = load()?;
        let (seal, open) = (
            b"crypto_aead_chacha20poly1305_ietf_encrypt_detached\0",
            b"crypto_aead_chacha20poly1305_ietf_decrypt_detached\0",
        );
        // SAFETY: the signature is that of sodium/crypto_aead_chacha20poly1305.h.
        let encrypt = unsafe { library.get(seal) };
        // SAFETY: the signature is that of sodium/crypto_aead_chacha20poly1305.h.
        let decrypt = unsafe { library.get(open) };
        Ok(Self {
            encrypt: *encrypt.map_err(|error| error.to_string())?,
            decrypt: *decrypt.map_err(|error| error.to_string())?,
            _library: library,
        })
    }

    /// Encrypts `text` where it is.
    pub(crate) fn seal(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        text: &mut [u8],
    ) -> [u8; 16] {
        let mut tag = [0; 16];
        let start = text.as_mut_ptr();
        // SAFETY: the pointers are to buffers of the lengths that libsodium expects or is told, and
        // text and ciphertext may be one.
        unsafe {
            (self.encrypt)(
                start,
                tag.as_mut_ptr(),
                ptr::null_mut(),
                start,
                text.len() as u64,
                context.as_ptr(),
                context.len() as u64,
                ptr::null(),
                nonce.as_ptr(),
                key.as_ptr(),
            )
        };
        tag
    }

    /// Decrypts `text` where it is, if the tag is right.
    pub(crate) fn open(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        text: &mut [u8],
        tag: &[u8; 16],
    ) -> bool {
        let start = text.as_mut_ptr();
        // SAFETY: the pointers are to buffers of the lengths that libsodium expects or is told, and
        // text and ciphertext may be one.
        let status = unsafe {
            (self.decrypt)(
                start,
                ptr::null_mut(),
                start,
                text.len() as u64,
                tag.as_ptr(),
                context.as_ptr(),
                context.len() as u64,
                nonce.as_ptr(),
                key.as_ptr(),
            )
        };
        status == 0
    }
}

/// The library, initialised.
fn load() -> Result<Library, String> {
    let library = NAMES.into_iter().find_map(|name| {
        // SAFETY: libsodium's initialisers have no requirements.
        unsafe { Library::new(name) }.ok()
    });
    let library = library.ok_or("libsodium is not installed")?;
    {
        // SAFETY: the signature is that of sodium/core.h.
        let init = unsafe { library.get::<unsafe extern "C" fn() -> c_int>(b"sodium_init\0") };
        let init = init.map_err(|error| error.to_string())?;
        // SAFETY: it may be called any number of times.
        if unsafe { init() } < 0 {
            return Err("libsodium could not be initialised".to_owned());
        }
    }
    Ok(library)
}

const NAMES: [&str; 3] = ["libsodium.so.26", "libsodium.so.23", "libsodium.so"];
