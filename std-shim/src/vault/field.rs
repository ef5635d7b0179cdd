//! Fields of structs, sealed one by one: what `#[derive(SealFields)]` is made of.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::str;
use std::time::Duration;

use bytemuck::Pod;
use strongroom_core::SecretField;

use super::built::Holds;
use super::error::{OpenError, SealError};
use super::opener::Opener;
use super::request::Request;
use super::{Sealed, Vault};

/// A field of one struct, by its type: no other's record can stand in its place, neither another
/// field's of the same type nor another struct's.
pub trait Field {
    /// What it is when it was opened.
    type Value: OpenAs + ?Sized;

    /// The context that it is sealed under: which struct's it is, and which.
    const CONTEXT: &'static str;
}

/// A struct's field, sealed by itself. Those who open it are a reference to a vault, a reserve, or a
/// reference to a share ([`Opener`]).
pub struct SealedField<F: Field> {
    record: Sealed,
    field: PhantomData<fn() -> F>,
}

impl<F: Field> SealedField<F> {
    /// Seals a secret as this field.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal<T: SecretField<Value = F::Value>>(
        secret: &T,
        vault: &Vault,
    ) -> Result<Self, SealError> {
        let record = secret.with_bytes(|bytes| vault.seal(bytes, F::CONTEXT.as_bytes()))?;
        Ok(Self::from_record(record))
    }

    /// Takes a record for this field's. Whether it is one shows when it is opened.
    #[must_use]
    pub fn from_record(record: Sealed) -> Self {
        Self { record, field: PhantomData }
    }

    /// The record, which is not secret.
    #[must_use]
    pub fn into_record(self) -> Sealed {
        self.record
    }

    /// Opens the field, or says at once why not; see [`Vault::try_open`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open<O: Opener>(&self, opener: O) -> Result<O::Opened<F::Value>, OpenError> {
        let secret = opener.now(&self.request()?)?;
        Self::take::<O>(secret)
    }

    /// Opens the field, waiting up to `timeout` for room; see [`Vault::open_timeout`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_timeout<O: Opener>(
        &self,
        opener: O,
        timeout: Duration,
    ) -> Result<O::Opened<F::Value>, OpenError> {
        let secret = opener.within(&self.request()?, timeout)?;
        Self::take::<O>(secret)
    }

    /// Opens the field as a future; see [`Vault::open`].
    ///
    /// # Errors
    /// [`OpenError`], from the future.
    pub async fn open<O: Opener>(&self, opener: O) -> Result<O::Opened<F::Value>, OpenError> {
        let secret = opener.wait(&self.request()?).await?;
        Self::take::<O>(secret)
    }

    /// What an opener is asked for.
    #[doc(hidden)]
    pub fn request(&self) -> Result<Request<'_>, OpenError> {
        F::Value::request(&self.record, F::CONTEXT.as_bytes())
    }

    /// What an opener has answered.
    #[doc(hidden)]
    pub fn take<O: Opener>(opened: O::Opened<[u8]>) -> Result<O::Opened<F::Value>, OpenError> {
        F::Value::check(&opened)?;
        Ok(O::typed(opened))
    }
}

impl<F: Field> Clone for SealedField<F> {
    fn clone(&self) -> Self {
        Self::from_record(self.record.clone())
    }
}

impl<F: Field> Debug for SealedField<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealedField").field(&F::CONTEXT).finish()
    }
}

/// What a record can be opened as: plain data, a row of it, or text.
pub trait OpenAs: sealed::Sealed {
    #[doc(hidden)]
    fn request<'r>(record: &'r Sealed, context: &'r [u8]) -> Result<Request<'r>, OpenError>;

    /// Whether what was opened is one.
    #[doc(hidden)]
    fn check(_opened: &impl Holds) -> Result<(), OpenError> {
        Ok(())
    }
}

impl<T: Pod> OpenAs for T {
    fn request<'r>(record: &'r Sealed, context: &'r [u8]) -> Result<Request<'r>, OpenError> {
        Request::open_value::<T, _>(record, context)
    }
}

impl<T: Pod> OpenAs for [T] {
    fn request<'r>(record: &'r Sealed, context: &'r [u8]) -> Result<Request<'r>, OpenError> {
        Request::open_values::<T, _>(record, context)
    }
}

impl OpenAs for str {
    fn request<'r>(record: &'r Sealed, context: &'r [u8]) -> Result<Request<'r>, OpenError> {
        Ok(Request::open(record, context))
    }

    fn check(opened: &impl Holds) -> Result<(), OpenError> {
        match str::from_utf8(&opened.opened().bytes()) {
            Ok(_) => Ok(()),
            Err(_) => Err(OpenError::NotUtf8),
        }
    }
}

mod sealed {
    use bytemuck::Pod;

    pub trait Sealed {}

    impl<T: Pod> Sealed for T {}
    impl<T: Pod> Sealed for [T] {}
    impl Sealed for str {}
}
