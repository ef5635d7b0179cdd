//! Private keys for ECDSA over P-256, and the ways to keep them.

use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use strongroom::strongroom_core::wiping_stack;
use strongroom::{OwnedOpened, RecordCopy, RecordHandle, Records, Sealed, Share};
use strongroom_keys::{P256Key, TlsKey};

use crate::Failure;

/// Bytes of a key as it is sealed: the scalar, then the public point uncompressed. With the point beside
/// it ring need not be told it from elsewhere, and the record's tag covers both.
pub const PAIR: usize = SCALAR + POINT;

/// Bytes of the scalar, highest first.
pub const SCALAR: usize = 32;

/// Bytes of a public point, uncompressed (SEC 1, section 2.3.3).
pub const POINT: usize = 65;

/// A scalar and its point, in locked memory.
pub struct KeyPair(OwnedOpened);

impl KeyPair {
    /// Makes a key. ring makes it on the stack, which is wiped.
    ///
    /// # Errors
    /// There is no room in the vault, or no randomness.
    pub fn generate(share: &Share) -> Result<Self, Failure> {
        let mut place = share.allocate_timeout(PAIR, TIMEOUT)?;
        wiping_stack::<STACK, _>(|| {
            let der =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
            copy_from_pkcs8(
                der.map_err(|_| "the system gives no random bytes")?.as_ref(),
                &mut place,
            )
        })?;
        Ok(Self(place))
    }

    /// Reads a key in PEM (PKCS#8, or SEC 1's `EC PRIVATE KEY`), by way of locked memory alone.
    ///
    /// # Errors
    /// The file cannot be read, or is no such key.
    pub fn read(share: &Share, path: &Path) -> Result<Self, Failure> {
        let text = share.vault().read_file(path, LONGEST_FILE)?;
        let key = P256Key::from_pem(share, &text.expose_secret(), CONTEXT)?;
        drop(text);
        let der = key.to_pkcs8_der()?;
        let mut place = share.allocate_timeout(PAIR, TIMEOUT)?;
        wiping_stack::<STACK, _>(|| copy_from_pkcs8(&der.expose_secret(), &mut place))?;
        Ok(Self(place))
    }

    /// The public point.
    ///
    /// # Panics
    /// Never: the pair has this length.
    #[must_use]
    pub fn point(&self) -> [u8; POINT] {
        let mut point = [0; POINT];
        point.copy_from_slice(&self.0.expose_secret()[SCALAR..]);
        point
    }
}

/// How a server's keys are kept.
#[derive(Clone)]
pub enum Keeping {
    /// Sealed; ring's key is made from the opened record for one signature.
    Sealed(Arc<SealedKeys>),
    /// Sealed by `strongroom-keys`, which signs with the crate `p256`.
    StrongroomKeys(Share),
    /// As rustls keeps them: ring's key in ordinary memory, for as long as the server lives.
    Plain,
}

impl Keeping {
    /// Keeps a key.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn keep(&self, pair: &KeyPair) -> Result<Arc<dyn SigningKey>, Failure> {
        match self {
            Self::Sealed(keys) => Ok(Arc::new(keys.seal(pair)?)),
            Self::StrongroomKeys(share) => {
                let mut der = share.allocate_timeout(PKCS8, TIMEOUT)?;
                write_pkcs8(&pair.0.expose_secret(), &mut der.expose_secret_mut());
                let key = P256Key::from_pkcs8_der(share, &der.expose_secret(), CONTEXT)?;
                Ok(Arc::new(TlsKey::new(Arc::new(key))))
            }
            Self::Plain => {
                let mut der = vec![0; PKCS8];
                write_pkcs8(&pair.0.expose_secret(), &mut der);
                Ok(rustls::crypto::ring::sign::any_ecdsa_type(
                    &PrivatePkcs8KeyDer::from(der).into(),
                )?)
            }
        }
    }
}

/// The sealed keys of a server, side by side.
pub struct SealedKeys {
    share: Share,
    records: Records,
}

impl SealedKeys {
    /// None yet.
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self { share, records: Records::new() }
    }

    /// Bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.bytes()
    }

    /// Seals a key.
    ///
    /// # Errors
    /// There is no memory for another record.
    pub fn seal(self: &Arc<Self>, pair: &KeyPair) -> Result<SealedKey, Failure> {
        let record = self.records.insert(&pair.0.seal(CONTEXT)?)?;
        Ok(SealedKey { keys: Arc::clone(self), record })
    }
}

/// A key at rest: a handle.
pub struct SealedKey {
    keys: Arc<SealedKeys>,
    record: RecordHandle,
}

impl SealedKey {
    /// What signs once.
    #[must_use]
    pub fn signer(&self) -> Option<SealedSigner> {
        let record = self.keys.records.get(&self.record)?;
        Some(SealedSigner { keys: Arc::clone(&self.keys), record })
    }
}

impl SigningKey for SealedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if !offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256) {
            return None;
        }
        Some(Box::new(self.signer()?))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

/// A key's record, taken out for one signature.
pub struct SealedSigner {
    keys: Arc<SealedKeys>,
    record: Sealed<RecordCopy>,
}

impl Signer for SealedSigner {
    /// Opens the key, makes ring's of it, signs, and wipes the stack on which ring had it. ring allocates
    /// nothing for this curve.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let share = &self.keys.share;
        let failed = |error| rustls::Error::Other(OtherError(Arc::new(error)));
        let pair = share.open_timeout(&self.record, CONTEXT, TIMEOUT).map_err(failed)?;
        let signature = wiping_stack::<STACK, _>(|| {
            let pair = pair.expose_secret();
            let (scalar, point) = pair.split_at_checked(SCALAR)?;
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let key =
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &random);
            key.ok()?.sign(&random, message).ok()
        });
        // A key that an emergency wiped while it was read is seen: to ring, it does not fit its point.
        let signature = signature.ok_or(rustls::Error::General(NO_SIGNATURE.into()))?;
        Ok(signature.as_ref().into())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl Debug for SealedKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey").finish_non_exhaustive()
    }
}

impl Debug for SealedSigner {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSigner").finish_non_exhaustive()
    }
}

fn copy_from_pkcs8(der: &[u8], place: &mut OwnedOpened) -> Result<(), Failure> {
    let unknown = "it is not written as keys for P-256 are";
    let scalar = der.strip_prefix(&BEFORE_SCALAR).and_then(|rest| rest.split_at_checked(SCALAR));
    let (scalar, rest) = scalar.ok_or(unknown)?;
    let point = rest.strip_prefix(&BEFORE_POINT).filter(|point| point.len() == POINT);
    let mut place = place.expose_secret_mut();
    place[..SCALAR].copy_from_slice(scalar);
    place[SCALAR..].copy_from_slice(point.ok_or(unknown)?);
    Ok(())
}

fn write_pkcs8(pair: &[u8], place: &mut [u8]) {
    let (scalar, point) = pair.split_at(SCALAR);
    let mut rest = place;
    for part in [&BEFORE_SCALAR[..], scalar, &BEFORE_POINT, point] {
        let (here, behind) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = behind;
    }
}

/// PKCS#8 (RFC 5958) of a key for P-256 (RFC 5915) is always this, the scalar, that, and the point.
const BEFORE_SCALAR: [u8; 36] =
    *b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
const BEFORE_POINT: [u8; 5] = *b"\xa1\x44\x03\x42\x00";
const PKCS8: usize = BEFORE_SCALAR.len() + SCALAR + BEFORE_POINT.len() + POINT;

const CONTEXT: &[u8] = b"strongroom-tls-server/P-256";
const NO_SIGNATURE: &str = "the key was wiped, or the system gives no random bytes";
const LONGEST_FILE: usize = 16 * 1024;

/// How long a handshake waits for room in the vault.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of the stack that are wiped after ring.
const STACK: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 16 * 1024 };
