//! The child: one operation, plainly or through strongroom-keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use chacha20poly1305::ChaCha20Poly1305;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::UnwrapErr;
use rsa::sha2::Sha256;
use strongroom::strongroom_core::wiping_stack;
use strongroom::{Opened, Share, Vault};
use strongroom_keys::aead::{AeadInOut, KeyInit};
use strongroom_keys::signature::{RandomizedSigner, Signer};
use strongroom_keys::{
    Aes256GcmKey, Algorithm, ChaCha20Poly1305Key, Ed25519Key, Key, P256Key, RsaKey, X25519Key,
};

/// Does the operation, answers in one write, and stands still until it is told to end.
pub(super) fn run(operation: &str, how: &str, path: &Path) {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let mut answer = Answer(File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap()));
    match how {
        "plain" => plain(&vault, operation, path, &mut answer),
        "ring" => with_ring(&vault, operation, path, &mut answer),
        "strongroom" => ours(&vault.share(), operation, path, &mut answer),
        "planted" => {
            let key = vault.read_file(path, 1024).unwrap();
            std::mem::forget(Box::<[u8]>::from(&key.expose_secret()[..]));
        }
        other => panic!("{other:?}"),
    }
    let Answer(mut stdout) = answer;
    stdout.write_all(DONE).unwrap();
    let mut stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    stdin.read_exact(&mut [0]).unwrap();
}

/// Standard output, without a buffer.
struct Answer(File);

impl Answer {
    /// Tells the parent, who needs it to know what is secret; from where it lies, which may be secret.
    fn set(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }
}

/// What the answer ends with, when the operation is over.
pub(super) const DONE: &[u8; 8] = b"\n(done)\n";

/// As the crates' documentation has it, by somebody who keeps the key itself in locked memory.
#[inline(never)]
fn plain(vault: &Vault, operation: &str, path: &Path, answer: &mut Answer) {
    let input = vault.read_file(path, 4096).unwrap();
    let key = || -> [u8; 32] { input.expose_secret()[..].try_into().unwrap() };
    let text = input.expose_secret();
    let text = || str::from_utf8(&text).unwrap();
    match operation {
        "Ed25519: generate" => {
            use ed25519_dalek::SigningKey;
            let mut seed = vault.try_allocate(32).unwrap();
            seed.fill_random().unwrap();
            let key = SigningKey::from_bytes(seed.expose_secret()[..].try_into().unwrap());
            answer.set(key.as_bytes());
        }
        "Ed25519: read PEM" => {
            let key = ed25519_dalek::SigningKey::from_pkcs8_pem(text()).unwrap();
            answer.set(key.verifying_key().as_bytes());
        }
        "Ed25519: sign" => {
            let seed = &input.expose_secret()[..].try_into().unwrap();
            let key = ed25519_dalek::SigningKey::from_bytes(seed);
            answer.set(&key.sign(MESSAGE).to_bytes());
        }
        "P-256: generate" => {
            use p256::elliptic_curve::Generate;
            let generator = &mut UnwrapErr(vault.generator());
            let key = p256::ecdsa::SigningKey::generate_from_rng(generator);
            answer.set(&key.to_bytes());
        }
        "P-256: read PEM" => {
            let key = p256::ecdsa::SigningKey::from_pkcs8_pem(text()).unwrap();
            answer.set(key.verifying_key().to_sec1_point(false).as_bytes());
        }
        "P-256: sign" => {
            let key = p256::ecdsa::SigningKey::from_slice(&input.expose_secret()).unwrap();
            let signature: p256::ecdsa::Signature = key.sign(MESSAGE);
            answer.set(&signature.to_bytes());
        }
        "X25519: generate" => {
            let generator = &mut UnwrapErr(vault.generator());
            let key = x25519_dalek::StaticSecret::random_from_rng(generator);
            answer.set(key.as_bytes());
        }
        "X25519: agree" => {
            let key = x25519_dalek::StaticSecret::from(key());
            let secret = key.diffie_hellman(&THEIRS.into());
            assert!(secret.was_contributory());
        }
        "ChaCha20-Poly1305: encrypt" => {
            let cipher = ChaCha20Poly1305::new_from_slice(&input.expose_secret()).unwrap();
            let mut text = *MESSAGE;
            let nonce = NONCE.into();
            let tag = cipher.encrypt_inout_detached(&nonce, b"", (&mut text[..]).into()).unwrap();
            answer.set(&tag);
        }
        "AES-256-GCM: encrypt" => {
            let cipher = Aes256Gcm::new_from_slice(&input.expose_secret()).unwrap();
            let mut text = *MESSAGE;
            let nonce = NONCE.into();
            let tag = cipher.encrypt_inout_detached(&nonce, b"", (&mut text[..]).into()).unwrap();
            answer.set(&tag);
        }
        "RSA: generate" => {
            let key = rsa::PrivateKey::new(&mut vault.generator(), 2048).unwrap();
            answer.set(key.to_pkcs8_der().unwrap().as_bytes());
        }
        "RSA: read PEM" => {
            let key = rsa::PrivateKey::from_pkcs8_pem(text()).unwrap();
            assert!(key.validate().is_ok());
        }
        "RSA: sign (PSS)" => {
            let key = rsa::PrivateKey::from_pkcs8_pem(text()).unwrap();
            let key = rsa::pss::SigningKey::<Sha256>::new(key);
            let signature = key.try_sign_with_rng(&mut vault.generator(), MESSAGE).unwrap();
            let signature: Box<[u8]> = signature.into();
            answer.set(&signature[..64]);
        }
        other => panic!("{other:?}"),
    }
}

/// The same with ring.
#[inline(never)]
fn with_ring(vault: &Vault, operation: &str, path: &Path, answer: &mut Answer) {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
    let input = vault.read_file(path, 32).unwrap();
    if operation == "Ed25519: sign" {
        let key = Ed25519KeyPair::from_seed_unchecked(&input.expose_secret()).unwrap();
        answer.set(key.sign(MESSAGE).as_ref());
        return;
    }
    // It wants the public key beside it.
    let public = wiping_stack::<65536, _>(|| {
        let key = p256::ecdsa::SigningKey::from_slice(&input.expose_secret()).unwrap();
        key.verifying_key().to_sec1_point(false)
    });
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let private = input.expose_secret();
    let key = EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        &private,
        public.as_bytes(),
        &random,
    );
    answer.set(key.unwrap().sign(&random, MESSAGE).unwrap().as_ref());
}

#[inline(never)]
fn ours(share: &Share, operation: &str, path: &Path, answer: &mut Answer) {
    let input = share.vault().read_file(path, 4096).unwrap();
    match operation {
        "Ed25519: generate" => generated(&Ed25519Key::generate(share, b"").unwrap(), answer),
        "Ed25519: read PEM" | "Ed25519: read OpenSSH" => {
            answer.set(read::<strongroom_keys::Ed25519>(share, &input).public_key().as_bytes());
        }
        "Ed25519: sign" => {
            let key = Ed25519Key::from_bytes(share, &input.expose_secret(), b"").unwrap();
            answer.set(&key.try_sign(MESSAGE).unwrap().to_bytes());
        }
        "P-256: generate" => generated(&P256Key::generate(share, b"").unwrap(), answer),
        "P-256: read PEM" | "P-256: read OpenSSH" => {
            let key = read::<strongroom_keys::P256>(share, &input);
            answer.set(key.public_key().to_sec1_point(false).as_bytes());
        }
        "P-256: sign" => {
            let key = P256Key::from_bytes(share, &input.expose_secret(), b"").unwrap();
            answer.set(&key.try_sign(MESSAGE).unwrap().to_bytes());
        }
        "X25519: generate" => generated(&X25519Key::generate(share, b"").unwrap(), answer),
        "X25519: agree" => {
            let key = X25519Key::from_bytes(share, &input.expose_secret(), b"").unwrap();
            drop(key.agree(&THEIRS.into()).unwrap());
        }
        "ChaCha20-Poly1305: encrypt" => {
            let key = ChaCha20Poly1305Key::from_bytes(share, &input.expose_secret(), b"").unwrap();
            let mut text = *MESSAGE;
            answer.set(&key.encrypt_detached(&NONCE.into(), b"", &mut text).unwrap());
        }
        "AES-256-GCM: encrypt" => {
            let key = Aes256GcmKey::from_bytes(share, &input.expose_secret(), b"").unwrap();
            let mut text = *MESSAGE;
            answer.set(&key.encrypt_detached(&NONCE.into(), b"", &mut text).unwrap());
        }
        "RSA: generate" => {
            let key = RsaKey::generate(share, 2048, b"").unwrap();
            answer.set(&key.to_pkcs8_der().unwrap().expose_secret());
        }
        "RSA: read PEM" => drop(read::<strongroom_keys::Rsa>(share, &input)),
        "RSA: sign (PSS)" => {
            let key: RsaKey = read(share, &input);
            let signature: rsa::pss::Signature = key.try_sign(MESSAGE).unwrap();
            let signature: Box<[u8]> = signature.into();
            answer.set(&signature[..64]);
        }
        other => panic!("{other:?}"),
    }
}

fn read<A: Algorithm>(share: &Share, text: &Opened<'_>) -> Key<A> {
    Key::from_pem(share, &text.expose_secret(), b"").unwrap()
}

/// Answers with the key of 32 bytes, which is at the end of PKCS#8, or before P-256's public key.
fn generated<A: Algorithm>(key: &Key<A>, answer: &mut Answer) {
    let der = key.to_pkcs8_der().unwrap();
    let der = der.expose_secret();
    let start = if A::NAME == "P-256" { 36 } else { der.len() - 32 };
    answer.set(&der[start..start + 32]);
}

pub(super) const MESSAGE: &[u8; 43] = b"The quick brown fox jumps over the lazy dog";
pub(super) const NONCE: [u8; 12] = [7; 12];

/// The public key of RFC 7748, section 6.1.
pub(super) const THEIRS: [u8; 32] = [
    0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4, 0x35, 0x37,
    0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f,
];
