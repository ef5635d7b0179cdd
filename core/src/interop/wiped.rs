//! The marker `ZeroizeOnDrop` of the crate `zeroize`, for whatever leaves no plaintext behind.

use bytemuck::Pod;
use zeroize::ZeroizeOnDrop;

use crate::allocate::Allocate;
use crate::buffer::Buffer;
use crate::enclave::OpenedInPlace;
use crate::owner::Owner;
use crate::secret::Secret;
use crate::string::SecretString;
use crate::vec::SecretVec;

/// With the feature `zeroize`.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use strongroom_core::{Arena, Buffer, Entropy, EntropyError};
/// # struct Board;
/// # impl Entropy for Board {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
/// #         bytes.fill(7);
/// #         Ok(())
/// #     }
/// # }
/// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
/// # let arena = Arena::new(&mut region, &mut Board)?;
/// fn use_up(key: impl zeroize::ZeroizeOnDrop) {
///     drop(key);
/// }
///
/// use_up(Buffer::random(&arena, 32)?);
/// assert_eq!(arena.stats().live, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<O: Owner, T> ZeroizeOnDrop for Buffer<'_, O, T> {}

/// With the feature `zeroize`. What the value keeps in other memory is the value's affair.
impl<T, O: Owner> ZeroizeOnDrop for Secret<'_, T, O> {}

/// With the feature `zeroize`.
impl<T: Pod, A: Allocate> ZeroizeOnDrop for SecretVec<T, A> where A::Buffer<T>: ZeroizeOnDrop {}

/// With the feature `zeroize`.
impl<A: Allocate> ZeroizeOnDrop for SecretString<A> where A::Buffer<u8>: ZeroizeOnDrop {}

/// With the feature `zeroize`. The secret is sealed again where it lies: its ciphertext takes its place.
impl<O: Owner> ZeroizeOnDrop for OpenedInPlace<'_, '_, O> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::enclave::Enclave;
    use crate::testing::with_arena;

    /// Drops what says that it wipes itself.
    fn use_up<T: ZeroizeOnDrop>(secret: T) {
        drop(secret);
    }

    #[test]
    fn what_is_marked_leaves_zeros() {
        with_arena(4096, |arena| {
            let mut line = SecretVec::new(arena);
            line.extend_from_slice(&[7_u16; 9]).unwrap();
            let mut text = SecretString::new(arena);
            text.push_str("hunter2").unwrap();
            use_up(Buffer::wiping(arena, &mut [7; 40]).unwrap());
            use_up::<Secret<'_, _, _>>(
                Secret::build(arena, |place| place.write([7_u64; 3])).unwrap(),
            );
            use_up::<SecretVec<u16, &Arena<'_, _>>>(line);
            use_up::<SecretString<&Arena<'_, _>>>(text);
            // It looks at every free byte.
            assert_eq!((arena.stats().live, arena.verify()), (0, Ok(())));
        });
    }

    #[test]
    fn what_was_open_in_place_is_sealed_again() {
        with_arena(4096, |arena| {
            let enclave = Enclave::new(arena).unwrap();
            let secret = Buffer::wiping(arena, &mut [7; 32]).unwrap();
            let mut sealed = enclave.seal_in_place(secret, b"").map_err(|(_, why)| why).unwrap();
            use_up(sealed.open(&enclave, b"").unwrap());
            assert_eq!(sealed.open(&enclave, b"").unwrap().expose_secret(), [7; 32]);
            enclave.destroy();
            assert!(sealed.open(&enclave, b"").is_err(), "it was left open");
        });
    }
}
