//! Waiting, fairness and bad input.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use std::time::Instant;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn vault() -> Vault {
    Vault::new(4096).unwrap()
}

/// Opens the same secret until there is no more room.
fn fill<'v>(vault: &'v Vault, sealed: &Sealed) -> Vec<Opened<'v>> {
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
    let small = vault.seal(b"s", b"").unwrap();
    let _open = fill(&vault, &small);
    vault.destroy();
    assert_eq!(vault.open_timeout(&sealed, b"a", LONG).unwrap_err(), OpenError::Destroyed);
}

#[test]
fn those_who_wait_are_told_that_the_key_was_destroyed() {
    let vault = vault();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let (open, begun) = (fill(&vault, &sealed), Instant::now());
    thread::scope(|scope| {
        let wait = || vault.open_timeout(&sealed, b"", LONG).map(drop);
        let waiting = [(); 3].map(|()| scope.spawn(wait));
        while vault.waiters() < waiting.len() {
            thread::yield_now();
        }
        vault.destroy();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Err(OpenError::Destroyed));
        }
    });
    assert!(begun.elapsed() < LONG, "they waited to the end");
    assert!(open.iter().all(|opened| opened.expose_secret() == [7; 64]));
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
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _opened = vault.try_open(&sealed, b"").unwrap();
        panic!("on purpose");
    }));
    assert!(caught.is_err());
    assert_eq!(vault.held(), 0);
    vault.verify().expect("what was given back is zero");
}

fn grown(floor: usize, ceiling: usize) -> Vault {
    Vault::builder().budget(floor..=ceiling).linger(Duration::from_millis(50)).build().unwrap()
}

#[test]
fn a_vault_grows_to_its_ceiling_and_gives_back_in_any_order() {
    let (floor, ceiling) = (16 * 1024, 512 * 1024);
    let vault = grown(floor, ceiling);
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    assert_eq!(vault.metrics().locked, floor);
    let mut open = fill(&vault, &sealed);
    let full = vault.metrics();
    assert_eq!((full.locked, full.live, full.peak), (ceiling, open.len(), open.len()));
    assert!(open.len() > ceiling / 80, "{} secrets of 64 bytes", open.len());
    assert!(full.rooms <= 7, "{} stretches", full.rooms);
    assert!(open.iter().all(|secret| secret.expose_secret() == [7; 64]));

    // The oldest half stays where it is; what is empty goes.
    let kept: Vec<_> = open.drain(..open.len() / 8).collect();
    let places: Vec<_> = kept.iter().map(|secret| secret.expose_secret().as_ptr()).collect();
    open.clear();
    vault.trim();
    let trimmed = vault.metrics();
    assert!(trimmed.locked < ceiling && trimmed.given_back > 0);
    assert!(kept.iter().zip(&places).all(|(secret, &place)| {
        secret.expose_secret() == [7; 64] && secret.expose_secret().as_ptr() == place
    }));

    // The youngest stays open; the ones between go.
    let mut open = fill(&vault, &sealed);
    let youngest = open.pop().unwrap();
    drop((kept, open));
    vault.trim();
    assert_eq!(vault.metrics().rooms, 2);
    assert_eq!(youngest.expose_secret(), [7; 64]);
    drop(youngest);
    vault.trim();
    assert_eq!((vault.metrics().locked, vault.metrics().rooms), (floor, 1));
    vault.verify().unwrap();
}

#[test]
fn what_was_empty_for_a_while_is_given_back_when_the_vault_is_used() {
    let vault = grown(16 * 1024, 64 * 1024);
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    drop(fill(&vault, &sealed));
    assert!(vault.metrics().rooms > 1, "kept for a while");
    let begun = Instant::now();
    while vault.metrics().rooms > 1 {
        assert!(begun.elapsed() < LONG, "never given back");
        thread::sleep(Duration::from_millis(10));
        drop(vault.try_open(&sealed, b"").unwrap());
    }
    assert!(begun.elapsed() >= Duration::from_millis(40), "given back too early");
}

#[test]
fn a_long_secret_gets_room_of_its_own_size() {
    let vault = grown(16 * 1024, 256 * 1024);
    let long = vault.seal(&vec![9; 100_000], b"").unwrap();
    assert_eq!(vault.try_open(&long, b"").unwrap().expose_secret(), vec![9; 100_000]);
    let longer = vault.seal(&vec![9; 300_000], b"").unwrap();
    let error = vault.open_timeout(&longer, b"", LONG).unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { requested: 300_000, .. }), "{error}");
}

#[test]
fn the_longest_secret_that_is_named_fits_and_no_longer_one_does() {
    for (floor, ceiling) in [(1, 1), (4, 4), (16, 16), (512, 512), (1, 2), (2, 64), (16, 512)] {
        let vault = grown(floor * 4096, ceiling * 4096);
        let Err(OpenError::TooLarge { largest, .. }) = vault.try_allocate(usize::MAX) else {
            panic!("the whole address space in {ceiling} pages");
        };
        let longest = vault.try_allocate(largest).unwrap();
        assert_eq!(longest.len(), largest);
        drop(longest);
        vault.trim();
        let error = vault.allocate_timeout(largest + 1, LONG).unwrap_err();
        assert_eq!(error, OpenError::TooLarge { requested: largest + 1, largest });
        if floor == ceiling {
            // The key lies aside, and the bookkeeping is no more than a part in sixteen and a few.
            assert!(largest > floor * 4096 * 9 / 10 - 1024, "{largest} of {floor} pages");
            // It is not the check before that refuses.
            let admission = &vault.admission;
            let request = Request::allocate(largest + 1);
            let enclave = admission.enclave().unwrap();
            assert!(admission.common.pool.open(&enclave, &request).is_err());
        }
    }
}

#[test]
fn a_reserve_is_for_those_who_name_it() {
    let vault = Vault::builder().budget(4096..=4096).reserve("signer", 4096).build().unwrap();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let mut open = fill(&vault, &sealed);
    let signer = vault.reserve("signer").unwrap();
    assert!(vault.reserve("singer").is_none());
    let key = signer.try_open(&sealed, b"").unwrap();
    assert_eq!(key.expose_secret(), [7; 64]);
    assert!(matches!(vault.try_open(&sealed, b""), Err(OpenError::Full(_))));
    let mut keys: Vec<_> = std::iter::from_fn(|| signer.try_open(&sealed, b"").ok()).collect();
    assert!(keys.len() > 20);
    // Everybody's memory serves the reserve's openers too.
    open.pop();
    keys.push(signer.open_timeout(&sealed, b"", LONG).unwrap());
    let timeout = Duration::from_millis(20);
    let error = signer.open_timeout(&sealed, b"", timeout).unwrap_err();
    assert!(matches!(error, OpenError::TimedOut { .. }), "{error}");
    thread::scope(|scope| {
        scope.spawn(|| drop(signer.open_timeout(&sealed, b"", LONG).unwrap()));
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        drop(keys.pop());
    });
    drop((open, keys, key));
    assert_eq!(vault.metrics().locked, 8192);
    vault.verify().unwrap();
}

/// Polls a future once, with a waker that counts.
mod task {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    pub(super) struct Count(pub(super) AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn poll<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(count));
        pin!(future).poll(&mut Context::from_waker(&waker))
    }
}

#[test]
fn a_future_is_woken_in_turn_and_can_be_dropped() {
    // Where the machine was so slow that one may have been passed, nothing is said.
    let judged = (0..100).find(|_| {
        let begun = Instant::now();
        let woken = catch_unwind(AssertUnwindSafe(woken_in_turn));
        begun.elapsed() < Duration::from_millis(40) && woken.map_err(resume_unwind).is_ok()
    });
    assert!(judged.is_some(), "the machine is too slow");
}

fn woken_in_turn() {
    use std::sync::Arc;
    use std::task::Poll;
    let vault = vault();
    let sealed = vault.seal(&[7; 64], b"").unwrap();
    let mut open = fill(&vault, &sealed);
    let counts: Vec<_> = (0..3).map(|_| Arc::new(task::Count::default())).collect();
    let woken = |number: usize| counts[number].0.load(Ordering::SeqCst);
    let mut futures: Vec<_> = (0..3).map(|_| vault.open(&sealed, b"")).collect();
    for (future, count) in futures.iter_mut().zip(&counts) {
        assert!(task::poll(future, count).is_pending());
    }
    assert_eq!(vault.waiters(), 3);
    drop(open.pop());
    assert!((woken(0) > 0, woken(1), woken(2)) == (true, 0, 0), "only the first is woken");
    assert!(task::poll(&mut futures[1], &counts[1]).is_pending(), "nobody overtakes");
    // The first gives up; the second is told, and is served.
    drop(futures.remove(0));
    assert!(woken(1) > 0);
    let Poll::Ready(served) = task::poll(&mut futures[0], &counts[1]) else { panic!("not served") };
    let served = served.unwrap();
    assert_eq!(served.expose_secret(), [7; 64]);
    assert_eq!(woken(2), 0, "there is no room for it");
    drop(served);
    assert!(woken(2) > 0);
    drop(futures);
    assert_eq!(vault.waiters(), 0);
}

#[test]
fn a_budget_that_ends_before_it_begins() {
    let error =
        Vault::builder().budget(std::ops::RangeInclusive::new(8192, 4096)).build().unwrap_err();
    assert!(matches!(error, VaultError::CeilingBelowFloor { floor: 8192, ceiling: 4096 }));
}

#[test]
fn growth_under_many_threads_loses_nothing() {
    let vault = grown(4096, 64 * 1024);
    let sealed: Vec<_> = (1..=40_u8)
        .map(|byte| vault.seal(&vec![byte; usize::from(byte) * 20], b"").unwrap())
        .collect();
    thread::scope(|scope| {
        for thread in 0..8_usize {
            let (vault, sealed) = (&vault, &sealed);
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                for step in 0..600 {
                    let number = (step * 7 + thread * 13) % sealed.len();
                    if held.len() > step % 20 {
                        held.pop_front();
                    }
                    match vault.try_open(&sealed[number], b"") {
                        Ok(opened) => {
                            let byte = u8::try_from(number + 1).unwrap();
                            assert!(opened.expose_secret().iter().all(|&b| b == byte));
                            held.push_back(opened);
                        }
                        Err(OpenError::Full(_)) => held.clear(),
                        Err(error) => panic!("{error}"),
                    }
                    if step % 100 == 0 {
                        vault.trim();
                    }
                }
            });
        }
    });
    vault.trim();
    let metrics = vault.metrics();
    assert_eq!((metrics.live, metrics.rooms, metrics.faults), (0, 1, 0));
    vault.verify().unwrap();
}
