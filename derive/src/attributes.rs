//! What a struct and its fields say about documents.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitStr, Path, Result};

/// What is said of the struct.
#[derive(Default)]
pub(crate) struct OfStruct {
    /// It is read from documents.
    pub(crate) is_read: bool,
    /// A name that no field has is an error.
    pub(crate) denies_unknown: bool,
}

/// What is said of a field.
#[derive(Default)]
pub(crate) struct OfField {
    /// It is a struct with sealed fields itself.
    pub(crate) is_nested: bool,
    /// Its name in a document, if it has another there.
    pub(crate) renamed: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) default: Option<WhenMissing>,
}

/// What a field is that is missing.
pub(crate) enum WhenMissing {
    OfType,
    Of(Path),
}

impl OfStruct {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut said = Self::default();
        each(attributes, "seal", |word| {
            if !word.path.is_ident("deserialize") {
                return Err(word.error("of a struct, `seal` says `deserialize` and nothing else"));
            }
            if !cfg!(feature = "serde") {
                return Err(word.error("`deserialize` needs the feature `serde` of strongroom"));
            }
            said.is_read = true;
            Ok(())
        })?;
        // Else they are for another derive.
        if said.is_read {
            each(attributes, "serde", |word| {
                if !word.path.is_ident("deny_unknown_fields") {
                    let other = "of serde's attributes of a struct, SealFields knows \
                                 `deny_unknown_fields` alone: rename fields one by one";
                    return Err(word.error(other));
                }
                said.denies_unknown = true;
                Ok(())
            })?;
        }
        Ok(said)
    }
}

impl OfField {
    pub(crate) fn read(attributes: &[Attribute], of: &OfStruct, is_secret: bool) -> Result<Self> {
        let mut said = Self::default();
        each(attributes, "seal", |word| {
            if !word.path.is_ident("nested") {
                return Err(word.error("of a field, `seal` says `nested` and nothing else"));
            }
            if is_secret {
                return Err(word.error("a field is secret, or has secret fields itself"));
            }
            if !of.is_read {
                return Err(word.error("it is read from documents: add #[seal(deserialize)]"));
            }
            said.is_nested = true;
            Ok(())
        })?;
        if of.is_read {
            each(attributes, "serde", |word| said.read_serde(&word, is_secret))?;
        }
        Ok(said)
    }

    fn read_serde(&mut self, word: &ParseNestedMeta<'_>, is_secret: bool) -> Result<()> {
        if word.path.is_ident("rename") {
            self.renamed = Some(word.value()?.parse::<LitStr>()?.value());
        } else if word.path.is_ident("alias") {
            self.aliases.push(word.value()?.parse::<LitStr>()?.value());
        } else if word.path.is_ident("default") && is_secret {
            return Err(
                word.error("a secret has no default: it stands in the document or is missing")
            );
        } else if word.path.is_ident("default") && self.is_nested {
            return Err(word.error("what has secret fields has no default"));
        } else if word.path.is_ident("default") {
            let path = word.input.peek(syn::Token![=]);
            self.default = Some(if path {
                WhenMissing::Of(word.value()?.parse::<LitStr>()?.parse()?)
            } else {
                WhenMissing::OfType
            });
        } else {
            let other = "of serde's attributes of a field, SealFields knows `rename`, `alias` and \
                         `default`, and no other";
            return Err(word.error(other));
        }
        Ok(())
    }
}

fn each(
    attributes: &[Attribute],
    name: &str,
    mut read: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    let mut named = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    named.try_for_each(|attribute| attribute.parse_nested_meta(&mut read))
}

/// Two fields of one name would never both be read.
pub(crate) fn check_names<'n>(names: impl Iterator<Item = (&'n syn::Ident, String)>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for (field, name) in names {
        if !seen.insert(name.clone()) {
            return Err(Error::new_spanned(field, format!("two fields are called `{name}`")));
        }
    }
    Ok(())
}
