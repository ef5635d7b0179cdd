//! What the code that `#[derive(SealFields)]` writes for a struct in a document is made of.

use std::fmt::{self, Formatter};

use serde::de::value::Error as Other;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

/// Reads a field's name: which one it is, if it is any.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FieldNames {
    /// Each name with the number of its field, which may have several.
    pub names: &'static [(&'static str, usize)],
    /// What is told of a name that is none, if that is an error.
    pub known: Option<&'static [&'static str]>,
}

impl<'de> DeserializeSeed<'de> for FieldNames {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldNames {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        match (self.names.iter().find(|(own, _)| *own == name), self.known) {
            (Some(&(_, field)), _) => Ok(Some(field)),
            (None, None) => Ok(None),
            (None, Some(known)) => Err(E::unknown_field(name, known)),
        }
    }
}

/// What a field is that is missing: `None`, if that is what may be, like in the code that `serde` writes.
///
/// # Errors
/// It is missing.
#[doc(hidden)]
pub fn missing_field<'de, T: Deserialize<'de>, E: Error>(name: &'static str) -> Result<T, E> {
    T::deserialize(Missing).map_err(|_: Other| E::missing_field(name))
}

struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = Other;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Other> {
        Err(Other::custom(""))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Other> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
