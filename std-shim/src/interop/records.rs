//! Records as the crate `bytes` keeps bytes: shared between tasks, and part of a message.

use bytes::{Bytes, BytesMut};
use strongroom_core::Enclave;

use crate::vault::{SealError, Sealed, Vault};

impl Vault {
    /// With the feature `bytes`: seals like [`seal`](Self::seal), into a record that is shared when it is
    /// cloned, and never copied.
    ///
    /// What was sealed before becomes one by `Sealed::from_record(Bytes::from(sealed.into_record()))`,
    /// which does not copy either.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use strongroom::{Sealed, Vault};
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let sealed: Sealed<Bytes> = vault.seal_shared(b"hunter2", b"db/password")?;
    /// let other = sealed.clone();
    /// assert_eq!(sealed.record().as_ptr(), other.record().as_ptr());
    /// assert_eq!(vault.try_open(&other, b"db/password")?.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_shared(&self, secret: &[u8], context: &[u8]) -> Result<Sealed<Bytes>, SealError> {
        let sealed = self.seal(secret, context)?;
        Ok(Sealed::from_record(sealed.into_record().into()))
    }

    /// With the feature `bytes`: seals like [`seal`](Self::seal), to the end of a message. The record is
    /// 24 bytes longer than the secret ([`Enclave::record_len`]).
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use strongroom::{Sealed, Vault};
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let mut message = BytesMut::from(&b"token:"[..]);
    /// vault.seal_to_end(b"hunter2", b"api", &mut message)?;
    ///
    /// let record = message.freeze().split_off(6);
    /// let opened = vault.try_open(&Sealed::from_record(record), b"api")?;
    /// assert_eq!(opened.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError`]; the message is then as it was.
    pub fn seal_to_end(
        &self,
        secret: &[u8],
        context: &[u8],
        message: &mut BytesMut,
    ) -> Result<(), SealError> {
        let end = message.len();
        message.resize(end + Enclave::record_len(secret.len()), 0);
        let sealed = self.seal_into(secret, context, &mut message[end..]).map(|_| ());
        if sealed.is_err() {
            message.truncate(end);
        }
        sealed
    }
}
