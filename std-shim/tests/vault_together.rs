//! Several secrets at once: all or none, with one place in line.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OpenError, Opened, Opener, OwnedOpened, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::{block_on, poll};
use watchdog::{SOON, ends_within};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn all_are_opened_or_none() {
    let vault = Vault::new(4096).unwrap();
    let user = vault.seal(b"admin", b"user").unwrap();
    let password = vault.seal(&[9; 2000], b"password").unwrap();
    let both = [(&user, &b"user"[..]), (&password, b"password")];
    let [first, second] = vault.try_open_all(both).unwrap();
    assert_eq!(first.expose_secret(), b"admin");
    assert_eq!(second.expose_secret(), [9; 2000]);
    let OpenError::Full(shortage) = vault.try_open_all(both).unwrap_err() else {
        panic!("there is room for one of them only")
    };
    assert_eq!((shortage.requested, shortage.held), (2005, 2));
    assert_eq!(vault.held(), 2, "nothing of it stays open");
    drop((first, second));
    let [] = vault.try_open_all::<Box<[u8]>, 0>([]).unwrap();
    let swapped = [(&user, &b"password"[..]), (&password, b"user")];
    assert_eq!(vault.try_open_all(swapped).map(drop), Err(OpenError::Tampered));
    assert_eq!(vault.held(), 0);
    vault.verify().unwrap();
}

#[test]
fn what_could_never_be_open_together_is_said_at_once() {
    ends_within(SOON, || {
        let vault = Vault::builder().budget(4096..=4096).reserve("own", 4096).build().unwrap();
        let large = vault.seal(&[7; 2500], b"").unwrap();
        let small = vault.seal(&[7; 64], b"").unwrap();
        let pair = [(&large, &b""[..]), (&large, b"")];
        let never = Err(OpenError::NeverTogether { secrets: 2, requested: 5000 });
        let begun = Instant::now();
        assert_eq!(vault.try_open_all(pair).map(drop), never);
        assert_eq!(vault.open_all_timeout(pair, LONG).map(drop), never);
        let Poll::Ready(polled) = poll(&mut vault.open_all(pair), Waker::noop()) else {
            panic!("it waits")
        };
        assert_eq!(polled.map(drop), never);
        // As many as fit, and one more.
        let mut open: Vec<_> = std::iter::from_fn(|| vault.try_open(&small, b"").ok()).collect();
        open.clear();
        assert!(vault.open_all_timeout([(&small, &b""[..]); 30], LONG).is_ok());
        let many = vault.open_all_timeout([(&small, &b""[..]); 60], LONG).map(drop);
        assert_eq!(many, Err(OpenError::NeverTogether { secrets: 60, requested: 3840 }));
        let long = vault.seal(&[7; 5000], b"").unwrap();
        let one = vault.open_all_timeout([(&small, &b""[..]), (&long, b"")], LONG).map(drop);
        assert!(matches!(one, Err(OpenError::TooLarge { requested: 5000, .. })), "{one:?}");
        // One in the common memory and one in the reserve.
        let [_a, _b] = vault.reserve("own").unwrap().open_all_timeout(pair, LONG).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
        let said = many.unwrap_err().to_string();
        assert!(said.starts_with("60 secrets of 3840 bytes in all can never be open"), "{said}");
    });
}

/// Whether they fit is tried in other memory, wherever that lies.
#[test]
fn what_fits_together_is_never_said_not_to() {
    let vault = Vault::new(4096).unwrap();
    let (long, short) = (vault.seal(&[7; 2852], b"").unwrap(), vault.seal(&[7; 64], b"").unwrap());
    let both = [(&long, &b""[..]), (&short, b"")];
    let mut elsewhere = Vec::new();
    for round in 0..200 {
        drop(vault.try_open_all(both).unwrap());
        let held = vault.try_allocate(1500).unwrap();
        let error = vault.try_open_all(both).unwrap_err();
        assert!(matches!(error, OpenError::Full(_)), "{round}: {error}");
        drop(held);
        elsewhere.push(vec![0_u8; 16 * (round % 37) + 1]);
    }
}

/// A number of its own for each record.
type Context = [u8; size_of::<usize>()];

/// A vault, and as many records as fit it together, of lengths from 0 to 99.
fn many(budget: usize, reserve: usize) -> (Arc<Vault>, Vec<(Sealed, Context)>) {
    let vault = Vault::builder().budget(budget..=budget).reserve("own", reserve).build().unwrap();
    let (mut held, mut records) = (Vec::new(), Vec::new());
    loop {
        let number = records.len();
        let context = number.to_le_bytes();
        let sealed = vault.seal(&secret(number), &context).unwrap();
        match vault.try_open(&sealed, &context) {
            Ok(opened) => held.push(opened),
            // The longest come first when they are opened together, and may leave other gaps.
            Err(_) => break records.truncate(number * 7 / 8),
        }
        records.push((sealed, context));
    }
    drop(held);
    (Arc::new(vault), records)
}

fn secret(number: usize) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; number * 37 % 100]
}

fn lent(records: &[(Sealed, Context)]) -> Vec<(&Sealed, &[u8])> {
    records.iter().map(|(sealed, context)| (sealed, &context[..])).collect()
}

#[test]
fn as_many_as_fit_are_opened_together_in_the_order_they_were_asked_for() {
    let (vault, mut records) = many(64 * 1024, 4096);
    assert!(records.len() > 500, "{}", records.len());
    let opened = vault.try_open_many(lent(&records)).unwrap();
    for (number, opened) in opened.iter().enumerate() {
        assert_eq!(opened.expose_secret(), secret(number));
    }
    assert_eq!(vault.held(), records.len());
    assert!(matches!(vault.try_open_many(lent(&records)), Err(OpenError::Full(_))));
    drop(opened);
    let nothing: [(&Sealed, &[u8]); 0] = [];
    assert_eq!(vault.try_open_many(nothing).map(|opened| opened.len()), Ok(0));
    let last = records.len() - 1;
    records.swap(0, last);
    let swapped = records.iter().zip(0_u64..).map(|((sealed, _), number)| (sealed, number));
    let swapped: Vec<_> = swapped.map(|(sealed, number)| (sealed, number.to_le_bytes())).collect();
    let swapped = swapped.iter().map(|(sealed, context)| (*sealed, &context[..]));
    assert_eq!(vault.try_open_many(swapped).map(drop), Err(OpenError::Tampered));
    assert_eq!(vault.held(), 0, "nothing of it stays open");
    vault.verify().unwrap();
}

#[test]
fn more_than_the_budget_holds_are_never_waited_for() {
    ends_within(SOON, || {
        let (vault, records) = many(64 * 1024, 4096);
        let twice = [lent(&records), lent(&records)].concat();
        let (secrets, reserve) = (twice.len(), vault.reserve("own").unwrap());
        for error in [
            vault.open_many_timeout(twice.clone(), LONG).map(drop).unwrap_err(),
            reserve.open_many_timeout(twice.clone(), LONG).map(drop).unwrap_err(),
            vault.share().open_many_timeout(twice, LONG).map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(error, OpenError::NeverTogether { secrets: said, .. } if said == secrets),
                "{error}"
            );
        }
        // Where it is tried only if it comes to a great deal: what all are sums of fits, they do not.
        let ceiling = 24 << 20;
        let vault = Vault::builder().budget(4096..=ceiling).build().unwrap();
        let sealed = vault.seal(&[7; 4000], b"").unwrap();
        let all = vec![(&sealed, &b""[..]); ceiling / 4008];
        let error = vault.open_many_timeout(all, LONG).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::NeverTogether { .. }), "{error}");
    });
}

/// Each opens three in four of what fits: held one after the other, they would wait for each other.
#[test]
fn many_are_waited_for_by_threads_and_tasks_alike() {
    ends_within(Duration::from_secs(120), || {
        // So that those of the reserve need nothing else: there is always somebody in the common line.
        let (vault, records) = many(8 * 1024, 8 * 1024);
        let records = &records[..records.len() * 3 / 4];
        let all: usize = (0..records.len()).map(|number| number * 37 % 100).sum();
        let open = |how| match how {
            0 => bytes(&vault.open_many_timeout(lent(records), LONG).unwrap()),
            1 => {
                let own = vault.reserve("own").unwrap();
                bytes(&own.open_many_timeout(lent(records), LONG).unwrap())
            }
            2 => {
                let owned = lent(records).into_iter();
                let owned = owned.map(|(sealed, context)| (sealed.clone(), context)).collect();
                bytes(&block_on(Box::pin(vault.open_many(owned))).unwrap())
            }
            _ => {
                let opened = vault.share().open_many_timeout(lent(records), LONG).unwrap();
                thread::yield_now();
                opened.iter().map(OwnedOpened::<[u8]>::len).sum()
            }
        };
        thread::scope(|scope| {
            for number in 0..32 {
                scope.spawn(move || {
                    for round in 0..8 {
                        assert_eq!(open((number + round) % 4), all);
                    }
                });
            }
        });
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
        vault.verify().unwrap();
    });
}

fn bytes(opened: &[Opened<'_>]) -> usize {
    opened.iter().map(Opened::<[u8]>::len).sum()
}

/// Each opens a user's name and a password; held one after the other, most of them would wait for
/// each other.
#[test]
fn three_hundred_pairs_under_one_page() {
    ends_within(Duration::from_secs(60), || pairs(4096, 300));
}

#[test]
fn two_thousand_pairs_under_64_kib() {
    ends_within(Duration::from_secs(120), || pairs(64 * 1024, 2000));
}

fn pairs(budget: usize, threads: usize) {
    let vault = Vault::builder().budget(budget..=budget).reserve("own", 4096).build().unwrap();
    let user = vault.seal(&[1; 32], b"user").unwrap();
    let password = vault.seal(&[2; 100], b"password").unwrap();
    let both = || [(&user, &b"user"[..]), (&password, b"password")];
    thread::scope(|scope| {
        for number in 0..threads {
            let (vault, both) = (&vault, &both);
            let work = move || {
                let opened = match number % 8 {
                    0 => block_on(vault.open_all(both())),
                    1 => vault.reserve("own").unwrap().open_all_timeout(both(), LONG),
                    _ => vault.open_all_timeout(both(), LONG),
                };
                let [user, password] = opened.unwrap();
                assert_eq!(user.expose_secret(), [1; 32]);
                thread::yield_now();
                assert_eq!(password.expose_secret(), [2; 100]);
            };
            thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, work).unwrap();
        }
    });
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
    vault.verify().unwrap();
}

/// Two that need nearly everything, and many that need a little: nobody is left waiting though nothing
/// is open.
#[test]
fn those_who_open_several_and_those_who_open_one() {
    ends_within(Duration::from_secs(60), || {
        let vault = Vault::new(4096).unwrap();
        let short = vault.seal(&[7; 64], b"").unwrap();
        let long = vault.seal(&[7; 1500], b"").unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let pair = [(&long, &b""[..]), (&long, b"")];
                        drop(vault.open_all_timeout(pair, LONG).unwrap());
                    }
                });
            }
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        drop(vault.open_timeout(&short, b"", LONG).unwrap());
                    }
                });
            }
        });
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}
