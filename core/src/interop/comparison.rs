//! The guards compared in the way of the crate `subtle`: in constant time, with a `Choice` as the answer.

use bytemuck::NoUninit;
use subtle::{Choice, ConstantTimeEq};

use crate::constant_time::constant_time_eq;
use crate::exposed::{Exposed, ExposedMut};
use crate::owner::Owner;

macro_rules! guards {
    ($($(#[$doc:meta])* $guard:ident;)*) => {$(
        $(#[$doc])*
        impl<T: NoUninit, O: Owner> ConstantTimeEq for $guard<'_, T, O> {
            fn ct_eq(&self, other: &Self) -> Choice {
                choice(bytemuck::bytes_of(&**self), bytemuck::bytes_of(&**other))
            }
        }

        /// With the feature `subtle`: in a time that depends on the lengths alone.
        impl<T: NoUninit, O: Owner> ConstantTimeEq for $guard<'_, [T], O> {
            fn ct_eq(&self, other: &Self) -> Choice {
                choice(bytemuck::cast_slice(self), bytemuck::cast_slice(other))
            }
        }

        /// With the feature `subtle`: in a time that depends on the lengths alone.
        impl<O: Owner> ConstantTimeEq for $guard<'_, str, O> {
            fn ct_eq(&self, other: &Self) -> Choice {
                choice(self.as_bytes(), other.as_bytes())
            }
        }
    )*};
}

guards! {
    /// With the feature `subtle`: byte for byte, in a time that depends on the type alone.
    ///
    /// A guard is compared with another of its kind; what it shows, with what no guard shows, by `==` or
    /// by `(*guard).ct_eq(bytes)`. Without the feature, `guard.ct_eq(bytes)` was the same.
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
    /// let (ours, theirs) = (ours.expose_secret(), theirs.expose_secret());
    /// assert!(bool::from(ours.ct_eq(&ours) & ours.ct_ne(&theirs)));
    /// # drop((ours, theirs));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Exposed;

    /// With the feature `subtle`: byte for byte, in a time that depends on the type alone.
    ExposedMut;
}

fn choice(a: &[u8], b: &[u8]) -> Choice {
    Choice::from(u8::from(constant_time_eq(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::secret::Secret;
    use crate::testing::with_arena;

    fn are_equal<T: ConstantTimeEq>(one: &T, other: &T) -> bool {
        let (equal, unequal) = (one.ct_eq(other), one.ct_ne(other));
        assert_ne!(equal.unwrap_u8(), unequal.unwrap_u8());
        equal.into()
    }

    #[test]
    fn every_byte_and_the_length_count() {
        with_arena(8192, |arena| {
            let buffer =
                |mut bytes: [u8; 9], len| Buffer::wiping(arena, &mut bytes[..len]).unwrap();
            let (ours, same) = (buffer([7; 9], 9), buffer([7; 9], 9));
            assert!(are_equal(&ours.expose_secret(), &same.expose_secret()));
            for place in 0..9 {
                let mut bytes = [7; 9];
                bytes[place] = 6;
                let other = buffer(bytes, 9);
                assert!(!are_equal(&ours.expose_secret(), &other.expose_secret()), "{place}");
            }
            let shorter = buffer([7; 9], 8);
            assert!(!are_equal(&ours.expose_secret(), &shorter.expose_secret()));
        });
    }

    #[test]
    fn texts_and_values_compare_to_be_changed_too() {
        with_arena(8192, |arena| {
            let mut secrets = [5_u64, 5, 5 << 60].map(|word| {
                Secret::<[u64; 2]>::build(arena, |place| place.write([word, 1])).unwrap()
            });
            let [one, same, other] = secrets.each_mut();
            assert!(are_equal(&one.expose_secret(), &same.expose_secret()));
            assert!(!are_equal(&one.expose_secret(), &other.expose_secret()));
            assert!(are_equal(&one.expose_secret_mut(), &same.expose_secret_mut()));
            assert!(!are_equal(&one.expose_secret_mut(), &other.expose_secret_mut()));
            let text = |text| Exposed::<str, _>::new(arena.owner(), text);
            assert!(are_equal(&text("hunter2"), &text("hunter2")));
            assert!(!are_equal(&text("hunter2"), &text("hunter3")));
        });
    }
}
