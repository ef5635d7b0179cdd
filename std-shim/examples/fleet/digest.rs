//! A keyed digest of eight bytes, to know a secret again when it is opened.

use siphasher::sip::SipHasher24;
use strongroom::{OpenError, Opened, Vault};
use zeroize::zeroize_stack;

/// Makes digests under a random key.
///
/// With the key, a digest would let others try out guesses; so the key stays in locked memory.
/// SipHash-2-4 is a pseudorandom function that works in registers. What the compiler spills of them
/// is overwritten.
pub(crate) struct Digester<'v> {
    key: Opened<'v>,
}

impl<'v> Digester<'v> {
    pub(crate) fn new(vault: &'v Vault) -> Result<Self, OpenError> {
        let mut key = vault.try_allocate(KEY)?;
        vault.fill_random(&mut key.expose_secret_mut())?;
        Ok(Self { key })
    }

    pub(crate) fn digest(&self, secret: &[u8]) -> u64 {
        digest(&self.key.expose_secret(), secret)
    }
}

/// The digest of `secret` under `key`.
pub(crate) fn digest(key: &[u8], secret: &[u8]) -> u64 {
    let digest = hash(key, secret);
    zeroize_stack::<STACK>();
    digest
}

/// Not inlined, so that its frame lies below the caller's.
#[inline(never)]
fn hash(key: &[u8], secret: &[u8]) -> u64 {
    let mut halves = key.as_chunks().0.iter().map(|&half| u64::from_le_bytes(half));
    let (first, second) = (halves.next().unwrap_or(0), halves.next().unwrap_or(0));
    SipHasher24::new_with_keys(first, second).hash(secret)
}

/// Bytes in a key.
pub(crate) const KEY: usize = 16;

/// Bytes of stack that the hash may use.
const STACK: usize = 1024;
