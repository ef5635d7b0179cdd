//! What a struct says of itself.

use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, Lifetime, Result, Type,
    Visibility,
};

/// A struct with secret fields.
pub(crate) struct Struct<'i> {
    pub(crate) name: &'i Ident,
    pub(crate) visibility: &'i Visibility,
    pub(crate) generics: &'i Generics,
    pub(crate) secret: Vec<Named<'i>>,
    pub(crate) plain: Vec<Named<'i>>,
}

/// A field and its name.
pub(crate) struct Named<'i> {
    pub(crate) name: &'i Ident,
    pub(crate) field: &'i Field,
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
        };
        for field in &fields.named {
            let Some(name) = &field.ident else { continue };
            let named = Named { name, field };
            if is_secret(field)? { found.secret.push(named) } else { found.plain.push(named) }
        }
        if found.secret.is_empty() {
            let none = "no field is secret: mark those that are with #[secret]";
            return Err(Error::new_spanned(&input.ident, none));
        }
        Ok(found)
    }
}

impl Named<'_> {
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
