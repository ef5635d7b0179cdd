//! A generator that delivers little at a time, is interrupted, or fails.
//!
//! This program's own `getrandom` stands in front of the C library's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::ffi::{c_uint, c_void};

use strongroom::OsEntropy;
use strongroom_core::{Entropy, EntropyError};

#[test]
fn short_deliveries_are_put_together() {
    BEHAVIOUR.set(Behaviour::Short);
    for length in [0, 1, 7, 8, 1000] {
        let mut bytes = vec![0; length];
        OsEntropy.fill(&mut bytes).unwrap();
        assert_delivered(&bytes);
    }
}

#[test]
fn an_interruption_is_no_end() {
    BEHAVIOUR.set(Behaviour::Interrupted);
    let mut bytes = [0; 100];
    OsEntropy.fill(&mut bytes).unwrap();
    assert_delivered(&bytes);
}

#[test]
fn a_failure_or_an_empty_delivery_is_an_error() {
    for behaviour in [Behaviour::Missing, Behaviour::Empty] {
        BEHAVIOUR.set(behaviour);
        assert_eq!(OsEntropy.fill(&mut [0; 100]), Err(EntropyError));
    }
}

/// Each byte was, once, and in order. What was delivered has been added to since.
fn assert_delivered(bytes: &[u8]) {
    if !bytes.is_empty() {
        assert_eq!(PLACE.replace((0, 0)), (bytes.as_ptr().addr(), bytes.len()));
    }
}

#[derive(Clone, Copy)]
enum Behaviour {
    Real,
    /// Seven bytes at most.
    Short,
    /// EINTR every other time.
    Interrupted,
    /// ENOSYS.
    Missing,
    /// Zero bytes.
    Empty,
}

/// In place of the C library's, which the standard library uses too.
#[unsafe(no_mangle)]
extern "C" fn getrandom(bytes: *mut c_void, length: usize, flags: c_uint) -> isize {
    match BEHAVIOUR.get() {
        Behaviour::Real => {
            // SAFETY: what the caller wanted.
            let count = unsafe { libc::syscall(libc::SYS_getrandom, bytes, length, flags) };
            isize::try_from(count).unwrap_or(-1)
        }
        Behaviour::Short => deliver(bytes, length),
        Behaviour::Interrupted => {
            CALLS.set(CALLS.get() + 1);
            if CALLS.get() % 2 == 1 { fail(libc::EINTR) } else { deliver(bytes, length) }
        }
        Behaviour::Missing => fail(libc::ENOSYS),
        Behaviour::Empty => 0,
    }
}

fn deliver(bytes: *mut c_void, length: usize) -> isize {
    let length = length.min(7);
    let (start, before) = PLACE.get();
    let goes_on = bytes.addr() == start + before;
    PLACE.set(if goes_on { (start, before + length) } else { (bytes.addr(), length) });
    // SAFETY: the caller gave a place for at least `length` bytes.
    unsafe { bytes.cast::<u8>().write_bytes(DELIVERED, length) };
    length.cast_signed()
}

fn fail(errno: i32) -> isize {
    // SAFETY: has no precondition.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own.
    unsafe { place.write(errno) };
    -1
}

thread_local! {
    /// Of the thread that asks: each test has one of its own.
    static BEHAVIOUR: Cell<Behaviour> = const { Cell::new(Behaviour::Real) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// Where was delivered without a gap, and how much.
    static PLACE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

const DELIVERED: u8 = 0x5A;
