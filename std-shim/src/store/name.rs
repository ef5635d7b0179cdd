//! What names a secret.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// A name is its bytes: it is found by them, and they are bound to its secret, so that the record of one
/// name does not open under another. Two values that give the same bytes are the same name.
///
/// A value gives the same bytes each time, and what it is looked up by ([`Borrow`](std::borrow::Borrow))
/// gives those too, or the name is not found.
pub trait Name {
    /// The name's bytes. They are no secret.
    fn name_bytes(&self) -> &[u8];
}

impl Name for [u8] {
    fn name_bytes(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> Name for [u8; N] {
    fn name_bytes(&self) -> &[u8] {
        self
    }
}

impl Name for str {
    fn name_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Name for String {
    fn name_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T> Name for Vec<T>
where
    [T]: Name,
{
    fn name_bytes(&self) -> &[u8] {
        self.as_slice().name_bytes()
    }
}

macro_rules! as_what_it_points_to {
    ($($pointer:ty),*) => {
        $(
            impl<T: Name + ?Sized> Name for $pointer {
                fn name_bytes(&self) -> &[u8] {
                    (**self).name_bytes()
                }
            }
        )*
    };
}

as_what_it_points_to!(&T, Box<T>, Arc<T>, Rc<T>);

impl<T: Name + ToOwned + ?Sized> Name for Cow<'_, T> {
    fn name_bytes(&self) -> &[u8] {
        (**self).name_bytes()
    }
}
