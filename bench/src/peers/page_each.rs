//! Crates that give each secret locked pages of its own.

use std::ptr::NonNull;

use super::{Raw, Store};

/// memsec, libsodium's functions in Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memsec;

impl Store for Memsec {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        // SAFETY: it may be called with any size.
        let memory: NonNull<[u8]> = unsafe { memsec::malloc_sized(len) }?;
        Some(Raw { start: memory.cast(), len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: it came from memsec and is given up; memsec wipes it.
        unsafe { memsec::free(secret.start) };
    }
}

#[cfg(feature = "secrets")]
pub(crate) use self::linked::Secrets;
#[cfg(not(feature = "secrets"))]
pub(crate) use self::missing::Secrets;

#[cfg(feature = "secrets")]
mod linked {
    use secrets::SecretVec;

    use super::Store;

    /// The `secrets` crate, over libsodium.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Secrets(());

    impl Secrets {
        #[expect(clippy::unnecessary_wraps, reason = "its twin has something to say")]
        pub(crate) fn new() -> Result<Self, String> {
            Ok(Self(()))
        }
    }

    impl Store for Secrets {
        type Secret<'s> = SecretVec<u8>;

        #[inline(always)]
        fn allocate(&self, len: usize) -> Option<SecretVec<u8>> {
            Some(SecretVec::zero(len))
        }

        #[inline(always)]
        fn write(&self, secret: &mut SecretVec<u8>, bytes: &[u8]) {
            secret.borrow_mut().copy_from_slice(bytes);
        }

        #[inline(always)]
        fn release(&self, secret: SecretVec<u8>) {
            drop(secret);
        }
    }
}

#[cfg(not(feature = "secrets"))]
mod missing {
    use super::{Raw, Store};

    /// The `secrets` crate, which this program was built without.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Secrets {}

    impl Secrets {
        pub(crate) fn new() -> Result<Self, String> {
            Err("libsodium's development files were not found at build time".to_owned())
        }
    }

    impl Store for Secrets {
        type Secret<'s> = Raw;

        fn allocate(&self, _: usize) -> Option<Raw> {
            match *self {}
        }

        fn write(&self, _: &mut Raw, _: &[u8]) {
            match *self {}
        }

        fn release(&self, _: Raw) {
            match *self {}
        }
    }
}
