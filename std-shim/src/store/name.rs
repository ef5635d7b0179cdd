//! What names a secret.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// A name, as bytes that are bound to its secret: the record of one name does not open under another.
///
/// A name and what it is looked up by ([`Borrow`](std::borrow::Borrow)) give the same bytes, or the secret
/// does not open; two names that are not equal give different ones, or their records could be swapped.
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
