//! What a key answers when it cannot be used: and that nothing is lost then.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ed25519_dalek::Signature;
use strongroom::{OpenError, SealError, Sealed, Vault, wipe_all};
use strongroom_keys::signature::{self, Signer, Verifier};
use strongroom_keys::{ChaCha20Poly1305Key, Ed25519Key, KeyError, P256Key, X25519Key};
use support::share;

#[test]
fn a_changed_record_does_not_open() {
    let key = Ed25519Key::generate(&share(), b"test").unwrap();
    for at in 0..key.sealed().record().len() {
        let mut record: Box<[u8]> = key.sealed().record().into();
        record[at] ^= 1;
        let (record, public) = (Sealed::from_record(record), *key.public_key());
        assert_eq!(tampered(Ed25519Key::from_sealed(&share(), record, public, b"test")), TAMPERED);
    }
}

/// A record opens as the key that it is, under the public key that it has, for what it is, in its vault.
#[test]
fn nor_does_a_record_that_stands_for_another() {
    let key = Ed25519Key::generate(&share(), b"test").unwrap();
    let other = Ed25519Key::generate(&share(), b"test").unwrap();
    let record = || Sealed::from_record(key.sealed().record().into());
    let own = Ed25519Key::from_sealed(&share(), record(), *key.public_key(), b"test");
    assert!(own.unwrap().try_sign(b"").is_ok());

    let open = Ed25519Key::from_sealed;
    let elsewhere = Arc::new(Vault::new(64 * 1024).unwrap());
    assert_eq!(tampered(open(&share(), record(), *other.public_key(), b"test")), TAMPERED);
    assert_eq!(tampered(open(&share(), record(), *key.public_key(), b"other")), TAMPERED);
    let there = open(&elsewhere.share(), record(), *key.public_key(), b"test");
    assert_eq!(tampered(there), TAMPERED);
    let public = key.public_key().to_bytes().into();
    let as_x25519 = X25519Key::from_sealed(&share(), record(), public, b"test");
    assert_eq!(as_x25519.unwrap_err(), TAMPERED);
    let as_cipher = ChaCha20Poly1305Key::from_sealed(&share(), record(), b"test");
    assert_eq!(as_cipher.unwrap_err(), TAMPERED);
}

fn tampered(key: Result<Ed25519Key, KeyError>) -> KeyError {
    key.unwrap_err()
}

const TAMPERED: KeyError = KeyError::Open(OpenError::Tampered);

#[test]
fn a_full_vault_is_an_error_in_time() {
    let vault = Arc::new(Vault::new(16 * 1024).unwrap());
    let key = Ed25519Key::generate(&vault.share(), b"").unwrap().with_timeout(Duration::ZERO);
    let cipher = ChaCha20Poly1305Key::generate(&vault.share(), b"").unwrap();
    let cipher = cipher.with_timeout(Duration::from_millis(20));
    let agree = X25519Key::generate(&vault.share(), b"").unwrap().with_timeout(Duration::ZERO);
    let mut held = Vec::new();
    while let Ok(opened) = vault.try_allocate(32) {
        held.push(opened);
    }
    let error: signature::Error = key.try_sign(b"").unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<KeyError>());
    assert!(matches!(source, Some(KeyError::Open(OpenError::Full(_)))), "{source:?}");
    assert!(matches!(
        agree.agree(agree.public_key()).unwrap_err(),
        KeyError::Open(OpenError::Full(_))
    ));
    let (mut text, began) = (*b"hunter2", Instant::now());
    let error = cipher.encrypt_detached(&[0; 12].into(), b"", &mut text).unwrap_err();
    assert!(matches!(error, KeyError::Open(OpenError::TimedOut { .. })), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(&text, b"hunter2");

    // An agreed secret takes the place of its key: one cell is enough.
    held.pop();
    assert!(agree.agree(agree.public_key()).is_ok());
    assert!(key.try_sign(b"").is_ok());
    let key = key.with_timeout(Duration::from_secs(10));
    held.push(vault.try_allocate(32).unwrap());
    thread::scope(|scope| {
        let signing = scope.spawn(|| key.try_sign(b"a message"));
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        held.pop();
        assert!(signing.join().unwrap().is_ok());
    });
}

#[test]
fn many_threads_use_one_key() {
    let vault = Arc::new(Vault::new(16 * 1024).unwrap());
    let key = &Ed25519Key::generate(&vault.share(), b"").unwrap();
    let agree = &X25519Key::generate(&vault.share(), b"").unwrap();
    let theirs = X25519Key::generate(&vault.share(), b"").unwrap();
    let secret = &agree.agree(theirs.public_key()).unwrap();
    let theirs = &theirs;
    thread::scope(|scope| {
        for thread in 0..16_u8 {
            scope.spawn(move || {
                for round in 0..8 {
                    let signature: Signature = key.try_sign(&[thread, round]).unwrap();
                    key.public_key().verify(&[thread, round], &signature).unwrap();
                    let again = theirs.agree(agree.public_key()).unwrap();
                    assert!(again.constant_time_eq(&secret.expose_secret()));
                }
            });
        }
    });
    assert_eq!(vault.held(), 1);
    vault.verify().unwrap();
}

/// Each in a child of its own, which ends without the tests' own end.
#[test]
fn a_forked_child_and_a_wiped_process_are_told() {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let key = Ed25519Key::generate(&vault.share(), b"").unwrap();
    let cipher = ChaCha20Poly1305Key::generate(&vault.share(), b"").unwrap();
    in_a_child(|| {
        assert_eq!(key.to_pkcs8_der().unwrap_err(), KeyError::Open(OpenError::Forked));
        assert!(key.try_sign(b"").is_err());
        let error = Ed25519Key::generate(&vault.share(), b"").unwrap_err();
        assert_eq!(error, KeyError::Open(OpenError::Forked));
        let error = Ed25519Key::from_bytes(&vault.share(), &[7; 32], b"").unwrap_err();
        assert_eq!(error, KeyError::Seal(SealError::Forked));
        let error = cipher.encrypt_detached(&[0; 12].into(), b"", &mut [0; 7]).unwrap_err();
        assert_eq!(error, KeyError::Open(OpenError::Forked));
    });
    in_a_child(|| {
        let vault = Arc::new(Vault::new(64 * 1024).unwrap());
        let key = P256Key::generate(&vault.share(), b"").unwrap();
        let agree = X25519Key::generate(&vault.share(), b"").unwrap();
        wipe_all();
        assert_eq!(key.to_pkcs8_der().unwrap_err(), KeyError::Open(OpenError::Destroyed));
        let error = agree.agree(agree.public_key()).unwrap_err();
        assert_eq!(error, KeyError::Open(OpenError::Destroyed));
    });
    // The parent's are as they were.
    assert!(key.try_sign(b"").is_ok());
    // What was sealed before is gone for good.
    vault.destroy();
    assert_eq!(key.to_pkcs8_der().unwrap_err(), KeyError::Open(OpenError::Destroyed));
}

fn in_a_child(work: impl FnOnce()) {
    // SAFETY: the child runs `work`, on whose locks no other thread of this test works, and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends the process, without what was registered for its end.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the child was not waited for, and the place is valid.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status}");
}
