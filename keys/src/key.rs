//! A private key with its public key: made, read, written, and opened for one operation.

#[cfg(any(feature = "ed25519", feature = "x25519"))]
pub(crate) mod curve;
mod encoding;

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use pkcs8::der::asn1::{BitStringRef, OctetStringRef};
use pkcs8::der::{self, Encode};
use pkcs8::spki::SubjectPublicKeyInfo;
use pkcs8::{PrivateKeyInfo, PrivateKeyInfoRef};
use strongroom::{OwnedOpened, Sealed, Share};

use self::encoding::{label, parse};
use crate::error::{Format, KeyError};
use crate::kept::{DEFAULT_TIMEOUT, Kept, allocate, bound_to, check_intact, without_trace};

/// A private key for one algorithm, sealed at rest, with its public key in the clear.
///
/// It is `Send` and `Sync`, owns a share of its vault, and takes no locked memory but while it is used.
pub struct Key<A: Algorithm> {
    kept: Kept,
    public: A::PublicKey,
}

/// An algorithm that a [`Key`] is for. The crate's own types implement it, and no others do.
pub trait Algorithm: sealed::Algorithm<Public = Self::PublicKey> + Debug + 'static {
    /// The public key, in the type that the algorithm's crate has for it.
    type PublicKey: Clone + Debug + PartialEq + Send + Sync + 'static;
}

impl<A: Algorithm> Key<A> {
    /// Seals a private key that lies somewhere already: the seed of Ed25519, the scalar of X25519, that of
    /// P-256 with its highest byte first (32 bytes each), or RSA's numbers in PKCS#1's DER.
    ///
    /// `context` says what the key is for; who opens the record again has to give the same. Wiping the
    /// bytes where they are is the caller's part.
    ///
    /// # Errors
    /// [`KeyError::Length`] or [`KeyError::Invalid`] if they are no such key; [`KeyError::Seal`].
    pub fn from_bytes(share: &Share, private: &[u8], context: &[u8]) -> Result<Self, KeyError> {
        Self::import(share, context, || Ok(Found { private, public: None }))
    }

    /// Seals a private key from PKCS#8 in DER (RFC 5958), with or without its public key.
    ///
    /// # Errors
    /// [`KeyError`]: it is malformed, another algorithm's, or its public key is another one's.
    pub fn from_pkcs8_der(share: &Share, der: &[u8], context: &[u8]) -> Result<Self, KeyError> {
        Self::import(share, context, || parse::<A>(Format::Pkcs8, der))
    }

    /// Seals a private key from text: `PRIVATE KEY` (PKCS#8), `EC PRIVATE KEY`, `RSA PRIVATE KEY` or
    /// `OPENSSH PRIVATE KEY`. It is decoded in locked memory, for which this waits up to
    /// [`DEFAULT_TIMEOUT`].
    ///
    /// Read the text into the vault, so that no copy of it is left ([`Vault::read_file`]):
    ///
    /// ```
    /// # #[cfg(feature = "ed25519")] {
    /// use std::sync::Arc;
    /// use strongroom::Vault;
    /// use strongroom_keys::Ed25519Key;
    ///
    /// # let path = std::env::temp_dir().join(format!("strongroom-keys-doc-{}", std::process::id()));
    /// # std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n\
    /// #     MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    /// #     -----END PRIVATE KEY-----\n")?;
    /// let vault = Arc::new(Vault::new(64 * 1024)?);
    /// let text = vault.read_file(&path, 16 * 1024)?;
    /// let key = Ed25519Key::from_pem(&vault.share(), &text.expose_secret(), b"releases")?;
    /// # std::fs::remove_file(&path)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Vault::read_file`]: strongroom::Vault::read_file
    ///
    /// # Errors
    /// [`KeyError`]: the text is malformed, encrypted, another algorithm's, or its public key is another
    /// one's; or there was no room in time.
    pub fn from_pem(share: &Share, text: &[u8], context: &[u8]) -> Result<Self, KeyError> {
        let (format, len) = without_trace(|| label(text))?;
        let mut place = allocate(share, len, DEFAULT_TIMEOUT)?;
        without_trace(|| encoding::decode(text, &mut place.expose_secret_mut()))?;
        let der = place.expose_secret();
        Self::import(share, context, || parse::<A>(format, &der))
    }

    /// A key whose record was kept elsewhere ([`sealed`](Self::sealed)), with its public key. The record is
    /// opened once, for which this waits up to [`DEFAULT_TIMEOUT`].
    ///
    /// # Errors
    /// [`KeyError::Open`]: it is no record of this vault's under this algorithm, public key and context.
    pub fn from_sealed(
        share: &Share,
        sealed: Sealed,
        public: A::PublicKey,
        context: &[u8],
    ) -> Result<Self, KeyError> {
        let bound_to = bound_to(A::NAME, &A::public_bytes(&public), context);
        let kept = Kept::new(share, sealed, bound_to);
        drop(kept.open()?);
        Ok(Self { kept, public })
    }

    /// The key, waiting for room for as long as `timeout` each time it is used; zero is not to wait.
    /// [`DEFAULT_TIMEOUT`] otherwise.
    ///
    /// A thread that holds open secrets of the same vault while it uses a key may wait for itself that
    /// long.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.kept.timeout = timeout;
        self
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &A::PublicKey {
        &self.public
    }

    /// The public key as a `SubjectPublicKeyInfo` in DER (RFC 5280), for certificates and for OpenSSL.
    ///
    /// # Errors
    /// [`KeyError::Refused`] if it cannot be written so, which no key that was made or read here has
    /// caused.
    pub fn public_key_der(&self) -> Result<Vec<u8>, KeyError> {
        let public = A::public_bytes(&self.public);
        let refused = |_| KeyError::Refused { reason: "its public key cannot be written in DER" };
        let subject_public_key = BitStringRef::from_bytes(&public).map_err(refused)?;
        let info = SubjectPublicKeyInfo { algorithm: A::ALGORITHM, subject_public_key };
        info.to_der().map_err(refused)
    }

    /// The private key in PKCS#8 (RFC 5958), in locked memory: write it from there to where it is to
    /// be kept.
    ///
    /// It needs room for this besides the open key, and holds one while it waits for the other.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn to_pkcs8_der(&self) -> Result<OwnedOpened, KeyError> {
        let private = self.kept.open()?;
        let public = A::public_bytes(&self.public);
        let malformed = || KeyError::Malformed(Format::Pkcs8);
        let inner_len = without_trace(|| {
            let (mut place, private) = ([0; INNER], private.expose_secret());
            A::to_inner(&private, &public, &mut place).map(<[u8]>::len)
        });
        // As long as with any other key of this length.
        let blank = vec![0; inner_len.ok_or_else(malformed)?];
        let len = info::<A>(&blank).and_then(|info| info.encoded_len());
        let len = len.and_then(usize::try_from).map_err(|_| malformed())?;
        let mut written = allocate(&self.kept.share, len, self.kept.timeout)?;
        without_trace(|| {
            let (mut place, private) = ([0; INNER], private.expose_secret());
            let inner = A::to_inner(&private, &public, &mut place).ok_or_else(malformed)?;
            let mut written = written.expose_secret_mut();
            let info = info::<A>(inner).map_err(|_| malformed())?;
            info.encode_to_slice(&mut written).map(|_| ()).map_err(|_| malformed())
        })?;
        check_intact(&self.kept.share)?;
        Ok(written)
    }

    /// The record that the private key rests in.
    #[must_use]
    pub fn sealed(&self) -> &Sealed {
        &self.kept.sealed
    }

    /// Makes a key of 32 random bytes, in locked memory.
    pub(crate) fn make(share: &Share, context: &[u8]) -> Result<Self, KeyError> {
        let mut private = allocate(share, 32, DEFAULT_TIMEOUT)?;
        loop {
            private.fill_random()?;
            match Self::from_bytes(share, &private.expose_secret(), context) {
                // One in four billion is not below the order of P-256.
                Err(KeyError::Invalid { .. }) => {}
                made => return made,
            }
        }
    }

    /// Seals what `find` finds, if it is a key.
    fn import<'k>(
        share: &Share,
        context: &[u8],
        find: impl FnOnce() -> Result<Found<'k>, KeyError>,
    ) -> Result<Self, KeyError> {
        let sealed = without_trace(|| {
            let found = find()?;
            let mut place = [0; 32];
            let private = A::whole(found.private, &mut place)?;
            let public = A::public_of(private)?;
            let public_bytes = A::public_bytes(&public);
            if found.public.is_some_and(|other| other != public_bytes) {
                return Err(KeyError::OtherPublicKey);
            }
            let bound_to = bound_to(A::NAME, &public_bytes, context);
            let sealed = share.vault().seal(private, &bound_to)?;
            Ok((sealed, public, bound_to))
        });
        A::overwrite_freed();
        let (sealed, public, bound_to) = sealed?;
        check_intact(share)?;
        Ok(Self { kept: Kept::new(share, sealed, bound_to), public })
    }

    /// Does one thing with the private key.
    pub(crate) fn with_private<R>(
        &self,
        work: impl FnOnce(&[u8]) -> Result<R, KeyError>,
    ) -> Result<R, KeyError> {
        let done = self.kept.with_secret(work);
        A::overwrite_freed();
        done
    }

    /// The private key's cell, to be taken for what comes of it.
    pub(crate) fn open_private(&self) -> Result<OwnedOpened, KeyError> {
        Ok(self.kept.open()?)
    }

    /// The share of the vault that the key rests in.
    pub(crate) fn share(&self) -> &Share {
        &self.kept.share
    }
}

impl<A: Algorithm> Debug for Key<A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &A::NAME)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

fn info<A: Algorithm>(inner: &[u8]) -> der::Result<PrivateKeyInfoRef<'_>> {
    Ok(PrivateKeyInfo::new(A::ALGORITHM, OctetStringRef::new(inner)?))
}

/// A private key in what was read, and the public key that came with it.
#[allow(missing_debug_implementations, reason = "one half of it is a secret")]
pub struct Found<'k> {
    pub private: &'k [u8],
    pub public: Option<&'k [u8]>,
}

/// Bytes that hold what PKCS#8 has for a private key, of any algorithm but RSA.
pub(crate) const INNER: usize = 160;

pub(crate) mod sealed {
    use std::fmt::Debug;

    use pkcs8::spki::AlgorithmIdentifierRef;

    use super::{Found, INNER};
    use crate::error::{Format, KeyError};

    /// What is particular to an algorithm. A private key is 32 bytes, but for RSA.
    pub trait Algorithm {
        type Public: Clone + Debug + PartialEq + Send + Sync + 'static;

        const NAME: &'static str;

        /// What PKCS#8 calls it.
        const ALGORITHM: AlgorithmIdentifierRef<'static>;

        /// What OpenSSH calls it.
        const OPENSSH: Option<&'static str> = None;

        /// A format of its own besides PKCS#8.
        const FORMAT: Option<Format> = None;

        /// The private key in its full length.
        fn whole<'k>(private: &'k [u8], _: &'k mut [u8; 32]) -> Result<&'k [u8], KeyError> {
            match private.len() {
                32 => Ok(private),
                found => Err(KeyError::Length { expected: 32, found }),
            }
        }

        fn public_of(private: &[u8]) -> Result<Self::Public, KeyError>;

        /// As certificates have it.
        fn public_bytes(public: &Self::Public) -> Vec<u8>;

        /// Reads what PKCS#8 has for the private key, or the format of its own.
        fn from_inner(inner: &[u8]) -> Option<Found<'_>>;

        /// Writes that.
        fn to_inner<'k>(
            private: &'k [u8],
            public: &[u8],
            place: &'k mut [u8; INNER],
        ) -> Option<&'k [u8]>;

        /// Overwrites what the crate has left in freed memory, as far as can be.
        fn overwrite_freed() {}

        /// Reads what OpenSSH has for the key: strings, each after its length.
        fn from_openssh<'k>(_next: impl FnMut() -> Option<&'k [u8]>) -> Option<Found<'k>> {
            None
        }
    }
}
