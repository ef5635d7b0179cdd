//! RSA signatures (RFC 8017), by the crate `rsa`.

use std::hint::black_box;

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::AnyRef;
use pkcs8::spki::AlgorithmIdentifierRef;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::sha2::digest::FixedOutputReset;
use rsa::sha2::digest::const_oid::AssociatedOid;
use rsa::sha2::{Digest, Sha256};
use rsa::{BoxedUint, PrivateKey, PublicKey, pkcs1v15, pss};
use signature::{RandomizedSigner, Signer};
use strongroom::{Share, Vault};

use crate::error::{Format, KeyError};
use crate::kept::without_trace;
use crate::key::{Algorithm, Found, INNER, Key, sealed};

/// RSA signatures (RFC 8017), with SHA-256.
///
/// # What the advisory RUSTSEC-2023-0071 means here
/// The crate `rsa` up to 0.9 raised numbers to the private exponent in a time that depended on it. Who
/// could time many operations, over the network too, could learn from that: to decrypt and to forge (the
/// "Marvin attack"), or to find the key out. What is used here is `rsa` 0.10, whose arithmetic is written
/// to take the same time for all keys of a length, and which says that the channels that were found are closed
/// in it. It names no audit of 0.10.
///
/// - **Blinding is always on** here: the number to be signed, both exponents and both primes are changed by
///   fresh random numbers of the vault's for each signature, so that what a time may still tell is about
///   other numbers each time. It does not hide how many operations there are, nor does
///   it help against who reads the processor's caches while a key is read in.
/// - **Nothing is decrypted** here, which is where the attack is the easiest: there is no padding to ask
///   about. PKCS#1 v1.5 is there for signatures alone; prefer PSS.
/// - A scanner of dependencies that knows the advisory by the crate's name alone may go on reporting it.
///
/// # What is left on the heap
/// The crate keeps its numbers on the heap. The private key's own are wiped when it is dropped; of values in
/// between, whole primes are left in freed memory. After each use that memory is asked for again and
/// overwritten, as far as the allocator hands it out: with glibc's nothing was found any more,
/// or eight bytes after a key was generated; with another one, or where several threads sign, that does not hold
/// (`docs/KEYS.md` has what helps). Where that matters, use
/// [`Ed25519Key`](crate::Ed25519Key) or [`P256Key`](crate::P256Key), which put nothing there.
#[derive(Debug)]
pub enum Rsa {}

/// A key that signs with RSA, sealed at rest. Read first what [`Rsa`] says.
///
/// The signature's type says how: [`rsa::pss::Signature`] or [`rsa::pkcs1v15::Signature`], with SHA-256
/// both.
///
/// ```no_run
/// use std::sync::Arc;
/// use rsa::pss::{Signature, VerifyingKey};
/// use rsa::sha2::Sha256;
/// use strongroom::Vault;
/// use strongroom_keys::RsaKey;
/// use strongroom_keys::signature::{Signer, Verifier};
///
/// let vault = Arc::new(Vault::new(64 * 1024)?);
/// let text = vault.read_file("/etc/ssl/private/server.pem", 16 * 1024)?;
/// let key = RsaKey::from_pem(&vault.share(), &text.expose_secret(), b"server")?;
/// let signature: Signature = key.try_sign(b"a message")?;
/// VerifyingKey::<Sha256>::new(key.public_key().clone()).verify(b"a message", &signature)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type RsaKey = Key<Rsa>;

impl Key<Rsa> {
    /// Makes a key of `bits` bits, 2,048 or more, from the vault's generator. It is made on the
    /// heap, which is overwritten as far as can be ([`Rsa`]): the other algorithms' keys are made in locked
    /// memory.
    ///
    /// # Errors
    /// [`KeyError::Refused`] for a length that the crate does not make; [`KeyError::Seal`].
    pub fn generate(share: &Share, bits: usize, context: &[u8]) -> Result<Self, KeyError> {
        if bits < 2048 {
            return Err(KeyError::Refused { reason: "RSA needs 2048 bits or more" });
        }
        let made = without_trace(|| {
            let key = PrivateKey::new(&mut share.vault().generator(), bits).ok()?;
            key.to_pkcs1_der().ok()
        });
        let refused = KeyError::Refused { reason: "rsa makes no key of this length" };
        Self::from_bytes(share, made.ok_or(refused)?.as_bytes(), context)
    }

    /// Seals a key from its numbers, for formats that have them one by one, like OpenSSH's. What is computed
    /// from them is made on the heap, which is overwritten as far as can be ([`Rsa`]).
    ///
    /// # Errors
    /// [`KeyError::Invalid`] if the numbers do not fit each other; [`KeyError::Seal`].
    pub fn from_numbers(
        share: &Share,
        numbers: &RsaNumbers<'_>,
        context: &[u8],
    ) -> Result<Self, KeyError> {
        let made = without_trace(|| {
            let private_key = numbers.private_key()?;
            private_key.to_pkcs1_der().ok()
        });
        let Some(made) = made else {
            <Rsa as sealed::Algorithm>::overwrite_freed();
            return Err(KeyError::Invalid { algorithm: "RSA" });
        };
        let key = Self::from_bytes(share, made.as_bytes(), context);
        drop(made);
        <Rsa as sealed::Algorithm>::overwrite_freed();
        key
    }

    /// Signs with PKCS#1 v1.5 and another hash than SHA-256, of the crate `digest` 0.11.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn sign_pkcs1v15<D>(&self, message: &[u8]) -> Result<pkcs1v15::Signature, KeyError>
    where
        D: Digest + AssociatedOid,
    {
        self.blinded(message, pkcs1v15::SigningKey::<D>::new)
    }

    /// Signs with PSS and another hash than SHA-256, of the crate `digest` 0.11.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn sign_pss<D>(&self, message: &[u8]) -> Result<pss::Signature, KeyError>
    where
        D: Digest + FixedOutputReset,
    {
        self.blinded(message, pss::SigningKey::<D>::new)
    }

    /// Signs with a signing key of the crate's, blinded.
    fn blinded<K: RandomizedSigner<S>, S>(
        &self,
        message: &[u8],
        signing_key: impl FnOnce(PrivateKey) -> K,
    ) -> Result<S, KeyError> {
        let vault: &Vault = self.share().vault();
        self.with_private(|der| {
            let signing_key = signing_key(private_key(der)?);
            let signed = signing_key.try_sign_with_rng(&mut vault.generator(), message);
            signed.map_err(|_| KeyError::Refused { reason: "rsa made no signature" })
        })
    }
}

/// The numbers of an RSA key of two primes, each with its highest byte first; zeros before it do not matter.
/// They stay where they are: wiping them is their owner's part.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "most of them are secrets")]
pub struct RsaNumbers<'k> {
    /// The product of the primes.
    pub modulus: &'k [u8],
    /// The exponent that everybody may know.
    pub public_exponent: &'k [u8],
    /// The other one.
    pub private_exponent: &'k [u8],
    /// The two primes.
    pub primes: [&'k [u8]; 2],
}

impl RsaNumbers<'_> {
    fn private_key(&self) -> Option<PrivateKey> {
        let bits = |bytes: &[u8]| u32::try_from(bytes.len()).ok()?.checked_mul(8);
        let [modulus, first, second] =
            [self.modulus, self.primes[0], self.primes[1]].map(without_zeros);
        let bits_of_modulus = bits(modulus)?;
        let number = |bytes| BoxedUint::from_be_slice(bytes, bits_of_modulus).ok();
        let public_exponent = without_zeros(self.public_exponent);
        let public_exponent =
            BoxedUint::from_be_slice(public_exponent, bits(public_exponent)?).ok()?;
        let private_exponent = number(without_zeros(self.private_exponent))?;
        let primes = vec![number(first)?, number(second)?];
        PrivateKey::from_components(number(modulus)?, public_exponent, private_exponent, primes)
            .ok()
    }
}

/// How many there are is no secret: it goes with the length of the key.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

impl Signer<pss::Signature> for Key<Rsa> {
    /// # Errors
    /// With a [`KeyError`] as its source.
    fn try_sign(&self, message: &[u8]) -> Result<pss::Signature, signature::Error> {
        Ok(self.sign_pss::<Sha256>(message)?)
    }
}

impl Signer<pkcs1v15::Signature> for Key<Rsa> {
    /// # Errors
    /// With a [`KeyError`] as its source.
    fn try_sign(&self, message: &[u8]) -> Result<pkcs1v15::Signature, signature::Error> {
        Ok(self.sign_pkcs1v15::<Sha256>(message)?)
    }
}

impl Algorithm for Rsa {
    type PublicKey = PublicKey;
}

impl sealed::Algorithm for Rsa {
    type Public = PublicKey;

    const NAME: &'static str = "RSA";

    /// RFC 3279.
    const ALGORITHM: AlgorithmIdentifierRef<'static> = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
        parameters: Some(AnyRef::NULL),
    };

    const FORMAT: Option<Format> = Some(Format::Pkcs1);

    /// As long as it is.
    fn whole<'k>(der: &'k [u8], _: &'k mut [u8; 32]) -> Result<&'k [u8], KeyError> {
        Ok(der)
    }

    fn public_of(der: &[u8]) -> Result<PublicKey, KeyError> {
        Ok(private_key(der)?.to_public_key())
    }

    fn public_bytes(public: &PublicKey) -> Vec<u8> {
        // It was read or made as a key; what cannot be written opens no record.
        public.to_pkcs1_der().map(|der| der.as_bytes().into()).unwrap_or_default()
    }

    /// An allocator hands out first what was freed last: so memory of all the lengths that the crate's
    /// numbers have is asked for, some of each, filled with zeros, and given back.
    fn overwrite_freed() {
        let mut taken: Vec<Vec<u8>> = Vec::with_capacity(EACH * LONGEST / STEP);
        for steps in (1..=LONGEST / STEP).rev() {
            taken.extend((0..EACH).map(|_| {
                // Not asked for as zeros: glibc up to 2.40 keeps back for that what it has at hand.
                let mut piece = black_box(Vec::with_capacity(steps * STEP));
                piece.resize(steps * STEP, 0);
                piece
            }));
        }
        black_box(taken);
    }

    fn from_inner(inner: &[u8]) -> Option<Found<'_>> {
        Some(Found { private: inner, public: None })
    }

    fn to_inner<'k>(
        der: &'k [u8],
        _public: &[u8],
        _place: &'k mut [u8; INNER],
    ) -> Option<&'k [u8]> {
        Some(der)
    }
}

fn private_key(der: &[u8]) -> Result<PrivateKey, KeyError> {
    PrivateKey::from_pkcs1_der(der).map_err(|_| KeyError::Invalid { algorithm: "RSA" })
}

/// How many pieces of each length are overwritten.
const EACH: usize = 16;

/// Bytes by which lengths differ for allocators.
const STEP: usize = 16;

/// Bytes of the longest number that is computed with: the product of two of a key of 4,096 bits.
const LONGEST: usize = 1024;
