//! Keys as OpenSSL and OpenSSH write them down, read into the vault, and written again.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use strongroom::Sealed;
use strongroom_keys::signature::{Signer, Verifier};
use strongroom_keys::{
    Algorithm, Ed25519, Ed25519Key, Format, Key, KeyError, P256, P256Key, Rsa, RsaKey, RsaNumbers,
    X25519, X25519Key,
};
use support::{data, share};

#[test]
fn every_format_is_read() {
    reads::<Ed25519>("ed25519.pem", "ed25519.pub");
    reads::<P256>("p256.pem", "p256.pub");
    reads::<P256>("p256-sec1.pem", "p256.pub");
    reads::<X25519>("x25519.pem", "x25519.pub");
    reads::<Rsa>("rsa.pem", "rsa.pub");
    reads::<Rsa>("rsa-pkcs1.pem", "rsa.pub");
}

/// The public key that OpenSSL makes of it is the key's, and what is written is read again.
fn reads<A: Algorithm>(private: &str, public: &str) {
    let key = Key::<A>::from_pem(&share(), &data(private), b"test").unwrap();
    assert_eq!(key.public_key_der().unwrap(), data(public), "{private}");

    let written = key.to_pkcs8_der().unwrap();
    let again = Key::<A>::from_pkcs8_der(&share(), &written.expose_secret(), b"test").unwrap();
    assert_eq!(again.public_key(), key.public_key());

    let record = Sealed::from_record(again.sealed().record().into());
    let key = Key::<A>::from_sealed(&share(), record, key.public_key().clone(), b"test");
    assert_eq!(key.unwrap().public_key(), again.public_key());
}

#[test]
fn openssh_is_read() {
    let key = Ed25519Key::from_pem(&share(), &data("ed25519-openssh"), b"").unwrap();
    assert!(data("ed25519-openssh.pub").ends_with(key.public_key().as_bytes()));
    let key = P256Key::from_pem(&share(), &data("p256-openssh"), b"").unwrap();
    let public = key.public_key().to_sec1_point(false);
    assert!(data("p256-openssh.pub").ends_with(public.as_bytes()));
}

#[test]
fn another_algorithms_key_is_named() {
    let found = |read: Result<Ed25519Key, KeyError>| match read.unwrap_err() {
        KeyError::OtherAlgorithm { expected: "Ed25519", found } => found,
        other => panic!("{other}"),
    };
    let read = |name| Ed25519Key::from_pem(&share(), &data(name), b"");
    assert_eq!(&*found(read("x25519.pem")), "1.3.101.110");
    assert_eq!(&*found(read("p256.pem")), "1.2.840.10045.2.1");
    assert_eq!(&*found(read("p256-openssh")), "ecdsa-sha2-nistp256");
    assert_eq!(&*found(read("rsa-openssh")), "ssh-rsa");
    assert_eq!(&*found(read("rsa-pkcs1.pem")), "RSA");
    assert_eq!(&*found(read("p256-sec1.pem")), "an elliptic curve");
    let error = P256Key::from_pem(&share(), &data("ed25519.pem"), b"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a key for \"1.3.101.112\", and one for P-256 was asked for: give another file, or read it \
         as what it is"
    );
    // Another curve: secp384r1.
    let error = P256Key::from_pem(&share(), &data("p384.pem"), b"").unwrap_err();
    assert_eq!(error, KeyError::OtherAlgorithm { expected: "P-256", found: "1.3.132.0.34".into() });
    // RSA keys of OpenSSH's are not read.
    let error = RsaKey::from_pem(&share(), &data("rsa-openssh"), b"").unwrap_err();
    assert!(matches!(error, KeyError::OtherAlgorithm { expected: "RSA", .. }));
}

#[test]
fn an_encrypted_key_is_told() {
    for (name, format) in [("encrypted.pem", Format::Pkcs8), ("encrypted-openssh", Format::OpenSsh)]
    {
        let error = Ed25519Key::from_pem(&share(), &data(name), b"").unwrap_err();
        assert_eq!(error, KeyError::Encrypted { format });
    }
}

#[test]
fn what_is_no_key_is_told() {
    let error = |text: &[u8]| Ed25519Key::from_pem(&share(), text, b"").unwrap_err();
    assert_eq!(error(b""), KeyError::Malformed(Format::Pem));
    assert_eq!(error(b"hunter2"), KeyError::Malformed(Format::Pem));
    let certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(error(certificate), KeyError::OtherLabel { found: "CERTIFICATE".into() });
    let empty = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(error(empty), KeyError::Malformed(Format::Pkcs8));
    let openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    assert_eq!(error(openssh), KeyError::Malformed(Format::OpenSsh));
    assert_eq!(
        P256Key::from_bytes(&share(), &[0; 32], b"").unwrap_err(),
        KeyError::Invalid { algorithm: "P-256" }
    );
    assert_eq!(
        P256Key::from_bytes(&share(), &[0xff; 32], b"").unwrap_err(),
        KeyError::Invalid { algorithm: "P-256" }
    );
    assert_eq!(
        P256Key::from_bytes(&share(), &[1; 34], b"").unwrap_err(),
        KeyError::Length { expected: 32, found: 34 }
    );
    assert_eq!(
        RsaKey::from_bytes(&share(), b"", b"").unwrap_err(),
        KeyError::Invalid { algorithm: "RSA" }
    );
}

/// Whatever is changed in a file, or missing at its end, is an error or the same key: none panics.
#[test]
fn no_damage_makes_another_key() {
    fn damaged<A: Algorithm>(der: &[u8]) {
        let whole = Key::<A>::from_pkcs8_der(&share(), der, b"").unwrap();
        for at in 0..der.len() {
            assert!(Key::<A>::from_pkcs8_der(&share(), &der[..at], b"").is_err());
            let mut changed = der.to_vec();
            changed[at] ^= 0x11;
            if let Ok(key) = Key::<A>::from_pkcs8_der(&share(), &changed, b"") {
                // Without its public key beside it nobody can tell that the private key was changed.
                assert!(key.public_key() == whole.public_key() || A::NAME != "P-256", "byte {at}");
            }
        }
    }
    let p256 = P256Key::from_pem(&share(), &data("p256.pem"), b"").unwrap();
    damaged::<P256>(&p256.to_pkcs8_der().unwrap().expose_secret());
    let ed25519 = Ed25519Key::from_pem(&share(), &data("ed25519.pem"), b"").unwrap();
    damaged::<Ed25519>(&ed25519.to_pkcs8_der().unwrap().expose_secret());

    let text = data("ed25519-openssh");
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let _ = Ed25519Key::from_pem(&share(), &changed, b"");
        let _ = Ed25519Key::from_pem(&share(), &text[..at], b"");
    }
}

#[test]
fn another_keys_public_key_is_refused() {
    // The public key is the last 65 bytes of what is written.
    let one = P256Key::generate(&share(), b"").unwrap().to_pkcs8_der().unwrap();
    let other = P256Key::generate(&share(), b"").unwrap().to_pkcs8_der().unwrap();
    let mut mixed = one.expose_secret().to_vec();
    let start = mixed.len() - 65;
    mixed[start..].copy_from_slice(&other.expose_secret()[start..]);
    let error = P256Key::from_pkcs8_der(&share(), &mixed, b"").unwrap_err();
    assert_eq!(error, KeyError::OtherPublicKey);
}

/// OpenSSH writes numbers without leading zeros.
#[test]
fn short_and_long_numbers_are_read() {
    let mut scalar = [0; 32];
    scalar[2..].fill(7);
    let whole = P256Key::from_bytes(&share(), &scalar, b"").unwrap();
    let short = P256Key::from_bytes(&share(), &scalar[2..], b"").unwrap();
    let long = P256Key::from_bytes(&share(), &[&[0][..], &scalar].concat(), b"").unwrap();
    assert!(whole.public_key() == short.public_key() && whole.public_key() == long.public_key());
}

#[test]
fn rsa_signs_with_both_paddings() {
    use rsa::sha2::Sha256;
    let key = RsaKey::from_pem(&share(), &data("rsa.pem"), b"").unwrap();
    let public = key.public_key().clone();
    let signature: rsa::pss::Signature = key.try_sign(b"a message").unwrap();
    let verifier = rsa::pss::VerifyingKey::<Sha256>::new(public.clone());
    verifier.verify(b"a message", &signature).unwrap();
    assert!(verifier.verify(b"another", &signature).is_err());
    let signature: rsa::pkcs1v15::Signature = key.try_sign(b"a message").unwrap();
    let verifier = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(public);
    verifier.verify(b"a message", &signature).unwrap();
    assert!(matches!(RsaKey::generate(&share(), 1024, b""), Err(KeyError::Refused { .. })));
}

#[test]
fn rsa_is_read_number_by_number_and_signs_with_another_hash() {
    use rsa::pkcs1::RsaPrivateKeyRef;
    use rsa::pkcs1::der::Decode;
    use rsa::sha2::Sha512;
    let whole = RsaKey::from_pem(&share(), &data("rsa.pem"), b"").unwrap();
    let der = whole.to_pkcs8_der().unwrap();
    let der = der.expose_secret();
    let info = pkcs8::PrivateKeyInfoRef::try_from(&*der).unwrap();
    let parts = RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).unwrap();
    let zeros = [&[0; 3], parts.prime2.as_bytes()].concat();
    let numbers = RsaNumbers {
        modulus: parts.modulus.as_bytes(),
        public_exponent: parts.public_exponent.as_bytes(),
        private_exponent: parts.private_exponent.as_bytes(),
        primes: [parts.prime1.as_bytes(), &zeros],
    };
    let key = RsaKey::from_numbers(&share(), &numbers, b"").unwrap();
    assert!(key.public_key() == whole.public_key());
    assert_eq!(*key.to_pkcs8_der().unwrap().expose_secret(), *der);
    let signature = key.sign_pkcs1v15::<Sha512>(b"a message").unwrap();
    let verifier = rsa::pkcs1v15::VerifyingKey::<Sha512>::new(key.public_key().clone());
    verifier.verify(b"a message", &signature).unwrap();

    let swapped = RsaNumbers { modulus: numbers.private_exponent, ..numbers };
    let empty = RsaNumbers { primes: [&[], &[]], ..numbers };
    let blank = RsaNumbers { modulus: &[], public_exponent: &[], ..empty };
    for wrong in [swapped, empty, blank] {
        let error = RsaKey::from_numbers(&share(), &wrong, b"").unwrap_err();
        assert_eq!(error, KeyError::Invalid { algorithm: "RSA" });
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes a minute without optimisation: cargo test --release")]
fn rsa_keys_are_made() {
    use rsa::sha2::Sha256;
    let key = RsaKey::generate(&share(), 2048, b"").unwrap();
    let signature: rsa::pss::Signature = key.try_sign(b"a message").unwrap();
    let verifier = rsa::pss::VerifyingKey::<Sha256>::new(key.public_key().clone());
    verifier.verify(b"a message", &signature).unwrap();
}

/// OpenSSL reads what is written.
#[test]
fn x25519_is_written_as_openssl_writes_it() {
    let text = data("x25519.pem");
    let key = X25519Key::from_pem(&share(), &text, b"").unwrap();
    let mut der = [0; 48];
    let der = pem_rfc7468::decode(&text, &mut der).unwrap().1;
    assert!(key.to_pkcs8_der().unwrap().constant_time_eq(der));
}
