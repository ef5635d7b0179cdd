//! Those who wait: nobody is held up by one who does not come, cannot be served, or whose waker is
//! foreign code.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{OpenError, Opened, Opening, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::{Woken, block_on, poll};
use watchdog::{SOON, ends_within};

const LONG: Duration = Duration::from_secs(60);

fn vault() -> &'static Vault {
    Box::leak(Box::new(Vault::new(4096).unwrap()))
}

fn sealed(vault: &Vault, len: usize) -> &'static Sealed {
    Box::leak(Box::new(vault.seal(&vec![7; len], b"").unwrap()))
}

/// Opens the same secret until there is no more room.
fn fill<'v>(vault: &'v Vault, sealed: &Sealed) -> Vec<Opened<'v>> {
    std::iter::from_fn(|| vault.try_open(sealed, b"").ok()).collect()
}

fn waits(vault: &'static Vault, sealed: &'static Sealed) -> Opening<'static, 'static, Box<[u8]>> {
    let mut opening = vault.open(sealed, b"");
    assert!(poll(&mut opening, Waker::noop()).is_pending());
    opening
}

/// A waker that is the last owner of an open secret, as one whose task holds some.
struct Owns(Mutex<Option<Opened<'static>>>);

impl Owns {
    fn waker(opened: Opened<'static>) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(opened)))))
    }
}

impl Wake for Owns {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_may_own_an_open_secret() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 64);
        for ending in 0..3 {
            let mut open = fill(vault, sealed);
            let owned = open.pop().unwrap();
            let mut opening = vault.open(sealed, b"");
            assert!(poll(&mut opening, &Owns::waker(owned)).is_pending());
            match ending {
                // Polled again with another: the first is dropped, and with it what it owns.
                0 => assert!(poll(&mut opening, Waker::noop()).is_ready()),
                // Cancelled.
                1 => drop(opening),
                // Woken.
                _ => {
                    drop(open.pop());
                    assert!(poll(&mut opening, Waker::noop()).is_ready());
                }
            }
        }
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

#[test]
fn the_hundredth_is_served_though_99_never_come() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 3000);
        let held = vault.try_open(sealed, b"").unwrap();
        let dead: Vec<_> = (0..99).map(|_| waits(vault, sealed)).collect();
        let hundredth = thread::spawn(|| block_on(vault.open(sealed, b"")).map(drop));
        while vault.waiters() < 100 {
            thread::yield_now();
        }
        let begun = Instant::now();
        // The only call that is made from here on.
        drop(held);
        hundredth.join().unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(vault.waiters(), 99, "they keep their places");
        // The last that were called have a moment to come.
        thread::sleep(Duration::from_millis(150));
        drop(vault.try_open(sealed, b"").unwrap());
        drop(vault.open_timeout(sealed, b"", SOON).unwrap());
        drop(dead);
    });
}

/// A branch of a `select!` lost against a timer, and is kept; the task opens the same again.
#[test]
fn a_task_that_waits_twice_is_served() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 3000);
        for _ in 0..10 {
            let held = vault.try_open(sealed, b"").unwrap();
            let lost = waits(vault, sealed);
            let letting_go = thread::spawn(move || {
                while vault.waiters() < 2 {
                    thread::yield_now();
                }
                drop(held);
            });
            // Behind itself: nobody but this very task would poll the first.
            drop(block_on(vault.open(sealed, b"")).unwrap());
            letting_go.join().unwrap();
            drop(lost);
            assert_eq!((vault.held(), vault.waiters()), (0, 0));
        }
    });
}

/// Long before their time is up, or the watchdog barks.
#[test]
fn threads_behind_tasks_that_never_come_are_served() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 3000);
        let held = vault.try_open(sealed, b"").unwrap();
        let dead: Vec<_> = (0..10).map(|_| waits(vault, sealed)).collect();
        let threads =
            [(); 4].map(|()| thread::spawn(|| vault.open_timeout(sealed, b"", LONG).map(drop)));
        while vault.waiters() < 14 {
            thread::yield_now();
        }
        drop(held);
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
        drop(dead);
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

/// Whether those before it have come by then or not.
#[test]
fn all_who_were_passed_are_served_when_they_come() {
    ends_within(SOON, || {
        for last_first in [false, true] {
            let vault = vault();
            let sealed = sealed(vault, 3000);
            let held = vault.try_open(sealed, b"").unwrap();
            let mut late: Vec<_> = (0..10).map(|_| waits(vault, sealed)).collect();
            drop(held);
            // All of them were passed when a newcomer is served.
            while vault.try_open(sealed, b"").is_err() {
                thread::yield_now();
            }
            if last_first {
                late.reverse();
            }
            for opening in &mut late {
                drop(block_on(opening).unwrap());
            }
            assert_eq!((vault.held(), vault.waiters()), (0, 0));
        }
    });
}

#[test]
fn one_who_was_passed_keeps_its_place() {
    ends_within(SOON, || while !passes_and_comes_back() {});
}

/// False if the machine was so slow that others could be passed too.
fn passes_and_comes_back() -> bool {
    let vault = vault();
    let sealed = sealed(vault, 3000);
    let held = vault.try_open(sealed, b"").unwrap();
    let (mut late, woken) = (vault.open(sealed, b""), Arc::new(Woken::default()));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll(&mut late, &waker).is_pending());
    drop(held);
    assert_eq!(woken.times(), 1);
    thread::sleep(Duration::from_millis(100));
    // It lost its turn to this one; then it comes.
    let held = vault.try_open(sealed, b"").unwrap();
    assert!(poll(&mut late, &waker).is_pending());
    assert!(matches!(vault.try_open(sealed, b""), Err(OpenError::Full(_))));
    let mut second = waits(vault, sealed);
    let begun = Instant::now();
    drop(held);
    let (times, second) = (woken.times(), poll(&mut second, Waker::noop()));
    let is_served = poll(&mut late, &waker).is_ready();
    if begun.elapsed() > SLOW {
        return false;
    }
    assert_eq!(times, 2);
    assert!(second.is_pending(), "the other came first");
    assert!(is_served);
    true
}

/// When a task may have been passed.
const SLOW: Duration = Duration::from_millis(40);

#[test]
fn a_forgotten_future_holds_up_nobody() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 3000);
        let held = vault.try_open(sealed, b"").unwrap();
        std::mem::forget(waits(vault, sealed));
        drop(held);
        thread::sleep(Duration::from_millis(150));
        for _ in 0..100 {
            drop(vault.try_open(sealed, b"").unwrap());
        }
    });
}

/// A task holds a secret and waits for a long one, which its own secret is in the way of.
#[test]
fn a_short_open_passes_a_long_one_that_is_blocked_for_good() {
    ends_within(SOON, || {
        let vault = vault();
        let (short, long) = (sealed(vault, 64), sealed(vault, 3000));
        let held = vault.try_open(short, b"").unwrap();
        let others = fill(vault, short);
        let blocked = waits(vault, long);
        let begun = Instant::now();
        let waiting = thread::spawn(|| vault.open_timeout(short, b"", LONG).map(drop));
        let task = thread::spawn(|| block_on(vault.open(short, b"")).map(drop));
        while vault.waiters() < 3 {
            thread::yield_now();
        }
        drop(others);
        let _blocked_too = thread::spawn(|| drop(block_on(blocked)));
        task.join().unwrap().unwrap();
        waiting.join().unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(held);
    });
}

/// Nobody makes room meanwhile: what there is was free when the short ones came.
#[test]
fn short_opens_find_room_behind_a_long_one_and_leave_it_its_turn() {
    ends_within(SOON, || {
        let vault = vault();
        let (short, long) = (sealed(vault, 64), sealed(vault, 3000));
        let held = vault.try_allocate(1500).unwrap();
        let mut blocked = waits(vault, long);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5 {
                    drop(vault.open_timeout(short, b"", LONG).unwrap());
                }
            });
            scope.spawn(|| {
                for _ in 0..5 {
                    drop(block_on(vault.open(short, b"")).unwrap());
                }
            });
        });
        drop(held);
        assert_eq!(block_on(&mut blocked).unwrap().expose_secret(), [7; 3000]);
    });
}

/// Short ones come and go all the time, as threads and as tasks; a long one needs room that all of them
/// take.
#[test]
fn a_long_open_is_served_among_many_short_ones() {
    ends_within(SOON, || {
        let vault = vault();
        let (short, long) = (sealed(vault, 64), sealed(vault, 3000));
        let served = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..8 {
                let served = &served;
                scope.spawn(move || {
                    while served.load(Ordering::Relaxed) < 20 {
                        let open = match number % 2 {
                            0 => vault.open_timeout(short, b"", LONG).unwrap(),
                            _ => block_on(vault.open(short, b"")).unwrap(),
                        };
                        thread::yield_now();
                        drop(open);
                    }
                });
            }
            while served.load(Ordering::Relaxed) < 20 {
                drop(vault.open_timeout(long, b"", LONG).unwrap());
                drop(block_on(vault.open(long, b"")).unwrap());
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

#[test]
fn tasks_are_served_in_the_order_in_which_they_came() {
    ends_within(SOON, || {
        let vault = vault();
        let sealed = sealed(vault, 3000);
        let mut judged = 0;
        while judged < 50 {
            let held = vault.try_open(sealed, b"").unwrap();
            let mut futures: Vec<_> = (0..5).map(|_| waits(vault, sealed)).collect();
            let begun = Instant::now();
            drop(held);
            let (first, later) = futures.split_first_mut().unwrap();
            let later = later.iter_mut().all(|later| poll(later, Waker::noop()).is_pending());
            let first = poll(first, Waker::noop());
            if begun.elapsed() < SLOW {
                assert!(later, "overtaken");
                assert!(first.is_ready(), "not served");
                judged += 1;
            }
            drop((first, futures));
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Reserves have lines of their own, with threads and tasks in them.
#[test]
fn reserves_wait_like_everybody() {
    ends_within(SOON, || {
        let vault = Vault::builder().budget(4096..=4096).reserve("own", 4096).build().unwrap();
        let vault: &'static Vault = Box::leak(Box::new(vault));
        let sealed = sealed(vault, 3000);
        let own = vault.reserve("own").unwrap();
        let held = [own.try_open(sealed, b"").unwrap(), own.try_open(sealed, b"").unwrap()];
        assert!(matches!(own.try_open(sealed, b""), Err(OpenError::Full(_))));
        assert!(matches!(
            own.allocate_timeout(3000, Duration::from_millis(10)),
            Err(OpenError::TimedOut { .. })
        ));
        let task = thread::spawn(move || block_on(own.open(sealed, b"")).map(drop));
        let thread = thread::spawn(move || own.allocate_timeout(3000, LONG).map(drop));
        while vault.waiters() < 2 {
            thread::yield_now();
        }
        drop(held);
        task.join().unwrap().unwrap();
        thread.join().unwrap().unwrap();
    });
}
