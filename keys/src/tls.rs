//! Signing keys for TLS, as the traits of `rustls` have them.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};

use crate::error::KeyError;
use crate::key::{Algorithm, Key};

/// A signing key for a TLS server or client, whose private key rests in a vault and is opened for each
/// handshake.
///
/// rustls signs in the middle of a handshake, in the thread or task that drives it: while the vault is
/// full, that waits for as long as the key's timeout says ([`Key::with_timeout`]). Give the key a
/// [reserve](strongroom::Share::reserve), or a short timeout.
///
/// ```
/// use std::sync::Arc;
/// use rustls::pki_types::CertificateDer;
/// use rustls::sign::CertifiedKey;
/// use strongroom::Vault;
/// use strongroom_keys::{P256Key, TlsKey};
///
/// # fn certificate_of(_: &P256Key) -> CertificateDer<'static> { CertificateDer::from(vec![]) }
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let key = P256Key::generate(&vault.share(), b"tls")?;
/// let certificates = vec![certificate_of(&key)];
///
/// // For `ServerConfig::builder()…with_cert_resolver`.
/// let certified = CertifiedKey::new(certificates, Arc::new(TlsKey::new(Arc::new(key))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TlsKey<A: Algorithm> {
    key: Arc<Key<A>>,
}

/// An algorithm that signs for TLS. The crate's own types implement it, and no others do.
pub trait TlsAlgorithm: Algorithm + schemes::Schemes {}

impl<A: Algorithm + schemes::Schemes> TlsAlgorithm for A {}

impl<A: TlsAlgorithm> TlsKey<A> {
    /// A key for TLS.
    #[must_use]
    pub fn new(key: Arc<Key<A>>) -> Self {
        Self { key }
    }
}

impl<A: TlsAlgorithm> SigningKey for TlsKey<A> {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let &(scheme, sign) = A::SCHEMES.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(TlsSigner { key: Arc::clone(&self.key), scheme, sign }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.key.public_key_der().ok()?.into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        A::SIGNATURES
    }
}

/// A key with the scheme that was chosen for a handshake.
struct TlsSigner<A: Algorithm> {
    key: Arc<Key<A>>,
    scheme: SignatureScheme,
    sign: Sign<A>,
}

/// Signs a message, and gives the signature as TLS has it.
type Sign<A> = fn(&Key<A>, &[u8]) -> Result<Vec<u8>, KeyError>;

impl<A: TlsAlgorithm> Signer for TlsSigner<A> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = (self.sign)(&self.key, message);
        signed.map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl<A: Algorithm> Debug for TlsKey<A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsKey").field(&self.key).finish()
    }
}

impl<A: Algorithm> Debug for TlsSigner<A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsSigner");
        shown.field("key", &self.key).field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

mod schemes {
    use super::{Algorithm, Sign, SignatureAlgorithm, SignatureScheme};

    /// What an algorithm can sign in TLS (RFC 8446, section 4.2.3), best first.
    pub trait Schemes: Algorithm + Sized {
        const SIGNATURES: SignatureAlgorithm;
        const SCHEMES: &'static [(SignatureScheme, Sign<Self>)];
    }

    #[cfg(feature = "ed25519")]
    impl Schemes for crate::Ed25519 {
        const SIGNATURES: SignatureAlgorithm = SignatureAlgorithm::ED25519;
        const SCHEMES: &'static [(SignatureScheme, Sign<Self>)] =
            &[(SignatureScheme::ED25519, |key, message| {
                Ok(key.sign_typed(message)?.to_bytes().into())
            })];
    }

    #[cfg(feature = "p256-0_14")]
    impl Schemes for crate::P256 {
        const SIGNATURES: SignatureAlgorithm = SignatureAlgorithm::ECDSA;
        const SCHEMES: &'static [(SignatureScheme, Sign<Self>)] =
            &[(SignatureScheme::ECDSA_NISTP256_SHA256, |key, message| {
                Ok(key.sign_typed(message)?.to_der().as_bytes().into())
            })];
    }

    /// PSS alone: TLS 1.3 has no other for handshakes.
    #[cfg(feature = "rsa-0_10")]
    impl Schemes for crate::Rsa {
        const SIGNATURES: SignatureAlgorithm = SignatureAlgorithm::RSA;
        const SCHEMES: &'static [(SignatureScheme, Sign<Self>)] = {
            use rsa::sha2::{Sha256, Sha384, Sha512};
            use signature::SignatureEncoding;
            &[
                (SignatureScheme::RSA_PSS_SHA512, |key, message| {
                    Ok(key.sign_pss::<Sha512>(message)?.to_vec())
                }),
                (SignatureScheme::RSA_PSS_SHA384, |key, message| {
                    Ok(key.sign_pss::<Sha384>(message)?.to_vec())
                }),
                (SignatureScheme::RSA_PSS_SHA256, |key, message| {
                    Ok(key.sign_pss::<Sha256>(message)?.to_vec())
                }),
            ]
        };
    }
}
