//! Opening as values, for all who open: a vault, a reserve, a share.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::time::Duration;

use bytemuck::Pod;

use super::admission::Party;
use super::built::{Built, Holds};
use super::error::OpenError;
use super::opened::Opened;
use super::request::{Request, Requests};
use super::reserve::Reserve;
use super::{Sealed, Vault};

/// Secrets as values: what can be asked of a vault, of a [`Reserve`] and of a [`Share`](super::Share) alike.
///
/// ```
/// use std::time::Duration;
/// use strongroom::{Opener, Vault};
///
/// let vault = Vault::new(64 * 1024)?;
///
/// // A new key, made where it stays.
/// let mut key = vault.try_allocate_value::<[u8; 32]>()?;
/// key.fill_random()?;
/// let sealed = key.seal(b"key")?;
///
/// let opened = vault.open_value_timeout::<[u8; 32]>(&sealed, b"key", Duration::from_secs(1))?;
/// assert!(opened.constant_time_eq(&key.expose_secret()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Values are plain data ([`bytemuck::Pod`]): all bytes are part of the value, and any bytes are one.
/// What else is to be in locked memory is [built](Self::try_build) there, and cannot be sealed.
pub trait Opener: Send + Sized + sealed::Sealed {
    /// An open secret: an [`Opened`] that borrows the vault, or an
    /// [`OwnedOpened`](super::OwnedOpened) that owns a share.
    type Opened<T: ?Sized>: Holds + Send;

    #[doc(hidden)]
    fn now<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Result<R::Each<Self::Opened<[u8]>>, OpenError>;

    #[doc(hidden)]
    fn within<R: Requests + ?Sized>(
        self,
        requests: &R,
        timeout: Duration,
    ) -> Result<R::Each<Self::Opened<[u8]>>, OpenError>;

    #[doc(hidden)]
    fn wait<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> impl Future<Output = Result<R::Each<Self::Opened<[u8]>>, OpenError>> + Send;

    #[doc(hidden)]
    fn typed<T: ?Sized>(opened: Self::Opened<[u8]>) -> Self::Opened<T>;

    /// Opens a sealed value, or says at once why not; see [`Vault::try_open`].
    ///
    /// # Errors
    /// [`OpenError`]; and [`strongroom_core::OpenError::OtherSize`] in it if the record is not as long as
    /// a `T`'s.
    fn try_open_value<T: Pod>(
        self,
        sealed: &Sealed<impl AsRef<[u8]>>,
        context: &[u8],
    ) -> Result<Self::Opened<T>, OpenError> {
        let request = Request::open_value::<T, _>(sealed, context)?;
        self.now(&request).map(Self::typed)
    }

    /// Opens a sealed value, waiting up to `timeout` for room; see [`Vault::open_timeout`].
    ///
    /// # Errors
    /// As for [`try_open_value`](Self::try_open_value).
    fn open_value_timeout<T: Pod>(
        self,
        sealed: &Sealed<impl AsRef<[u8]>>,
        context: &[u8],
        timeout: Duration,
    ) -> Result<Self::Opened<T>, OpenError> {
        let request = Request::open_value::<T, _>(sealed, context)?;
        self.within(&request, timeout).map(Self::typed)
    }

    /// Opens a sealed value as a future; see [`Vault::open`]. It owns the record and the context: give it
    /// references, or what it can keep.
    ///
    /// # Errors
    /// As for [`try_open_value`](Self::try_open_value), from the future.
    fn open_value<T: Pod>(
        self,
        sealed: Sealed<impl AsRef<[u8]> + Send + Sync>,
        context: impl AsRef<[u8]> + Send + Sync,
    ) -> impl Future<Output = Result<Self::Opened<T>, OpenError>> + Send {
        async move {
            let request = Request::open_value::<T, _>(&sealed, context.as_ref())?;
            self.wait(&request).await.map(Self::typed)
        }
    }

    /// Room for a new value, all of whose bytes are zero, to be filled in place; or says at once why there
    /// is none.
    ///
    /// # Errors
    /// [`OpenError`].
    fn try_allocate_value<T: Pod>(self) -> Result<Self::Opened<T>, OpenError> {
        let request = Request::allocate_values::<T>(1);
        self.now(&request).map(Self::typed)
    }

    /// Room for a new value, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// [`OpenError`].
    fn allocate_value_timeout<T: Pod>(
        self,
        timeout: Duration,
    ) -> Result<Self::Opened<T>, OpenError> {
        let request = Request::allocate_values::<T>(1);
        self.within(&request, timeout).map(Self::typed)
    }

    /// Room for a new value, as a future.
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    fn allocate_value<T: Pod>(
        self,
    ) -> impl Future<Output = Result<Self::Opened<T>, OpenError>> + Send {
        async move {
            let request = Request::allocate_values::<T>(1);
            self.wait(&request).await.map(Self::typed)
        }
    }

    /// Opens sealed secrets, each with its context, all or none, where how many is known only when the program
    /// runs; or says at once why not. [`Vault::try_open_all`] is for two or three.
    ///
    /// ```
    /// use strongroom::{Opener, Vault};
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let names: Vec<String> = (0..100).map(|number| format!("db/{number}")).collect();
    /// let sealed: Result<Vec<_>, _> =
    ///     names.iter().map(|name| vault.seal(b"hunter2", name.as_bytes())).collect();
    /// let sealed = sealed?;
    ///
    /// let named = sealed.iter().zip(&names).map(|(sealed, name)| (sealed, name.as_bytes()));
    /// let opened = vault.try_open_many(named)?;
    /// assert!(opened.len() == 100 && opened.iter().all(|opened| opened.constant_time_eq(b"hunter2")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]; and [`OpenError::NeverTogether`] if the budget is too small for all of them.
    fn try_open_many<'r, S: AsRef<[u8]> + 'r>(
        self,
        sealed: impl IntoIterator<Item = (&'r Sealed<S>, &'r [u8])>,
    ) -> Result<Vec<Self::Opened<[u8]>>, OpenError> {
        self.now(&*requests(sealed))
    }

    /// Opens sealed secrets, all or none, waiting up to `timeout` for room for all: one place in line, and one
    /// wait; see [`try_open_many`](Self::try_open_many).
    ///
    /// # Errors
    /// As for [`try_open_many`](Self::try_open_many), but for a full budget only when the time is up.
    fn open_many_timeout<'r, S: AsRef<[u8]> + 'r>(
        self,
        sealed: impl IntoIterator<Item = (&'r Sealed<S>, &'r [u8])>,
        timeout: Duration,
    ) -> Result<Vec<Self::Opened<[u8]>>, OpenError> {
        self.within(&*requests(sealed), timeout)
    }

    /// Opens sealed secrets, all or none, as a future, which owns the records and the contexts; see
    /// [`try_open_many`](Self::try_open_many).
    ///
    /// # Errors
    /// As for [`try_open_many`](Self::try_open_many), from the future.
    fn open_many<S: AsRef<[u8]> + Send + Sync, C: AsRef<[u8]> + Send + Sync>(
        self,
        sealed: Vec<(Sealed<S>, C)>,
    ) -> impl Future<Output = Result<Vec<Self::Opened<[u8]>>, OpenError>> + Send {
        async move {
            let lent = sealed.iter().map(|(sealed, context)| (sealed, context.as_ref()));
            let requests = requests(lent);
            self.wait(&*requests).await
        }
    }

    /// Room for several new secrets of so many bytes each, all or none; or says at once why there is none.
    /// Whoever needs room for two at once, to copy from one into the other, say, takes it in one go: to hold
    /// one and wait for the next may be to wait for ever.
    ///
    /// ```
    /// use strongroom::{Opener, Vault};
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let [from, to] = vault.try_allocate_all([1024, 4096])?;
    /// assert_eq!((from.len(), to.len()), (1024, 4096));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`].
    fn try_allocate_all<const N: usize>(
        self,
        lens: [usize; N],
    ) -> Result<[Self::Opened<[u8]>; N], OpenError> {
        self.now(&lens.map(Request::allocate))
    }

    /// Room for several new secrets, all or none, waiting up to `timeout` for it: one place in line, and one
    /// wait.
    ///
    /// # Errors
    /// [`OpenError`].
    fn allocate_all_timeout<const N: usize>(
        self,
        lens: [usize; N],
        timeout: Duration,
    ) -> Result<[Self::Opened<[u8]>; N], OpenError> {
        self.within(&lens.map(Request::allocate), timeout)
    }

    /// Room for several new secrets, all or none, as a future.
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    fn allocate_all<const N: usize>(
        self,
        lens: [usize; N],
    ) -> impl Future<Output = Result<[Self::Opened<[u8]>; N], OpenError>> + Send {
        async move { self.wait(&lens.map(Request::allocate)).await }
    }

    /// A value of any type, which `build` writes in its place; or says at once why there is no room. It is
    /// dropped there too.
    ///
    /// What `build` has left on 32 KiB of the stack is wiped afterwards, so that a constructor that
    /// returns its value may be used.
    ///
    /// ```
    /// use strongroom::{Opener, Vault};
    /// # struct SigningKey([u8; 32]);
    /// # impl SigningKey {
    /// #     fn from_bytes(seed: &[u8; 32]) -> Self { Self(*seed) }
    /// #     fn sign(&self, _: &[u8]) -> u8 { self.0[0] }
    /// # }
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let mut seed = vault.try_allocate_value::<[u8; 32]>()?;
    /// seed.fill_random()?;
    /// let key =
    ///     vault.try_build(|place| place.write(SigningKey::from_bytes(&seed.expose_secret())))?;
    /// let signature = key.try_expose_secret()?.sign(b"a message");
    /// # let _ = signature;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]; `build` is then not called.
    ///
    /// # Panics
    /// If `build` returns a reference to anything but its place. If `build` itself panics, the place is
    /// wiped and given back.
    fn try_build<T: Send + Sync + 'static>(
        self,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Result<Built<T, Self::Opened<[u8]>>, OpenError> {
        let opened = self.now(&Request::allocate_values::<T>(1))?;
        Built::new(opened, build)
    }

    /// A value of any type, waiting up to `timeout` for room for it; see [`try_build`](Self::try_build).
    ///
    /// # Errors
    /// [`OpenError`]; `build` is then not called.
    ///
    /// # Panics
    /// As [`try_build`](Self::try_build).
    fn build_timeout<T: Send + Sync + 'static>(
        self,
        timeout: Duration,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T,
    ) -> Result<Built<T, Self::Opened<[u8]>>, OpenError> {
        let opened = self.within(&Request::allocate_values::<T>(1), timeout)?;
        Built::new(opened, build)
    }

    /// A value of any type, as a future; see [`try_build`](Self::try_build).
    ///
    /// # Errors
    /// [`OpenError`], from the future; `build` is then not called.
    ///
    /// # Panics
    /// As [`try_build`](Self::try_build).
    fn build<T: Send + Sync + 'static>(
        self,
        build: impl for<'p> FnOnce(&'p mut MaybeUninit<T>) -> &'p mut T + Send,
    ) -> impl Future<Output = Result<Built<T, Self::Opened<[u8]>>, OpenError>> + Send {
        async move {
            let opened = self.wait(&Request::allocate_values::<T>(1)).await?;
            Built::new(opened, build)
        }
    }
}

fn requests<'r, S: AsRef<[u8]> + 'r>(
    sealed: impl IntoIterator<Item = (&'r Sealed<S>, &'r [u8])>,
) -> Vec<Request<'r>> {
    sealed.into_iter().map(|(sealed, context)| Request::open(sealed, context)).collect()
}

/// What all openers but a share do, with their party.
macro_rules! borrowing {
    ($opener:ty, $self:ident => $party:expr) => {
        impl<'v> Opener for $opener {
            type Opened<T: ?Sized> = Opened<'v, T>;

            fn now<R: Requests + ?Sized>(
                $self,
                requests: &R,
            ) -> Result<R::Each<Opened<'v>>, OpenError> {
                $party.try_all(requests)
            }

            fn within<R: Requests + ?Sized>(
                $self,
                requests: &R,
                timeout: Duration,
            ) -> Result<R::Each<Opened<'v>>, OpenError> {
                $party.all_within(requests, timeout)
            }

            fn wait<R: Requests + ?Sized>(
                $self,
                requests: &R,
            ) -> impl Future<Output = Result<R::Each<Opened<'v>>, OpenError>> + Send {
                wait($party, requests)
            }

            fn typed<T: ?Sized>(opened: Opened<'v>) -> Opened<'v, T> {
                opened.typed()
            }
        }

        impl<'v> sealed::Sealed for $opener {}
    };
}

borrowing!(&'v Vault, self => self.admission.everybody());
borrowing!(Reserve<'v>, self => self.party);

pub(super) mod sealed {
    pub trait Sealed {}
}

/// All that is requested, as a task that waits in line.
pub(super) async fn wait<'v, R: Requests + ?Sized>(
    party: Party<'v>,
    requests: &R,
) -> Result<R::Each<Opened<'v>>, OpenError> {
    let mut waiting = None;
    let leases = poll_fn(|task| party.poll(requests, &mut waiting, task.waker())).await?;
    Ok(party.opened::<R>(leases))
}
