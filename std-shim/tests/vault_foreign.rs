//! A caller's own code runs in the middle of a call, and calls back: fault handlers, wakers, readers,
//! `AsRef`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use strongroom::{Fault, OpenError, Opened, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::{block_on, poll};
use watchdog::{SOON, ends_within};

static VAULT: OnceLock<Vault> = OnceLock::new();
static SEALED: OnceLock<Sealed> = OnceLock::new();
static CALLED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn vault() -> &'static Vault {
    VAULT.get_or_init(|| {
        let vault = Vault::builder().budget(8192..=64 * 1024).reserve("own", 4096);
        vault.linger(Duration::from_millis(1)).on_fault(calls_everything).build().unwrap()
    })
}

fn sealed() -> &'static Sealed {
    SEALED.get_or_init(|| vault().seal(&[7; 40], b"").unwrap())
}

fn calls_everything(_: Fault) {
    // Not again for damage that is found meanwhile.
    if INSIDE.replace(true) {
        return;
    }
    CALLED.fetch_add(1, Ordering::SeqCst);
    call_everything();
    INSIDE.set(false);
}

fn call_everything() {
    let vault = vault();
    vault.trim();
    let _ = (vault.metrics(), vault.stats(), vault.held(), vault.waiters(), vault.budget());
    let _ = (vault.protections(), vault.lock_refusal(), vault.growth_refusal(), vault.verify());
    drop(vault.try_open(sealed(), b""));
    drop(vault.open_timeout(sealed(), b"", Duration::from_millis(1)));
    drop(vault.try_allocate(5000));
    drop(vault.reserve("own").map(|own| own.try_allocate(100)));
    drop(poll(&mut vault.open(sealed(), b""), Waker::noop()));
    drop(vault.seal(b"another", b""));
    vault.refresh();
    vault.renew().unwrap();
}

/// Changes one byte past the end of an open secret, whatever it was.
fn damage(opened: &mut Opened<'_>) {
    let mut secret = opened.expose_secret_mut();
    let behind = secret.as_mut_ptr().wrapping_add(secret.len());
    // SAFETY: it lies in the locked memory of a vault: a canary, which nobody else uses now.
    let byte = unsafe { behind.read() };
    // SAFETY: the same byte.
    unsafe { behind.write(!byte) };
}

/// Writes to the place of a secret after it was dropped.
fn write_after_free(len: usize) {
    let mut opened = vault().try_allocate(len).unwrap();
    let place = opened.expose_secret_mut().as_mut_ptr();
    drop(opened);
    // SAFETY: it lies in locked memory that nobody uses now, of a vault that is never dropped.
    unsafe { place.write(0xff) };
}

#[test]
fn a_fault_handler_may_call_everything() {
    ends_within(SOON, || {
        for len in [8, 100, 2000] {
            let mut opened = vault().try_allocate(len).unwrap();
            damage(&mut opened);
            let before = CALLED.load(Ordering::SeqCst);
            drop(opened);
            assert!(CALLED.load(Ordering::SeqCst) > before, "on drop");
        }
        for len in [8, 100] {
            let _beside = vault().try_allocate(len).unwrap();
            let before = CALLED.load(Ordering::SeqCst);
            write_after_free(len);
            let mut open = Vec::new();
            while CALLED.load(Ordering::SeqCst) == before {
                open.push(vault().try_allocate(len).expect("the damage was never found"));
            }
        }
    });
}

/// Damage is found when secrets are given back to those who wait: a thread, and a task.
#[test]
fn a_fault_handler_may_call_everything_while_others_wait() {
    static WAITED_FOR: OnceLock<Vault> = OnceLock::new();
    static FAULTS: AtomicUsize = AtomicUsize::new(0);
    fn calls_the_same(_: Fault) {
        FAULTS.fetch_add(1, Ordering::SeqCst);
        if !INSIDE.replace(true) {
            let vault = WAITED_FOR.get().unwrap();
            vault.trim();
            let _ = (vault.metrics(), vault.stats(), vault.held(), vault.waiters(), vault.verify());
            drop(vault.try_allocate(64));
            drop(vault.allocate_timeout(64, Duration::from_millis(1)));
            INSIDE.set(false);
        }
    }
    ends_within(SOON, || {
        let vault = WAITED_FOR.get_or_init(|| {
            Vault::builder().budget(4096..=4096).on_fault(calls_the_same).build().unwrap()
        });
        let sealed = vault.seal(&[7; 64], b"").unwrap();
        let held: Vec<_> = std::iter::from_fn(|| vault.try_open(&sealed, b"").ok()).collect();
        thread::scope(|scope| {
            let thread = scope.spawn(|| vault.open_timeout(&sealed, b"", SOON).map(drop));
            let task = scope.spawn(|| block_on(vault.open(&sealed, b"")).map(drop));
            while vault.waiters() < 2 {
                thread::yield_now();
            }
            // Every other one, so that there is room for those who wait.
            for (number, mut opened) in held.into_iter().enumerate() {
                if number % 2 == 0 {
                    damage(&mut opened);
                }
                drop(opened);
            }
            thread.join().unwrap().unwrap();
            task.join().unwrap().unwrap();
        });
        assert!(FAULTS.load(Ordering::SeqCst) > 2);
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

struct CallsBack;

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        call_everything();
    }
}

impl Drop for CallsBack {
    fn drop(&mut self) {
        call_everything();
    }
}

#[test]
fn a_waker_may_call_everything() {
    ends_within(SOON, || {
        let vault = Vault::new(4096).unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        for ending in 0..3 {
            let held = vault.try_open(&sealed, b"").unwrap();
            let mut opening = vault.open(&sealed, b"");
            assert!(poll(&mut opening, &Waker::from(Arc::new(CallsBack))).is_pending());
            match ending {
                0 => drop(poll(&mut opening, Waker::noop())),
                1 => drop(opening),
                _ => {
                    drop(held);
                    assert!(poll(&mut opening, Waker::noop()).is_ready());
                }
            }
        }
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

/// A record whose bytes are given by code that calls back, other ones each time.
struct Fickle {
    records: [Box<[u8]>; 2],
    calls: Cell<usize>,
}

impl AsRef<[u8]> for Fickle {
    fn as_ref(&self) -> &[u8] {
        call_everything();
        self.calls.set(self.calls.get() + 1);
        &self.records[self.calls.get() % 2]
    }
}

#[test]
fn a_record_may_call_everything_and_change() {
    ends_within(SOON, || {
        let records = [&[1; 10][..], &[2; 1000]]
            .map(|secret| vault().seal(secret, b"").unwrap().into_record());
        let fickle = Sealed::from_record(Fickle { records, calls: Cell::new(0) });
        for _ in 0..10 {
            let opened = vault().try_open(&fickle, b"").unwrap();
            let secret = opened.expose_secret();
            assert!(secret == [1; 10] || secret == [2; 1000]);
        }
    });
}

/// A record that gives up an open secret when it is looked at.
struct LetsGo(Box<[u8]>, Mutex<Option<Opened<'static>>>);

impl AsRef<[u8]> for LetsGo {
    fn as_ref(&self) -> &[u8] {
        drop(self.1.lock().unwrap().take());
        call_everything();
        &self.0
    }
}

#[test]
fn a_record_may_make_the_room_that_it_needs() {
    ends_within(SOON, || {
        let vault: &'static Vault = Box::leak(Box::new(Vault::new(4096).unwrap()));
        for way in 0..3 {
            let record = vault.seal(&[9; 3000], b"").unwrap().into_record();
            let held = vault.try_allocate(3000).unwrap();
            let sealed = Sealed::from_record(LetsGo(record, Mutex::new(Some(held))));
            let opened = match way {
                0 => vault.open_timeout(&sealed, b"", SOON),
                1 => block_on(vault.open(&sealed, b"")),
                _ => vault.try_open(&sealed, b""),
            };
            assert_eq!(opened.unwrap().expose_secret(), [9; 3000]);
        }
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

struct Reader(usize);

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        call_everything();
        self.0 += 1;
        if self.0 > 10 {
            return Ok(0);
        }
        into.fill(7);
        Ok(into.len())
    }
}

#[test]
fn a_reader_may_call_everything() {
    ends_within(SOON, || {
        let opened = vault().read_to_end(Reader(0), 10_000).unwrap();
        assert!(opened.expose_secret().iter().all(|&byte| byte == 7));
    });
}

#[test]
fn a_panicking_handler_loses_nothing() {
    fn panics(_: Fault) {
        panic!("on purpose");
    }
    ends_within(SOON, || {
        let vault = Vault::builder().budget(4096..=4096).on_fault(panics).build().unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        let mut opened = vault.try_open(&sealed, b"").unwrap();
        damage(&mut opened);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| vault.allocate_timeout(100, SOON).map(drop));
            while vault.waiters() + vault.held() < 2 && !waiting.is_finished() {
                thread::yield_now();
            }
            let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(opened)));
            assert!(dropped.is_err());
            waiting.join().unwrap().unwrap();
        });
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

/// Damage puts memory out of use for good: what does not fit any more is not waited for without end.
#[test]
fn what_damage_keeps_out_is_said() {
    fn ignores(_: Fault) {}
    ends_within(SOON, || {
        let vault = Vault::builder().budget(4096..=4096).on_fault(ignores).build().unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        drop(vault.try_open(&sealed, b"").unwrap());
        let mut open: Vec<_> = std::iter::from_fn(|| vault.try_allocate(200).ok()).collect();
        // By place: a stack on the border between two shards mixes the order.
        open.sort_unstable_by_key(|secret| secret.expose_secret().as_ptr());
        let middle = open.len() / 2;
        damage(&mut open[middle]);
        drop(open);
        for answer in [
            vault.open_timeout(&sealed, b"", SOON * 3).map(drop),
            block_on(vault.open(&sealed, b"")).map(drop),
        ] {
            let Err(OpenError::TooLarge { requested, largest }) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(requested, 3000);
            drop(vault.allocate_timeout(largest, SOON).unwrap());
        }
        assert_eq!(vault.waiters(), 0);
        // Likewise to all who wait already when the last secret is dropped.
        let held = vault.try_allocate(100).unwrap();
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| vault.open_timeout(&sealed, b"", SOON * 3).map(drop)),
                scope.spawn(|| vault.open_timeout(&sealed, b"", SOON * 3).map(drop)),
                scope.spawn(|| block_on(vault.open(&sealed, b"")).map(drop)),
                scope.spawn(|| block_on(vault.open(&sealed, b"")).map(drop)),
            ];
            while vault.waiters() < 4 {
                thread::yield_now();
            }
            drop(held);
            for waiting in waiting {
                let answer = waiting.join().unwrap();
                assert!(matches!(answer, Err(OpenError::TooLarge { .. })), "{answer:?}");
            }
        });
    });
}
