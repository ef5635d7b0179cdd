//! A secret text that grows.

use core::fmt::{self, Debug, Display, Formatter, Write};
use core::str;

use crate::allocate::Allocate;
use crate::exposed::Exposed;
use crate::vec::SecretVec;

/// A secret text that grows, in an arena's memory or a vault's; otherwise as [`SecretVec`].
///
/// `write!` writes into it, and nowhere else:
///
/// ```
/// use core::fmt::Write;
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Entropy, EntropyError, SecretString};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// # let arena = Arena::new(&mut region[..], &mut Board)?;
/// let mut url = SecretString::new(&arena);
/// url.push_str("postgres://admin:hunter2@")?;
/// write!(url, "{}:{}", "db", 5432)?;
/// assert_eq!(url.expose_secret(), "postgres://admin:hunter2@db:5432");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SecretString<A: Allocate> {
    bytes: SecretVec<u8, A>,
}

impl<A: Allocate> SecretString<A> {
    /// One without text, which takes no memory yet.
    pub fn new(allocator: A) -> Self {
        Self { bytes: SecretVec::new(allocator) }
    }

    /// One without text, and with room for `capacity` bytes.
    ///
    /// # Errors
    /// There is no room for so many.
    pub fn with_capacity(allocator: A, capacity: usize) -> Result<Self, A::Error> {
        Ok(Self { bytes: SecretVec::with_capacity(allocator, capacity)? })
    }

    /// Takes bytes for the text that they are; they are not moved.
    ///
    /// # Errors
    /// [`NotUtf8`], which gives them back.
    pub fn from_utf8(bytes: SecretVec<u8, A>) -> Result<Self, NotUtf8<SecretVec<u8, A>>> {
        let is_text = bytes.with_secret(|bytes| str::from_utf8(bytes).is_ok());
        if is_text { Ok(Self { bytes }) } else { Err(NotUtf8(bytes)) }
    }

    /// The bytes, which are not moved.
    pub fn into_bytes(self) -> SecretVec<u8, A> {
        self.bytes
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// For how many bytes there is room without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The text, for as long as the guard lives. None in a forked child that has not got the memory.
    ///
    /// It is looked at again whether it is UTF-8, in a time that depends on whether it is ASCII.
    pub fn expose_secret(&self) -> Exposed<'_, str, A::Owner> {
        // It always is, but while an emergency wipes it.
        Exposed::map(self.bytes.expose_secret(), |bytes| str::from_utf8(bytes).unwrap_or_default())
    }

    /// Calls `look` with the text.
    pub fn with_secret<R>(&self, look: impl FnOnce(&str) -> R) -> R {
        look(&self.expose_secret())
    }

    /// Adds a character.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, character: char) -> Result<(), A::Error> {
        // Before it is anywhere else, from where it would have to be wiped.
        self.bytes.reserve(character.len_utf8())?;
        let mut bytes = [0; 4];
        let len = character.encode_utf8(&mut bytes).len();
        self.bytes.extend_wiping(&mut bytes[..len])
    }

    /// Adds text.
    ///
    /// # Errors
    /// There is no room for all of it, and nothing was added.
    pub fn push_str(&mut self, text: &str) -> Result<(), A::Error> {
        self.bytes.extend_from_slice(text.as_bytes())
    }

    /// Makes room for `additional` bytes more, so that adding them cannot fail; see
    /// [`SecretVec::reserve`].
    ///
    /// # Errors
    /// There is no room for so many.
    pub fn reserve(&mut self, additional: usize) -> Result<(), A::Error> {
        self.bytes.reserve(additional)
    }

    /// Cuts off and wipes all but the first `len` bytes, or what begins before and ends behind them too.
    pub fn truncate(&mut self, len: usize) {
        let len = len.min(self.len());
        let begins = |text: &str| (0..=len).rev().find(|&index| text.is_char_boundary(index));
        let len = self.with_secret(begins).unwrap_or(0);
        self.bytes.truncate(len);
    }

    /// Cuts off the last character, as a backspace does.
    pub fn pop(&mut self) {
        self.truncate(self.len().saturating_sub(1));
    }

    /// Wipes all of the text, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Wipes all of the text, and gives the memory back.
    pub fn give_back(&mut self) {
        self.bytes.give_back();
    }

    /// Whether the text equals `other`, in a time that depends on the lengths alone.
    #[must_use]
    pub fn constant_time_eq(&self, other: &str) -> bool {
        self.bytes.constant_time_eq(other.as_bytes())
    }

    /// What it grows in.
    #[must_use]
    pub fn allocator(&self) -> &A {
        self.bytes.allocator()
    }
}

/// What there is no room for is a [`fmt::Error`], and what was written before it stays.
impl<A: Allocate> Write for SecretString<A> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|_| fmt::Error)
    }
}

impl<A: Allocate> Debug for SecretString<A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretString").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Bytes that are no UTF-8 and so no text, as they were.
pub struct NotUtf8<B>(pub B);

impl<B> Debug for NotUtf8<B> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl<B> Display for NotUtf8<B> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the secret is not UTF-8: keep it as bytes, in a SecretVec<u8>")
    }
}

impl<B> core::error::Error for NotUtf8<B> {}
