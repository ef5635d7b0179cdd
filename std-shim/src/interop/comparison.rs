//! Open secrets compared with each other in the way of the crate `subtle`.

use bytemuck::Pod;
use subtle::{Choice, ConstantTimeEq};

use crate::vault::{Opened, OwnedOpened};

macro_rules! compares {
    ($($(#[$doc:meta])* [$($generics:tt)*] $secret:ty;)*) => {$(
        $(#[$doc])*
        impl<$($generics)*> ConstantTimeEq for $secret {
            fn ct_eq(&self, other: &Self) -> Choice {
                Choice::from(u8::from(self.constant_time_eq(&other.expose_secret())))
            }
        }
    )*};
}

compares! {
    /// With the feature `subtle`: in a time that depends on the lengths alone.
    ///
    /// ```
    /// use strongroom::Vault;
    /// use subtle::ConstantTimeEq;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let sealed = vault.seal(b"hunter2", b"")?;
    /// let (one, other) = (vault.try_open(&sealed, b"")?, vault.try_open(&sealed, b"")?);
    /// assert!(bool::from(one.ct_eq(&other)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    [T: Pod] Opened<'_, [T]>;

    /// With the feature `subtle`: in a time that depends on the lengths alone.
    [T: Pod] OwnedOpened<[T]>;

    /// With the feature `subtle`: byte for byte, in a time that depends on the type alone.
    [T: Pod] Opened<'_, T>;

    /// With the feature `subtle`: byte for byte, in a time that depends on the type alone.
    [T: Pod] OwnedOpened<T>;
}
