//! The seed of one secret.

use std::fmt::{self, Debug, Display, Formatter};

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use strongroom_core::SecretVec;

use super::options::Options;
use crate::sys;
use crate::vault::{OpenAs, OpenError, Opened, SealError, Sealed, Vault};

/// Reads one secret of a document and hands it to a function, which keeps it: in a vault, or wherever
/// else it is safe.
///
/// A text, bytes, or a row of numbers of one byte each is a secret. [`Vault::seal_seed`] and
/// [`Vault::open_seed`] make seeds for the vault; [`TwinSeed`](super::TwinSeed) makes those of a whole
/// struct. This one stands in a `Visitor` written by hand:
///
/// ```
/// use serde::de::{DeserializeSeed, IntoDeserializer, value::{BorrowedStrDeserializer, Error}};
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// # let value = BorrowedStrDeserializer::<Error>::new("hunter2");
/// let sealed = vault.seal_seed(b"db/password").deserialize(value)?;
/// assert_eq!(vault.try_open(&sealed, b"db/password")?.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Copies
/// A parser lends a piece of the document where it can, and hands out what it has copied to the heap
/// where it cannot: because the text has escapes, say, or because it is read through [`std::io::Read`].
/// Such a copy is an error, for nobody wipes it. With [`allow_copies`](Self::allow_copies) it is taken;
/// what is handed over whole (a `String`) is wiped then, and what is lent is not.
///
/// Without optimisation at least, parsers leave pieces of what they look through on the stack. The ways
/// to read a document wipe it; around another parser's own, use
/// [`wiping_stack`](strongroom_core::wiping_stack).
///
/// No error shows what stands in the document.
pub struct SecretSeed<'v, K> {
    options: Options<'v>,
    form: Form,
    keep: K,
}

impl<'v, K> SecretSeed<'v, K> {
    /// A seed that calls `keep` with the secret, once. A row of numbers is put together in the
    /// memory of `vault` first.
    pub fn new<T, E: Display>(vault: &'v Vault, keep: K) -> Self
    where
        K: FnOnce(&[u8]) -> Result<T, E>,
    {
        Self::with(Options::new(vault), Form::Bytes, keep)
    }

    pub(super) fn with(options: Options<'v>, form: Form, keep: K) -> Self {
        Self { options, form, keep }
    }

    /// Takes a secret also from a copy that the parser has made on the heap.
    #[must_use]
    pub fn allow_copies(mut self) -> Self {
        self.options.takes_copies = true;
        self
    }

    /// With the feature `json`: for a deserializer of `serde_json` that reads a slice or a `str`. Escapes
    /// are undone in the vault's locked memory, and not in the buffer that `serde_json` has for that.
    /// Any other deserializer answers with an error.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn in_json(mut self) -> Self {
        self.options.is_json = true;
        self
    }
}

impl Vault {
    /// With the feature `serde`: a seed that seals a secret from where the parser has it; see
    /// [`SecretSeed`].
    pub fn seal_seed(
        &self,
        context: &[u8],
    ) -> SecretSeed<'_, impl FnOnce(&[u8]) -> Result<Sealed, SealError>> {
        SecretSeed::new(self, move |secret: &[u8]| self.seal(secret, context))
    }

    /// With the feature `serde`: a seed that leaves the secret open, copied from where the parser has
    /// it; see [`SecretSeed`]. A full vault is an error at once.
    pub fn open_seed<'v>(
        &'v self,
    ) -> SecretSeed<'v, impl FnOnce(&[u8]) -> Result<Opened<'v>, OpenError>> {
        SecretSeed::new(self, move |secret: &[u8]| {
            let mut opened = self.try_allocate(secret.len())?;
            opened.expose_secret_mut().copy_from_slice(secret);
            Ok(opened)
        })
    }
}

impl<'de, K, T, E: Display> DeserializeSeed<'de> for SecretSeed<'_, K>
where
    K: FnOnce(&[u8]) -> Result<T, E>,
{
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        #[cfg(feature = "json")]
        if self.options.is_json {
            let vault = self.options.vault;
            return in_json(deserializer, vault, SecretVisitor(self));
        }
        // So that a value of another kind is answered here, where it is not shown.
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(SecretVisitor(self));
        }
        match self.form {
            Form::Text => deserializer.deserialize_str(SecretVisitor(self)),
            Form::Bytes | Form::Array(_) => deserializer.deserialize_bytes(SecretVisitor(self)),
        }
    }
}

struct SecretVisitor<'v, K>(SecretSeed<'v, K>);

impl<K, T, E: Display> SecretVisitor<'_, K>
where
    K: FnOnce(&[u8]) -> Result<T, E>,
{
    /// What lies where it may lie.
    fn keep<R: Error>(self, secret: &[u8], form: Given) -> Result<T, R> {
        match (self.0.form, form) {
            (Form::Array(len), Given::Bytes) if secret.len() != len => {
                Err(R::invalid_length(secret.len(), &self))
            }
            (Form::Array(_), Given::Text) | (Form::Text, Given::Bytes) => {
                Err(self.other(form.name()))
            }
            _ => (self.0.keep)(secret).map_err(R::custom),
        }
    }

    fn keep_copy<R: Error>(self, secret: &[u8], form: Given) -> Result<T, R> {
        if self.0.options.takes_copies { self.keep(secret, form) } else { Err(R::custom(A_COPY)) }
    }

    /// What is no secret, without showing it.
    fn other<R: Error>(&self, kind: &str) -> R {
        R::invalid_type(Unexpected::Other(kind), self)
    }
}

/// Reads a secret as it stands in a JSON document, from which it is lent, and undoes its escapes.
#[cfg(feature = "json")]
fn in_json<'de, K, T, E: Display, D: Deserializer<'de>>(
    deserializer: D,
    vault: &Vault,
    visitor: SecretVisitor<'_, K>,
) -> Result<T, D::Error>
where
    K: FnOnce(&[u8]) -> Result<T, E>,
{
    let text =
        <&serde_json::value::RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let inside = &text[1..text.len() - 1];
            if !inside.contains('\\') {
                return visitor.keep(inside.as_bytes(), Given::Text);
            }
            let unescaped = super::escapes::unescape(inside, vault).map_err(D::Error::custom)?;
            visitor.keep(&unescaped.expose_secret(), Given::Text)
        }
        Some(b'[') => {
            let mut row = serde_json::Deserializer::from_str(text);
            let read = row.deserialize_seq(visitor);
            read.map_err(|error| D::Error::custom(super::error::without_place(&error)))
        }
        Some(b'{') => Err(visitor.other("an object")),
        Some(b't' | b'f') => Err(visitor.other("a boolean")),
        Some(b'n') => Err(visitor.other("null")),
        _ => Err(visitor.other("a number")),
    }
}

impl<'de, K, T, E: Display> Visitor<'de> for SecretVisitor<'_, K>
where
    K: FnOnce(&[u8]) -> Result<T, E>,
{
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.form {
            Form::Text => f.write_str("a secret text"),
            Form::Bytes => f.write_str("a secret: a text, bytes, or an array of numbers up to 255"),
            Form::Array(len) => {
                write!(f, "a secret of {len} bytes, as an array of numbers up to 255")
            }
        }
    }

    fn visit_borrowed_str<R: Error>(self, text: &'de str) -> Result<T, R> {
        self.keep(text.as_bytes(), Given::Text)
    }

    fn visit_borrowed_bytes<R: Error>(self, bytes: &'de [u8]) -> Result<T, R> {
        self.keep(bytes, Given::Bytes)
    }

    fn visit_str<R: Error>(self, text: &str) -> Result<T, R> {
        self.keep_copy(text.as_bytes(), Given::Text)
    }

    fn visit_bytes<R: Error>(self, bytes: &[u8]) -> Result<T, R> {
        self.keep_copy(bytes, Given::Bytes)
    }

    fn visit_string<R: Error>(self, text: String) -> Result<T, R> {
        self.keep_copy(&sys::Wiped(text.into_bytes()).0, Given::Text)
    }

    fn visit_byte_buf<R: Error>(self, bytes: Vec<u8>) -> Result<T, R> {
        self.keep_copy(&sys::Wiped(bytes).0, Given::Bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<T, A::Error> {
        let mut bytes = SecretVec::new(self.0.options.vault);
        while let Some(byte) = numbers.next_element_seed(Byte)? {
            bytes.push(byte).map_err(A::Error::custom)?;
        }
        self.keep(&bytes.expose_secret(), Given::Bytes)
    }

    fn visit_bool<R: Error>(self, _: bool) -> Result<T, R> {
        Err(self.other("a boolean"))
    }

    fn visit_i64<R: Error>(self, _: i64) -> Result<T, R> {
        Err(self.other(A_NUMBER))
    }

    fn visit_i128<R: Error>(self, _: i128) -> Result<T, R> {
        Err(self.other(A_NUMBER))
    }

    fn visit_u64<R: Error>(self, _: u64) -> Result<T, R> {
        Err(self.other(A_NUMBER))
    }

    fn visit_u128<R: Error>(self, _: u128) -> Result<T, R> {
        Err(self.other(A_NUMBER))
    }

    fn visit_f64<R: Error>(self, _: f64) -> Result<T, R> {
        Err(self.other(A_NUMBER))
    }

    fn visit_unit<R: Error>(self) -> Result<T, R> {
        Err(self.other("nothing"))
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<T, D::Error> {
        some.deserialize_any(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(self.other("a table"))
    }
}

/// One number of a row, which no error shows.
struct Byte;

impl<'de> DeserializeSeed<'de> for Byte {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Byte {
    type Value = u8;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a number up to 255")
    }

    fn visit_u64<R: Error>(self, number: u64) -> Result<u8, R> {
        u8::try_from(number).map_err(|_| R::invalid_type(Unexpected::Other("another"), &self))
    }

    fn visit_i64<R: Error>(self, number: i64) -> Result<u8, R> {
        u8::try_from(number).map_err(|_| R::invalid_type(Unexpected::Other("another"), &self))
    }

    fn visit_f64<R: Error>(self, _: f64) -> Result<u8, R> {
        Err(R::invalid_type(Unexpected::Other("a fraction"), &self))
    }

    fn visit_bool<R: Error>(self, _: bool) -> Result<u8, R> {
        Err(R::invalid_type(Unexpected::Other("a boolean"), &self))
    }

    fn visit_str<R: Error>(self, _: &str) -> Result<u8, R> {
        Err(R::invalid_type(Unexpected::Other("a text"), &self))
    }
}

/// How a secret stands in a document.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Text,
    /// Or text.
    Bytes,
    Array(usize),
}

/// How it was given.
#[derive(Clone, Copy)]
enum Given {
    Text,
    Bytes,
}

impl Given {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Bytes => "bytes",
        }
    }
}

/// What a secret field can be read from a document as: text (`SecretString`), bytes (`SecretVec<u8>`),
/// so many bytes (`[u8; N]`).
#[diagnostic::on_unimplemented(
    message = "a secret `{Self}` cannot be read from a document",
    label = "neither text nor bytes",
    note = "read it as a `SecretString`, a `SecretVec<u8, _>` or a `[u8; N]`"
)]
pub trait ReadAs: OpenAs {
    #[doc(hidden)]
    const FORM: Form;
}

impl ReadAs for str {
    const FORM: Form = Form::Text;
}

impl ReadAs for [u8] {
    const FORM: Form = Form::Bytes;
}

impl<const N: usize> ReadAs for [u8; N] {
    const FORM: Form = Form::Array(N);
}

impl<K> Debug for SecretSeed<'_, K> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSeed").finish_non_exhaustive()
    }
}

const A_NUMBER: &str = "a number";

const A_COPY: &str = "the parser has copied this secret to the heap, where nobody wipes it: give it the \
                      document in one piece, write the secret without escapes, or allow copies";
