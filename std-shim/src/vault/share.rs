//! A share of a vault, for what must not borrow it.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Party;
use super::error::OpenError;
use super::opened::Opened;
use super::opener::{Opener, sealed, wait};
use super::owned::OwnedOpened;
use super::request::{Request, Requests};
use super::{Sealed, Vault};

impl Vault {
    /// A share of the vault, whose secrets and futures own a share too: they are `'static` and `Send`,
    /// for structs, tasks and threads. The calls are the vault's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use strongroom::{OwnedOpened, Vault};
    ///
    /// /// A struct may hold an open secret beside its vault.
    /// struct Signer {
    ///     vault: Arc<Vault>,
    ///     key: OwnedOpened,
    /// }
    ///
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let sealed = vault.seal(b"a key", b"signer")?;
    /// let key = vault.share().try_open(&sealed, b"signer")?;
    /// let signer = Signer { vault, key };
    /// let len = std::thread::spawn(move || signer.key.len()).join();
    /// # assert_eq!(len.unwrap(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The vault of the whole process needs none: what [`global`](crate::global) opens is `'static`.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { vault: Arc::clone(self), reserve: None }
    }
}

/// A share of a vault, or of its memory for those who name a reserve; see [`Vault::share`].
#[derive(Clone)]
pub struct Share {
    pub(super) vault: Arc<Vault>,
    /// The number of the reserve.
    reserve: Option<usize>,
}

impl Share {
    /// The share of a reserve, if the vault was built with one of that name; see [`Vault::reserve`].
    #[must_use]
    pub fn reserve(&self, name: &str) -> Option<Self> {
        let mut reserves = self.vault.admission.reserves.iter();
        let number = reserves.position(|(own, _)| own == name)?;
        Some(Self { vault: Arc::clone(&self.vault), reserve: Some(number) })
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// See [`Vault::try_open`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<OwnedOpened, OpenError> {
        self.now(&Request::open(sealed, context))
    }

    /// See [`Vault::open_timeout`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_timeout<S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
        timeout: Duration,
    ) -> Result<OwnedOpened, OpenError> {
        self.within(&Request::open(sealed, context), timeout)
    }

    /// See [`Vault::open`]. The future owns the record (in a box, an `Arc<[u8]>`, or any other memory) and
    /// the context.
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    pub fn open<S, C>(
        &self,
        sealed: Sealed<S>,
        context: C,
    ) -> impl Future<Output = Result<OwnedOpened, OpenError>> + Send + use<S, C>
    where
        S: AsRef<[u8]> + Send + Sync,
        C: AsRef<[u8]> + Send + Sync,
    {
        let share = self.clone();
        async move { share.wait(&Request::open(&sealed, context.as_ref())).await }
    }

    /// See [`Vault::try_open_all`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open_all<S: AsRef<[u8]>, const N: usize>(
        &self,
        sealed: [(&Sealed<S>, &[u8]); N],
    ) -> Result<[OwnedOpened; N], OpenError> {
        self.now(&sealed.map(|(sealed, context)| Request::open(sealed, context)))
    }

    /// See [`Vault::open_all_timeout`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_all_timeout<S: AsRef<[u8]>, const N: usize>(
        &self,
        sealed: [(&Sealed<S>, &[u8]); N],
        timeout: Duration,
    ) -> Result<[OwnedOpened; N], OpenError> {
        self.within(&sealed.map(|(sealed, context)| Request::open(sealed, context)), timeout)
    }

    /// See [`Vault::open_all`]. The future owns the records and the contexts.
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    pub fn open_all<S, C, const N: usize>(
        &self,
        sealed: [(Sealed<S>, C); N],
    ) -> impl Future<Output = Result<[OwnedOpened; N], OpenError>> + Send + use<S, C, N>
    where
        S: AsRef<[u8]> + Send + Sync,
        C: AsRef<[u8]> + Send + Sync,
    {
        let share = self.clone();
        async move {
            let lent = sealed.each_ref();
            share.wait(&lent.map(|(sealed, context)| Request::open(sealed, context.as_ref()))).await
        }
    }

    /// See [`Vault::try_allocate`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_allocate(&self, len: usize) -> Result<OwnedOpened, OpenError> {
        self.now(&Request::allocate(len))
    }

    /// See [`Vault::allocate_timeout`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn allocate_timeout(
        &self,
        len: usize,
        timeout: Duration,
    ) -> Result<OwnedOpened, OpenError> {
        self.within(&Request::allocate(len), timeout)
    }

    /// See [`Vault::allocate`].
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    pub fn allocate(
        &self,
        len: usize,
    ) -> impl Future<Output = Result<OwnedOpened, OpenError>> + Send + use<> {
        let share = self.clone();
        async move { share.wait(&Request::allocate(len)).await }
    }

    pub(super) fn party(&self) -> Party<'_> {
        let admission = &self.vault.admission;
        match self.reserve.and_then(|number| admission.reserves.get(number)) {
            Some((_, own)) => admission.those_of(own),
            None => admission.everybody(),
        }
    }

    /// What this share's own party has opened.
    #[inline]
    pub(super) fn own(&self, opened: Opened<'_>) -> OwnedOpened {
        OwnedOpened::new(Arc::clone(&self.vault), opened)
    }
}

impl Opener for &Share {
    type Opened<T: ?Sized> = OwnedOpened<T>;

    fn now<R: Requests + ?Sized>(self, requests: &R) -> Result<R::Each<OwnedOpened>, OpenError> {
        Ok(R::map(self.party().try_all(requests)?, |opened| self.own(opened)))
    }

    fn within<R: Requests + ?Sized>(
        self,
        requests: &R,
        timeout: Duration,
    ) -> Result<R::Each<OwnedOpened>, OpenError> {
        Ok(R::map(self.party().all_within(requests, timeout)?, |opened| self.own(opened)))
    }

    async fn wait<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Result<R::Each<OwnedOpened>, OpenError> {
        Ok(R::map(wait(self.party(), requests).await?, |opened| self.own(opened)))
    }

    fn typed<T: ?Sized>(opened: OwnedOpened) -> OwnedOpened<T> {
        opened.typed()
    }
}

impl sealed::Sealed for &Share {}

impl Debug for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("vault", &self.vault).finish_non_exhaustive()
    }
}
