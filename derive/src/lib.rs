//! `#[derive(SealFields)]` for [strongroom](https://docs.rs/strongroom), which shows it with its feature
//! `derive`.
//!
//! `read` finds out which fields are secret, and `attributes` what they are called in a document; `write`
//! makes the types, and `deserialize` what reads them from a document.
#![forbid(unsafe_code)]

mod attributes;
mod deserialize;
mod read;
mod write;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes of a struct `Account` a sealed twin `SealedAccount`, in which the fields marked `#[secret]` are
/// records and all others are as they were, and an `OpenedAccount` of the secret ones.
///
/// ```
/// use std::time::Duration;
/// use strongroom::{SealFields, SecretString, Share, Vault};
/// use std::sync::Arc;
///
/// #[derive(SealFields)]
/// struct Account {
///     user: String,
///     #[secret]
///     password: SecretString<Share>,
///     #[secret]
///     token: [u8; 32],
/// }
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let mut password = SecretString::new(vault.share());
/// password.push_str("hunter2")?;
/// let mut account = Account { user: "alice".into(), password, token: [7; 32] };
///
/// // What was secret in the struct is wiped.
/// let sealed: SealedAccount = account.seal_and_wipe(&vault)?;
/// assert!(account.password.is_empty() && account.token == [0; 32]);
/// assert_eq!(sealed.user, "alice");
///
/// // One field, or all of them: all or none, in one wait.
/// let token = sealed.token.try_open(&*vault)?;
/// assert_eq!(token.expose_secret()[0], 7);
/// drop(token);
/// let opened = sealed.open_timeout(&*vault, Duration::from_secs(1))?;
/// assert_eq!(opened.password.expose_secret(), "hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A secret field is a `strongroom::SecretField`: plain data, a `SecretString` or a `SecretVec`. The
/// twin's is a `strongroom::SealedField`, which is opened by itself; the twin has `try_open`,
/// `open_timeout` and `open` for all at once. Each takes a reference to a vault, a reserve, or a reference
/// to a share, for secrets that borrow or that own. Each field's record is bound to the struct, by its
/// path, and to the field, by its name: no other's can stand in its place. Two structs of one type are
/// not told apart.
///
/// The other fields of the twin are cloned. The types have the struct's visibility, the fields their
/// own; a struct may have lifetimes, in its secret fields, and no other parameters.
///
/// What cannot be a secret field is refused:
///
/// ```compile_fail,E0277
/// use strongroom::SealFields;
///
/// #[derive(SealFields)]
/// struct Account {
///     #[secret]
///     password: String,
/// }
/// ```
///
/// # From a document
/// With strongroom's feature `serde`, a struct with `#[seal(deserialize)]` has a seed that reads the
/// sealed twin: each secret goes from where the parser has it into the vault, the other fields are what
/// their `Deserialize` makes of them.
///
/// ```
/// use strongroom::{SealFields, SecretString, Share, Vault};
///
/// #[derive(SealFields)]
/// #[seal(deserialize)]
/// struct Account {
///     user: String,
///     #[serde(rename = "pass-word", alias = "password")]
///     #[secret]
///     password: SecretString<Share>,
/// }
///
/// let vault = Vault::new(64 * 1024)?;
/// // Better a file: `vault.read_file(…)`.
/// let document = br#"{"user": "alice", "password": "hunter2"}"#;
/// let sealed = SealedAccount::seed(&vault).read_json(document)?;
/// assert_eq!(sealed.password.try_open(&vault)?.expose_secret(), "hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A field that is such a twin itself is marked with `#[seal(nested)]`; where there is one, the struct
/// needs no secret field of its own. Of serde's attributes, `rename`, `alias`, `default` (not of secrets)
/// and the struct's `deny_unknown_fields` mean what they mean there; all others are refused.
#[proc_macro_derive(SealFields, attributes(seal, secret, serde))]
pub fn seal_fields(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let written = read::Struct::read(&input).map(|found| write::write(&found));
    written.unwrap_or_else(syn::Error::into_compile_error).into()
}
