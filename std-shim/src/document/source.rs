//! Where a secret comes from, as a setting in a document.

use std::fmt::{self, Formatter};

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::io::SecretSource;

/// With the feature `serde`: as [`FromStr`](std::str::FromStr) has it. What is no source is not shown in
/// the error, for it may be the secret itself.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = SecretSource;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("where a secret comes from, as a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretSource, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Written)
    }
}
