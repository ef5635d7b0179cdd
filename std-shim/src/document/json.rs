//! JSON (RFC 8259) by `serde_json`, whose buffer for what had escapes no secret comes into.
//!
//! A secret is taken as it stands in the document (`RawValue`, which is lent), and its escapes are undone
//! in locked memory.

use serde::de::DeserializeSeed;
use strongroom_core::wiping_stack;

use super::error::{DocumentError, without_place};
use super::options::STACK;
use super::twin::{FromDocument, TwinSeed};

impl<T: FromDocument> TwinSeed<'_, T> {
    /// With the feature `json`: reads a JSON document, which should lie in locked memory itself
    /// ([`Vault::read_file`](crate::Vault::read_file)). No secret of it is copied to the heap, with escapes or without.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read_json(self, document: &[u8]) -> Result<T, DocumentError> {
        let read = wiping_stack::<STACK, _>(|| {
            let mut deserializer = serde_json::Deserializer::from_slice(document);
            let twin = self.in_json().deserialize(&mut deserializer)?;
            deserializer.end().map(|()| twin)
        });
        read.map_err(|error| DocumentError::new(without_place(&error), error.line()))
    }
}
