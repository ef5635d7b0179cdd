//! The types that are made of a struct.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{Type, Visibility};

use crate::deserialize;
use crate::read::{Named, Struct};

pub(crate) fn write(found: &Struct<'_>) -> TokenStream {
    let names = Names::of(found);
    let deserializing = deserialize::write(found);
    let sealed = sealed(found, &names);
    if found.secret.is_empty() {
        // There is nothing to seal or open but in its nested fields.
        return quote!(#sealed #deserializing);
    }
    let [opened, fields, sealing, opening] =
        [opened, fields, sealing, opening].map(|part| part(found, &names));
    quote!(#sealed #opened #fields #sealing #opening #deserializing)
}

/// What several parts name.
struct Names<'s> {
    /// The sealed twin, and the open one.
    sealed: Ident,
    opened: Ident,
    /// Of the secret fields: their names, visibilities and types, and the types that stand for them.
    secret: Vec<&'s Ident>,
    visibilities: Vec<&'s Visibility>,
    kinds: Vec<&'s Type>,
    markers: Vec<Ident>,
    plain: Vec<&'s Ident>,
}

impl<'s> Names<'s> {
    fn of(found: &Struct<'s>) -> Self {
        Self {
            sealed: format_ident!("Sealed{}", found.name),
            opened: format_ident!("Opened{}", found.name),
            secret: found.secret.iter().map(|named| named.name).collect(),
            visibilities: found.secret.iter().map(|named| &named.field.vis).collect(),
            kinds: found.secret.iter().map(|named| &named.field.ty).collect(),
            markers: found.secret.iter().map(|named| marker(found.name, named.name)).collect(),
            plain: found.plain.iter().map(|named| named.name).collect(),
        }
    }
}

/// The sealed twin.
fn sealed(found: &Struct<'_>, names: &Names<'_>) -> TokenStream {
    let Struct { name, visibility, .. } = found;
    let Names { sealed, secret, visibilities, markers, plain, .. } = names;
    let plain_visibilities = found.plain.iter().map(|named| &named.field.vis);
    let plain_types = found.plain.iter().map(|named| &named.field.ty);
    let sealed_doc =
        format!("A sealed [`{name}`]: its secret fields as records, the others as they were.");
    let secret_docs = secret.iter().map(|field| format!("The field `{field}`."));
    let plain_docs = plain.iter().map(|field| format!("The field `{field}`, as it was."));
    let debug = debug(&quote!(#sealed), &quote!(), sealed);
    quote! {
        #[doc = #sealed_doc]
        #[allow(dead_code)]
        #[derive(Clone)]
        #visibility struct #sealed {
            #(
                #[doc = #plain_docs]
                #plain_visibilities #plain: #plain_types,
            )*
            #(
                #[doc = #secret_docs]
                #visibilities #secret: ::strongroom::SealedField<#markers>,
            )*
        }

        #debug
    }
}

/// The open twin.
fn opened(found: &Struct<'_>, names: &Names<'_>) -> TokenStream {
    let Struct { name, visibility, .. } = found;
    let Names { opened, secret, visibilities, markers, .. } = names;
    let doc = format!("The secret fields of a [`{name}`], open.");
    let docs = secret.iter().map(|field| format!("The field `{field}`."));
    let debug = debug(&quote!(#opened<O>), &quote!(<O: ::strongroom::Opener>), opened);
    quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        #visibility struct #opened<O: ::strongroom::Opener> {
            #(
                #[doc = #docs]
                #visibilities #secret: O::Opened<<#markers as ::strongroom::Field>::Value>,
            )*
        }

        #debug
    }
}

/// Prints a struct's name alone, whatever its fields are.
fn debug(kind: &impl ToTokens, parameters: &TokenStream, name: &Ident) -> TokenStream {
    quote! {
        impl #parameters ::core::fmt::Debug for #kind {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(::core::stringify!(#name)).finish_non_exhaustive()
            }
        }
    }
}

/// The types that stand for fields.
fn fields(found: &Struct<'_>, names: &Names<'_>) -> TokenStream {
    let Struct { name, visibility, .. } = found;
    let Names { secret, markers, .. } = names;
    let lasting = found.secret.iter().map(Named::lasting_type);
    let contexts = secret.iter().map(|field| format!("::{name}.{field}"));
    quote! {
        #(
            #[doc(hidden)]
            #[derive(Debug)]
            #visibility enum #markers {}

            impl ::strongroom::Field for #markers {
                type Value = <#lasting as ::strongroom::SecretField>::Value;

                const CONTEXT: &'static str = ::core::concat!(::core::module_path!(), #contexts);
            }
        )*
    }
}

/// From the struct to its sealed twin.
fn sealing(found: &Struct<'_>, names: &Names<'_>) -> TokenStream {
    let Struct { name, visibility, generics, .. } = found;
    let Names { sealed, secret, kinds, plain, .. } = names;
    let (parameters, arguments, conditions) = generics.split_for_impl();
    quote! {
        #[allow(dead_code)]
        impl #parameters #name #arguments #conditions {
            /// Seals each secret field by itself, and wipes it where it was; the others are cloned.
            ///
            /// # Errors
            /// [`SealError`](::strongroom::SealError); nothing is wiped then.
            #visibility fn seal_and_wipe(
                &mut self,
                vault: &::strongroom::Vault,
            ) -> ::core::result::Result<#sealed, ::strongroom::SealError> {
                let sealed = #sealed {
                    #(#plain: ::core::clone::Clone::clone(&self.#plain),)*
                    #(
                        #secret: ::strongroom::SealedField::seal::<#kinds>(&self.#secret, vault)?,
                    )*
                };
                #(<#kinds as ::strongroom::SecretField>::wipe(&mut self.#secret);)*
                ::core::result::Result::Ok(sealed)
            }
        }
    }
}

/// From the sealed twin to the open one.
fn opening(found: &Struct<'_>, names: &Names<'_>) -> TokenStream {
    let visibility = found.visibility;
    let Names { sealed, opened, secret, markers, .. } = names;
    let count = secret.len();
    quote! {
        #[allow(dead_code)]
        impl #sealed {
            /// Opens all secret fields, or none; or says at once why not.
            ///
            /// # Errors
            /// [`OpenError`](::strongroom::OpenError).
            #visibility fn try_open<O: ::strongroom::Opener>(
                &self,
                opener: O,
            ) -> ::core::result::Result<#opened<O>, ::strongroom::OpenError> {
                let requests = [#(self.#secret.request()?,)*];
                #opened::take(opener.now(&requests)?)
            }

            /// Opens all secret fields, or none, waiting up to `timeout` for room for all.
            ///
            /// # Errors
            /// [`OpenError`](::strongroom::OpenError).
            #visibility fn open_timeout<O: ::strongroom::Opener>(
                &self,
                opener: O,
                timeout: ::core::time::Duration,
            ) -> ::core::result::Result<#opened<O>, ::strongroom::OpenError> {
                let requests = [#(self.#secret.request()?,)*];
                #opened::take(opener.within(&requests, timeout)?)
            }

            /// Opens all secret fields, or none, as a future.
            ///
            /// # Errors
            /// [`OpenError`](::strongroom::OpenError), from the future.
            #visibility async fn open<O: ::strongroom::Opener>(
                &self,
                opener: O,
            ) -> ::core::result::Result<#opened<O>, ::strongroom::OpenError> {
                let requests = [#(self.#secret.request()?,)*];
                #opened::take(opener.wait(&requests).await?)
            }
        }

        #[allow(dead_code)]
        impl<O: ::strongroom::Opener> #opened<O> {
            fn take(
                [#(#secret,)*]: [O::Opened<[u8]>; #count],
            ) -> ::core::result::Result<Self, ::strongroom::OpenError> {
                ::core::result::Result::Ok(Self {
                    #(#secret: ::strongroom::SealedField::<#markers>::take::<O>(#secret)?,)*
                })
            }
        }
    }
}

/// The type that stands for a field.
pub(crate) fn marker(name: &Ident, field: &Ident) -> Ident {
    let words = field.to_string();
    let words = words.trim_start_matches("r#").split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    format_ident!("{name}{}Field", words.collect::<String>())
}
