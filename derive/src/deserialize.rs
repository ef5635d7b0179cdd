//! What reads the sealed twin from a document.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::attributes::WhenMissing;
use crate::read::{Named, Struct};

pub(crate) fn write(found: &Struct<'_>) -> TokenStream {
    if !found.said.is_read {
        return TokenStream::new();
    }
    let Struct { name, visibility, .. } = found;
    let sealed = format_ident!("Sealed{name}");
    let shown = name.to_string();
    let fields: Vec<_> = found.all().collect();
    let written: Vec<_> = fields.iter().map(|field| field.written()).collect();
    let names = fields.iter().enumerate().flat_map(|(number, field)| {
        field.all_written().into_iter().map(move |name| quote!((#name, #number)))
    });
    let known = if found.said.denies_unknown {
        quote!(::core::option::Option::Some(<Self as ::strongroom::FromDocument>::FIELDS))
    } else {
        quote!(::core::option::Option::None)
    };
    let places = fields.iter().map(|field| place(field.name)).collect::<Vec<_>>();
    let reads = fields.iter().map(|field| read(found, field));
    let numbers = 0..fields.len();
    let filled = fields.iter().zip(&written).map(|(field, name)| fill(field, name));
    let (parameters, arguments, conditions) = found.generics.split_for_impl();
    let all_names: Vec<_> = fields.iter().map(|field| field.name).collect();
    quote! {
        // A program that reads the twin need not make the struct: still nobody warns of that.
        #[allow(dead_code)]
        const _: () = {
            impl #parameters #name #arguments #conditions {
                #[allow(dead_code)]
                fn as_it_is(self) -> Self {
                    let Self { #(#all_names,)* } = self;
                    Self { #(#all_names,)* }
                }
            }
        };

        #[allow(dead_code)]
        impl #sealed {
            /// Reads it from a document: secret fields go straight into the vault.
            #visibility fn seed(
                vault: &::strongroom::Vault,
            ) -> ::strongroom::TwinSeed<'_, Self> {
                ::strongroom::TwinSeed::new(vault)
            }
        }

        impl ::strongroom::FromDocument for #sealed {
            const NAME: &'static str = #shown;
            const FIELDS: &'static [&'static str] = &[#(#written,)*];

            fn from_map<'de, A: ::strongroom::serde::de::MapAccess<'de>>(
                mut map: A,
                seeds: ::strongroom::StructSeeds<'_>,
            ) -> ::core::result::Result<Self, A::Error> {
                let names = ::strongroom::FieldNames { names: &[#(#names,)*], known: #known };
                #(let mut #places = ::core::option::Option::None;)*
                while let ::core::option::Option::Some(field) = map.next_key_seed(names)? {
                    match field {
                        #(
                            ::core::option::Option::Some(#numbers) => {
                                if #places.is_some() {
                                    let again = ::strongroom::serde::de::Error::duplicate_field(#written);
                                    return ::core::result::Result::Err(again);
                                }
                                #places = ::core::option::Option::Some(#reads);
                            }
                        )*
                        _ => {
                            map.next_value::<::strongroom::serde::de::IgnoredAny>()?;
                        }
                    }
                }
                ::core::result::Result::Ok(Self { #(#all_names: #filled,)* })
            }
        }
    }
}

/// The variable in which a field's value waits for the others.
fn place(field: &Ident) -> Ident {
    format_ident!("field_{}", field.to_string().trim_start_matches("r#"))
}

/// The value that comes next, as a field's.
fn read(found: &Struct<'_>, field: &Named<'_>) -> TokenStream {
    let kind = &field.field.ty;
    if field.is_secret {
        let marker = crate::write::marker(found.name, field.name);
        quote!(map.next_value_seed(seeds.secret::<#marker>())?)
    } else if field.said.is_nested {
        quote!(map.next_value_seed(seeds.nested::<#kind>())?)
    } else {
        quote!(map.next_value::<#kind>()?)
    }
}

/// A field's value, when all were read.
fn fill(field: &Named<'_>, written: &str) -> TokenStream {
    let place = place(field.name);
    let missing = match &field.said.default {
        Some(WhenMissing::OfType) => quote!(::core::default::Default::default()),
        Some(WhenMissing::Of(path)) => quote!(#path()),
        None if field.is_secret || field.said.is_nested => quote!(
            return ::core::result::Result::Err(::strongroom::serde::de::Error::missing_field(#written))
        ),
        None => quote!(::strongroom::missing_field(#written)?),
    };
    quote! {
        match #place {
            ::core::option::Option::Some(value) => value,
            ::core::option::Option::None => #missing,
        }
    }
}
