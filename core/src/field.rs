//! What a field of a struct must be to be sealed by itself.

use bytemuck::Pod;

use crate::allocate::Allocate;
use crate::string::SecretString;
use crate::vec::SecretVec;
use crate::wipe::wipe;

/// A secret that a struct can have as a field which is sealed by itself: plain data, a
/// [`SecretString`], a [`SecretVec`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a secret field",
    label = "neither plain data (`bytemuck::Pod`) nor a `SecretString` nor a `SecretVec`",
    note = "what owns memory elsewhere leaves copies there: of a `String` make a `SecretString`"
)]
pub trait SecretField {
    /// What it is when it was opened: `str` for a text, `[T]` for a row of values.
    type Value: ?Sized;

    /// Calls `look` with the bytes to seal.
    fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R;

    /// Overwrites the secret with zeros; what grows is empty then, and has given its memory back.
    fn wipe(&mut self);
}

impl<T: Pod> SecretField for T {
    type Value = T;

    fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(bytemuck::bytes_of(self))
    }

    fn wipe(&mut self) {
        wipe(bytemuck::bytes_of_mut(self));
    }
}

impl<T: Pod, A: Allocate> SecretField for SecretVec<T, A> {
    type Value = [T];

    fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        self.with_secret(|values| look(bytemuck::cast_slice(values)))
    }

    fn wipe(&mut self) {
        self.give_back();
    }
}

impl<A: Allocate> SecretField for SecretString<A> {
    type Value = str;

    fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        self.with_secret(|text| look(text.as_bytes()))
    }

    fn wipe(&mut self) {
        self.give_back();
    }
}
