//! Secrets of the crate `secrecy`: into a vault, and as copies out of it.

use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};

use crate::vault::{OpenError, Opened, OwnedOpened, SealError, Sealed, Vault};

impl Vault {
    /// With the feature `secrecy-0_10`: seals what that crate keeps on the heap, like
    /// [`seal`](Self::seal). `secrecy` wipes it when it is dropped, which is best done right then.
    ///
    /// ```
    /// use secrecy::SecretString;
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let password = SecretString::from("hunter2");
    /// let sealed = vault.seal_secrecy(&password, b"db/password")?;
    /// drop(password);
    ///
    /// let opened = vault.try_open(&sealed, b"db/password")?;
    /// assert_eq!(opened.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_secrecy<S: AsRef<[u8]> + Zeroize + ?Sized>(
        &self,
        secret: &SecretBox<S>,
        context: &[u8],
    ) -> Result<Sealed, SealError> {
        self.seal(secret.expose_secret().as_ref(), context)
    }

    /// With the feature `secrecy-0_10`: takes what that crate keeps on the heap into locked memory, and
    /// wipes it where it was; or says at once why not.
    ///
    /// ```
    /// use secrecy::SecretString;
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let password = SecretString::from("hunter2");
    /// let password = vault.try_take_secrecy(password).map_err(|(_, error)| error)?;
    /// assert_eq!(password.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`], as [`try_allocate`](Self::try_allocate), with the secret as it was.
    pub fn try_take_secrecy<S: AsRef<[u8]> + Zeroize + ?Sized>(
        &self,
        secret: SecretBox<S>,
    ) -> Result<Opened<'_>, (SecretBox<S>, OpenError)> {
        let bytes = secret.expose_secret().as_ref();
        match self.try_allocate(bytes.len()) {
            Ok(mut opened) => {
                opened.expose_secret_mut().copy_from_slice(bytes);
                Ok(opened)
            }
            Err(error) => Err((secret, error)),
        }
    }
}

impl Opened<'_> {
    /// With the feature `secrecy-0_10`: a copy in ordinary memory, for what takes nothing else. It is not
    /// locked and may be swapped and dumped; `secrecy` wipes it when it is dropped.
    ///
    /// ```
    /// use secrecy::ExposeSecret;
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// let sealed = vault.seal(b"hunter2", b"db/password")?;
    /// let copy = vault.try_open(&sealed, b"db/password")?.copy_to_secrecy_on_the_heap();
    /// assert_eq!(copy.expose_secret(), b"hunter2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn copy_to_secrecy_on_the_heap(&self) -> SecretSlice<u8> {
        SecretBox::new(Box::from(&*self.expose_secret()))
    }
}

impl Opened<'_, str> {
    /// With the feature `secrecy-0_10`: a copy in ordinary memory, for what takes nothing else. It is not
    /// locked and may be swapped and dumped; `secrecy` wipes it when it is dropped.
    #[must_use]
    pub fn copy_to_secrecy_on_the_heap(&self) -> SecretString {
        SecretBox::new(Box::from(&*self.expose_secret()))
    }
}

impl OwnedOpened {
    /// See [`Opened::copy_to_secrecy_on_the_heap`].
    #[must_use]
    pub fn copy_to_secrecy_on_the_heap(&self) -> SecretSlice<u8> {
        SecretBox::new(Box::from(&*self.expose_secret()))
    }
}

impl OwnedOpened<str> {
    /// See [`Opened::copy_to_secrecy_on_the_heap`].
    #[must_use]
    pub fn copy_to_secrecy_on_the_heap(&self) -> SecretString {
        SecretBox::new(Box::from(&*self.expose_secret()))
    }
}
