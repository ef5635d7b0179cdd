//! Memory of a vault's for secrets that grow.

use bytemuck::Pod;
use strongroom_core::Allocate;

use super::Vault;
use super::error::OpenError;
use super::opened::{Exposed, ExposedMut, Opened};
use super::opener::Opener;
use super::owned::OwnedOpened;
use super::request::Request;
use super::reserve::Reserve;
use super::segment::{NO_GATE, VaultOwner};
use super::share::Share;

macro_rules! growing {
    ([$($generics:tt)*] $allocator:ty, $buffer:ident $(<$lifetime:lifetime>)?) => {
        /// Growing never waits: to wait for room while one holds some may be to wait for ever. Begin with
        /// [`SecretVec::from_buffer`](strongroom_core::SecretVec::from_buffer) and what was waited for.
        impl $($generics)* Allocate for $allocator {
            type Owner = VaultOwner;
            type Buffer<T: Pod> = $buffer<$($lifetime,)? [T]>;
            type Error = OpenError;

            fn owner(&self) -> &VaultOwner {
                // Of nothing yet.
                &NO_GATE
            }

            fn buffer<T: Pod>(&self, len: usize) -> Result<Self::Buffer<T>, OpenError> {
                let opened = self.now(&Request::allocate_values::<T>(len))?;
                Ok(opened.typed())
            }

            fn expose<T: Pod>(buffer: &Self::Buffer<T>) -> Exposed<'_, [T]> {
                buffer.expose_secret()
            }

            fn expose_mut<T: Pod>(buffer: &mut Self::Buffer<T>) -> ExposedMut<'_, [T]> {
                buffer.expose_secret_mut()
            }
        }
    };
}

growing!([<'v>] &'v Vault, Opened<'v>);
growing!([<'v>] Reserve<'v>, Opened<'v>);
growing!([] Share, OwnedOpened);
