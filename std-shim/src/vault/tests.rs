//! Waiting, fairness and bad input.

use std::sync::atomic::AtomicBool;
use std::sync::{Barrier, Mutex};
use std::thread;

use super::*;

const LONG: Duration = Duration::from_mins(1);

fn vault() -> Vault {
    Vault::new(4096).unwrap()
}

/// Opens the same secret until there is no more room.
fn fill<'v>(vault: &'v Vault, sealed: &Sealed<Box<[u8]>>) -> Vec<Opened<'v>> {
    std::iter::from_fn(|| vault.try_open(sealed, b"").ok()).collect()
}

#[test]
fn a_full_vault_says_so_at_once_and_goes_on() {
    let vault = vault();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let mut open = fill(&vault, &sealed);
    let error = vault.try_open(&sealed, b"").unwrap_err();
    let OpenError::Full(shortage) = error else { panic!("{error}") };
    assert_eq!((shortage.held, shortage.requested, shortage.waiters), (open.len(), 64, 0));
    assert!(error.to_string().starts_with("no room for 64 bytes: "));
    open.pop();
    assert_eq!(vault.try_open(&sealed, b"").unwrap().expose_secret(), [7; 64]);
    drop(open);
    assert_eq!(vault.held(), 0);
    vault.verify().unwrap();
}

#[test]
fn a_timeout_is_kept_to() {
    let vault = vault();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let open = fill(&vault, &sealed);
    let timeout = Duration::from_millis(50);
    let begun = Instant::now();
    let error = vault.open_timeout(&sealed, b"", timeout).unwrap_err();
    let took = begun.elapsed();
    assert!(took >= timeout && took < timeout + Duration::from_secs(5), "{took:?}");
    let OpenError::TimedOut { waited, shortage } = error else { panic!("{error}") };
    assert!(waited >= timeout);
    assert_eq!((shortage.held, shortage.waiters), (open.len(), 0));
    assert_eq!(vault.waiters(), 0);
}

#[test]
fn what_is_no_matter_of_room_is_said_at_once() {
    let vault = vault();
    let sealed = vault.seal(b"secret", b"a").unwrap();
    assert_eq!(vault.open_timeout(&sealed, b"b", LONG).unwrap_err(), OpenError::Tampered);
    let long = vault.seal(&[0; 5000], b"").unwrap();
    let error = vault.open_timeout(&long, b"", LONG).unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { requested: 5000, .. }), "{error}");
    assert!(matches!(vault.try_allocate(usize::MAX), Err(OpenError::TooLarge { .. })));
    vault.destroy();
    assert_eq!(vault.open_timeout(&sealed, b"a", LONG).unwrap_err(), OpenError::Destroyed);
}

#[test]
fn odd_budgets() {
    assert!(matches!(Vault::new(0), Err(VaultError::Lock(_))));
    assert!(matches!(Vault::new(usize::MAX), Err(VaultError::Lock(_))));
    assert_eq!(Vault::new(1).unwrap().budget(), crate::page_size());
}

#[test]
fn more_threads_than_capacity_all_make_progress() {
    let vault = vault();
    let sealed = vault.seal(&[7; 200], b"").unwrap();
    let capacity = fill(&vault, &sealed).len();
    let (threads, rounds) = (capacity * 3, 200);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let opened = vault.open_timeout(&sealed, b"", LONG).unwrap();
                    assert_eq!(opened.expose_secret(), [7; 200]);
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
    vault.verify().unwrap();
}

#[test]
fn first_come_first_served() {
    let vault = vault();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let mut open = fill(&vault, &sealed);
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..6 {
            let (vault, sealed, served) = (&vault, &sealed, &served);
            scope.spawn(move || {
                let opened = vault.open_timeout(sealed, b"", LONG).unwrap();
                served.lock().unwrap().push(number);
                drop(opened);
            });
            while vault.waiters() <= number {
                thread::yield_now();
            }
        }
        assert!(matches!(vault.try_open(&sealed, b""), Err(OpenError::Full(_))));
        open.pop();
    });
    assert_eq!(served.into_inner().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn one_who_gives_up_lets_the_next_one_in() {
    let vault = vault();
    let (small, large) = (vault.seal(&[7; 64], b"").unwrap(), vault.seal(&[7; 3000], b"").unwrap());
    let mut open = fill(&vault, &small);
    open.truncate(open.len() - 2);
    let (first_waits, served) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            first_waits.wait();
            let error = vault.open_timeout(&large, b"", Duration::from_millis(300)).unwrap_err();
            assert!(matches!(error, OpenError::TimedOut { .. }));
        });
        first_waits.wait();
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        // There is room for this one, but it came second.
        drop(vault.open_timeout(&small, b"", LONG).unwrap());
        served.store(true, Ordering::Relaxed);
    });
    assert!(served.into_inner());
}

#[test]
fn a_panic_while_secrets_are_open_wipes_them() {
    let vault = vault();
    let sealed = vault.seal(&[0xa5; 64], b"").unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _opened = vault.try_open(&sealed, b"").unwrap();
        panic!("on purpose");
    }));
    assert!(caught.is_err());
    assert_eq!(vault.held(), 0);
    vault.verify().expect("what was given back is zero");
}
