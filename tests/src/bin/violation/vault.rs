//! What a faulty program can do to a vault, and what it can ask of one that is gone.

use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use strongroom::{LockedPages, OpenError, Opened, Sealed, Vault, wipe_all};

use crate::{Outcome, Table, answer};

pub(crate) const ALL: Table = &[
    ("overflow-open-secret", overflow_open_secret),
    ("overflow-found-by-verify", overflow_found_by_verify),
    ("overflow-found-while-unwinding", overflow_found_while_unwinding),
    ("touch-guard-below", || touch(|first, _| first.wrapping_sub(1))),
    ("touch-guard-above", || touch(|_, end| end)),
    ("use-of-returned-pages", use_of_returned_pages),
    ("tampered-ciphertext", || open_changed(|record| record[8] ^= 1)),
    ("tampered-tag", || open_changed(|record| *record.last_mut().unwrap() ^= 0x80)),
    ("tampered-counter", || open_changed(|record| record[0] ^= 1)),
    ("cut-record", || open_changed(|record| record.truncate(record.len() - 1))),
    ("extended-record", || open_changed(|record| record.push(0))),
    ("record-of-nothing", || open_changed(Vec::clear)),
    ("other-context", || with_sealed(|vault, sealed| open(vault, sealed, b"db/user"))),
    ("other-vault", || with_sealed(|_, sealed| open(&Vault::new(8192)?, sealed, CONTEXT))),
    ("open-after-destroy", || destroyed(|vault, sealed| open(vault, sealed, CONTEXT))),
    ("seal-after-destroy", || destroyed(|vault, _| seal(vault))),
    ("open-after-wipe", || wiped(|vault, sealed| open(vault, sealed, CONTEXT))),
    ("seal-after-wipe", || wiped(|vault, _| seal(vault))),
    ("allocate-after-wipe", || wiped(|vault, _| answer(vault.try_allocate(8)))),
    ("read-after-wipe", || wiped(|vault, _| answer(vault.read_to_end(&b"secret"[..], 8)))),
    ("random-after-wipe", || wiped(|vault, _| answer(vault.fill_random(&mut [0; 8])))),
    ("wipe-under-open-secrets", wipe_under_open_secrets),
    ("wait-through-a-wipe", wait_through_a_wipe),
    ("second-install", second_install),
];

fn overflow_open_secret() -> Outcome {
    let vault = Vault::new(8192)?;
    let mut opened = vault.try_allocate(64)?;
    write_behind(&mut opened);
    drop(opened);
    Ok(())
}

fn overflow_found_by_verify() -> Outcome {
    let vault = Vault::new(8192)?;
    let mut opened = [vault.try_allocate(64)?, vault.try_allocate(64)?];
    write_behind(&mut opened[0]);
    let fault = vault.verify().unwrap_err();
    opened.map(|opened| opened.release().err()).into_iter().flatten().for_each(drop);
    // The offset is the arena's own business.
    Err(fault.kind.message().into())
}

/// The first panic's message survives, nothing is aborted, and the damage is counted.
fn overflow_found_while_unwinding() -> Outcome {
    let vault = Vault::new(8192)?;
    let died = catch_unwind(AssertUnwindSafe(|| {
        let mut opened = vault.try_allocate(64).unwrap();
        write_behind(&mut opened);
        panic!("a bug elsewhere");
    }));
    eprintln!("faults: {}", vault.metrics().faults);
    resume_unwind(died.unwrap_err())
}

#[expect(unsafe_code, reason = "the violation itself")]
fn touch(place: impl FnOnce(*const u8, *const u8) -> *const u8) -> Outcome {
    let pages = LockedPages::new(8192)?;
    let data = pages.as_non_null();
    let first = data.as_ptr().cast::<u8>().cast_const();
    let place = place(first, first.wrapping_add(data.len()));
    eprintln!("touching");
    // SAFETY: none: a guard page lies there.
    let byte = unsafe { place.read_volatile() };
    Err(format!("the guard page holds {byte}").into())
}

#[expect(unsafe_code, reason = "the violation itself")]
fn use_of_returned_pages() -> Outcome {
    let vault = Vault::new(1 << 20)?;
    let opened = vault.try_allocate(64)?;
    let place = opened.expose_secret().as_ptr();
    drop(opened);
    drop(vault);
    eprintln!("touching");
    // SAFETY: none: the vault has given its pages back.
    let byte = unsafe { place.read_volatile() };
    Err(format!("the returned page holds {byte}").into())
}

fn open_changed(change: fn(&mut Vec<u8>)) -> Outcome {
    with_sealed(|vault, sealed| {
        let mut record = sealed.record().to_vec();
        change(&mut record);
        open(vault, &Sealed::from_record(record), CONTEXT)
    })
}

fn destroyed(call: fn(&Vault, &Sealed<Vec<u8>>) -> Outcome) -> Outcome {
    with_sealed(|vault, sealed| {
        vault.destroy();
        call(vault, sealed)
    })
}

fn wiped(call: fn(&Vault, &Sealed<Vec<u8>>) -> Outcome) -> Outcome {
    with_sealed(|vault, sealed| {
        wipe_all();
        call(vault, sealed)
    })
}

/// What was open reads as zeros, and its drop does no harm.
fn wipe_under_open_secrets() -> Outcome {
    with_sealed(|vault, sealed| {
        let opened = [vault.try_open(sealed, CONTEXT)?, vault.try_open(sealed, CONTEXT)?];
        wipe_all();
        let zero = opened.iter().all(|opened| opened.expose_secret().iter().all(|&b| b == 0));
        eprintln!("all zero: {zero}");
        drop(opened);
        open(vault, sealed, CONTEXT)
    })
}

/// Those who wait learn of it when somebody drops what was open.
fn wait_through_a_wipe() -> Outcome {
    with_sealed(|vault, sealed| {
        let opened: Vec<_> = iter::from_fn(|| vault.try_open(sealed, CONTEXT).ok()).collect();
        let long = Duration::from_mins(1);
        let answers = thread::scope(|scope| {
            let thread = || vault.open_timeout(sealed, CONTEXT, long).map(drop);
            let task = || block_on(vault.open(sealed, CONTEXT)).map(drop);
            let waiting =
                [scope.spawn(task), scope.spawn(thread), scope.spawn(task), scope.spawn(thread)];
            while vault.waiters() < waiting.len() {
                thread::yield_now();
            }
            wipe_all();
            drop(opened);
            waiting.map(|thread| thread.join().map_err(|_| "a thread panicked"))
        });
        answers.into_iter().try_for_each(|answer| match answer? {
            Err(OpenError::Destroyed) => Ok(()),
            other => Err(format!("not told: {other:?}")),
        })?;
        open(vault, sealed, CONTEXT)
    })
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        thread::park();
    }
}

fn second_install() -> Outcome {
    Vault::builder().install()?;
    answer(Vault::builder().install())
}

fn with_sealed(violation: impl FnOnce(&Vault, &Sealed<Vec<u8>>) -> Outcome) -> Outcome {
    let vault = Vault::new(8192)?;
    let sealed = Sealed::from_record(vault.seal(b"hunter2", CONTEXT)?.into_record().into_vec());
    violation(&vault, &sealed)
}

fn open(vault: &Vault, sealed: &Sealed<Vec<u8>>, context: &[u8]) -> Outcome {
    answer(vault.try_open(sealed, context))
}

fn seal(vault: &Vault) -> Outcome {
    answer(vault.seal(b"hunter2", CONTEXT))
}

/// Overflows by one.
#[expect(unsafe_code, reason = "the violation itself")]
fn write_behind(opened: &mut Opened<'_>) {
    let mut secret = opened.expose_secret_mut();
    let behind = secret.as_mut_ptr().wrapping_add(secret.len());
    // SAFETY: none: it is not this secret's byte, but the canary's.
    let byte = unsafe { behind.read_volatile() };
    // SAFETY: as above.
    unsafe { behind.write_volatile(byte ^ 1) };
}

const CONTEXT: &[u8] = b"db/password";
