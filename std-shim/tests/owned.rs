//! Open secrets that own a share of their vault: in structs, tasks and threads, and in every order in
//! which they and the vault's other shares can end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use strongroom::{OpenError, OwnedOpened, Share, Vault};
use tasks::{Woken, block_on, poll};
use watchdog::{SOON, ends_within};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

/// A struct of a secret and its vault, which no lifetime binds.
struct Signer {
    key: OwnedOpened,
    vault: Arc<Vault>,
}

impl Signer {
    fn new() -> Self {
        let vault = vault();
        let sealed = vault.seal(b"a key", b"signer").unwrap();
        let key = vault.share().try_open(&sealed, b"signer").unwrap();
        Self { key, vault }
    }
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::builder().budget(8192..=8192).reserve("signer", 4096).build().unwrap())
}

#[test]
fn a_secret_stands_beside_its_vault_and_goes_where_that_goes() {
    let signer = Signer::new();
    let signers = vec![signer, Signer::new()];
    let back = thread::spawn(move || {
        for signer in &signers {
            assert_eq!(signer.key.expose_secret(), b"a key");
            assert!(Arc::ptr_eq(signer.key.vault(), &signer.vault));
        }
        signers.into_iter().map(|signer| signer.key).collect::<Vec<_>>()
    });
    // Returned from a thread, after the structs are gone.
    let keys = back.join().unwrap();
    assert!(keys.iter().all(|key| key.constant_time_eq(b"a key")));
    assert!(keys.iter().all(|key| key.vault().held() == 1 && Arc::strong_count(key.vault()) == 1));
}

#[test]
fn tasks_own_what_they_open() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // What the tasks give back is held until it is asked for.
    let vault = Arc::new(Vault::builder().budget(8192..=131_072).build().unwrap());
    let tasks: Vec<_> = (0..200_u8)
        .map(|number| {
            let share = vault.share();
            let sealed = vault.seal(&[number; 400], &[number]).unwrap();
            runtime.spawn(async move {
                let opened = share.open(sealed, [number]).await.unwrap();
                tokio::task::yield_now().await;
                assert!(opened.with_secret(|bytes| bytes == [number; 400]));
                drop(opened);
                let mut built = share.allocate(300).await.unwrap();
                built.expose_secret_mut().fill(number);
                // Out of the task.
                (number, built)
            })
        })
        .collect();
    for task in tasks {
        let (number, built) = runtime.block_on(task).unwrap();
        assert_eq!(built.expose_secret(), [number; 300]);
    }
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
}

/// Holding one and waiting for another, many tasks would wait for each other: both at once do not.
#[test]
fn a_task_owns_several_at_once() {
    let vault = vault();
    let sealed = [(9, 100), (8, 3000)]
        .map(|(byte, len)| (vault.seal(&vec![byte; len], &[byte]).unwrap(), vec![byte]));
    let both = block_on(Box::pin(vault.share().open_all(sealed))).unwrap();
    let [short, long] = both;
    assert!(short.expose_secret() == [9; 100] && long.expose_secret() == [8; 3000]);
}

#[test]
fn a_reserve_is_shared_too() {
    let vault = vault();
    let share = vault.share();
    let held: Vec<_> = std::iter::from_fn(|| share.try_allocate(700).ok()).collect();
    let signer: Share = share.reserve("signer").unwrap();
    let own = signer.try_allocate(700).unwrap();
    assert!(!held.is_empty() && own.len() == 700 && share.reserve("another").is_none());
    drop((share, signer, vault));
    assert_eq!(own.vault().held(), held.len() + 1);
}

/// Of the vault, two secrets, a future that waits, and one that was never polled: each order of their
/// ends, whichever is the vault's last owner.
#[test]
fn every_order_of_drops() {
    ends_within(SOON, || {
        for order in permutations(5) {
            let vault = Arc::new(Vault::new(4096).unwrap());
            let share = vault.share();
            let sealed = vault.seal(&[7; 900], b"").unwrap();
            let one = share.try_open(&sealed, b"").unwrap();
            let other = share.try_open(&sealed, b"").unwrap();
            let rest: Vec<_> = std::iter::from_fn(|| share.try_allocate(900).ok()).collect();
            let woken = Arc::new(Woken::default());
            let mut waits = Box::pin(share.open(sealed.clone(), b""));
            assert!(poll(&mut waits, &Waker::from(woken)).is_pending());
            let unpolled = Box::pin(share.open(sealed, b""));
            drop((share, rest));
            let parts: [Box<dyn Send>; 5] = [
                Box::new(vault),
                Box::new(one),
                Box::new(other),
                Box::new(waits),
                Box::new(unpolled),
            ];
            let mut parts = parts.map(Some);
            for index in order {
                parts[index] = None;
            }
        }
    });
}

#[test]
fn a_future_that_is_dropped_leaves_the_line() {
    let vault = Arc::new(Vault::new(4096).unwrap());
    let share = vault.share();
    let held: Vec<_> = std::iter::from_fn(|| share.try_allocate(900).ok()).collect();
    let waker = Waker::from(Arc::new(Woken::default()));
    let mut first = Box::pin(share.allocate(900));
    let mut second = Box::pin(share.allocate(900));
    assert!(poll(&mut first, &waker).is_pending() && poll(&mut second, &waker).is_pending());
    assert_eq!(vault.waiters(), 2);
    drop(first);
    drop(held);
    assert_eq!(block_on(second).unwrap().len(), 900);
    assert_eq!((vault.waiters(), vault.held()), (0, 0));
}

#[test]
fn what_is_refused_is_refused_as_by_the_vault() {
    let vault = vault();
    let share = vault.share();
    let sealed = vault.seal(b"hunter2", b"one").unwrap();
    assert_eq!(share.try_open(&sealed, b"other").unwrap_err(), OpenError::Tampered);
    let timeout = Duration::from_secs(5);
    assert_eq!(share.open_timeout(&sealed, b"other", timeout).unwrap_err(), OpenError::Tampered);
    let future = Box::pin(share.open(sealed.clone(), b"other"));
    assert_eq!(block_on(future).unwrap_err(), OpenError::Tampered);
    assert!(matches!(share.try_allocate(1 << 20), Err(OpenError::TooLarge { .. })));
    let secret = share.try_open(&sealed, b"one").unwrap();
    assert_eq!(format!("{secret:?}"), "OwnedOpened { len: 7, .. }");
    assert_eq!(secret.release(), Ok(()));
    assert_eq!((vault.held(), Arc::strong_count(&vault)), (0, 2));
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![vec![]], |all, next| {
        let insert = |one: &Vec<usize>, at: usize| {
            let mut one = one.clone();
            one.insert(at, next);
            one
        };
        all.iter().flat_map(|one| (0..=one.len()).map(move |at| insert(one, at))).collect()
    })
}
