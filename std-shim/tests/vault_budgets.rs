//! Budgets that are no whole pages, huge, or hard to come by; and numbers that say what happened.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use strongroom::{LockError, OpenError, Policy, Vault, VaultError, page_size};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::block_on;
use watchdog::{SOON, ends_within};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn whatever_is_named_as_the_largest_fits() {
    ends_within(Duration::from_secs(60), || {
        for (floor, ceiling) in
            [(1, 66_560), (1000, 66_560), (1, 1), (5000, 5000), (4097, 20_000), (1, 300_001)]
        {
            let vault = Vault::builder().budget(floor..=ceiling).build().unwrap();
            let Err(OpenError::TooLarge { largest, .. }) = vault.try_allocate(usize::MAX) else {
                panic!("the whole address space in {ceiling} bytes");
            };
            drop(vault.allocate_timeout(largest, Duration::from_secs(1)).unwrap());
            // Beside empty memory that was added for others, too.
            let open: Vec<_> = std::iter::from_fn(|| vault.try_allocate(100).ok()).collect();
            drop(open);
            drop(vault.allocate_timeout(largest, Duration::from_secs(1)).unwrap());
            let error = vault.allocate_timeout(largest + 1, LONG).unwrap_err();
            assert_eq!(error, OpenError::TooLarge { requested: largest + 1, largest });
            let metrics = vault.metrics();
            assert!(metrics.locked <= metrics.budget, "{floor}..={ceiling}: {metrics:?}");
            assert_eq!((metrics.budget % page_size(), vault.budget()), (0, metrics.budget));
            assert!(metrics.budget <= ceiling.next_multiple_of(page_size()));
        }
    });
}

#[test]
fn a_budget_without_end_is_no_sum_that_overflows() {
    let builder = Vault::builder().budget(4096..=usize::MAX).reserve("own", 4096);
    let vault = builder.policy(Policy::Prefer).build().unwrap();
    assert!(vault.metrics().budget > usize::MAX / 2);
    drop(vault.try_allocate(100_000).unwrap());
}

#[test]
fn more_than_the_machine_has_is_refused_as_a_whole() {
    ends_within(SOON, || {
        let more = [1_u64 << 45, 1 << 62].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        for bytes in more.into_iter().chain([usize::MAX]) {
            let error = Vault::new(bytes).unwrap_err();
            assert!(matches!(error, VaultError::Lock(_)), "{error}");
        }
        let Err(VaultError::Lock(LockError::TooLarge { .. })) = Vault::new(usize::MAX) else {
            panic!("no address space is so large")
        };
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn what_no_segment_holds_is_said_at_once() {
    ends_within(SOON, || {
        let ceiling = 64 << 30;
        let builder = Vault::builder().budget(64 * 1024..=ceiling).policy(Policy::Prefer);
        let vault = builder.build().unwrap();
        let begun = Instant::now();
        for answer in [vault.try_allocate(9 << 30), vault.allocate_timeout(9 << 30, LONG)] {
            assert!(matches!(answer, Err(OpenError::TooLarge { .. })), "{answer:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(vault.metrics().grown, 0);
    });
}

#[test]
fn everybody_who_needs_growth_gets_it() {
    ends_within(Duration::from_secs(60), || {
        for _ in 0..30 {
            let vault = Vault::builder().budget(4096..=4 << 20).build().unwrap();
            let sealed = vault.seal(&vec![7; 50_000], b"").unwrap();
            thread::scope(|scope| {
                for number in 0..16 {
                    let (vault, sealed) = (&vault, &sealed);
                    scope.spawn(move || match number % 3 {
                        0 => drop(vault.try_open(sealed, b"").unwrap()),
                        1 => drop(vault.open_timeout(sealed, b"", LONG).unwrap()),
                        _ => drop(block_on(vault.open(sealed, b"")).unwrap()),
                    });
                }
            });
            assert_eq!(vault.metrics().refusals, 0);
            assert_eq!((vault.held(), vault.waiters()), (0, 0));
        }
    });
}

#[test]
fn refusals_are_those_who_were_told() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        let held = vault.try_open(&sealed, b"").unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| drop(vault.open_timeout(&sealed, b"", LONG).unwrap()));
                scope.spawn(|| drop(block_on(vault.open(&sealed, b"")).unwrap()));
            }
            while vault.waiters() < 8 {
                thread::yield_now();
            }
            drop(held);
        });
        assert_eq!((vault.metrics().waits, vault.metrics().refusals), (8, 0));
        let _held = vault.try_open(&sealed, b"").unwrap();
        assert!(vault.try_open(&sealed, b"").is_err());
        assert!(vault.open_timeout(&sealed, b"", Duration::from_millis(5)).is_err());
        assert_eq!((vault.metrics().waits, vault.metrics().refusals), (9, 2));
    });
}

/// However many there are, and were before: each takes as long as one of few.
#[test]
fn many_vaults_are_made_as_fast_as_few() {
    ends_within(Duration::from_secs(120), || {
        let make = |count| {
            let builder = Vault::builder().budget(4096..=4096).policy(Policy::Prefer);
            let begun = Instant::now();
            let vaults: Vec<_> = (0..count).map(|_| builder.clone().build()).collect();
            assert!(vaults.iter().all(Result::is_ok));
            begun.elapsed() / count
        };
        let few = make(500);
        for round in 0..2 {
            let many = make(10_000);
            assert!(many < few * 3, "round {round}: {few:?} each of few, {many:?} of many");
        }
    });
}
