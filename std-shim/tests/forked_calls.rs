//! What a forked child can do with its parent's vault: get an error, at once, and no more.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{Metrics, OpenError, ReadError, SealError, Sealed, Vault};
use support::{alone, forked};

mod support;

#[test]
fn every_call_answers_at_once_while_threads_hold_every_lock() {
    alone("every_call_answers_at_once_while_threads_hold_every_lock", || {
        let ours = Ours::new();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..6 {
                let (ours, stop) = (&ours, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        ours.work(number);
                    }
                });
            }
            let begun = Instant::now();
            let mut children = 0;
            while children < 100 && (children < 20 || begun.elapsed() < Duration::from_secs(5)) {
                let child = forked(|| ours.are_lost());
                assert!(child.success(), "child {children}: {child}");
                children += 1;
            }
            stop.store(true, Ordering::Relaxed);
            eprintln!("{children} children");
        });
        ours.are_well();
    });
}

/// The lock of the line is held for sure: by a task whose waker is being cloned.
#[test]
fn every_call_answers_at_once_while_the_line_is_locked() {
    alone("every_call_answers_at_once_while_the_line_is_locked", || {
        let ours = Ours::new();
        let mut held = Vec::new();
        while let Ok(opened) = ours.vault.try_open(&ours.sealed, CONTEXT) {
            held.push(opened);
        }
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let future = pin!(ours.vault.open(&ours.sealed, CONTEXT));
                future.poll(&mut Context::from_waker(&slow_waker())).is_pending()
            });
            while !CLONING.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let child = forked(|| ours.are_lost());
            CLONED.store(true, Ordering::Release);
            assert!(child.success(), "{child}");
            assert!(waiter.join().unwrap(), "it would have had to wait");
        });
        drop(held);
        ours.are_well();
    });
}

#[test]
fn a_daemon_makes_a_vault_of_its_own() {
    alone("a_daemon_makes_a_vault_of_its_own", || {
        let ours = Ours::new();
        let (mut reader, mut writer) = io::pipe().unwrap();
        // As daemon(3): fork, a session of its own, and fork again.
        let child = forked(|| {
            // SAFETY: changes this process's session only.
            unsafe { libc::setsid() };
            // SAFETY: as in `forked`; the child ends below.
            let daemon = unsafe { libc::fork() };
            if daemon == 0 {
                let fine = ours.are_lost() && Ours::new().are_well();
                let _ = writer.write_all(if fine { b"well" } else { b"ill!" });
                // SAFETY: ends the child at once, running no destructor of its ancestors'.
                unsafe { libc::_exit(0) };
            }
            daemon > 0
        });
        assert!(child.success(), "{child}");
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "well");
        ours.are_well();
    });
}

#[test]
fn before_another_program_is_executed() {
    alone("before_another_program_is_executed", || {
        let ours: &'static Ours = Box::leak(Box::new(Ours::new()));
        let mut command = Command::new("true");
        let ask = || if ours.are_lost() { Ok(()) } else { Err(io::ErrorKind::Other.into()) };
        // SAFETY: this process has one thread that allocates, and glibc's allocator knows of forks.
        unsafe { command.pre_exec(ask) };
        assert!(command.status().unwrap().success());
        ours.are_well();
    });
}

/// The installed vault is the parent's alone, and its exit handler harms nobody.
#[test]
fn a_child_of_a_process_with_a_vault_installed() {
    alone("a_child_of_a_process_with_a_vault_installed", || {
        let vault = Vault::builder().budget(8192..=8192).install().unwrap();
        let sealed = vault.seal(SECRET, CONTEXT).unwrap();
        let opened = vault.try_open(&sealed, CONTEXT).unwrap();
        let child = forked(|| {
            assert!(strongroom::global().is_err());
            let lost = vault.try_open(&sealed, CONTEXT);
            assert!(lost.is_err_and(|error| error == OpenError::Forked));
            assert!(Ours::new().are_well());
            let own = Vault::builder().budget(8192..=8192).install().unwrap();
            assert!(own.try_allocate(10).is_ok() && strongroom::global().is_ok());
            // SAFETY: ends the child, exit handlers included.
            unsafe { libc::exit(0) }
        });
        assert!(child.success(), "{child}");
        assert_eq!(opened.expose_secret(), SECRET);
    });
}

/// What a thread of the parent was about to do holds nobody up.
#[test]
fn a_child_forked_while_a_vault_is_being_installed() {
    alone("a_child_forked_while_a_vault_is_being_installed", || {
        let installer = thread::spawn(|| Vault::builder().budget(4 << 20..=4 << 20).install());
        let mut children = 0;
        while strongroom::global().is_err() {
            let child = forked(|| {
                // SAFETY: has the kernel end this process after a while.
                unsafe { libc::alarm(PATIENCE) };
                let own = Vault::builder().budget(8192..=8192).install();
                own.is_ok_and(|vault| vault.try_allocate(10).is_ok())
            });
            assert!(child.success(), "{child}");
            children += 1;
        }
        assert!(installer.join().unwrap().is_ok());
        assert!(children > 0);
        assert!(strongroom::global().unwrap().try_allocate(10).is_ok());
    });
}

/// A vault with everything that a vault can have.
struct Ours {
    vault: Vault,
    sealed: Sealed,
}

impl Ours {
    fn new() -> Self {
        let budget = Vault::builder().budget(4096..=16384).reserve("own", 4096);
        let vault = budget.linger(Duration::ZERO).build().unwrap();
        let sealed = vault.seal(SECRET, CONTEXT).unwrap();
        Self { vault, sealed }
    }

    /// Takes and lets go of every lock there is.
    fn work(&self, number: usize) {
        let Self { vault, sealed } = self;
        let opened = vault.open_timeout(sealed, CONTEXT, Duration::from_micros(200));
        let long = vault.allocate_timeout(5000, Duration::from_micros(50));
        drop((long, opened));
        match number {
            0 => vault.trim(),
            1 => vault.refresh(),
            2 => _ = vault.metrics(),
            3 => drop(vault.read_to_end(SECRET, 100)),
            4 => drop(vault.reserve("own").unwrap().try_allocate(100)),
            _ => drop(Vault::new(4096)),
        }
    }

    /// Whether every call says that this process was forked. Hung, it is killed.
    fn are_lost(&self) -> bool {
        // SAFETY: has the kernel end this process after a while.
        unsafe { libc::alarm(PATIENCE) };
        let Self { vault, sealed } = self;
        let reserve = vault.reserve("own").unwrap();
        let long = Duration::from_secs(1000);
        let mut task = Context::from_waker(Waker::noop());
        let future = pin!(vault.open(sealed, CONTEXT)).poll(&mut task);
        let Poll::Ready(future) = future else { return false };
        let opens = [
            vault.try_open(sealed, CONTEXT),
            vault.open_timeout(sealed, CONTEXT, long),
            future,
            vault.try_allocate(64),
            vault.allocate_timeout(64, long),
            reserve.try_open(sealed, CONTEXT),
            reserve.open_timeout(sealed, CONTEXT, long),
            reserve.try_allocate(64),
            reserve.allocate_timeout(64, long),
            vault.try_open_all([(sealed, CONTEXT)]).map(|[opened]| opened),
            vault.open_all_timeout([(sealed, CONTEXT)], long).map(|[opened]| opened),
            vault.renew().and(Err(OpenError::Destroyed)),
            vault.fill_random(&mut [0; 8]).and(Err(OpenError::Forked)),
        ];
        let reads = [
            vault.read_to_end(SECRET, 100),
            vault.read_file("/proc/self/status", 100_000),
            vault.reader(SECRET).with_timeout(long).read_to_end(100),
        ];
        let seals = [vault.seal(SECRET, CONTEXT), vault.seal_into(SECRET, CONTEXT, Box::default())];
        vault.refresh();
        vault.destroy();
        vault.trim();
        let numbers = (vault.budget(), vault.held(), vault.waiters(), vault.protections());
        let looks = format!("{vault:?} {reserve:?} {numbers:?} {:?}", vault.lock_refusal());
        !looks.is_empty()
            && vault.verify().is_ok()
            && vault.stats().is_empty()
            && vault.metrics() == Metrics::default()
            && opens.iter().all(|opened| matches!(opened, Err(OpenError::Forked)))
            && reads.iter().all(|r| matches!(r, Err(ReadError::Open(OpenError::Forked))))
            && seals.iter().all(|sealed| matches!(sealed, Err(SealError::Forked)))
    }

    /// Whether the vault does what it is for.
    fn are_well(&self) -> bool {
        let opened = self.vault.try_open(&self.sealed, CONTEXT).unwrap();
        assert_eq!(opened.expose_secret(), SECRET);
        self.vault.verify().unwrap();
        true
    }
}

/// A waker that takes its time to be cloned, which a line does under its lock.
fn slow_waker() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| (), |_| (), |_| ());
    fn clone(_: *const ()) -> RawWaker {
        CLONING.store(true, Ordering::Release);
        while !CLONED.load(Ordering::Acquire) {
            thread::yield_now();
        }
        RawWaker::new(std::ptr::null(), &TABLE)
    }
    // SAFETY: the functions ask nothing of their pointer, and may be called from any thread.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

static CLONING: AtomicBool = AtomicBool::new(false);
static CLONED: AtomicBool = AtomicBool::new(false);

const SECRET: &[u8] = b"hunter2hunter2hunter2hunter2";
const CONTEXT: &[u8] = b"db/password";
/// Seconds after which a child counts as hung.
const PATIENCE: u32 = 20;
