//! The lock of `Park`: it keeps others out whatever the system grants, and never hangs in silence.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::UnsafeCell;
use std::panic::catch_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::strongroom_core::{Arena, Lock};
use strongroom::{OsEntropy, Park, ParkLock};
use support::sandbox;

#[test]
fn threads_keep_each_other_out() {
    count_together(64, 5_000);
}

#[test]
fn threads_on_one_core_keep_each_other_out() {
    support::alone("threads_on_one_core_keep_each_other_out", || {
        on_one_core();
        count_together(64, 5_000);
    });
}

/// As older kernels and sandboxes answer.
#[test]
fn without_the_call_they_still_do() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        let test = "without_the_call_they_still_do";
        support::alone_in(test, &errno.to_string(), || {
            for operation in [libc::FUTEX_LOCK_PI, libc::FUTEX_UNLOCK_PI] {
                refuse_futex(operation, errno);
            }
            count_together(8, 2_000);
        });
    }
}

/// A thread sleeps on the lock in the kernel; its holder may not tell the kernel any more.
#[test]
fn a_sandbox_that_begins_meanwhile_leaves_nobody_asleep() {
    support::alone("a_sandbox_that_begins_meanwhile_leaves_nobody_asleep", || {
        let lock = Counter::new();
        thread::scope(|scope| {
            let held = lock.hold();
            let sleeper = scope.spawn(|| drop(lock.hold()));
            thread::sleep(A_WHILE);
            refuse_futex(libc::FUTEX_UNLOCK_PI, libc::EPERM);
            drop(held);
            sleeper.join().unwrap();
        });
    });
}

#[test]
fn who_sleeps_is_woken_at_once() {
    let lock = Counter::new();
    let waits = thread::scope(|scope| {
        let held = lock.hold();
        let sleeper = scope.spawn(|| {
            drop(lock.hold());
            Instant::now()
        });
        thread::sleep(A_WHILE);
        let given_up = Instant::now();
        drop(held);
        sleeper.join().unwrap() - given_up
    });
    assert!(waits < 8 * A_WHILE, "{waits:?}");
}

/// An emergency's wipe zeroes the lock in the region, which is held and slept on.
#[test]
fn a_wiped_lock_leaves_nobody_asleep() {
    let lock = Counter::new();
    let begun = Instant::now();
    thread::scope(|scope| {
        let held = lock.hold();
        scope.spawn(|| drop(lock.hold()));
        thread::sleep(A_WHILE);
        let word = (&raw const lock.lock).cast_mut();
        // SAFETY: all bits zero are a lock that nobody holds.
        unsafe { word.write_bytes(0, 1) };
        drop(held);
    });
    assert!(begun.elapsed() < 8 * A_WHILE, "woken only when its patience was at an end");
}

/// The thread of a child has a number of its own, and finds the lock free that it held itself.
#[test]
fn a_forked_child_locks_under_its_own_number() {
    let lock = Counter::new();
    drop(lock.hold());
    let end = support::forked(|| {
        (0..2).all(|_| {
            let held = lock.hold();
            // SAFETY: reads a number of this thread.
            let own = unsafe { libc::gettid() };
            let is_own = lock.word() == own.cast_unsigned();
            drop(held);
            is_own && lock.word() == 0
        })
    });
    assert!(end.success(), "{end}");
}

#[test]
fn a_forked_child_does_not_wait_for_a_thread_of_its_parent() {
    let lock = Counter::new();
    let (holds, forked) = (Barrier::new(2), Barrier::new(2));
    let end = thread::scope(|scope| {
        scope.spawn(|| {
            let held = lock.hold();
            holds.wait();
            forked.wait();
            drop(held);
        });
        holds.wait();
        let end = support::forked(|| {
            within_seconds(20);
            catch_unwind(|| drop(lock.hold())).is_err()
        });
        forked.wait();
        end
    });
    assert!(end.success(), "{end}");
    drop(lock.hold());
}

/// A signal handler may fork in the middle of a call, which both processes then go on with.
#[test]
fn a_child_forked_by_the_holder_gives_the_lock_up() {
    let lock = Counter::new();
    thread::scope(|scope| {
        let held = lock.hold();
        scope.spawn(|| drop(lock.hold()));
        thread::sleep(A_WHILE);
        let end = support::forked(|| {
            within_seconds(20);
            // SAFETY: the lock is held, by what this thread was before.
            unsafe { lock.lock.release() };
            let again = lock.hold();
            drop(again);
            lock.word() == 0
        });
        assert!(end.success(), "{end}");
        drop(held);
    });
}

#[test]
fn a_thread_that_dies_with_the_lock_leaves_nobody_waiting() {
    static LOCK: Counter = Counter::new();
    static HOLDS: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        let _held = LOCK.hold();
        HOLDS.store(true, Ordering::Release);
        thread::sleep(2 * A_WHILE);
        // SAFETY: ends this thread, and nothing of it is used after.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    while !HOLDS.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let sleepers: Vec<_> = (0..3).map(|_| thread::spawn(|| drop(LOCK.hold()))).collect();
    let ends: Vec<bool> = sleepers.into_iter().map(|sleeper| sleeper.join().is_err()).collect();
    assert_eq!(ends, [true; 3], "each is told");
}

/// A handler that calls what its own thread is in the middle of must not hang.
#[test]
fn a_thread_does_not_wait_for_itself() {
    support::alone("a_thread_does_not_wait_for_itself", || {
        within_seconds(20);
        let lock = Counter::new();
        let _held = lock.hold();
        let panic = catch_unwind(|| drop(lock.hold())).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("a signal handler called what its own thread"), "{text}");
    });
}

/// Blocks and random bytes take the lock; cells seldom do.
#[test]
fn threads_share_an_arena_on_one_core() {
    support::alone("threads_share_an_arena_on_one_core", || {
        on_one_core();
        let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
        let arena = Arena::with_owner(&mut region[..], &mut OsEntropy, Park).unwrap();
        thread::scope(|scope| {
            for number in 0..32_u8 {
                let arena = &arena;
                scope.spawn(move || {
                    for turn in 0..200 {
                        let len = [64, 3_000, 20_000][turn % 3];
                        let layout = std::alloc::Layout::array::<u8>(len).unwrap();
                        let memory = arena.allocate(layout).unwrap().cast::<u8>();
                        // SAFETY: the memory is this thread's, and `len` bytes long.
                        unsafe { memory.write_bytes(number, len) };
                        arena.fill_random(&mut [0; 16]);
                        // SAFETY: likewise, and it was written.
                        let bytes = unsafe { std::slice::from_raw_parts(memory.as_ptr(), len) };
                        assert!(bytes.iter().all(|&byte| byte == number));
                        // SAFETY: allocated above for this layout, and not used after.
                        unsafe { arena.try_deallocate(memory, layout) }.unwrap();
                    }
                });
            }
        });
        arena.verify().unwrap();
        assert_eq!(arena.stats().live, 0);
    });
}

/// Each adds to a number that only the lock protects.
fn count_together(threads: u64, each: u64) {
    let counter = Counter::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    let held = counter.hold();
                    // Long enough that a turn of the scheduler falls into it now and then.
                    let before = held.get();
                    (0..20).for_each(|_| std::hint::spin_loop());
                    if before.is_multiple_of(1_000) {
                        // The others come to sleep.
                        thread::sleep(Duration::from_millis(1));
                    }
                    held.set(before + 1);
                }
            });
        }
    });
    assert_eq!(counter.hold().get(), threads * each);
}

/// Ends this process when it hangs.
fn within_seconds(seconds: u32) {
    // SAFETY: the signal's default is to end the process.
    unsafe { libc::alarm(seconds) };
}

/// From now on this thread and those it makes run on one processor.
fn on_one_core() {
    // SAFETY: a set of processors is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: reads this thread's own set.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(status, 0);
    // SAFETY: the set is valid, and the number within it.
    let first = (0..1024).find(|&core| unsafe { libc::CPU_ISSET(core, &set) }).unwrap();
    // SAFETY: the set is valid.
    unsafe { libc::CPU_ZERO(&mut set) };
    // SAFETY: the set is valid, and the number within it.
    unsafe { libc::CPU_SET(first, &mut set) };
    // SAFETY: the set is valid during the call.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(status, 0);
}

fn refuse_futex(operation: i32, errno: i32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    sandbox::refuse_with(libc::SYS_futex, Some((1, operation)), errno).unwrap();
}

/// A number behind the lock.
struct Counter {
    lock: ParkLock,
    number: UnsafeCell<u64>,
}

// SAFETY: the number is reached by the holder of the lock alone.
unsafe impl Sync for Counter {}

impl std::panic::RefUnwindSafe for Counter {}

impl Counter {
    const fn new() -> Self {
        Self { lock: ParkLock::UNLOCKED, number: UnsafeCell::new(0) }
    }

    fn hold(&self) -> Held<'_> {
        self.lock.acquire();
        Held(self)
    }

    /// The lock's own word.
    fn word(&self) -> u32 {
        // SAFETY: a lock is one such word.
        unsafe { (&raw const self.lock).cast::<u32>().read_volatile() }
    }
}

struct Held<'c>(&'c Counter);

impl Held<'_> {
    fn get(&self) -> u64 {
        // SAFETY: the lock is held.
        unsafe { *self.0.number.get() }
    }

    fn set(&self, number: u64) {
        // SAFETY: the lock is held.
        unsafe { *self.0.number.get() = number };
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: the lock is held since this was made.
        unsafe { self.0.lock.release() };
    }
}

/// Long enough for a thread to fall asleep; eight of them end before its patience does.
const A_WHILE: Duration = Duration::from_millis(100);
