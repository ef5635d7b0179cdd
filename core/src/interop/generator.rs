//! The arena's generator as the crate `rand_core` has it, for whatever draws random values.

use core::convert::Infallible;
use core::fmt::{self, Debug, Formatter};

use rand_core::{TryCryptoRng, TryRng};

use crate::arena::Arena;
use crate::owner::{Owner, Spin};

/// With the feature `rand_core-0_10`: an arena's generator, for whatever takes a `CryptoRng`; from
/// [`Arena::generator`].
///
/// It holds no state of its own: all that is drawn comes from the generator in the region, and several
/// draw from it at the same time. A number is returned by value, and so lies on the stack; a key is
/// better filled in its place, by [`Arena::fill_random`] or `fill_bytes`.
pub struct Generator<'a, O: Owner = Spin> {
    arena: &'a Arena<'a, O>,
}

impl<O: Owner> Arena<'_, O> {
    /// With the feature `rand_core-0_10`: the generator, as that crate's traits have it. It never fails.
    ///
    /// ```
    /// use rand_core::{CryptoRng, Rng};
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
    /// fn make_key(key: &mut [u8], generator: &mut impl CryptoRng) {
    ///     generator.fill_bytes(key);
    /// }
    ///
    /// let mut key = Buffer::new(&arena, 32)?;
    /// make_key(&mut key.expose_secret_mut(), &mut arena.generator());
    /// assert!(!key.constant_time_eq(&[0; 32]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn generator(&self) -> Generator<'_, O> {
        Generator { arena: self }
    }
}

impl<O: Owner> TryRng for Generator<'_, O> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut number = 0;
        self.arena.fill_random(bytemuck::bytes_of_mut(&mut number));
        Ok(number)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut number = 0;
        self.arena.fill_random(bytemuck::bytes_of_mut(&mut number));
        Ok(number)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.arena.fill_random(bytes);
        Ok(())
    }
}

impl<O: Owner> TryCryptoRng for Generator<'_, O> {}

impl<O: Owner> Debug for Generator<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec;

    use rand_core::{CryptoRng, Rng};

    use crate::testing::with_arena;

    /// What a generator gives: bytes, a word, half a word.
    fn draw(generator: &mut impl CryptoRng) -> ([u8; 41], u64, u32) {
        let mut bytes = [0; 41];
        generator.fill_bytes(&mut bytes);
        (bytes, generator.next_u64(), generator.next_u32())
    }

    #[test]
    fn what_is_drawn_is_what_the_arena_gives() {
        let drawn = with_arena(4096, |arena| draw(&mut arena.generator()));
        // Of the same seed.
        let (mut bytes, mut word, mut half) = ([0; 41], [0; 8], [0; 4]);
        with_arena(4096, |arena| {
            arena.fill_random(&mut bytes);
            arena.fill_random(&mut word);
            arena.fill_random(&mut half);
        });
        assert_eq!(drawn, (bytes, u64::from_ne_bytes(word), u32::from_ne_bytes(half)));
    }

    #[test]
    fn handles_share_one_state_and_show_none_of_it() {
        with_arena(4096, |arena| {
            let (mut one, mut other) = (arena.generator(), arena.generator());
            let mut drawn = vec![one.next_u64(), other.next_u64(), one.next_u64()];
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 3);
            assert_eq!(format!("{one:?}"), "Generator { .. }");
        });
    }
}
