//! Other crates' types and traits, each behind a feature of its own; the tests need all of them.
#![cfg(all(
    feature = "bytes",
    feature = "rand_core-0_10",
    feature = "secrecy-0_10",
    feature = "subtle",
    feature = "zeroize"
))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use rand_core::{TryCryptoRng, TryRng};
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretBox, SecretSlice};
use strongroom::{
    Field, OpenError, Opener, SealError, Sealed, SealedField, SecretString, SecretVec, Share, Vault,
};
use subtle::ConstantTimeEq;
use support::{alone, forked};
use zeroize::ZeroizeOnDrop;

mod support;

fn vault() -> Vault {
    Vault::new(8192).unwrap()
}

/// Counts how often it was wiped.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Zeroize for Counted {
    fn zeroize(&mut self) {
        self.0.zeroize();
        self.1.fetch_add(1, Relaxed);
    }
}

#[test]
fn bytes_and_texts_are_sealed_and_taken() {
    let vault = vault();
    for secret in ["", "hunter2"] {
        let bytes = SecretSlice::from(secret.as_bytes().to_vec());
        let sealed = vault.seal_secrecy(&bytes, b"name").unwrap();
        assert_eq!(vault.try_open(&sealed, b"name").unwrap().expose_secret(), secret.as_bytes());
        assert_eq!(vault.try_open(&sealed, b"other").unwrap_err(), OpenError::Tampered);
        assert_eq!(vault.try_take_secrecy(bytes).unwrap().expose_secret(), secret.as_bytes());
        let sealed = vault.seal_secrecy(&secrecy::SecretString::from(secret), b"name").unwrap();
        assert_eq!(vault.try_open(&sealed, b"name").unwrap().expose_secret(), secret.as_bytes());
    }
    let array = SecretBox::new(Box::new([7; 32]));
    assert_eq!(vault.try_take_secrecy(array).unwrap().expose_secret(), [7; 32]);
}

#[test]
fn what_is_taken_is_wiped_where_it_was_and_what_is_not_comes_back() {
    let (vault, wiped) = (vault(), Arc::new(AtomicUsize::new(0)));
    let secret = SecretBox::new(Box::new(Counted(vec![7; 100], Arc::clone(&wiped))));
    let held: Vec<_> = std::iter::from_fn(|| vault.try_allocate(100).ok()).collect();
    let (secret, error) = vault.try_take_secrecy(secret).unwrap_err();
    assert!(matches!(error, OpenError::Full(_)), "{error}");
    assert_eq!((secret.expose_secret().as_ref(), wiped.load(Relaxed)), (&[7; 100][..], 0));
    drop(held);
    let taken = vault.try_take_secrecy(secret).map_err(|(_, error)| error).unwrap();
    assert_eq!(wiped.load(Relaxed), 1);
    assert_eq!(taken.expose_secret(), [7; 100]);
}

#[test]
fn copies_outlive_what_was_open() {
    let vault = Arc::new(vault());
    let sealed = vault.seal(b"hunter2", b"").unwrap();
    let bytes = vault.try_open(&sealed, b"").unwrap().copy_to_secrecy_on_the_heap();
    let owned = vault.share().try_open(&sealed, b"").unwrap().copy_to_secrecy_on_the_heap();
    assert_eq!((bytes.expose_secret(), owned.expose_secret()), (&b"hunter2"[..], &b"hunter2"[..]));
    assert_eq!(vault.held(), 0);
}

#[test]
fn copies_of_texts_are_texts() {
    struct Password;

    impl Field for Password {
        type Value = str;
        const CONTEXT: &'static str = "password";
    }

    let vault = Arc::new(vault());
    let sealed = vault.seal(b"hunter2", Password::CONTEXT.as_bytes()).unwrap();
    let sealed = SealedField::<Password>::from_record(sealed);
    let text = sealed.try_open(&*vault).unwrap().copy_to_secrecy_on_the_heap();
    let owned = sealed.try_open(&vault.share()).unwrap().copy_to_secrecy_on_the_heap();
    assert_eq!((text.expose_secret(), owned.expose_secret()), ("hunter2", "hunter2"));
}

/// Draws numbers and bytes, none of which is drawn twice.
fn draw<R: TryCryptoRng>(generator: &mut R) -> Result<(), R::Error> {
    let mut drawn = vec![generator.try_next_u32()?.into()];
    for _ in 0..8 {
        let mut bytes = [0; 8];
        generator.try_fill_bytes(&mut bytes)?;
        drawn.extend([generator.try_next_u64()?, u64::from_ne_bytes(bytes)]);
    }
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 17);
    Ok(())
}

#[test]
fn a_generator_draws() {
    let vault = vault();
    assert_eq!(draw(&mut vault.generator()), Ok(()));
    assert_eq!(format!("{:?}", vault.generator()), "VaultGenerator { .. }");
}

#[test]
fn a_generator_fails_in_a_forked_child_and_after_an_emergency() {
    alone("a_generator_fails_in_a_forked_child_and_after_an_emergency", || {
        let vault = vault();
        let fails_with = |expected| {
            let mut generator = vault.generator();
            let mut bytes = [7; 8];
            let filled = generator.try_fill_bytes(&mut bytes);
            filled == Err(expected)
                && bytes == [7; 8]
                && generator.try_next_u32() == Err(expected)
                && generator.try_next_u64() == Err(expected)
        };
        assert!(forked(|| fails_with(OpenError::Forked)).success());
        strongroom::wipe_all();
        assert!(fails_with(OpenError::Destroyed));
    });
}

#[test]
fn records_are_shared_and_not_copied() {
    let vault = vault();
    let sealed = vault.seal(b"hunter2", b"").unwrap();
    let place = sealed.record().as_ptr();
    let sealed = Sealed::from_record(Bytes::from(sealed.into_record()));
    assert_eq!(sealed.record().as_ptr(), place);
    let sealed: Sealed<Bytes> = vault.seal_shared(b"hunter2", b"").unwrap();
    let other = sealed.clone();
    assert_eq!(sealed.record().as_ptr(), other.record().as_ptr());
    assert_eq!(vault.try_open(&other, b"").unwrap().expose_secret(), b"hunter2");
}

#[test]
fn records_follow_each_other_in_a_message() {
    let vault = vault();
    let mut message = BytesMut::from(&b"two:"[..]);
    let secrets = [&b""[..], b"hunter2"];
    for secret in secrets {
        vault.seal_to_end(secret, b"", &mut message).unwrap();
    }
    let mut message = message.freeze();
    assert_eq!(message.split_to(4), b"two:"[..]);
    for secret in secrets {
        let record = message.split_to(24 + secret.len());
        let opened = vault.try_open(&Sealed::from_record(record), b"").unwrap();
        assert_eq!(opened.expose_secret(), secret);
    }
    assert!(message.is_empty());
}

#[test]
fn what_is_not_sealed_leaves_the_message_alone() {
    let vault = vault();
    let mut message = BytesMut::from(&b"two:"[..]);
    vault.destroy();
    assert_eq!(vault.seal_to_end(b"hunter2", b"", &mut message), Err(SealError::Destroyed));
    assert_eq!(message, b"two:"[..]);
    assert_eq!(vault.seal_shared(b"", b"").unwrap_err(), SealError::Destroyed);
}

#[test]
fn open_secrets_are_compared() {
    let vault = vault();
    let open = |secret: &[u8]| vault.try_open(&vault.seal(secret, b"").unwrap(), b"").unwrap();
    let (ours, same, other) = (open(b"hunter2"), open(b"hunter2"), open(b"hunter3"));
    assert_eq!(ours.ct_eq(&same).unwrap_u8(), 1);
    assert_eq!(ours.ct_eq(&other).unwrap_u8(), 0);
    let value = |value: u64| {
        let sealed = vault.seal_value(&value, b"").unwrap();
        vault.try_open_value::<u64>(&sealed, b"").unwrap()
    };
    assert!(bool::from(value(7).ct_eq(&value(7)) & value(7).ct_ne(&value(7 << 60))));
}

#[test]
fn what_is_marked_leaves_zeros() {
    fn use_up<T: ZeroizeOnDrop>(secret: T) {
        drop(secret);
    }
    let vault = Arc::new(vault());
    let sealed = vault.seal(&[7; 40], b"").unwrap();
    let mut line = SecretVec::<u8, &Vault>::new(&vault);
    line.extend_from_slice(&[7; 40]).unwrap();
    let mut text = SecretString::<Share>::new(vault.share());
    text.push_str("hunter2").unwrap();
    use_up(vault.try_open(&sealed, b"").unwrap());
    use_up(vault.share().try_open(&sealed, b"").unwrap());
    use_up(line);
    use_up(text);
    // It looks at every free byte.
    assert_eq!((vault.held(), vault.verify()), (0, Ok(())));
}
