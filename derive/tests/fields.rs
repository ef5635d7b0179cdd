//! Structs whose secret fields are sealed one by one: each bound to its struct and its name, opened by
//! itself or all together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strongroom::{OpenError, SealFields, SealedField, SecretString, SecretVec, Share, Vault};

/// An account, as a program has it.
#[derive(Debug, SealFields)]
pub struct Account {
    /// Who.
    pub user: String,
    /// A text.
    #[secret]
    pub password: SecretString<Share>,
    /// Plain data.
    #[secret]
    pub token: [u8; 32],
    /// Values that must be aligned.
    #[secret]
    words: SecretVec<u128, Share>,
    #[secret]
    pin: u128,
}

/// Of a vault that it borrows.
#[derive(SealFields)]
struct Login<'v, 'w> {
    attempts: u32,
    #[secret]
    password: SecretString<&'v Vault>,
    #[secret]
    again: SecretString<&'w Vault>,
}

fn vault(bytes: usize) -> Arc<Vault> {
    Arc::new(Vault::new(bytes).unwrap())
}

fn account(vault: &Arc<Vault>, user: &str) -> SealedAccount {
    let mut password = SecretString::new(vault.share());
    password.push_str(&format!("pässword of {user}")).unwrap();
    let mut words = SecretVec::new(vault.share());
    words.extend_from_slice(&[1 << 100, 2, 3]).unwrap();
    let (token, pin) = ([7; 32], u128::MAX - 5);
    let mut account = Account { user: user.to_owned(), password, token, words, pin };
    let sealed = account.seal_and_wipe(vault).unwrap();
    assert!(account.password.is_empty() && account.words.is_empty());
    assert_eq!((account.token, account.pin), ([0; 32], 0));
    assert_eq!(account.user, user);
    sealed
}

#[test]
fn fields_are_opened_one_by_one_and_together() {
    let vault = vault(16_384);
    let sealed = account(&vault, "alice");
    assert_eq!((sealed.user.as_str(), vault.held()), ("alice", 0));
    let now = sealed.password.try_open(&*vault).unwrap();
    let within = sealed.token.open_timeout(&*vault, Duration::from_secs(1)).unwrap();
    let words = sealed.words.try_open(&vault.share()).unwrap();
    assert_eq!(now.expose_secret(), "pässword of alice");
    assert!(within.constant_time_eq(&[7; 32]) && words.constant_time_eq(&[1 << 100, 2, 3]));
    assert_eq!(words.expose_secret().as_ptr().addr() % align_of::<u128>(), 0);
    drop((now, within, words));
    for opened in [
        sealed.try_open(&*vault).unwrap(),
        sealed.open_timeout(&*vault, Duration::from_secs(1)).unwrap(),
    ] {
        assert!(opened.password.constant_time_eq("pässword of alice"));
        assert!(opened.pin.constant_time_eq(&(u128::MAX - 5)) && opened.words.len() == 3);
        assert_eq!(format!("{opened:?} {sealed:?}"), "OpenedAccount { .. } SealedAccount { .. }");
    }
    assert_eq!((vault.held(), vault.verify()), (0, Ok(())));
}

#[test]
fn tasks_and_threads_own_what_they_open() {
    let vault = vault(16_384);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let (sealed, share) = (account(&vault, &number.to_string()), vault.share());
            runtime.spawn(async move {
                let opened = sealed.open(&share).await.unwrap();
                tokio::task::yield_now().await;
                let password = opened.password.with_secret(str::len);
                drop(opened);
                (password, sealed.token.open(&share).await.unwrap())
            })
        })
        .collect();
    for task in tasks {
        let (password, token) = runtime.block_on(task).unwrap();
        assert!(password > 13);
        thread::spawn(move || assert!(token.constant_time_eq(&[7; 32]))).join().unwrap();
    }
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
}

#[test]
fn all_or_none() {
    let vault = vault(4096);
    let sealed = account(&vault, "alice");
    let mut held = Vec::new();
    while let Ok(more) = vault.try_allocate(16) {
        held.push(more);
    }
    held.truncate(held.len() - 3);
    let count = vault.held();
    let error = sealed.try_open(&*vault).unwrap_err();
    assert!(matches!(error, OpenError::Full(_)), "{error:?}");
    let error = sealed.open_timeout(&*vault, Duration::from_millis(5)).unwrap_err();
    assert!(matches!(error, OpenError::TimedOut { .. }), "{error:?}");
    assert_eq!((vault.held(), vault.waiters()), (count, 0));
    // One wait for all: somebody makes room for them meanwhile.
    thread::scope(|scope| {
        let opens = scope.spawn(|| sealed.open_timeout(&*vault, Duration::from_secs(30)).is_ok());
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        assert_eq!(vault.waiters(), 1);
        held.clear();
        assert!(opens.join().unwrap());
    });
}

/// Another field of the same type, another struct's of the same name, another vault's: none stands in a
/// field's place.
#[test]
fn no_record_stands_in_another_s_place() {
    let (vault, others) = (vault(16_384), vault(16_384));
    let mut alice = account(&vault, "alice");
    let (mut password, mut again) = (SecretString::new(&*vault), SecretString::new(&*vault));
    password.push_str("first").unwrap();
    again.push_str("second").unwrap();
    let mut login = Login { attempts: 3, password, again };
    let mut login = login.seal_and_wipe(&vault).unwrap();
    assert_eq!(login.attempts, 3);
    let opened = login.try_open(&*vault).unwrap();
    assert!(opened.password.constant_time_eq("first") && opened.again.constant_time_eq("second"));
    drop(opened);

    let stolen = login.again.clone().into_record();
    let own = std::mem::replace(&mut login.password, SealedField::from_record(stolen.clone()));
    assert_eq!(login.password.try_open(&*vault).unwrap_err(), OpenError::Tampered);
    assert_eq!(login.try_open(&*vault).unwrap_err(), OpenError::Tampered);
    login.password = own;
    assert!(login.try_open(&*vault).is_ok());
    alice.password = SealedField::from_record(login.password.into_record());
    assert_eq!(alice.password.try_open(&*vault).unwrap_err(), OpenError::Tampered);
    assert_eq!(alice.try_open(&*others).unwrap_err(), OpenError::Tampered);
    assert_eq!((vault.held(), others.held()), (0, 0));
}

#[test]
fn what_is_no_text_is_not_opened_as_one() {
    let vault = vault(16_384);
    let mut alice = account(&vault, "alice");
    let context = concat!(module_path!(), "::Account.password");
    let record = vault.seal(b"p\xff", context.as_bytes()).unwrap();
    alice.password = SealedField::from_record(record);
    assert_eq!(alice.password.try_open(&*vault).unwrap_err(), OpenError::NotUtf8);
    assert_eq!(alice.try_open(&vault.share()).unwrap_err(), OpenError::NotUtf8);
    // Nor is what has another size.
    let context = concat!(module_path!(), "::Account.words");
    let record = vault.seal(&[0; 17], context.as_bytes()).unwrap();
    alice.words = SealedField::from_record(record);
    assert!(matches!(alice.words.try_open(&*vault), Err(OpenError::Enclave(_))));
    assert_eq!(vault.held(), 0);
}
