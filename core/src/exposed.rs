//! A secret's value, for as long as somebody looks at it.

use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use bytemuck::NoUninit;

use crate::constant_time::constant_time_eq;
use crate::owner::{Door, Owner, Spin};

/// A guard through which a secret is read. It ends when it is dropped, by a panic too, and with it ends
/// the window in the owner's gate ([`Owner::open`]); guards nest.
///
/// It dereferences to the value, compares with bytes in constant time, prints nothing, and stays in its
/// thread: the gate was opened for that one.
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
/// # let arena = Arena::new(&mut region[..], &mut Board)?;
/// let password = Buffer::wiping(&arena, &mut b"hunter2".to_vec())?;
/// let exposed = password.expose_secret();
/// assert_eq!(exposed.len(), 7);
/// assert!(exposed.starts_with(b"hunt") && exposed == b"hunter2");
/// assert_eq!(format!("{exposed:?}"), "Exposed { .. }");
/// # drop(exposed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It cannot be sent to another thread, nor can what it shows outlive it:
///
/// ```compile_fail,E0277
/// # use strongroom_core::Buffer;
/// # fn send(secret: &Buffer<'_>) {
/// let exposed = secret.expose_secret();
/// std::thread::scope(|scope| { scope.spawn(move || exposed.len()); });
/// # }
/// ```
///
/// ```compile_fail,E0515
/// # use strongroom_core::Buffer;
/// fn outlives<'b>(secret: &'b Buffer<'_>) -> &'b [u8] {
///     &*secret.expose_secret()
/// }
/// ```
#[must_use = "a secret is exposed only while the guard lives"]
pub struct Exposed<'s, T: ?Sized, O: Owner + 's = Spin> {
    value: &'s T,
    window: O::Window<'s>,
    thread: ThisThread,
}

/// A guard through which a secret is read and changed; otherwise as [`Exposed`].
#[must_use = "a secret is exposed only while the guard lives"]
pub struct ExposedMut<'s, T: ?Sized, O: Owner + 's = Spin> {
    value: &'s mut T,
    window: O::Window<'s>,
    thread: ThisThread,
}

/// Neither `Send` nor `Sync`.
type ThisThread = PhantomData<*const ()>;

impl<'s, T: ?Sized, O: Owner> Exposed<'s, T, O> {
    /// Opens the owner's gate for a value that lies behind it, for those who build secrets of their own
    /// kind on an arena's memory.
    #[inline]
    pub fn new(owner: &'s O, value: &'s T) -> Self {
        Self { window: owner.open(Door::Expose), value, thread: PhantomData }
    }

    /// A guard of a part of the value.
    ///
    /// A function of the type and no method, so that it hides none of the value's.
    #[inline]
    pub fn map<U: ?Sized>(exposed: Self, part: impl FnOnce(&T) -> &U) -> Exposed<'s, U, O> {
        Exposed { value: part(exposed.value), window: exposed.window, thread: PhantomData }
    }
}

impl<'s, T: ?Sized, O: Owner> ExposedMut<'s, T, O> {
    /// As [`Exposed::new`].
    #[inline]
    pub fn new(owner: &'s O, value: &'s mut T) -> Self {
        Self { window: owner.open(Door::Expose), value, thread: PhantomData }
    }

    /// As [`Exposed::map`].
    #[inline]
    pub fn map<U: ?Sized>(
        exposed: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> ExposedMut<'s, U, O> {
        ExposedMut { value: part(exposed.value), window: exposed.window, thread: PhantomData }
    }
}

impl<T: ?Sized, O: Owner> Deref for Exposed<'_, T, O> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: ?Sized, O: Owner> Deref for ExposedMut<'_, T, O> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: ?Sized, O: Owner> DerefMut for ExposedMut<'_, T, O> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}

macro_rules! guards {
    ($($guard:ident)*) => {$(
        impl<T: ?Sized, O: Owner> Debug for $guard<'_, T, O> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard)).finish_non_exhaustive()
            }
        }

        impl<T: AsRef<U> + ?Sized, U: ?Sized, O: Owner> AsRef<U> for $guard<'_, T, O> {
            #[inline]
            fn as_ref(&self) -> &U {
                (**self).as_ref()
            }
        }

        /// In a time that depends on the lengths alone.
        impl<B: AsRef<[u8]> + ?Sized, O: Owner> PartialEq<B> for $guard<'_, [u8], O> {
            fn eq(&self, other: &B) -> bool {
                constant_time_eq(self, other.as_ref())
            }
        }

        /// In a time that depends on the lengths alone.
        impl<B: AsRef<[u8]> + ?Sized, O: Owner> PartialEq<B> for $guard<'_, str, O> {
            fn eq(&self, other: &B) -> bool {
                constant_time_eq(self.as_bytes(), other.as_ref())
            }
        }

        /// Byte for byte, in a time that depends on the type alone.
        impl<T: NoUninit, O: Owner> PartialEq<T> for $guard<'_, T, O> {
            fn eq(&self, other: &T) -> bool {
                constant_time_eq(bytemuck::bytes_of(&**self), bytemuck::bytes_of(other))
            }
        }
    )*};
}

guards!(Exposed ExposedMut);

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::vec;

    use super::{Exposed, ExposedMut};
    use crate::arena::Arena;
    use crate::buffer::Buffer;
    use crate::enclave::Enclave;
    use crate::lock::SpinLock;
    use crate::owner::{Door, Owner};
    use crate::secret::Secret;
    use crate::shards::Shards;
    use crate::testing::Counting;

    /// A gate that counts the windows that are open.
    #[derive(Default)]
    struct Gate(AtomicUsize);

    struct Window<'o>(&'o Gate);

    impl Drop for Window<'_> {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Relaxed);
        }
    }

    impl Owner for Gate {
        type Lock = SpinLock;
        type Shards = Shards<1>;
        type Window<'o> = Window<'o>;

        fn open(&self, _: Door) -> Window<'_> {
            self.0.fetch_add(1, Relaxed);
            Window(self)
        }
    }

    #[test]
    fn the_gate_is_open_for_as_long_as_a_guard_lives() {
        let mut region = vec![MaybeUninit::uninit(); 4096];
        let arena = Arena::with_owner(&mut region[..], &mut Counting(1), Gate::default()).unwrap();
        let open = || arena.owner().0.load(Relaxed);
        let mut secret = Buffer::wiping(&arena, &mut [1, 2, 3]).unwrap();
        let mut typed = Secret::<[u64; 2], Gate>::zeroed(&arena).unwrap();
        assert_eq!(open(), 0);
        {
            let (one, two) = (secret.expose_secret(), secret.expose_secret());
            assert_eq!(open(), 2, "guards nest");
            drop(one);
            assert_eq!((two[2], open()), (3, 1));
        }
        secret.expose_secret_mut()[0] = 9;
        typed.expose_secret_mut()[1] = 8;
        assert!(secret.with_secret(|bytes| bytes == [9, 2, 3] && open() == 1));
        assert!(typed.with_secret(|words| *words == [0, 8] && open() == 1));
        assert_eq!(open(), 0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = secret.expose_secret_mut();
            panic!("while it is exposed")
        }));
        assert!(panicked.is_err() && open() == 0);
        let enclave = Enclave::new(&arena).unwrap();
        let mut sealed = enclave.seal_in_place(secret, b"").map_err(|(_, error)| error).unwrap();
        let mut opened = sealed.open(&enclave, b"").unwrap();
        assert_eq!(open(), 0);
        opened.expose_secret_mut()[1] = 7;
        assert!(opened.expose_secret() == [9, 7, 3] && open() == 0);
    }

    #[test]
    fn parts_are_guarded_like_the_whole() {
        let mut region = vec![MaybeUninit::uninit(); 4096];
        let arena = Arena::with_owner(&mut region[..], &mut Counting(1), Gate::default()).unwrap();
        let mut secret = Secret::<[u64; 2], Gate>::zeroed(&arena).unwrap();
        *ExposedMut::map(secret.expose_secret_mut(), |words| &mut words[1]) = 5;
        let part = Exposed::map(secret.expose_secret(), |words| &words[1]);
        assert!(part == 5 && arena.owner().0.load(Relaxed) == 1);
    }

    #[test]
    fn guards_compare_every_byte_with_slices_arrays_and_values() {
        let mut region = vec![MaybeUninit::uninit(); 4096];
        let arena = Arena::with_owner(&mut region[..], &mut Counting(1), Gate::default()).unwrap();
        let mut secret = Buffer::wiping(&arena, &mut [1, 2, 3]).unwrap();
        let exposed = secret.expose_secret();
        let (slice, vector) = (&[1, 2, 3][..], vec![1, 2, 3]);
        assert!(exposed == [1, 2, 3] && exposed == slice && exposed == *slice && exposed == vector);
        assert!(exposed != [1, 2] && exposed != [1, 2, 4] && exposed != [0, 2, 3]);
        drop(exposed);
        let exposed = secret.expose_secret_mut();
        assert!(exposed == [1, 2, 3] && exposed != [0, 2, 3]);
        drop(exposed);
        let typed = Secret::<[u64; 2], Gate>::zeroed(&arena).unwrap();
        assert!(typed.expose_secret() == [0, 0] && typed.expose_secret() != [0, 1 << 63]);
    }
}
