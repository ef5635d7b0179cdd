//! Secrets compared with each other in the way of the crate `subtle`: in constant time, with a `Choice` as the answer.

use bytemuck::{NoUninit, Pod};
use subtle::{Choice, ConstantTimeEq};

use crate::allocate::Allocate;
use crate::buffer::Buffer;
use crate::owner::Owner;
use crate::secret::Secret;
use crate::string::SecretString;
use crate::vec::SecretVec;

/// With the feature `subtle`: in a time that depends on the lengths alone.
///
/// Secrets are compared with each other. What the guards show has the trait already: a slice's own is
/// `(*guard).ct_eq(bytes)`.
///
/// ```
/// use subtle::ConstantTimeEq;
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
///
/// let ours = Buffer::wiping(&arena, &mut b"hunter2".to_vec())?;
/// let theirs = Buffer::wiping(&arena, &mut b"hunter3".to_vec())?;
/// assert!(bool::from(ours.ct_eq(&ours) & ours.ct_ne(&theirs)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: NoUninit, O: Owner> ConstantTimeEq for Buffer<'_, O, T> {
    fn ct_eq(&self, other: &Self) -> Choice {
        choice(self.constant_time_eq(&other.expose_secret()))
    }
}

/// With the feature `subtle`: byte for byte, in a time that depends on the type alone.
impl<T: NoUninit, O: Owner> ConstantTimeEq for Secret<'_, T, O> {
    fn ct_eq(&self, other: &Self) -> Choice {
        choice(self.constant_time_eq(&other.expose_secret()))
    }
}

/// With the feature `subtle`: in a time that depends on the lengths alone.
impl<T: Pod, A: Allocate> ConstantTimeEq for SecretVec<T, A> {
    fn ct_eq(&self, other: &Self) -> Choice {
        choice(self.constant_time_eq(&other.expose_secret()))
    }
}

/// With the feature `subtle`: in a time that depends on the lengths, and on whether it is ASCII.
impl<A: Allocate> ConstantTimeEq for SecretString<A> {
    fn ct_eq(&self, other: &Self) -> Choice {
        choice(self.constant_time_eq(&other.expose_secret()))
    }
}

fn choice(are_equal: bool) -> Choice {
    Choice::from(u8::from(are_equal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_arena;

    fn are_equal<T: ConstantTimeEq>(one: &T, other: &T) -> bool {
        let (equal, unequal) = (one.ct_eq(other), one.ct_ne(other));
        assert_ne!(equal.unwrap_u8(), unequal.unwrap_u8());
        equal.into()
    }

    #[test]
    fn every_byte_and_the_length_count() {
        with_arena(8192, |arena| {
            // By reference: rustc 1.95 gives a closure an array by value twice, the second time as it was left.
            let buffer = |bytes: &[u8]| Buffer::wiping(arena, &mut bytes.to_vec()).unwrap();
            let (ours, same) = (buffer(&[7; 9]), buffer(&[7; 9]));
            assert!(are_equal(&ours, &same));
            for place in 0..9 {
                let mut bytes = [7; 9];
                bytes[place] = 6;
                assert!(!are_equal(&ours, &buffer(&bytes)), "{place}");
            }
            assert!(!are_equal(&ours, &buffer(&[7; 8])));
        });
    }

    #[test]
    fn values_and_what_grows_compare_too() {
        with_arena(8192, |arena| {
            let [one, same, other] = [5_u64, 5, 5 << 60].map(|word| {
                Secret::<[u64; 2], _>::build(arena, |place| place.write([word, 1])).unwrap()
            });
            assert!(are_equal(&one, &same) && !are_equal(&one, &other));
            let [one, same, other] = ["hunter2", "hunter2", "hunter3"].map(|password| {
                let mut text = SecretString::with_capacity(arena, password.len()).unwrap();
                text.push_str(password).unwrap();
                text
            });
            assert!(are_equal(&one, &same) && !are_equal(&one, &other));
            let [one, same, other] = [one, same, other].map(SecretString::into_bytes);
            assert!(are_equal(&one, &same) && !are_equal(&one, &other));
        });
    }
}
