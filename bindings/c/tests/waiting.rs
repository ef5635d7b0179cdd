//! Waiting by callback, from many threads at once; and what the border costs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::Vault;
use strongroom_capi::*;

struct Woken {
    number: usize,
    tell: Sender<usize>,
}

/// Each test counts threads, or what was released, for itself.
static ALONE: Mutex<()> = Mutex::new(());

static RELEASED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn wake(user_data: *mut c_void) {
    // SAFETY: it is one of those below, until it is released.
    let woken = unsafe { &*user_data.cast::<Woken>() };
    let _ = woken.tell.send(woken.number);
}

unsafe extern "C" fn release(user_data: *mut c_void) {
    // SAFETY: it was boxed below, and is released once.
    drop(unsafe { Box::from_raw(user_data.cast::<Woken>()) });
    RELEASED.fetch_add(1, Ordering::SeqCst);
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Twenty thousand (in a release build) wait for room for eight of them at a time.
#[test]
fn those_who_wait_add_no_threads_and_all_are_served() {
    // A wake takes the line a look at those who wait; a debug build takes its time for it.
    const ALL: usize = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let released = RELEASED.load(Ordering::SeqCst);
    let mut vault = null_mut();
    // SAFETY: the places are variables, and handles are used until they are taken back; here and below.
    assert_eq!(unsafe { strongroom_vault_new(8192, &raw mut vault) }, Status::OK);
    let (tell, told) = channel();
    let mut openings = vec![null_mut(); ALL];
    let mut opened = Vec::new();
    let begun = threads();
    for (number, opening) in openings.iter_mut().enumerate() {
        let woken = Box::into_raw(Box::new(Woken { number, tell: tell.clone() }));
        let waker = WakerIn { wake: Some(wake), release: Some(release), user_data: woken.cast() };
        let mut secret = null_mut();
        // SAFETY: as above.
        match unsafe { strongroom_allocate_begin(vault, 512, waker, opening, &raw mut secret) } {
            Status::OK => opened.push(secret),
            status => assert_eq!(status, Status::PENDING),
        }
    }
    // The line's own thread, and those of the test harness.
    assert!(threads() <= begun + 3, "{} threads", threads() - begun);
    let mut served = opened.len();
    let mut cancelled = 0;
    // Each seventh of those who wait gives up.
    for opening in openings.iter_mut().step_by(7) {
        if !opening.is_null() {
            // SAFETY: as above.
            unsafe { strongroom_opening_cancel(opening) };
            cancelled += 1;
        }
    }
    let end = Instant::now() + Duration::from_secs(120);
    while served + cancelled < ALL || !opened.is_empty() {
        assert!(Instant::now() < end, "{served} served, {cancelled} cancelled");
        if let Some(mut secret) = opened.pop() {
            // SAFETY: as above.
            assert_eq!(unsafe { strongroom_opened_close(&raw mut secret) }, Status::OK);
        }
        while let Ok(number) = told.try_recv() {
            if openings[number].is_null() {
                continue;
            }
            let mut secret = null_mut();
            // SAFETY: as above.
            match unsafe { strongroom_opening_finish(&raw mut openings[number], &raw mut secret) } {
                Status::OK => {
                    served += 1;
                    opened.push(secret);
                }
                status => assert_eq!(status, Status::PENDING),
            }
        }
    }
    // SAFETY: as above.
    unsafe { strongroom_vault_free(&raw mut vault) };
    assert_eq!(RELEASED.load(Ordering::SeqCst) - released, ALL);
}

/// Two records are waited for in one place of the line, and what was in the way is told in numbers.
#[test]
fn several_are_waited_for_together() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let released = RELEASED.load(Ordering::SeqCst);
    let mut vault = null_mut();
    // SAFETY: as in the test above; here and below.
    assert_eq!(unsafe { strongroom_vault_new(8192, &raw mut vault) }, Status::OK);
    let mut record = [0_u8; 1024 + 24];
    let (first, capacity) = (record.as_mut_ptr().cast(), record.len());
    let secret = [7_u8; 1024];
    let mut record_len = 0;
    let (bytes, len) = (secret.as_ptr().cast(), secret.len());
    // SAFETY: as above.
    let status = unsafe {
        strongroom_seal(vault, bytes, len, null(), 0, first, capacity, &raw mut record_len)
    };
    assert_eq!(status, Status::OK);
    let request = || RequestIn { record: first, record_len, context: null(), context_len: 0 };
    let requests = [request(), request()];
    let mut held = Vec::new();
    loop {
        let mut one = null_mut();
        // SAFETY: as above.
        match unsafe { strongroom_open(vault, first, record_len, null(), 0, 0, &raw mut one) } {
            Status::OK => held.push(one),
            status => break assert_eq!(status, Status::FULL),
        }
    }
    let mut numbers = [9_u64; 8];
    // SAFETY: as above.
    let status = unsafe {
        strongroom_error_numbers_read(numbers.as_mut_ptr().cast(), size_of_val(&numbers))
    };
    assert_eq!(status, Status::OK);
    assert_eq!((numbers[0], numbers[2], numbers[7]), (1024, held.len() as u64, 0));
    assert!(numbers[3] > 1024 * numbers[2], "{numbers:?}");

    let (tell, told) = channel();
    let woken = Box::into_raw(Box::new(Woken { number: 1, tell }));
    let waker = WakerIn { wake: Some(wake), release: Some(release), user_data: woken.cast() };
    let (mut opening, mut opened) = (null_mut(), [null_mut(); 2]);
    let (asked, places) = (requests.as_ptr(), opened.as_mut_ptr());
    // SAFETY: as above.
    let mut status =
        unsafe { strongroom_open_all_begin(vault, asked, 2, waker, &raw mut opening, places) };
    assert_eq!(status, Status::PENDING);
    for mut one in held.drain(..2) {
        // SAFETY: as above.
        assert_eq!(unsafe { strongroom_opened_close(&raw mut one) }, Status::OK);
    }
    while status == Status::PENDING {
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(1));
        // SAFETY: as above.
        status = unsafe { strongroom_opening_finish(&raw mut opening, places) };
    }
    assert!(status == Status::OK && opening.is_null() && opened.iter().all(|one| !one.is_null()));
    for mut one in held.into_iter().chain(opened) {
        // SAFETY: as above.
        assert_eq!(unsafe { strongroom_opened_close(&raw mut one) }, Status::OK);
    }
    // SAFETY: as above.
    unsafe { strongroom_vault_free(&raw mut vault) };
    assert_eq!(RELEASED.load(Ordering::SeqCst) - released, 1);
}

/// For `STRONGROOM_STRESS_SECONDS`, one if not said: threads wait, are served, and cancel.
#[test]
fn threads_wait_and_cancel_and_none_is_forgotten() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = std::env::var("STRONGROOM_STRESS_SECONDS");
    let seconds = seconds.ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut vault = null_mut();
    // SAFETY: as in the test above; here and below.
    assert_eq!(unsafe { strongroom_vault_new(8192, &raw mut vault) }, Status::OK);
    let rounds = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for own in 0..8_usize {
            let mut mine = null_mut();
            // SAFETY: as above.
            assert_eq!(unsafe { strongroom_vault_share(vault, &raw mut mine) }, Status::OK);
            let (mine, rounds) = (Handle(mine), Arc::clone(&rounds));
            scope.spawn(move || {
                let mut vault = { mine }.0;
                let mut round = own;
                while Instant::now() < end {
                    round += 1;
                    one_round(vault, round % 3 == 0);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
                // SAFETY: as above.
                unsafe { strongroom_vault_free(&raw mut vault) };
            });
        }
    });
    let mut metrics = [0_u64; 15];
    let place = metrics.as_mut_ptr().cast();
    // SAFETY: as above.
    let status = unsafe { strongroom_vault_metrics_read(vault, place, size_of_val(&metrics)) };
    assert_eq!((status, metrics[4], metrics[6]), (Status::OK, 0, 0), "live, waiters");
    // SAFETY: as above.
    unsafe { strongroom_vault_free(&raw mut vault) };
    println!("{} rounds", rounds.load(Ordering::Relaxed));
}

struct Handle(*mut VaultHandle);

// SAFETY: a vault's handle may be used in any thread.
unsafe impl Send for Handle {}

fn one_round(vault: *mut VaultHandle, gives_up: bool) {
    let (tell, told) = channel();
    let woken = Box::into_raw(Box::new(Woken { number: 0, tell }));
    let waker = WakerIn { wake: Some(wake), release: Some(release), user_data: woken.cast() };
    let (mut opening, mut secret) = (null_mut(), null_mut());
    // SAFETY: as in the tests above; here and below.
    let mut status =
        unsafe { strongroom_allocate_begin(vault, 1500, waker, &raw mut opening, &raw mut secret) };
    if status == Status::PENDING && gives_up {
        // SAFETY: as above.
        unsafe { strongroom_opening_cancel(&raw mut opening) };
        return;
    }
    while status == Status::PENDING {
        assert!(told.recv_timeout(Duration::from_secs(30)).is_ok(), "forgotten");
        // SAFETY: as above.
        status = unsafe { strongroom_opening_finish(&raw mut opening, &raw mut secret) };
    }
    assert_eq!(status, Status::OK);
    let (mut first, mut len) = (null(), 0);
    // SAFETY: as above.
    let read = unsafe { strongroom_opened_read(secret, &raw mut first, &raw mut len) };
    assert_eq!((read, len), (Status::OK, 1500));
    thread::yield_now();
    // SAFETY: as above.
    assert_eq!(unsafe { strongroom_opened_end(secret) }, Status::OK);
    // SAFETY: as above.
    assert_eq!(unsafe { strongroom_opened_close(&raw mut secret) }, Status::OK);
}

/// `cargo test --release --test waiting -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn the_border_costs_little() {
    const MANY: u32 = 20_000;
    let rust = Vault::new(64 * 1024).unwrap();
    let rust_sealed = rust.seal(&[7; 32], b"key").unwrap();
    let mut vault = null_mut();
    // SAFETY: as in the tests above; here and below.
    assert_eq!(unsafe { strongroom_vault_new(64 * 1024, &raw mut vault) }, Status::OK);
    let (mut record, mut len) = ([0_u8; 56], 0);
    // SAFETY: as above.
    let sealed = unsafe {
        strongroom_seal(
            vault,
            [7_u8; 32].as_ptr().cast(),
            32,
            b"key".as_ptr().cast(),
            3,
            record.as_mut_ptr().cast(),
            56,
            &raw mut len,
        )
    };
    assert_eq!(sealed, Status::OK);
    let mut ratios = Vec::new();
    for _ in 0..41 {
        let begun = Instant::now();
        for _ in 0..MANY {
            let opened = rust.try_open(&rust_sealed, b"key").unwrap();
            black_box(opened.expose_secret().len());
        }
        let in_rust = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..MANY {
            let mut opened = null_mut();
            let (mut first, mut count) = (null(), 0);
            // SAFETY: as above.
            let _ = black_box(unsafe {
                strongroom_open(
                    vault,
                    record.as_ptr().cast(),
                    len,
                    b"key".as_ptr().cast(),
                    3,
                    0,
                    &raw mut opened,
                )
            });
            // SAFETY: as above.
            let _ = unsafe { strongroom_opened_read(opened, &raw mut first, &raw mut count) };
            black_box(count);
            // SAFETY: as above.
            let _ = unsafe { strongroom_opened_end(opened) };
            // SAFETY: as above.
            let _ = black_box(unsafe { strongroom_opened_close(&raw mut opened) });
        }
        ratios.push(begun.elapsed().as_secs_f64() / in_rust.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("open, read, end, close in C over Rust: {:.2} (median of 41)", ratios[20]);
}
