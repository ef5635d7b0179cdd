//! A forged or foreign record is refused at once, and costs an honest caller nothing.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OpenError, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::poll;
use watchdog::{SOON, ends_within};

const LONG: Duration = Duration::from_secs(60);

fn forged(len: usize) -> Sealed {
    Sealed::from_record(vec![7; len + 24].into())
}

#[test]
fn a_forged_record_waits_for_nothing() {
    ends_within(SOON, || {
        let vault = Vault::builder().budget(4096..=4096).reserve("own", 4096).build().unwrap();
        let short = vault.seal(&[7; 64], b"").unwrap();
        let held: Vec<_> = std::iter::from_fn(|| vault.try_open(&short, b"").ok()).collect();
        let own = vault.reserve("own").unwrap();
        let reserved: Vec<_> = std::iter::from_fn(|| own.try_open(&short, b"").ok()).collect();
        let foreign = Vault::new(4096).unwrap().seal(&[7; 64], b"").unwrap();
        let begun = Instant::now();
        for record in [&forged(64), &forged(2852), &foreign] {
            let answers = [
                vault.try_open(record, b"").map(drop),
                vault.open_timeout(record, b"", LONG).map(drop),
                own.try_open(record, b"").map(drop),
                own.open_timeout(record, b"", LONG).map(drop),
                match poll(&mut vault.open(record, b""), Waker::noop()) {
                    Poll::Ready(opened) => opened.map(drop),
                    Poll::Pending => panic!("it waits"),
                },
                vault.try_open_all([(&short, &b""[..]), (record, b"")]).map(drop),
                vault.open_all_timeout([(&short, &b""[..]), (record, b"")], LONG).map(drop),
            ];
            assert_eq!(answers, [Err(OpenError::Tampered); 7]);
        }
        // A context that is another's.
        assert_eq!(vault.try_open(&short, b"x").map(drop), Err(OpenError::Tampered));
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(vault.metrics().refusals, 2, "only those that were told: full, twice");
        drop((held, reserved));
    });
}

/// The line is as it was before.
#[test]
fn a_forged_record_does_not_wait_behind_others() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let (short, long) =
            (vault.seal(&[7; 64], b"").unwrap(), vault.seal(&[7; 3000], b"").unwrap());
        let mut held: Vec<_> = std::iter::from_fn(|| vault.try_open(&short, b"").ok()).collect();
        held.truncate(held.len() / 2);
        let mut waiting = vault.open(&long, b"");
        assert!(poll(&mut waiting, Waker::noop()).is_pending());
        let foreign = Vault::new(4096).unwrap().seal(&[7; 64], b"").unwrap();
        for record in [&foreign, &forged(64), &forged(2852), &forged(0)] {
            assert_eq!(vault.try_open(record, b"").map(drop), Err(OpenError::Tampered));
            let answer = vault.open_timeout(record, b"", LONG).map(drop);
            assert_eq!(answer, Err(OpenError::Tampered));
            let polled = poll(&mut vault.open(record, b""), Waker::noop());
            assert!(matches!(polled, Poll::Ready(Err(OpenError::Tampered))), "{polled:?}");
        }
        assert_eq!(vault.try_open(&short, b"other").map(drop), Err(OpenError::Tampered));
        assert_eq!(vault.waiters(), 1);
        drop(held);
        assert!(poll(&mut waiting, Waker::noop()).is_ready());
    });
}

/// Too short for the parts that every record has.
#[test]
fn what_is_no_record_waits_for_nothing() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let short = vault.seal(&[7; 64], b"").unwrap();
        let held: Vec<_> = std::iter::from_fn(|| vault.try_open(&short, b"").ok()).collect();
        for len in 0..24 {
            let stub = Sealed::from_record(vec![7_u8; len]);
            assert_eq!(vault.try_open(&stub, b"").map(drop), Err(OpenError::Tampered));
            let answer = vault.open_timeout(&stub, b"", LONG).map(drop);
            assert_eq!(answer, Err(OpenError::Tampered), "{len}");
            let polled = poll(&mut vault.open(&stub, b""), Waker::noop());
            assert!(matches!(polled, Poll::Ready(Err(OpenError::Tampered))), "{polled:?}");
        }
        drop(held);
    });
}

#[test]
fn a_forged_record_keeps_out_nobody() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let short = vault.seal(&[7; 64], b"").unwrap();
        let mut held: Vec<_> = std::iter::from_fn(|| vault.try_open(&short, b"").ok()).collect();
        held.truncate(held.len() / 2);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let answer = vault.open_timeout(&forged(2852), b"", LONG).map(drop);
                        assert_eq!(answer, Err(OpenError::Tampered));
                    }
                });
            }
            for _ in 0..2000 {
                drop(vault.open_timeout(&short, b"", SOON).unwrap());
            }
        });
        assert_eq!(vault.metrics().waits, 0);
    });
}

#[test]
fn nothing_is_locked_for_a_forged_record() {
    let vault = Vault::builder().budget(64 * 1024..=16 << 20).build().unwrap();
    for len in [100_000, 5_000_000] {
        assert_eq!(vault.try_open(&forged(len), b"").map(drop), Err(OpenError::Tampered));
        let answer = vault.open_timeout(&forged(len), b"", LONG).map(drop);
        assert_eq!(answer, Err(OpenError::Tampered));
    }
    assert_eq!((vault.metrics().locked, vault.metrics().grown), (64 * 1024, 0));
    let answer = vault.try_open(&forged(50_000_000), b"").map(drop);
    assert!(matches!(answer, Err(OpenError::TooLarge { .. })), "{answer:?}");
}

#[test]
fn a_destroyed_key_is_said_before_the_line() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        let held = vault.try_open(&sealed, b"").unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| vault.open_timeout(&sealed, b"", LONG).map(drop));
            while vault.waiters() == 0 {
                thread::yield_now();
            }
            vault.destroy();
            assert_eq!(waiting.join().unwrap(), Err(OpenError::Destroyed));
        });
        for answer in [vault.try_open(&sealed, b""), vault.open_timeout(&sealed, b"", LONG)] {
            assert_eq!(answer.map(drop), Err(OpenError::Destroyed));
        }
        drop(held);
    });
}
