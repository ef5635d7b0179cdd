//! The seed of a struct whose secret fields are sealed one by one.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};

use super::options::Options;
use super::seed::{ReadAs, SecretSeed};
use crate::vault::{Field, SealError, SealedField, Vault};

/// A struct with sealed fields that can be read from a document. `#[derive(SealFields)]` writes it for
/// the sealed twin of a struct with `#[seal(deserialize)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the sealed twin of a struct that is read from documents",
    note = "`#[derive(SealFields)]` with `#[seal(deserialize)]` makes a `SealedAccount` of an `Account`"
)]
pub trait FromDocument: Sized {
    /// The name of the struct, for errors.
    #[doc(hidden)]
    const NAME: &'static str;
    /// The names of its fields, for errors.
    #[doc(hidden)]
    const FIELDS: &'static [&'static str];

    /// Reads the fields.
    #[doc(hidden)]
    fn from_map<'de, A: MapAccess<'de>>(map: A, seeds: StructSeeds<'_>) -> Result<Self, A::Error>;
}

/// Reads a struct whose secret fields are sealed, each from where the parser has it; the others by their
/// `Deserialize`. The twin that `#[derive(SealFields)]` makes of a struct with `#[seal(deserialize)]` has
/// it as `seed`.
///
#[cfg_attr(
    all(feature = "derive", feature = "toml"),
    doc = r#"
```
use strongroom::{SealFields, SecretString, Share, Vault};

#[derive(SealFields)]
#[seal(deserialize)]
struct Database {
    host: String,
    #[serde(default)]
    port: u16,
    #[secret]
    password: SecretString<Share>,
}

# let file = &b"host = 'localhost'\npassword = 'hunter2'\n"[..];
let vault = Vault::new(64 * 1024)?;
let document = vault.read_to_end(file, 16 * 1024)?;
let database = SealedDatabase::seed(&vault).read_toml(&document.expose_secret())?;
drop(document);

assert_eq!((database.host.as_str(), database.port), ("localhost", 0));
assert_eq!(database.password.try_open(&vault)?.expose_secret(), "hunter2");
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
/// It is a [`DeserializeSeed`] for any other format, with what [`SecretSeed`](super::SecretSeed) says of
/// copies. It reads a struct by the names of its fields, and so from what has them.
pub struct TwinSeed<'v, T> {
    pub(super) options: Options<'v>,
    twin: PhantomData<fn() -> T>,
}

impl<'v, T: FromDocument> TwinSeed<'v, T> {
    /// A seed that seals into `vault`.
    #[must_use]
    pub fn new(vault: &'v Vault) -> Self {
        Self::with(Options::new(vault))
    }

    pub(super) fn with(options: Options<'v>) -> Self {
        Self { options, twin: PhantomData }
    }

    /// Takes secrets also from copies that the parser has made on the heap; see
    /// [`SecretSeed::allow_copies`](super::SecretSeed::allow_copies).
    #[must_use]
    pub fn allow_copies(mut self) -> Self {
        self.options.takes_copies = true;
        self
    }

    /// With the feature `json`: for a deserializer of `serde_json` that reads a slice or a `str`; see
    /// [`SecretSeed::in_json`](super::SecretSeed::in_json). [`read_json`](Self::read_json) does it by
    /// itself.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn in_json(mut self) -> Self {
        self.options.is_json = true;
        self
    }
}

impl<'de, T: FromDocument> DeserializeSeed<'de> for TwinSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_struct(T::NAME, T::FIELDS, self)
    }
}

impl<'de, T: FromDocument> Visitor<'de> for TwinSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "struct {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(map, StructSeeds(self.options))
    }
}

impl<T> Debug for TwinSeed<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinSeed").finish_non_exhaustive()
    }
}

/// Makes the seeds for the fields of a struct.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct StructSeeds<'v>(Options<'v>);

impl<'v> StructSeeds<'v> {
    /// Of a secret field.
    #[must_use]
    pub fn secret<F: Field<Value: ReadAs>>(
        self,
    ) -> SecretSeed<'v, impl FnOnce(&[u8]) -> Result<SealedField<F>, SealError>> {
        let Self(options) = self;
        SecretSeed::with(options, F::Value::FORM, move |secret: &[u8]| {
            let record = options.vault.seal(secret, F::CONTEXT.as_bytes())?;
            Ok(SealedField::from_record(record))
        })
    }

    /// Of a field that is a struct with secret fields itself.
    #[must_use]
    pub fn nested<T: FromDocument>(self) -> TwinSeed<'v, T> {
        TwinSeed::with(self.0)
    }
}

impl Debug for StructSeeds<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("StructSeeds").finish_non_exhaustive()
    }
}
