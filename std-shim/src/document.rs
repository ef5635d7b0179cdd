//! Secrets out of documents: from where the format's parser has them straight into a vault.
//!
//! ```text
//! file ──read(2)──> document (locked) ── parser lends a piece ──> seed ── seals it ──> record
//! ```
//! Whether the parser lends a piece of the document or of a copy that it made is its own affair: a seed
//! refuses the second, unless it is told not to. The ways for JSON and TOML undo escapes in locked
//! memory, where the parsers would make copies.

#[cfg(any(feature = "json", feature = "toml"))]
mod error;
#[cfg(feature = "json")]
mod escapes;
mod fields;
#[cfg(feature = "json")]
mod json;
mod options;
mod seed;
mod source;
#[cfg(feature = "toml")]
mod toml;
mod twin;

#[cfg(any(feature = "json", feature = "toml"))]
pub use self::error::DocumentError;
pub use self::fields::{FieldNames, missing_field};
pub use self::seed::{Form, ReadAs, SecretSeed};
pub use self::twin::{FromDocument, StructSeeds, TwinSeed};
