//! Secrets as values: plain, growing, and of other crates' types; borrowed, and owning a share.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use strongroom::strongroom_core::Allocate;
use strongroom::{
    Built, OpenError, Opened, Opener, OwnedOpened, SecretString, SecretVec, Share, Vault,
};
use tasks::block_on;

#[path = "support/tasks.rs"]
mod tasks;

const MOMENT: Duration = Duration::from_millis(20);

fn vault() -> Vault {
    Vault::builder().budget(8192..=8192).reserve("signer", 4096).build().unwrap()
}

/// Of any opener: all ways to a value, and what is refused.
fn values<'o, O: Opener + Copy + 'o>(vault: &Vault, opener: O, held: usize) {
    let words = [u128::MAX, 7, 1 << 100];
    let sealed = vault.seal_value(&words, b"words").unwrap();
    assert_eq!(sealed.secret_len(), 48);
    let now = opener.try_open_value::<[u128; 3]>(&sealed, b"words").unwrap();
    let within = opener.open_value_timeout::<[u128; 3]>(&sealed, b"words", MOMENT).unwrap();
    let task = block_on(Box::pin(opener.open_value::<[u128; 3]>(sealed.clone(), b"words")));
    let zeroed = opener.try_allocate_value::<u64>().unwrap();
    let zeroed_in_time = opener.allocate_value_timeout::<u64>(MOMENT).unwrap();
    let zeroed_as_task = block_on(Box::pin(opener.allocate_value::<u64>())).unwrap();
    let built = opener.try_build(|place| place.write(Named("built"))).unwrap();
    let built_in_time = opener.build_timeout(MOMENT, |place| place.write(Named("built"))).unwrap();
    let built_as_task = block_on(Box::pin(
        opener.build(|place: &mut MaybeUninit<Named>| place.write(Named("built"))),
    ))
    .unwrap();
    assert_eq!(vault.held(), held + 9);
    for built in [&built, &built_in_time, &built_as_task] {
        assert_eq!(built.try_expose_secret().unwrap().0, "built");
    }
    drop((now, within, task.unwrap(), zeroed, zeroed_in_time, zeroed_as_task));
    drop((built, built_in_time, built_as_task));

    let other = opener.try_open_value::<[u8; 47]>(&sealed, b"words").err().unwrap();
    let size = strongroom_core::OpenError::OtherSize { len: 48, size: 47 };
    assert_eq!(other, OpenError::Enclave(size));
    let forged = opener.try_open_value::<[u8; 48]>(&sealed, b"").err().unwrap();
    assert_eq!(forged, OpenError::Tampered);
    let large = opener.try_allocate_value::<[[u64; 32]; 64]>().err().unwrap();
    assert!(matches!(large, OpenError::TooLarge { requested: 16_384, .. }), "{large:?}");
    let large = block_on(Box::pin(opener.allocate_value::<[[u64; 32]; 64]>())).err().unwrap();
    assert!(matches!(large, OpenError::TooLarge { requested: 16_384, .. }), "{large:?}");
    assert_eq!((vault.held(), vault.waiters(), vault.verify()), (held, 0, Ok(())));
}

struct Named(&'static str);

#[test]
fn every_opener_opens_values() {
    let vault = Arc::new(vault());
    values(&vault, &*vault, 0);
    values(&vault, vault.reserve("signer").unwrap(), 0);
    let share = vault.share();
    values(&vault, &share, 0);
    values(&vault, &share.reserve("signer").unwrap(), 0);
    // With the common memory full, what is in the reserve is a value's too.
    let held: Vec<_> = std::iter::from_fn(|| vault.try_allocate(400).ok()).collect();
    assert!(vault.try_allocate_value::<[u8; 400]>().is_err());
    values(&vault, vault.reserve("signer").unwrap(), held.len());
}

#[test]
fn a_value_is_read_and_changed_in_its_place() {
    let vault = vault();
    let mut key = vault.try_allocate_value::<[u64; 4]>().unwrap();
    assert_eq!(*key.expose_secret(), [0; 4]);
    key.fill_random().unwrap();
    assert!(!key.constant_time_eq(&[0; 4]));
    key.expose_secret_mut()[3] = 9;
    let sealed = key.seal(b"key").unwrap();
    let opened = vault.try_open_value::<[u64; 4]>(&sealed, b"key").unwrap();
    assert!(opened.constant_time_eq(&key.expose_secret()) && opened.with_secret(|key| key[3] == 9));
    assert!(opened.expose_secret() == *key.expose_secret());
    assert_eq!(format!("{opened:?}"), "Opened { len: 32, .. }");
    // The same bytes are another value's too, and a slice's.
    let bytes = vault.try_open_value::<[u8; 32]>(&sealed, b"key").unwrap();
    assert!(vault.try_open(&sealed, b"key").unwrap().constant_time_eq(&*bytes.expose_secret()));
    assert_eq!((opened.release(), key.release(), bytes.release()), (Ok(()), Ok(()), Ok(())));
    // Side by side, every second would lie between two multiples of its alignment.
    let sealed = vault.seal_value(&7_u128, b"").unwrap();
    let values: Vec<_> = (0..20)
        .flat_map(|_| [vault.try_open_value::<u128>(&sealed, b""), vault.try_allocate_value()])
        .collect::<Result<_, _>>()
        .unwrap();
    for value in &values {
        assert_eq!((&raw const *value.expose_secret()).addr() % align_of::<u128>(), 0);
    }
}

/// A struct with its vault, a task, a thread's return: no lifetime, and no vault that ends too soon.
#[test]
fn a_signing_key_goes_where_the_program_goes() {
    struct Service {
        key: Built<SigningKey, OwnedOpened>,
        token: OwnedOpened<[u8; 16]>,
        vault: Arc<Vault>,
    }
    let vault = Arc::new(vault());
    let seed = vault.seal_value(&[7_u8; 32], b"seed").unwrap();
    let token = vault.seal_value(&[3_u8; 16], b"token").unwrap();
    let expected = SigningKey::from_bytes(&[7; 32]).sign(b"message");
    let share = vault.share();
    let make = move || {
        let seed = vault.try_open_value::<[u8; 32]>(&seed, b"seed").unwrap();
        let key =
            share.try_build(|place| place.write(SigningKey::from_bytes(&seed.expose_secret())));
        let token = share.try_open_value(&token, b"token").unwrap();
        drop(seed);
        Service { key: key.unwrap(), token, vault }
    };
    let service = thread::spawn(make).join().unwrap();
    let sign = async move {
        let signature = service.key.try_expose_secret().unwrap().sign(b"message");
        assert!(service.token.constant_time_eq(&[3; 16]));
        (signature, service)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (signature, service) = runtime.block_on(runtime.spawn(sign)).unwrap();
    assert_eq!((signature, service.vault.held()), (expected, 2));
    let Service { key, token, vault } = service;
    drop((vault, token));
    assert_eq!(key.try_expose_secret().unwrap().to_bytes(), [7; 32]);
}

#[test]
fn a_built_value_is_dropped_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Counted([u8; 40]);
    impl Drop for Counted {
        fn drop(&mut self) {
            assert_eq!(self.0, [5; 40]);
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    let vault = Arc::new(vault());
    drop(vault.try_build(|place| place.write(Counted([5; 40]))).unwrap());
    let mut changed = vault.share().try_build(|place| place.write(Counted([4; 40]))).unwrap();
    changed.try_expose_secret_mut().unwrap().0 = [5; 40];
    drop(changed);
    assert_eq!(DROPS.load(Ordering::Relaxed), 2);
    // A panic drops nothing, and gives the place back.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        vault.try_build::<Counted>(|place| {
            place.write(Counted([6; 40]));
            panic!("no key today")
        })
    }));
    assert!(panicked.is_err() && vault.held() == 0 && vault.verify() == Ok(()));
    assert_eq!(DROPS.load(Ordering::Relaxed), 2);
}

#[test]
fn building_in_another_place_is_refused() {
    let vault = vault();
    let elsewhere = Cell::new(Some(Box::leak(Box::new(7_u64))));
    let built = catch_unwind(AssertUnwindSafe(|| {
        vault.try_build(|_: &mut MaybeUninit<u64>| elsewhere.take().unwrap()).map(drop)
    }));
    assert!(built.unwrap_err().downcast_ref::<&str>().unwrap().contains("another place"));
    assert_eq!(vault.held(), 0);
}

/// A value whose drop panics makes room all the same, and those who wait are told.
#[test]
fn a_drop_that_panics_makes_room() {
    struct Stubborn([u8; 3000]);
    impl Drop for Stubborn {
        fn drop(&mut self) {
            panic!("not yet, {}", self.0[0]);
        }
    }
    let vault = vault();
    let build = || vault.try_build(|place| place.write(Stubborn([1; 3000])));
    let mut held: Vec<_> = std::iter::from_fn(|| build().ok()).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| vault.allocate_timeout(3000, Duration::from_secs(30)).is_ok());
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        let last = held.pop();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(last))).is_err());
        assert!(waits.join().unwrap());
    });
    held.into_iter().for_each(std::mem::forget);
}

#[test]
fn text_grows_in_a_vault_a_reserve_and_a_share() {
    let vault = Arc::new(vault());
    let mut borrowed = SecretString::new(&*vault);
    let mut reserved = SecretString::new(vault.reserve("signer").unwrap());
    let mut owned = SecretString::new(vault.share());
    let user = "user";
    write!(borrowed, "{user}:pässword").unwrap();
    write!(reserved, "{user}:pässword").unwrap();
    write!(owned, "{user}:pässword").unwrap();
    assert_eq!(borrowed.expose_secret(), "user:pässword");
    let both = (reserved.expose_secret(), owned.expose_secret());
    assert!(both.0 == *both.1 && both.0 == "user:pässword");
    drop(both);
    // From its record to a text that grows, in place.
    let sealed = vault.seal(borrowed.expose_secret().as_bytes(), b"login").unwrap();
    let opened = vault.share().try_open(&sealed, b"login").unwrap();
    let mut again = SecretString::from_utf8(SecretVec::from_buffer(vault.share(), opened)).unwrap();
    again.push_str(&"!".repeat(300)).unwrap();
    let text: SecretString<Share> = thread::spawn(move || again).join().unwrap();
    assert_eq!(text.len(), 14 + 300);
    drop((borrowed, reserved, owned));
    assert_eq!(vault.held(), 1);
    // Whatever writes bytes writes into it.
    let mut bytes = SecretVec::new(&*vault);
    io::copy(&mut &[7_u8; 1000][..], &mut bytes).unwrap();
    assert!(bytes.constant_time_eq(&[7; 1000]));
    let error = bytes.write_all(&[7; 10_000]).unwrap_err();
    assert_eq!((error.kind(), bytes.len()), (io::ErrorKind::StorageFull, 1000));
    assert!(error.to_string().contains("10000 bytes") || error.to_string().contains("11000 bytes"));
    drop(bytes);
    // Full is an error, and the text is as it was.
    let mut words = SecretVec::<u64, _>::new(&*vault);
    let error = loop {
        if let Err(error) = words.extend_from_slice(&[0x5a5a; 16]) {
            break error;
        }
    };
    assert!(matches!(error, OpenError::Full(_) | OpenError::TooLarge { .. }), "{error:?}");
    assert!(words.len() > 100 && words.with_secret(|all| all.iter().all(|&word| word == 0x5a5a)));
    drop(words);
    let opened: Opened<'_, [u64]> = (&*vault).buffer(3).unwrap();
    assert!(opened.expose_secret().iter().all(|&word| word == 0) && opened.len() == 3);
}
