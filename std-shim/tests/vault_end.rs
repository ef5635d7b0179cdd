//! The last things: exits, wipes, forks, forgotten guards, and every order in which a vault and what
//! uses it can end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::RefCell;
use std::mem;
use std::process::{Command, abort};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use strongroom::strongroom_core::Enclave;
use strongroom::{
    Fault, InstallError, NotInstalled, OpenError, Opened, Opener, SealError, SecretString, Vault,
    VaultError, global, wipe_all,
};

mod support;

use support::kernel::locked_bytes;
use support::tasks::{block_on, poll};
use support::watchdog::{SOON, ends_within};
use support::{alone, alone_in, forked};

/// With three busy threads, by a return from `main`: nothing is reported.
#[test]
fn an_exit_beside_busy_threads_reports_nothing() {
    const CHILD: &str = "STRONGROOM_EXITS";
    if std::env::var_os(CHILD).is_some() {
        exit_beside_busy_threads();
    }
    for round in 0..60 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "an_exit_beside_busy_threads_reports_nothing", "--nocapture"]);
        let output = command.env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{round}: {}: {said}", output.status);
    }
}

fn exit_beside_busy_threads() -> ! {
    fn aborts(_: Fault) {
        abort();
    }
    let builder = Vault::builder().budget(8192..=64 * 1024).on_fault(aborts);
    let vault = builder.install().unwrap();
    for length in [8, 300, 2000] {
        thread::spawn(move || {
            loop {
                let Ok(sealed) = vault.seal(&vec![7; length], b"") else { continue };
                let _ = vault.try_open(&sealed, b"").map(Opened::release);
                drop(vault.open_timeout(&sealed, b"", Duration::from_millis(1)));
                assert_eq!(vault.verify(), Ok(()));
            }
        });
    }
    thread::sleep(Duration::from_millis(5));
    std::process::exit(0);
}

/// Plain values are zeros; what may not be zero is not shown any more, and nothing of it is dropped.
#[test]
fn values_after_a_wipe() {
    alone("values_after_a_wipe", || {
        let vault = Vault::new(8192).unwrap();
        let sealed = vault.seal_value(&[7_u32; 9], b"").unwrap();
        let value = vault.try_open_value::<[u32; 9]>(&sealed, b"").unwrap();
        let mut built = vault.try_build(|place| place.write(vec![Box::new(7)])).unwrap();
        let mut text = SecretString::new(&vault);
        text.push_str("größer").unwrap();
        wipe_all();
        assert!(*value.expose_secret() == [0; 9] && !value.constant_time_eq(&[7; 9]));
        assert_eq!(built.try_expose_secret().err(), Some(OpenError::Destroyed));
        assert_eq!(built.try_expose_secret_mut().err(), Some(OpenError::Destroyed));
        assert_eq!(text.expose_secret(), "\0".repeat(8));
        assert_eq!(text.push_str(&"longer".repeat(10)), Err(OpenError::Destroyed));
        assert!(vault.try_build(|place| place.write(7_u64)).is_err());
        text.clear();
        drop((value, built, text));
    });
}

/// Its key would be zeros, and the record readable by everybody.
#[test]
fn nothing_is_sealed_with_a_wiped_key() {
    struct Wiping<'r>(&'r mut [u8]);

    impl AsMut<[u8]> for Wiping<'_> {
        fn as_mut(&mut self) -> &mut [u8] {
            wipe_all();
            self.0
        }
    }

    alone("nothing_is_sealed_with_a_wiped_key", || {
        let vault = Vault::new(8192).unwrap();
        let mut record = [5; Enclave::record_len(7)];
        let sealed = vault.seal_into(b"hunter2", b"", Wiping(&mut record));
        assert_eq!(sealed.map(drop), Err(SealError::Destroyed));
        assert_eq!(record, [5; Enclave::record_len(7)]);
    });
}

#[test]
fn no_vault_is_made_after_a_wipe() {
    alone("no_vault_is_made_after_a_wipe", || {
        wipe_all();
        let error = Vault::new(4096).unwrap_err();
        assert!(matches!(error, VaultError::Wiped), "{error}");
        assert!(error.to_string().starts_with("wipe_all was called"));
        let error = Vault::builder().install().unwrap_err();
        assert!(matches!(error, InstallError::Vault(VaultError::Wiped)), "{error}");
    });
}

#[test]
fn a_wipe_in_a_fault_handler_is_no_tampering() {
    fn wipes(_: Fault) {
        wipe_all();
    }
    alone("a_wipe_in_a_fault_handler_is_no_tampering", || {
        let vault = Vault::builder().budget(4096..=4096).on_fault(wipes).build().unwrap();
        let sealed = vault.seal(&[7; 40], b"").unwrap();
        let _beside = vault.try_allocate(40).unwrap();
        let mut opened = vault.try_allocate(40).unwrap();
        let place = opened.expose_secret_mut().as_mut_ptr();
        drop(opened);
        // SAFETY: it lies in locked memory that nobody uses now.
        unsafe { place.write(1) };
        let mut open = Vec::new();
        let error = loop {
            match vault.try_open(&sealed, b"") {
                Ok(opened) => open.push(opened),
                Err(error) => break error,
            }
        };
        assert_eq!(error, OpenError::Destroyed);
        assert_eq!(vault.try_open(&sealed, b"").map(drop), Err(OpenError::Destroyed));
        assert!(open.into_iter().all(|opened| opened.release().is_ok()));
    });
}

#[test]
fn those_who_wait_learn_of_a_wipe() {
    alone("those_who_wait_learn_of_a_wipe", || {
        ends_within(SOON, || {
            let vault = Vault::new(4096).unwrap();
            let sealed = vault.seal(&[7; 3000], b"").unwrap();
            let held = vault.try_open(&sealed, b"").unwrap();
            thread::scope(|scope| {
                let waiting = [
                    scope.spawn(|| vault.open_timeout(&sealed, b"", SOON * 9).map(drop)),
                    scope.spawn(|| block_on(vault.open(&sealed, b"")).map(drop)),
                    scope.spawn(|| vault.allocate_timeout(3000, SOON * 9).map(drop)),
                ];
                while vault.waiters() < 3 {
                    thread::yield_now();
                }
                wipe_all();
                drop(held);
                for waiting in waiting {
                    assert_eq!(waiting.join().unwrap(), Err(OpenError::Destroyed));
                }
            });
        });
    });
}

/// The last secret was dropped before, and the one who was called for it learns of the wipe: it tells the
/// others, as nobody else will.
#[test]
fn all_who_wait_learn_of_a_wipe_though_nothing_is_open() {
    alone("all_who_wait_learn_of_a_wipe_though_nothing_is_open", || {
        ends_within(SOON, || {
            let vault = Vault::new(4096).unwrap();
            let sealed = vault.seal(&[7; 3000], b"").unwrap();
            let held = vault.try_open(&sealed, b"").unwrap();
            let mut called = vault.open(&sealed, b"");
            assert!(poll(&mut called, Waker::noop()).is_pending());
            thread::scope(|scope| {
                let in_line = |number| {
                    while vault.waiters() < number {
                        thread::yield_now();
                    }
                };
                let thread = scope.spawn(|| vault.open_timeout(&sealed, b"", SOON * 9).map(drop));
                in_line(2);
                let behind = [
                    scope.spawn(|| block_on(vault.open(&sealed, b"")).map(drop)),
                    scope.spawn(|| vault.open_timeout(&sealed, b"", SOON * 9).map(drop)),
                ];
                in_line(4);
                drop(held);
                wipe_all();
                assert_eq!(block_on(&mut called).map(drop), Err(OpenError::Destroyed));
                for waiting in [thread].into_iter().chain(behind) {
                    assert_eq!(waiting.join().unwrap(), Err(OpenError::Destroyed));
                }
            });
        });
    });
}

/// A child has no vault until it installs its own; neither call sends it to the other.
#[test]
fn a_forked_child_installs_its_own() {
    alone("a_forked_child_installs_its_own", || {
        let vault = Vault::builder().install().unwrap();
        let sealed = vault.seal(b"parent", b"").unwrap();
        let status = forked(|| {
            let none = matches!(global(), Err(NotInstalled));
            let forked = vault.try_open(&sealed, b"").map(drop) == Err(OpenError::Forked);
            let own = Vault::builder().install().unwrap();
            let sealed = own.seal(b"child", b"").unwrap();
            let again = matches!(Vault::builder().install(), Err(InstallError::AlreadyInstalled));
            let opened = global().unwrap().try_open(&sealed, b"").unwrap();
            none && forked && again && opened.expose_secret() == b"child"
        });
        assert!(status.success(), "{status}");
        assert!(global().unwrap().try_open(&sealed, b"").is_ok());
    });
}

/// The borrow shows that nobody can reach it any more.
#[test]
fn a_forgotten_guard_keeps_nothing_locked() {
    alone("a_forgotten_guard_keeps_nothing_locked", || {
        let before = locked_bytes();
        for grows in [false, true] {
            let vault = Vault::builder().budget(8192..=1 << 20).build().unwrap();
            let sealed = vault.seal(&[7; 64], b"").unwrap();
            let opened = vault.try_open(&sealed, b"").unwrap();
            if grows {
                mem::forget(vault.try_allocate(100_000).unwrap());
            }
            let mut opening = vault.open(&sealed, b"");
            drop(poll(&mut opening, Waker::noop()));
            mem::forget((opened, opening));
            drop(vault);
            assert_eq!(locked_bytes(), before);
        }
    });
}

thread_local! {
    static LAST: RefCell<Vec<Opened<'static>>> = const { RefCell::new(Vec::new()) };
}

fn leaked(budget: usize) -> &'static Vault {
    static VAULTS: OnceLock<Vault> = OnceLock::new();
    VAULTS.get_or_init(|| Vault::new(budget).unwrap())
}

/// Secrets that are dropped when their thread's own values are.
#[test]
fn a_thread_s_end_drops_what_it_keeps() {
    ends_within(SOON, || {
        let vault = leaked(8192);
        let sealed: &'static _ = Box::leak(Box::new(vault.seal(&[7; 3000], b"").unwrap()));
        for _ in 0..50 {
            // The second waits for what the first drops at its very end.
            let first = thread::spawn(|| {
                let opened = vault.open_timeout(sealed, b"", SOON).unwrap();
                LAST.with_borrow_mut(|last| last.push(opened));
            });
            let second = thread::spawn(|| {
                let opened = [(); 2].map(|()| vault.open_timeout(sealed, b"", SOON));
                LAST.with_borrow_mut(|last| last.extend(opened.into_iter().flatten()));
            });
            first.join().unwrap();
            second.join().unwrap();
        }
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
    });
}

/// Of an opened secret, a future that waits and one that was never polled, each order of dropping; in
/// threads of their own too.
#[test]
fn every_order_of_dropping() {
    ends_within(SOON, || {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for in_threads in [false, true] {
                let before = {
                    let vault = Arc::new(Vault::new(4096).unwrap());
                    let sealed = vault.seal(&[7; 3000], b"").unwrap();
                    let opened = vault.try_open(&sealed, b"").unwrap();
                    let mut waiting = vault.open(&sealed, b"");
                    assert!(poll(&mut waiting, Waker::noop()).is_pending());
                    let fresh = vault.open(&sealed, b"");
                    let mut parts: [Option<Box<dyn FnOnce() + Send + '_>>; 3] = [
                        Some(Box::new(move || drop(opened))),
                        Some(Box::new(move || drop(waiting))),
                        Some(Box::new(move || drop(fresh))),
                    ];
                    for part in order {
                        let end = parts[part].take().unwrap();
                        if in_threads {
                            thread::scope(|scope| drop(scope.spawn(end)));
                        } else {
                            end();
                        }
                    }
                    (vault.held(), vault.waiters())
                };
                assert_eq!(before, (0, 0), "{order:?}");
            }
        }
    });
}

/// What was opened from a reserve, and what from memory that was added; the youngest and the oldest
/// first.
#[test]
fn segments_end_in_any_order() {
    alone_in("segments_end_in_any_order", "", || {
        let before = locked_bytes();
        for youngest_first in [false, true] {
            let vault =
                Vault::builder().budget(4096..=1 << 20).reserve("own", 4096).build().unwrap();
            let own = vault.reserve("own").unwrap();
            let mut open: Vec<_> =
                (0..10).map(|index| vault.try_allocate(3000 * (index + 1)).unwrap()).collect();
            open.push(own.try_allocate(2000).unwrap());
            if youngest_first {
                open.reverse();
            }
            for opened in open {
                drop(opened);
                vault.trim();
            }
            assert_eq!((vault.held(), vault.metrics().locked), (0, 8192));
            drop(vault);
            assert_eq!(locked_bytes(), before);
        }
    });
}
