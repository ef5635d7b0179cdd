//! Where randomness comes from: the caller, through one trait.

use crate::error::EntropyError;

/// A source of unpredictable bytes, such as `getrandom(2)`, RDRAND or a hardware generator.
///
/// It is asked once for each arena (32 bytes, the seed of the generator that serves the rest) and
/// whenever the caller reseeds.
///
/// ```
/// use strongroom_core::{Entropy, EntropyError};
///
/// /// A board's hardware generator, which can report that it is not ready.
/// struct Board;
///
/// impl Entropy for Board {
///     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
///         for byte in bytes {
///             *byte = read_register().ok_or(EntropyError)?;
///         }
///         Ok(())
///     }
/// }
/// # fn read_register() -> Option<u8> { Some(4) }
/// # let mut bytes = [0; 32];
/// # Board.fill(&mut bytes).unwrap();
/// # assert_eq!(bytes, [4; 32]);
/// ```
pub trait Entropy {
    /// Fills all of `bytes` with unpredictable bytes.
    ///
    /// # Errors
    /// [`EntropyError`] if the source cannot deliver; `bytes` may then hold anything.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        (**self).fill(bytes)
    }
}
