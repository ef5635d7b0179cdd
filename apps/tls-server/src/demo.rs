//! An authority and as many certificates as are asked for, made here.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use rustls::sign::Signer;
use strongroom::Share;

use crate::Failure;
use crate::keys::{Keeping, KeyPair, POINT, SealedKey, SealedKeys};
use crate::progress::Progress;
use crate::sites::Sites;

/// The name of the demonstration's site with this number, from 0.
#[must_use]
pub fn name(number: usize) -> String {
    format!("site-{number}.example")
}

/// An authority for a demonstration. Its key, too, rests sealed, and ends with the process.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, AuthorityKey>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Its key or its certificate cannot be made.
    pub fn new(share: &Share) -> Result<Self, Failure> {
        let pair = KeyPair::generate(share)?;
        let keys = Arc::new(SealedKeys::new(share.clone()));
        let key = AuthorityKey { point: pair.point(), key: keys.seal(&pair)? };
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "strongroom demonstration");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its certificate, for clients.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Makes a key and a certificate for each of `count` names; `keeping` keeps the keys.
    ///
    /// # Errors
    /// There is no memory, or no randomness.
    pub fn sites(&self, share: &Share, count: usize, keeping: &Keeping) -> Result<Sites, Failure> {
        let progress = Progress::new("making keys and certificates", count);
        let mut sites = Sites::new();
        for number in 0..count {
            let pair = KeyPair::generate(share)?;
            let (name, chain) = (name(number), vec![self.certify(number, &pair)?.into()]);
            sites.add(&name, chain, keeping.keep(&pair)?)?;
            progress.step();
        }
        Ok(sites)
    }

    /// A certificate for the name with this number.
    ///
    /// # Errors
    /// The authority cannot sign.
    pub fn certify(&self, number: usize, pair: &KeyPair) -> Result<Certificate, Failure> {
        let mut params = CertificateParams::new(vec![name(number)])?;
        params.distinguished_name.push(DnType::CommonName, name(number));
        Ok(params.signed_by(&Public(pair.point()), &self.issuer)?)
    }
}

/// A public key for rcgen.
struct Public([u8; POINT]);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The authority's key for rcgen.
struct AuthorityKey {
    point: [u8; POINT],
    key: SealedKey,
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.signer().ok_or(rcgen::Error::RemoteKeyError)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
