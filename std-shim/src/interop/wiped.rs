//! The marker `ZeroizeOnDrop` of the crate `zeroize`, for what is open in a vault.

use zeroize::ZeroizeOnDrop;

use crate::vault::{Opened, OwnedOpened};

/// With the feature `zeroize`.
///
/// ```
/// use strongroom::Vault;
///
/// fn use_up(key: impl zeroize::ZeroizeOnDrop) {
///     drop(key);
/// }
///
/// let vault = Vault::new(64 * 1024)?;
/// use_up(vault.try_allocate(32)?);
/// assert_eq!(vault.held(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: ?Sized> ZeroizeOnDrop for Opened<'_, T> {}

/// With the feature `zeroize`.
impl<T: ?Sized> ZeroizeOnDrop for OwnedOpened<T> {}
