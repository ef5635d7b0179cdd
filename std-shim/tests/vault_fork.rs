//! A vault and its open secrets in a forked child, for each kind of memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use strongroom::{Backing, OpenError, Opener, SealError, SecretString, SecretVec, Vault};
use support::forked;

mod support;

/// What holds, each found out before the next: no guard lives longer than its own expression.
macro_rules! one_by_one {
    ($($holds:expr),* $(,)?) => {{
        let mut told: Vec<bool> = Vec::new();
        $(told.extend([$holds]);)*
        told
    }};
}

#[test]
fn a_child_sees_nothing_and_is_told_so() {
    for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
        let vault = Vault::builder().backing(backing).build().unwrap();
        let sealed = vault.seal(b"hunter2", b"").unwrap();
        let opened = vault.try_open(&sealed, b"").unwrap();
        let mut value = vault.try_open_value::<[u8; 7]>(&sealed, b"").unwrap();
        let mut built = vault.try_build(|place| place.write(Box::new(*b"hunter2"))).unwrap();
        let mut text = SecretString::new(&vault);
        text.push_str("hunter2").unwrap();
        let mut words = SecretVec::<u64, _>::with_capacity(&vault, 4).unwrap();
        words.push(7).unwrap();
        let status = forked(|| {
            let mut random = [0; 8];
            let told = one_by_one![
                opened.expose_secret().iter().all(|&byte| byte == 0),
                !opened.constant_time_eq(b"hunter2"),
                matches!(vault.try_open(&sealed, b""), Err(OpenError::Forked)),
                matches!(
                    vault.open_timeout(&sealed, b"", Duration::from_secs(60)),
                    Err(OpenError::Forked)
                ),
                matches!(vault.try_allocate(8), Err(OpenError::Forked)),
                matches!(vault.seal(b"more", b""), Err(SealError::Forked)),
                matches!(opened.seal(b""), Err(SealError::Forked)),
                matches!(vault.fill_random(&mut random), Err(OpenError::Forked)),
                vault.verify().is_ok() && vault.stats().is_empty(),
                vault.metrics().live == 0,
                *value.expose_secret() == [0; 7],
                *value.expose_secret_mut() == [0; 7],
                !value.constant_time_eq(b"hunter2"),
                matches!(value.seal(b""), Err(SealError::Forked)),
                matches!(value.fill_random(), Err(OpenError::Forked)),
                matches!(built.try_expose_secret(), Err(OpenError::Forked)),
                matches!(built.try_expose_secret_mut(), Err(OpenError::Forked)),
                matches!(vault.try_allocate_value::<u64>(), Err(OpenError::Forked)),
                matches!(vault.try_build(|place| place.write(7_u64)), Err(OpenError::Forked)),
                text.expose_secret().bytes().all(|byte| byte == 0),
                matches!(text.push_str(&"longer".repeat(10)), Err(OpenError::Forked)),
                matches!(words.reserve(100), Err(OpenError::Forked)),
                words.expose_secret().iter().all(|&word| word == 0),
            ];
            text.truncate(3);
            text.clear();
            words.clear();
            drop((value, built, text, words));
            vault.refresh();
            vault.destroy();
            vault.trim();
            strongroom::wipe_all();
            let release = opened.release().is_ok();
            told.iter().all(|&told| told) && release
        });
        assert!(status.success(), "{backing:?}: {status}");
    }
}

#[test]
fn the_parent_goes_on_and_a_child_may_have_a_vault_of_its_own() {
    let vault = Vault::new(64 * 1024).unwrap();
    let sealed = vault.seal(b"hunter2", b"").unwrap();
    let opened = vault.try_open(&sealed, b"").unwrap();
    let status = forked(|| {
        let Ok(own) = Vault::new(16 * 1024) else { return false };
        let Ok(own_sealed) = own.seal(b"other", b"") else { return false };
        let same = own.try_open(&own_sealed, b"").is_ok_and(|it| it.expose_secret() == b"other");
        // What the parent sealed is not the child's to open.
        same && own.try_open(&sealed, b"").is_err()
    });
    assert!(status.success(), "{status}");
    assert_eq!(opened.expose_secret(), b"hunter2");
    drop(opened);
    assert_eq!(vault.try_open(&sealed, b"").unwrap().expose_secret(), b"hunter2");
    vault.verify().unwrap();
}

#[cfg(feature = "store")]
#[test]
fn a_child_sees_nothing_of_a_store() {
    use std::sync::Arc;
    use strongroom::{Store, StoreError};

    const FORKED: StoreError = StoreError::Open(OpenError::Forked);
    let vault = Arc::new(Vault::new(64 << 10).unwrap());
    let store = Store::<String>::new(vault.share()).with_lingering(Duration::from_secs(60));
    store.insert("a".into(), b"hunter2").unwrap();
    store.insert_for("b".into(), b"hunter2", Duration::from_secs(60)).unwrap();
    drop(store.try_open("a").unwrap());
    let opened = store.try_open("b").unwrap();
    let status = forked(|| {
        let told = [
            opened.expose_secret().iter().all(|&byte| byte == 0),
            store.try_open("a").is_err_and(|error| error == FORKED),
            store.open_timeout("b", Duration::from_secs(60)).is_err_and(|error| error == FORKED),
            store.try_open_alone("a").is_err_and(|error| error == FORKED),
            store.insert("c".into(), b"").is_err_and(|error| error == FORKED),
            store.put("a", b"").is_err_and(|error| error == FORKED),
            !store.remove("a") && store.remove_expired() == 0,
        ];
        told.iter().all(|&is_so| is_so)
    });
    assert!(status.success(), "{status}");
    drop(opened);
    assert_eq!(store.try_open("a").unwrap().expose_secret(), b"hunter2");
    assert_eq!(store.metrics().lingering, 2);
    let mut store = Some(store);
    let status = forked(|| {
        drop(store.take());
        true
    });
    assert_eq!(
        (status.code(), vault.held()),
        (Some(0), 2),
        "a child's end is no business of its parent's"
    );
    drop(store);
    assert_eq!(vault.held(), 0);
}
