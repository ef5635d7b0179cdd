//! The enclave: seals secrets into ordinary memory and opens them into the arena.
//!
//! ```text
//! record:  | number (8 bytes) | ciphertext, as long as the secret | tag (16 bytes) |
//! nonce:   | prefix of the enclave (4 bytes) | number |
//! ```
//!
//! A number is never used twice under a key, and a key is never used by two enclaves. The tag covers
//! the ciphertext, its length and the caller's context.

mod in_place;
mod value;

use core::fmt::{self, Debug, Formatter};

pub use self::in_place::{OpenedInPlace, SealedInPlace};

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::crypto::aead::{self, TAG};
use crate::entropy::Entropy;
use crate::error::{AllocateError, EntropyError, OpenError, SealError, ShareError};
use crate::keeper::ShareKeeper;
use crate::key::{Key, NoKey};
use crate::numbers::Numbers;
use crate::owner::{Owner, Spin};

/// The place with the key: seals secrets, and opens what it sealed.
///
/// It is `Sync`. Its key is random and never leaves it: when it is dropped or
/// [destroyed](Self::destroy), all it sealed is unreadable for good.
///
/// ```
/// use core::mem::MaybeUninit;
/// use strongroom_core::{Arena, Enclave, OpenError};
/// # use strongroom_core::{Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
///
/// let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// let arena = Arena::new(&mut region, &mut Board)?;
/// let enclave = Enclave::new(&arena)?;
///
/// // The record may lie anywhere; here, on the stack.
/// let mut record = [0; Enclave::record_len(7)];
/// let sealed = enclave.seal(b"hunter2", b"db/password", &mut record)?;
///
/// let opened = enclave.open(&sealed, b"db/password")?;
/// assert_eq!(opened.expose_secret(), b"hunter2");
/// assert_eq!(enclave.open(&sealed, b"db/user").unwrap_err(), OpenError::Tampered);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Enclave<'a, O: Owner = Spin> {
    arena: &'a Arena<'a, O>,
    key: Key<'a, O>,
    /// Sets the enclave's nonces apart from those of one that came to the same key.
    prefix: [u8; NONCE - COUNTER],
    numbers: Numbers<O::Lock>,
}

impl Enclave<'_> {
    /// Bytes by which a record is longer than its secret.
    pub const OVERHEAD: usize = COUNTER + TAG;

    /// The longest secret in bytes that can be sealed (RFC 8439 section 2.8).
    pub const LONGEST_SECRET: usize = aead::MAX_LENGTH;

    /// The length in bytes of the record of a secret of `secret_len` bytes.
    #[must_use]
    pub const fn record_len(secret_len: usize) -> usize {
        secret_len.saturating_add(Self::OVERHEAD)
    }
}

impl<'a, O: Owner> Enclave<'a, O> {
    /// An enclave with a fresh random key, whose shares take two cells of 32 bytes of `arena`.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for them.
    pub fn new(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let mut prefix = [0; NONCE - COUNTER];
        arena.draw(&mut prefix)?;
        Ok(Self { arena, key: Key::random(arena)?, prefix, numbers: Numbers::new() })
    }

    /// Seals `secret` into `storage`, which must be [`record_len`](Self::record_len) bytes long and
    /// may lie in ordinary memory: a slice, a `Box<[u8]>`, a [`BulkBox`](crate::BulkBox).
    ///
    /// `context` says what the secret is for. It is not stored: opening takes the same again, so a
    /// record cannot be passed off as another's.
    ///
    /// # Errors
    /// [`SealError`]; `storage` is then as it was.
    pub fn seal<S: AsMut<[u8]>>(
        &self,
        secret: &[u8],
        context: &[u8],
        mut storage: S,
    ) -> Result<Sealed<S>, SealError> {
        let record = storage.as_mut();
        check_lengths(secret.len(), record.len())?;
        let (counter, rest) = record.split_at_mut(COUNTER);
        let number = self.take_number()?;
        let (ciphertext, tag) = rest.split_at_mut(secret.len());
        let made = self
            .key
            .with(|key| aead::seal(key, &self.nonce(number), context, secret, ciphertext))?;
        tag.copy_from_slice(&made);
        counter.copy_from_slice(&number.to_le_bytes());
        Ok(Sealed { storage })
    }

    /// Opens a sealed secret into the enclave's arena, if it was sealed here under the same
    /// `context` and nothing in it was changed.
    ///
    /// The tag is checked before a byte of the secret is decrypted, straight into its cell.
    ///
    /// # Errors
    /// [`OpenError`]: the arena is full, the record does not belong here, or the enclave was
    /// destroyed. The record is as it was.
    pub fn open<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Buffer<'a, O>, OpenError> {
        self.open_in(self.arena, sealed, context)
    }

    /// Opens a sealed secret into another arena than the enclave's; otherwise as
    /// [`open`](Self::open).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_in<'b, S: AsRef<[u8]>, P: Owner>(
        &self,
        arena: &'b Arena<'_, P>,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Buffer<'b, P>, OpenError> {
        let record = self.read(sealed.storage.as_ref())?;
        let mut opened = Buffer::new(arena, record.ciphertext.len())?;
        self.decrypt(&record, context, &mut opened.expose_secret_mut())?;
        Ok(opened)
    }

    /// Opens a sealed secret into memory of the caller's, which is for the caller to keep from the swap
    /// device and to wipe: another arena's, or a chip's key slot.
    ///
    /// # Errors
    /// [`OpenError`], as [`open`](Self::open); and [`OpenError::OtherSize`] if `secret` is not as long
    /// as the secret. It is then as it was.
    #[inline]
    pub fn open_into<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
        secret: &mut [u8],
    ) -> Result<(), OpenError> {
        let record = self.read(sealed.storage.as_ref())?;
        let (len, size) = (record.ciphertext.len(), secret.len());
        if len == size {
            self.decrypt(&record, context, secret)
        } else {
            Err(OpenError::OtherSize { len, size })
        }
    }

    /// Whether a sealed secret could be opened if there were room for it. Nothing is decrypted, and
    /// the arena is not touched. For a short secret this takes nearly as long as to open it, for a long
    /// one less than half of that. It lets those who wait for room turn away a forged record before it
    /// is waited for.
    ///
    /// # Errors
    /// [`OpenError`]: the record does not belong here, or the enclave was destroyed.
    pub fn authenticate<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<(), OpenError> {
        let Record { nonce, ciphertext, tag } = self.read(sealed.storage.as_ref())?;
        Ok(self.key.with(|key| aead::check(key, &nonce, context, ciphertext, tag))??)
    }

    /// Goes on sealing under random numbers, and mixes fresh entropy into the arena's generator: for a
    /// machine or process of which a copy may have been made (a snapshot that is resumed twice, say),
    /// since the copy has the same key and would seal other secrets under the same nonces. Records
    /// sealed before can still be opened, in both.
    ///
    /// A nonce has 64 bits that count. Two copies that each seal *n* secrets after this use one of them
    /// twice with a probability of at most *n* / 2^63: one in nine billion for a billion secrets. With
    /// *c* copies it is at most *c*² *n* / 2^64. After 2^48 seals [`SealError::Exhausted`] asks for this
    /// again, or for a new enclave.
    ///
    /// A secret that is open in place ([`SealedInPlace::open`]) at the moment of the copy is sealed
    /// again under a number taken before it: seal it in both copies, and they use one nonce twice.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails; then nothing has changed.
    pub fn renew(&self, entropy: &mut impl Entropy) -> Result<(), EntropyError> {
        self.arena.reseed(entropy)?;
        let mut start = [0; COUNTER];
        self.arena.try_fill_random(&mut start)?;
        self.numbers.renew(u64::from_le_bytes(start));
        Ok(())
    }

    /// Has one of the two shares of the key rest with `keeper`, and no more in the arena: whoever reads the
    /// region alone has no key. What was sealed stays readable; the share is loaded for each seal and each
    /// open. If a keeper has it already, it moves to this one.
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use strongroom_core::{Arena, Enclave, SHARE_BYTES, ShareError, ShareKeeper};
    /// # use std::sync::Mutex;
    /// # use strongroom_core::{Entropy, EntropyError};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    ///
    /// struct Chip(Mutex<[u8; SHARE_BYTES]>);
    ///
    /// impl ShareKeeper for Chip {
    ///     fn store(&self, share: &[u8; SHARE_BYTES]) -> Result<(), ShareError> {
    ///         *self.0.lock().unwrap() = *share;
    ///         Ok(())
    ///     }
    ///     fn load(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError> {
    ///         *share = *self.0.lock().unwrap();
    ///         Ok(())
    ///     }
    ///     fn forget(&self) {
    ///         *self.0.lock().unwrap() = [0; SHARE_BYTES];
    ///     }
    /// }
    ///
    /// let chip = Chip(Mutex::new([0; SHARE_BYTES]));
    /// let mut region = [MaybeUninit::uninit(); 16 * 1024];
    /// let arena = Arena::new(&mut region, &mut Board)?;
    /// let mut enclave = Enclave::new(&arena)?;
    /// enclave.keep_share_with(&chip)?;
    ///
    /// let mut record = [0; Enclave::record_len(7)];
    /// let sealed = enclave.seal(b"hunter2", b"", &mut record)?;
    /// assert_eq!(enclave.open(&sealed, b"")?.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ShareError`], the keeper's; the share is then where it was.
    pub fn keep_share_with(&mut self, keeper: &'a dyn ShareKeeper) -> Result<(), ShareError> {
        self.key.keep_share_with(keeper)
    }

    /// Draws new shares of the key, so that whatever was learned of the old ones is worthless.
    ///
    /// What was sealed stays readable. Cheap enough to be called every few milliseconds. With a
    /// [keeper](Self::keep_share_with), who loads and stores then, nothing changes if it refuses, or if
    /// another thread does the same at this moment.
    pub fn refresh(&self) {
        self.key.refresh();
    }

    /// Wipes the key: everything that was sealed is unreadable at once, and every further call
    /// answers that the enclave was destroyed. Secrets that are open stay open.
    pub fn destroy(&self) {
        self.key.destroy();
    }

    /// Whether the key was [destroyed](Self::destroy).
    #[must_use]
    pub fn is_destroyed(&self) -> bool {
        self.key.is_destroyed()
    }

    /// The arena that secrets are opened into.
    #[must_use]
    pub fn arena(&self) -> &'a Arena<'a, O> {
        self.arena
    }

    /// Takes the next number, which was never taken before.
    fn take_number(&self) -> Result<u64, SealError> {
        if self.arena.is_lost() {
            // Whoever holds the lock of the numbers may have stayed behind.
            return Err(SealError::Destroyed);
        }
        self.numbers.take().ok_or(SealError::Exhausted)
    }

    /// Takes a record apart; says at once if nothing can be opened at all.
    fn read<'s>(&self, record: &'s [u8]) -> Result<Record<'s>, OpenError> {
        let (number, rest) = record.split_first_chunk().ok_or(OpenError::Tampered)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(OpenError::Tampered)?;
        if ciphertext.len() > Enclave::LONGEST_SECRET {
            return Err(OpenError::Tampered);
        }
        if self.is_destroyed() {
            return Err(OpenError::Destroyed);
        }
        Ok(Record { nonce: self.nonce(u64::from_le_bytes(*number)), ciphertext, tag })
    }

    /// Decrypts into bytes that are as long as the ciphertext.
    #[inline]
    fn decrypt(
        &self,
        record: &Record<'_>,
        context: &[u8],
        secret: &mut [u8],
    ) -> Result<(), OpenError> {
        let Record { nonce, ciphertext, tag } = record;
        Ok(self.key.with(|key| aead::open(key, nonce, context, ciphertext, tag, secret))??)
    }

    fn nonce(&self, number: u64) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        nonce[..self.prefix.len()].copy_from_slice(&self.prefix);
        nonce[self.prefix.len()..].copy_from_slice(&number.to_le_bytes());
        nonce
    }
}

impl<O: Owner> Debug for Enclave<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enclave").finish_non_exhaustive()
    }
}

impl From<NoKey> for SealError {
    fn from(error: NoKey) -> Self {
        match error {
            NoKey::Destroyed => Self::Destroyed,
            NoKey::Share(error) => Self::Share(error),
        }
    }
}

impl From<NoKey> for OpenError {
    fn from(error: NoKey) -> Self {
        match error {
            NoKey::Destroyed => Self::Destroyed,
            NoKey::Share(error) => Self::Share(error),
        }
    }
}

impl From<aead::TagMismatch> for OpenError {
    fn from(_: aead::TagMismatch) -> Self {
        Self::Tampered
    }
}

/// The parts of a sealed secret.
struct Record<'s> {
    nonce: [u8; NONCE],
    ciphertext: &'s [u8],
    tag: &'s [u8; TAG],
}

/// One sealed secret: a record in memory of the caller's choice.
///
/// It is not secret and may be copied, moved and stored; it can be opened only by the enclave that
/// made it, in the life of that enclave.
#[derive(Clone, Copy)]
pub struct Sealed<S> {
    storage: S,
}

impl<S> Sealed<S> {
    /// Takes bytes for a record. Whether they are one shows when it is opened.
    pub fn from_record(storage: S) -> Self {
        Self { storage }
    }

    /// Gives the memory of the record back.
    pub fn into_record(self) -> S {
        self.storage
    }
}

impl<S: AsRef<[u8]>> Sealed<S> {
    /// The record's bytes.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        self.storage.as_ref()
    }

    /// The secret's length in bytes (0 for something too short to be a record).
    #[must_use]
    pub fn secret_len(&self) -> usize {
        self.record().len().saturating_sub(Enclave::OVERHEAD)
    }
}

impl<S: AsRef<[u8]>> Debug for Sealed<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("secret_len", &self.secret_len()).finish_non_exhaustive()
    }
}

fn check_lengths(secret_len: usize, given: usize) -> Result<(), SealError> {
    if secret_len > Enclave::LONGEST_SECRET {
        return Err(SealError::TooLong { len: secret_len, longest: Enclave::LONGEST_SECRET });
    }
    let needed = Enclave::record_len(secret_len);
    if needed == given { Ok(()) } else { Err(SealError::RecordLength { needed, given }) }
}

/// Bytes in a nonce (RFC 8439 section 2.8) and in the part of it that counts.
const NONCE: usize = 12;
const COUNTER: usize = 8;

#[cfg(test)]
mod tests;
