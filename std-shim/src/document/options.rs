//! What seeds are told, and hand on to each other.

use crate::vault::Vault;

#[derive(Clone, Copy)]
pub(super) struct Options<'v> {
    pub(super) vault: &'v Vault,
    /// What was copied on the way is taken too.
    pub(super) takes_copies: bool,
    /// The document is JSON in one piece: a secret is looked at before its escapes are undone.
    #[cfg(feature = "json")]
    pub(super) is_json: bool,
}

impl<'v> Options<'v> {
    pub(super) fn new(vault: &'v Vault) -> Self {
        Self {
            vault,
            takes_copies: false,
            #[cfg(feature = "json")]
            is_json: false,
        }
    }
}

/// The stack that parsers leave pieces of secrets on, which they look through in vector registers.
#[cfg(any(feature = "json", feature = "toml"))]
pub(super) const STACK: usize = 32 << 10;
