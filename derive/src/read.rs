//! What a struct says of itself.

use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, Lifetime, Result, Type,
    Visibility,
};

use crate::attributes::{OfField, OfStruct, check_names};

/// A struct with secret fields.
pub(crate) struct Struct<'i> {
    pub(crate) name: &'i Ident,
    pub(crate) visibility: &'i Visibility,
    pub(crate) generics: &'i Generics,
    pub(crate) secret: Vec<Named<'i>>,
    pub(crate) plain: Vec<Named<'i>>,
    pub(crate) said: OfStruct,
}

/// A field and its name.
pub(crate) struct Named<'i> {
    pub(crate) name: &'i Ident,
    pub(crate) field: &'i Field,
    pub(crate) is_secret: bool,
    pub(crate) said: OfField,
}

impl<'i> Struct<'i> {
    pub(crate) fn read(input: &'i DeriveInput) -> Result<Self> {
        let Data::Struct(data) = &input.data else {
            let whole =
                "SealFields is for structs: of an enum, seal the struct that a variant holds";
            return Err(Error::new_spanned(&input.ident, whole));
        };
        let Fields::Named(fields) = &data.fields else {
            let unnamed = "SealFields needs named fields: a secret's name is part of its context";
            return Err(Error::new_spanned(&input.ident, unnamed));
        };
        for parameter in &input.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let other = "SealFields takes structs with lifetimes and no other parameters";
                return Err(Error::new_spanned(parameter, other));
            }
        }
        let mut found = Self {
            name: &input.ident,
            visibility: &input.vis,
            generics: &input.generics,
            secret: Vec::new(),
            plain: Vec::new(),
            said: OfStruct::read(&input.attrs)?,
        };
        for field in &fields.named {
            let Some(name) = &field.ident else { continue };
            let is_secret = is_secret(field)?;
            let said = OfField::read(&field.attrs, &found.said, is_secret)?;
            let named = Named { name, field, is_secret, said };
            if is_secret { found.secret.push(named) } else { found.plain.push(named) }
        }
        let names = found
            .all()
            .flat_map(|field| field.all_written().into_iter().map(|name| (field.name, name)));
        check_names(names)?;
        if found.secret.is_empty() && !found.plain.iter().any(|named| named.said.is_nested) {
            let none = "no field is secret: mark those that are with #[secret]";
            return Err(Error::new_spanned(&input.ident, none));
        }
        Ok(found)
    }
}

impl<'i> Struct<'i> {
    /// All fields.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Named<'i>> {
        self.plain.iter().chain(&self.secret)
    }
}

impl Named<'_> {
    /// Its name in a document.
    pub(crate) fn written(&self) -> String {
        let own = || self.name.to_string().trim_start_matches("r#").to_owned();
        self.said.renamed.clone().unwrap_or_else(own)
    }

    /// All names that it has in a document.
    pub(crate) fn all_written(&self) -> Vec<String> {
        let mut names = vec![self.written()];
        names.extend(self.said.aliases.iter().cloned());
        names
    }

    /// Its type, for the lifetime of the whole program: it says what it opens as, for which no lifetime
    /// matters.
    pub(crate) fn lasting_type(&self) -> Type {
        struct Lasting;

        impl VisitMut for Lasting {
            fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
                *lifetime = Lifetime::new("'static", lifetime.span());
            }

            fn visit_type_mut(&mut self, kind: &mut Type) {
                if let Type::Reference(reference) = kind {
                    let span = reference.and_token.spans[0];
                    reference.lifetime.get_or_insert_with(|| Lifetime::new("'static", span));
                }
                visit_type_mut(self, kind);
            }
        }

        let mut kind = self.field.ty.clone();
        Lasting.visit_type_mut(&mut kind);
        kind
    }
}

fn is_secret(field: &Field) -> Result<bool> {
    let mut marks = field.attrs.iter().filter(|attribute| attribute.path().is_ident("secret"));
    let Some(mark) = marks.next() else { return Ok(false) };
    mark.meta.require_path_only()?;
    match marks.next() {
        Some(again) => Err(Error::new_spanned(again, "it is secret already")),
        None => Ok(true),
    }
}
