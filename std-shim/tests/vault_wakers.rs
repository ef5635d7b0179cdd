//! A task's waker is the caller's code: it may call the very vault that clones, wakes and drops it, and
//! it may panic. Nobody else is held up by either.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

use strongroom::{OpenError, Opening, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::{Woken, block_on, poll};
use watchdog::{SOON, ends_within};

const LONG: Duration = Duration::from_secs(60);

/// A vault, a secret of which one is open at a time, and a short one.
struct Place {
    vault: Vault,
    long: Sealed,
    short: Sealed,
    /// How often each function of a waker was called.
    calls: [AtomicUsize; 3],
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Place {
    fn new() -> &'static Self {
        let builder = Vault::builder().budget(4096..=4096).reserve("own", 4096);
        let vault = builder.on_fault(|fault| panic!("{fault:?}")).build().unwrap();
        let [long, short] = [3000, 64].map(|len| vault.seal(&vec![7; len], b"").unwrap());
        Box::leak(Box::new(Self { vault, long, short, calls: Default::default() }))
    }

    fn open(&self) -> Opening<'_, '_, Box<[u8]>> {
        self.vault.open(&self.long, b"")
    }

    fn open_short(&self) -> Opening<'_, '_, Box<[u8]>> {
        self.vault.open(&self.short, b"")
    }

    /// Calls everything there is, but not from within itself.
    fn call_everything(&self) {
        if INSIDE.replace(true) {
            return;
        }
        let vault = &self.vault;
        vault.trim();
        let _ = (vault.metrics(), vault.stats(), vault.held(), vault.waiters(), vault.verify());
        let _ = (vault.protections(), vault.lock_refusal(), vault.growth_refusal());
        let _ = (format!("{vault:?}"), vault.budget());
        drop(vault.try_open(&self.short, b""));
        drop(vault.try_open(&self.long, b""));
        drop(vault.open_timeout(&self.long, b"", Duration::from_millis(1)));
        drop(vault.allocate_timeout(64, Duration::from_millis(1)));
        drop(vault.reserve("own").map(|own| own.try_allocate(100)));
        // Waits, is polled again with another waker, and cancelled.
        let mut opening = self.open();
        drop(poll(&mut opening, Waker::noop()));
        drop(poll(&mut opening, &Waker::from(Arc::new(Woken::default()))));
        drop(opening);
        drop(vault.seal(b"another", b""));
        vault.refresh();
        INSIDE.set(false);
    }

    fn is_empty(&self) {
        assert_eq!((self.vault.held(), self.vault.waiters()), (0, 0));
        drop(self.vault.open_timeout(&self.long, b"", SOON).unwrap());
    }
}

const CLONE: usize = 0;
const WAKE: usize = 1;
const DROP: usize = 2;

/// A waker that calls everything whenever it is cloned, woken or dropped.
fn calls_back(place: &'static Place) -> Waker {
    fn called(data: *const (), function: usize) {
        // SAFETY: the pointer is that of a place, which is never dropped.
        let place = unsafe { &*data.cast::<Place>() };
        place.calls[function].fetch_add(1, Ordering::SeqCst);
        place.call_everything();
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            called(data, CLONE);
            RawWaker::new(data, &TABLE)
        },
        |data| called(data, WAKE),
        |data| called(data, WAKE),
        |data| called(data, DROP),
    );
    let raw = RawWaker::new(std::ptr::from_ref(place).cast(), &TABLE);
    // SAFETY: the functions take a pointer to a place that is never dropped, from any thread.
    unsafe { Waker::from_raw(raw) }
}

/// What may end a wait.
#[derive(Clone, Copy, Debug)]
enum Ending {
    PolledAgain,
    Cancelled,
    Room,
    Passed,
    Trimmed,
    Destroyed,
    Forgotten,
}

#[test]
fn a_waker_may_call_the_vault_that_clones_wakes_and_drops_it() {
    use Ending::{Cancelled, Destroyed, Forgotten, Passed, PolledAgain, Room, Trimmed};
    let mut calls = [0; 3];
    for ending in [PolledAgain, Cancelled, Room, Passed, Trimmed, Destroyed, Forgotten] {
        eprintln!("{ending:?}");
        let place = Place::new();
        ends_within(SOON, move || end(place, ending));
        for (sum, calls) in calls.iter_mut().zip(&place.calls) {
            *sum += calls.load(Ordering::SeqCst);
        }
    }
    assert!(calls.iter().all(|&calls| calls > 0), "{calls:?}");
}

/// Two wait, with wakers that call back, until something happens to the first.
fn end(place: &'static Place, ending: Ending) {
    let held = place.vault.try_open(&place.long, b"").unwrap();
    let waker = calls_back(place);
    let (mut first, mut second) = (place.open(), place.open());
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    match ending {
        Ending::PolledAgain => {
            assert!(poll(&mut first, Waker::noop()).is_pending());
            assert!(poll(&mut first, &waker).is_pending());
            drop(held);
        }
        Ending::Cancelled => drop((first, held)),
        Ending::Room => {
            drop(held);
            drop(block_on(first).unwrap());
        }
        Ending::Passed => {
            drop(held);
            // Neither comes, so a thread behind them is served.
            drop(place.vault.open_timeout(&place.long, b"", LONG).unwrap());
        }
        Ending::Trimmed => {
            place.vault.trim();
            drop(held);
        }
        Ending::Destroyed => {
            place.vault.destroy();
            for opening in [&mut first, &mut second] {
                let polled = poll(opening, &waker);
                assert!(matches!(polled, Poll::Ready(Err(OpenError::Destroyed))), "{polled:?}");
            }
            assert_eq!(place.vault.waiters(), 0);
            return drop(held);
        }
        Ending::Forgotten => {
            std::mem::forget(first);
            drop((held, second));
            return drop(place.vault.open_timeout(&place.long, b"", LONG).unwrap());
        }
    }
    drop(block_on(second).unwrap());
}

#[test]
fn many_wakers_may_call_back_at_once() {
    ends_within(LONG, || {
        let place = Place::new();
        thread::scope(|scope| {
            for number in 0..6 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut opening = place.open();
                        let mut polls = 0;
                        while poll(&mut opening, &calls_back(place)).is_pending() {
                            polls += 1;
                            if (polls + number) % 50 == 0 {
                                // Cancelled, and tried anew.
                                opening = place.open();
                            }
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        place.is_empty();
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

/// Three tasks wait, one of which panics when it is woken; so do threads, and those of a reserve.
#[test]
fn a_waker_that_panics_keeps_a_destruction_from_nobody() {
    ends_within(SOON, || {
        for bad in 0..3 {
            let place = Place::new();
            let own = place.vault.reserve("own").unwrap();
            let held = [(); 2].map(|()| own.try_open(&place.long, b"").unwrap());
            let woken = [(); 3].map(|()| Arc::new(Woken::default()));
            let mut openings = [place.open(), place.open(), place.open()];
            for (number, opening) in openings.iter_mut().enumerate() {
                let waker = match number {
                    _ if number == bad => Waker::from(Arc::new(Panics)),
                    _ => Waker::from(Arc::clone(&woken[number])),
                };
                assert!(poll(opening, &waker).is_pending());
            }
            thread::scope(|scope| {
                let waiting = [
                    scope.spawn(|| place.vault.open_timeout(&place.long, b"", LONG).map(drop)),
                    scope.spawn(|| own.open_timeout(&place.long, b"", LONG).map(drop)),
                ];
                while place.vault.waiters() < 5 {
                    thread::yield_now();
                }
                let _ = catch_unwind(AssertUnwindSafe(|| place.vault.destroy()));
                for number in (0..3).filter(|&number| number != bad) {
                    assert!(woken[number].times() > 0, "{number} never learns, as {bad} panics");
                }
                for thread in waiting {
                    assert_eq!(thread.join().unwrap(), Err(OpenError::Destroyed));
                }
            });
            drop((openings, held));
        }
    });
}

/// One does not come, and the waker of the next panics: those behind them are served.
#[test]
fn a_waker_that_panics_holds_up_nobody() {
    ends_within(SOON, || {
        let place = Place::new();
        let held = place.vault.try_open(&place.long, b"").unwrap();
        let (mut dead, mut bad) = (place.open(), place.open());
        assert!(poll(&mut dead, Waker::noop()).is_pending());
        assert!(poll(&mut bad, &Waker::from(Arc::new(Panics))).is_pending());
        let task = thread::spawn(|| block_on(place.open()).map(drop));
        let waiting = thread::spawn(|| place.vault.open_timeout(&place.long, b"", LONG).map(drop));
        while place.vault.waiters() < 4 {
            thread::yield_now();
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(held)));
        task.join().unwrap().unwrap();
        waiting.join().unwrap().unwrap();
        drop((dead, bad));
    });
}

/// A waker that panics the next time that it is dropped, once `armed` says so.
fn panics_when_dropped(armed: &'static AtomicBool) -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| RawWaker::new(data, &TABLE),
        |_| {},
        |_| {},
        |data| {
            // SAFETY: the pointer is that of a static.
            let armed = unsafe { &*data.cast::<AtomicBool>() };
            assert!(!armed.swap(false, Ordering::SeqCst), "on purpose");
        },
    );
    let raw = RawWaker::new(std::ptr::from_ref(armed).cast(), &TABLE);
    // SAFETY: the functions take a pointer to a static, from any thread.
    unsafe { Waker::from_raw(raw) }
}

/// The first in line leaves, and the drop of its waker panics: the next learns that it is its turn.
#[test]
fn a_waker_whose_drop_panics_keeps_the_turn_from_nobody() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    ends_within(SOON, || {
        for is_served in [false, true] {
            let place = Place::new();
            let held = place.vault.try_allocate(2000).unwrap();
            let waker = panics_when_dropped(&ARMED);
            let woken = Arc::new(Woken::default());
            // There is room for the second, but the first came before it.
            let (mut first, mut second) = (place.open(), place.open_short());
            assert!(poll(&mut first, &waker).is_pending());
            assert!(poll(&mut second, &Waker::from(Arc::clone(&woken))).is_pending());
            let left = if is_served {
                drop(held);
                ARMED.store(true, Ordering::SeqCst);
                catch_unwind(AssertUnwindSafe(|| drop(poll(&mut first, &waker))))
            } else {
                ARMED.store(true, Ordering::SeqCst);
                catch_unwind(AssertUnwindSafe(|| drop(first)))
            };
            assert!(left.is_err(), "it was not dropped");
            assert!(woken.times() > 0, "{is_served}");
            assert!(poll(&mut second, Waker::noop()).is_ready());
        }
    });
}
