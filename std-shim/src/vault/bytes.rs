//! An open secret's memory, which others are sealed from and opened into, one after the other.

use super::opened::Opened;
use super::owned::OwnedOpened;

/// Holds bytes in a vault's locked memory: [`Opened`] and [`OwnedOpened`].
pub trait HoldsBytes: Send + Unpin + sealed::Sealed {}

impl HoldsBytes for Opened<'_> {}
impl HoldsBytes for OwnedOpened {}

mod sealed {
    use super::super::error::{OpenError, SealError};
    use super::super::opened::{Exposed, ExposedMut};
    use super::{Opened, OwnedOpened};

    pub trait Sealed {
        fn opened(&self) -> &Opened<'_>;

        fn bytes_mut(&mut self) -> ExposedMut<'_>;

        /// Opens a record into the first bytes, as many as it holds; the others stay.
        fn open_front(&mut self, record: &[u8], context: &[u8]) -> Result<(), OpenError>;

        /// The bytes, or none in a forked child that has no such memory.
        fn bytes(&self) -> Exposed<'_> {
            self.opened().expose_secret()
        }

        /// Whether there is anything left of the memory.
        fn check(&self) -> Result<(), OpenError> {
            self.opened().check()
        }

        /// Draws random bytes.
        fn draw(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
            self.opened().draw(bytes)
        }

        /// Seals what is here or elsewhere, in the vault of this memory.
        fn seal_slice(
            &self,
            secret: &[u8],
            context: &[u8],
            record: &mut [u8],
        ) -> Result<(), SealError> {
            self.opened().seal_slice(secret, context, record)
        }
    }

    impl Sealed for Opened<'_> {
        fn opened(&self) -> &Opened<'_> {
            self
        }

        fn bytes_mut(&mut self) -> ExposedMut<'_> {
            self.expose_secret_mut()
        }

        fn open_front(&mut self, record: &[u8], context: &[u8]) -> Result<(), OpenError> {
            self.open_front(record, context)
        }
    }

    impl Sealed for OwnedOpened {
        fn opened(&self) -> &Opened<'_> {
            self.opened()
        }

        fn bytes_mut(&mut self) -> ExposedMut<'_> {
            self.expose_secret_mut()
        }

        fn open_front(&mut self, record: &[u8], context: &[u8]) -> Result<(), OpenError> {
            self.open_front(record, context)
        }
    }
}
