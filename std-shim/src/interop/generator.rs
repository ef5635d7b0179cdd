//! A vault's generator as the crate `rand_core` has it, for whatever draws random values.

use std::fmt::{self, Debug, Formatter};

use rand_core::{TryCryptoRng, TryRng};

use crate::vault::{OpenError, Vault};

/// With the feature `rand_core-0_10`: a vault's generator, for whatever takes a `TryCryptoRng`; from
/// [`Vault::generator`].
///
/// It holds no state of its own, and several draw at the same time. A number is returned by value, and
/// so lies on the stack; a key is better filled in its place, by [`Vault::fill_random`] or
/// `try_fill_bytes`.
pub struct VaultGenerator<'v> {
    vault: &'v Vault,
}

impl Vault {
    /// With the feature `rand_core-0_10`: the generator, as that crate's traits have it. It fails as
    /// [`fill_random`](Self::fill_random) does: in a forked child, and after an emergency.
    ///
    /// What takes no generator that can fail takes it in `rand_core::UnwrapErr`, which panics then.
    ///
    /// ```
    /// use rand_core::{CryptoRng, TryRng, UnwrapErr};
    /// use strongroom::Vault;
    ///
    /// fn make_key(key: &mut [u8], generator: &mut impl CryptoRng) {
    ///     generator.fill_bytes(key);
    /// }
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let mut nonce = [0; 12];
    /// vault.generator().try_fill_bytes(&mut nonce)?;
    ///
    /// let mut key = vault.try_allocate(32)?;
    /// make_key(&mut key.expose_secret_mut(), &mut UnwrapErr(vault.generator()));
    /// assert!(!key.constant_time_eq(&[0; 32]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn generator(&self) -> VaultGenerator<'_> {
        VaultGenerator { vault: self }
    }
}

impl TryRng for VaultGenerator<'_> {
    type Error = OpenError;

    fn try_next_u32(&mut self) -> Result<u32, OpenError> {
        let mut number = 0;
        self.vault.fill_random(bytemuck::bytes_of_mut(&mut number))?;
        Ok(number)
    }

    fn try_next_u64(&mut self) -> Result<u64, OpenError> {
        let mut number = 0;
        self.vault.fill_random(bytemuck::bytes_of_mut(&mut number))?;
        Ok(number)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.vault.fill_random(bytes)
    }
}

impl TryCryptoRng for VaultGenerator<'_> {}

impl Debug for VaultGenerator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultGenerator").finish_non_exhaustive()
    }
}
