//! A share of the key in the kernel's keyring: who can use it, what ends it, what it costs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::mem;
use std::os::unix::fs::FileExt;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{
    KeyShare, KeyShareError, Keyring, OpenError, Policy, SealError, Sealed, Vault, VaultError,
};
use support::watchdog::{SOON, ends_within};
use support::{Confinement, User, alone_in, confined, forked, kernel, sandbox, skip};

mod support;

const BOTH: [Keyring; 2] = [Keyring::Process, Keyring::Session];
const SECRET: [u8; 64] = [7; 64];

/// A vault with a share in that keyring; `None`, and the reason printed, where there is no such thing.
fn vault(keyring: Keyring, kept: Duration) -> Option<Vault> {
    let builder = Vault::builder().key_share(KeyShare::Keyring(keyring)).key_share_kept(kept);
    match builder.build() {
        Ok(vault) => {
            assert_eq!(vault.key_share(), KeyShare::Keyring(keyring));
            assert_eq!(vault.key_share_refusal(), None);
            Some(vault)
        }
        Err(error) => {
            skip(&format!("{keyring:?}"), &error.to_string());
            None
        }
    }
}

fn opens(vault: &Vault, sealed: &Sealed) -> bool {
    vault.try_open(sealed, b"").unwrap().expose_secret() == SECRET
}

/// The keys of the vaults in a keyring, by their serial numbers: in a process of its own there is one.
fn serials(keyring: Keyring) -> Vec<i32> {
    let ring = match keyring {
        Keyring::Process => libc::KEY_SPEC_PROCESS_KEYRING,
        _ => libc::KEY_SPEC_SESSION_KEYRING,
    };
    let mut serials = [0_i32; 256];
    let len = size_of_val(&serials);
    // SAFETY: the place is valid for so many bytes.
    let bytes =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, ring, &raw mut serials, len) };
    let count = usize::try_from(bytes).unwrap() / 4;
    serials[..count].to_vec()
}

/// The one key that came while `make` was at work.
fn made<R>(keyring: Keyring, make: impl FnOnce() -> Option<R>) -> Option<(R, i32)> {
    let before = if keyring == Keyring::Session { serials(keyring) } else { Vec::new() };
    let result = make()?;
    let new = serials(keyring).into_iter().find(|serial| !before.contains(serial));
    Some((result, new.unwrap()))
}

fn read(serial: i32) -> io::Result<[u8; 40]> {
    let mut share = [0; 40];
    // SAFETY: the place is valid for so many bytes.
    let bytes = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, serial, share.as_mut_ptr(), 40_usize)
    };
    if bytes < 0 { Err(io::Error::last_os_error()) } else { Ok(share) }
}

fn revoke(serial: i32) {
    // SAFETY: takes a number.
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_REVOKE, serial) };
}

/// The thread that makes the vault ends at once, and one that uses it is older than it.
#[test]
fn every_thread_uses_it_whichever_made_it() {
    for keyring in BOTH {
        ends_within(SOON, move || {
            let (sender, receiver) = mpsc::channel::<(Vault, Sealed)>();
            let older = thread::spawn(move || {
                let Ok((vault, sealed)) = receiver.recv() else { return };
                assert!(opens(&vault, &sealed));
                vault.refresh();
                assert!(opens(&vault, &sealed));
                let own = vault.seal(&SECRET, b"").unwrap();
                let younger = || assert!(opens(&vault, &own) && opens(&vault, &sealed));
                thread::scope(|scope| _ = scope.spawn(younger));
                vault.destroy();
                assert_eq!(vault.try_open(&own, b"").unwrap_err(), OpenError::Destroyed);
            });
            let maker = thread::spawn(move || {
                let vault = vault(keyring, Duration::ZERO)?;
                let sealed = vault.seal(&SECRET, b"").unwrap();
                Some((vault, sealed))
            });
            if let Some((vault, sealed)) = maker.join().unwrap() {
                // The kernel clears up after the thread in a moment.
                thread::sleep(Duration::from_millis(100));
                assert!(opens(&vault, &sealed));
                sender.send((vault, sealed)).unwrap();
            } else {
                drop(sender);
            }
            older.join().unwrap();
        });
    }
}

#[test]
fn a_forked_child_ends_nothing() {
    for keyring in BOTH {
        alone_in("a_forked_child_ends_nothing", &format!("{keyring:?}"), || {
            let Some(vault) = vault(keyring, Duration::from_millis(1)) else { return };
            let sealed = vault.seal(&SECRET, b"").unwrap();
            let vault = RefCell::new(Some(vault));
            let child = forked(|| {
                let own = vault.borrow_mut().take().unwrap();
                let denied = own.try_open(&sealed, b"").err() == Some(OpenError::Forked);
                drop(own);
                strongroom::wipe_all();
                // SAFETY: what is to be done at the exit is done, as in any process that ends.
                unsafe { libc::exit(i32::from(!denied)) }
            });
            assert!(child.success(), "{child}");
            let vault = vault.borrow();
            assert!(opens(vault.as_ref().unwrap(), &sealed));
        });
    }
}

/// Each ends the share; the last is a plant.
const ENDS: [(&str, bool); 6] = [
    ("drop", true),
    ("destroy", true),
    ("wipe_all", true),
    ("handler", true),
    ("exit", true),
    ("nothing", false),
];

#[test]
fn whatever_ends_the_vault_ends_the_share() {
    const CASE: &str = "STRONGROOM_SHARE_ENDS_BY";
    if let Ok(case) = env::var(CASE) {
        let (keyring, end) = case.split_once(' ').unwrap();
        let keyring = BOTH.into_iter().find(|k| format!("{k:?}") == keyring).unwrap();
        return ends_by(keyring, end);
    }
    for keyring in BOTH {
        if vault(keyring, Duration::ZERO).is_none() {
            return;
        }
        for (end, is_end) in ENDS {
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["--exact", "whatever_ends_the_vault_ends_the_share", "--nocapture"])
                .env(CASE, format!("{keyring:?} {end}"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // The runner has said something on the same line.
            let serial = lines.map_while(Result::ok).find_map(|line| {
                line.split_once("serial ").map(|(_, serial)| serial.trim().parse().unwrap())
            });
            let serial = serial.unwrap();
            // While it is alive still, unless it has ended by itself.
            let before_its_end = read(serial);
            if end == "nothing" {
                assert!(before_its_end.is_ok(), "{keyring:?}: then this would prove nothing");
                child.kill().unwrap();
                child.wait().unwrap();
                let is_left = stays(serial);
                assert_eq!(is_left, keyring == Keyring::Session, "{keyring:?} after SIGKILL");
                revoke(serial);
            } else {
                if end != "exit" {
                    assert!(before_its_end.is_err(), "{keyring:?} by {end}");
                    child.kill().unwrap();
                }
                child.wait().unwrap();
                let is_left = if is_end { stays(serial) } else { read(serial).is_ok() };
                assert!(!is_left, "{keyring:?} by {end}");
            }
        }
    }
}

/// Whether a key is there still when the kernel has had time to see that its process has ended.
fn stays(serial: i32) -> bool {
    let begun = Instant::now();
    let is_patient = |(): &()| begun.elapsed() < Duration::from_secs(5);
    let waits = std::iter::repeat_with(|| thread::sleep(Duration::from_millis(20)));
    !waits.take_while(is_patient).any(|()| read(serial).is_err())
}

/// In the child process: says the number when the vault has ended, and goes on until it is killed.
fn ends_by(keyring: Keyring, end: &str) {
    let (vault, serial) = made(keyring, || vault(keyring, Duration::ZERO)).unwrap();
    assert!(read(serial).is_ok());
    match end {
        "drop" => drop(vault),
        "destroy" => {
            vault.destroy();
            mem::forget(vault);
        }
        "wipe_all" => {
            strongroom::wipe_all();
            assert!(vault.seal(b"", b"").is_err());
        }
        "handler" => {
            extern "C" fn handle(_: i32) {
                strongroom::wipe_all();
            }
            let handler: extern "C" fn(i32) = handle;
            // SAFETY: the handler does nothing that is not async-signal-safe.
            unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
            // SAFETY: the handler is there.
            unsafe { libc::raise(libc::SIGUSR1) };
            mem::forget(vault);
        }
        _ => mem::forget(vault),
    }
    println!("serial {serial}");
    if end == "exit" {
        process::exit(0);
    }
    thread::sleep(Duration::from_secs(60));
}

/// A sandbox forbids what is needed, from the start.
#[test]
fn a_refusal_is_told_with_its_remedy() {
    let cases = [
        (libc::EPERM, KeyShareError::Forbidden, "--security-opt seccomp"),
        (libc::ENOSYS, KeyShareError::NotOffered, "CONFIG_KEYS"),
        (libc::EDQUOT, KeyShareError::QuotaReached, "kernel.keys.maxkeys"),
        (libc::EIO, KeyShareError::Other { code: libc::EIO }, "PreferKeyring"),
    ];
    for (errno, expected, remedy) in cases {
        thread::spawn(move || {
            if let Err(error) = sandbox::refuse(libc::SYS_add_key, None, errno) {
                return skip("a_refusal_is_told_with_its_remedy", &error.to_string());
            }
            let share = KeyShare::Keyring(Keyring::Process);
            let error = Vault::builder().key_share(share).build().unwrap_err();
            assert!(matches!(error, VaultError::KeyShare(found) if found == expected), "{error}");
            assert!(error.to_string().contains(remedy), "{error}");
            let preferred = Vault::builder().key_share(KeyShare::PreferKeyring(Keyring::Process));
            let by_policy = Vault::builder().key_share(share).policy(Policy::Prefer);
            for builder in [preferred, by_policy] {
                let vault = builder.build().unwrap();
                assert_eq!(vault.key_share(), KeyShare::LockedMemory);
                assert_eq!(vault.key_share_refusal(), Some(expected));
                let sealed = vault.seal(&SECRET, b"").unwrap();
                assert!(opens(&vault, &sealed));
            }
        })
        .join()
        .unwrap();
    }
}

/// A sandbox forbids it later, for one thread: that is told so, and others go on.
#[test]
fn a_refusal_later_is_told_too_and_loses_nothing() {
    let Some(vault) = vault(Keyring::Process, Duration::ZERO) else { return };
    let sealed = vault.seal(&SECRET, b"").unwrap();
    let confined = || {
        sandbox::refuse(libc::SYS_keyctl, None, libc::EPERM).unwrap();
        let denied = KeyShareError::Forbidden;
        assert_eq!(vault.try_open(&sealed, b"").unwrap_err(), OpenError::KeyShare(denied));
        let opened = vault.open_timeout(&sealed, b"", Duration::from_secs(60));
        assert_eq!(opened.unwrap_err(), OpenError::KeyShare(denied));
        assert_eq!(vault.seal(b"", b"").unwrap_err(), SealError::KeyShare(denied));
        vault.refresh();
    };
    thread::scope(|scope| _ = scope.spawn(confined));
    assert!(opens(&vault, &sealed));
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
}

#[test]
fn a_share_that_was_revoked_or_changed_is_lost() {
    for how in ["revoked", "changed", "cut"] {
        alone_in("a_share_that_was_revoked_or_changed_is_lost", how, || {
            let keyring = Keyring::Process;
            let made = made(keyring, || vault(keyring, Duration::ZERO));
            let Some((vault, serial)) = made else { return };
            let sealed = vault.seal(&SECRET, b"").unwrap();
            let len = match how {
                "revoked" => 0,
                "changed" => 40,
                _ => 8_usize,
            };
            if len == 0 {
                revoke(serial);
            } else {
                let bytes = [9_u8; 40];
                let start = bytes.as_ptr();
                // SAFETY: the bytes are valid for their length.
                unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_UPDATE, serial, start, len) };
            }
            let error = vault.try_open(&sealed, b"").unwrap_err();
            assert_eq!(error, OpenError::KeyShare(KeyShareError::Lost));
            assert!(error.to_string().contains("make another one"), "{error}");
        });
    }
}

/// As many vaults one after another as a user may have keys, several times: each gives its own back.
#[test]
fn a_vault_that_is_dropped_gives_its_key_back() {
    let name = "a_vault_that_is_dropped_gives_its_key_back";
    confined(name, Confinement::of(8 << 20, User::Nobody), || {
        for round in 0..600 {
            let share = KeyShare::Keyring(Keyring::Process);
            let vault = Vault::builder().budget(4096..=4096).key_share(share).build();
            let vault = match vault {
                Ok(vault) => vault,
                Err(error) if round == 0 => return skip(name, &error.to_string()),
                // The kernel collects what is gone in the background.
                Err(VaultError::KeyShare(KeyShareError::QuotaReached)) => {
                    thread::sleep(Duration::from_millis(50));
                    Vault::builder().budget(4096..=4096).key_share(share).build().unwrap()
                }
                Err(error) => panic!("{round}: {error}"),
            };
            assert!(opens(&vault, &vault.seal(&SECRET, b"").unwrap()));
        }
    });
}

/// Whether a share, given byte by byte upside down, is in locked memory.
fn is_in_locked_memory(inverted: &[u8; 40]) -> bool {
    let memory = File::open("/proc/self/mem").unwrap();
    // Shut or not.
    kernel::locked_mappings().into_iter().any(|range| {
        let mut bytes = vec![0; range.len()];
        memory.read_exact_at(&mut bytes, range.start as u64).unwrap();
        bytes.windows(8).any(|eight| eight.iter().zip(inverted).all(|(a, b)| *a == !b))
    })
}

/// Nobody calls the vault meanwhile: it is wiped all the same.
#[test]
fn a_share_that_was_near_is_wiped_without_a_call() {
    alone_in("a_share_that_was_near_is_wiped_without_a_call", "", || {
        let keyring = Keyring::Process;
        let kept = Duration::from_secs(1);
        let Some((vault, serial)) = made(keyring, || vault(keyring, kept)) else { return };
        let share = read(serial).unwrap().map(|byte| !byte);
        assert!(!is_in_locked_memory(&share), "before it was ever loaded");
        let begun = Instant::now();
        drop(vault.seal(&SECRET, b"").unwrap());
        let is_near = is_in_locked_memory(&share);
        // A slow machine proves nothing here.
        assert!(is_near || begun.elapsed() >= kept, "then this would prove nothing");
        while is_in_locked_memory(&share) {
            assert!(begun.elapsed() < kept * 20, "it is there still");
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// While the share is near, the keyring is not asked.
#[test]
fn a_share_is_kept_near_for_its_time_and_no_longer() {
    alone_in("a_share_is_kept_near_for_its_time_and_no_longer", "", || {
        let keyring = Keyring::Process;
        let kept = Duration::from_millis(500);
        let Some((vault, serial)) = made(keyring, || vault(keyring, kept)) else { return };
        let begun = Instant::now();
        let sealed = vault.seal(&SECRET, b"").unwrap();
        revoke(serial);
        let opened = vault.try_open(&sealed, b"");
        // A slow machine proves nothing here.
        if begun.elapsed() < kept {
            assert_eq!(opened.unwrap().expose_secret(), SECRET);
        }
        let lost = OpenError::KeyShare(KeyShareError::Lost);
        thread::sleep(kept);
        assert_eq!(vault.try_open(&sealed, b"").err(), Some(lost));
    });
}

/// Nobody is told anything wrong while shares change, come near and are wiped.
#[test]
fn opens_and_refreshes_at_once_lose_nothing() {
    for (keyring, kept) in [(Keyring::Process, 0), (Keyring::Process, 1), (Keyring::Session, 1)] {
        ends_within(SOON, move || {
            let Some(vault) = vault(keyring, Duration::from_millis(kept)) else { return };
            let sealed = vault.seal(&SECRET, b"").unwrap();
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while !is_over.load(Ordering::Relaxed) {
                            let own = vault.seal(&SECRET, b"").unwrap();
                            assert!(opens(&vault, &own) && opens(&vault, &sealed));
                        }
                    });
                }
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !is_over.load(Ordering::Relaxed) {
                            vault.refresh();
                        }
                    });
                }
                thread::sleep(Duration::from_secs(2));
                is_over.store(true, Ordering::Relaxed);
            });
            vault.verify().unwrap();
            assert!(opens(&vault, &sealed));
        });
    }
}

/// Prints it, for the documentation of the builder: what a vault with its key in memory does in the same
/// moments, and how many times as long another takes.
#[test]
fn what_an_open_costs_is_printed() {
    let plain = Vault::new(64 * 1024).unwrap();
    let kinds = [(Keyring::Process, 0), (Keyring::Process, 10)];
    for (keyring, kept) in kinds {
        let Some(other) = vault(keyring, Duration::from_millis(kept)) else { return };
        let both = [&plain, &other].map(|vault| (vault, vault.seal(&SECRET, b"").unwrap()));
        let mut ratios: Vec<_> = (0..41)
            .map(|_| {
                let [plain, other] = both.each_ref().map(|(vault, sealed)| {
                    let begun = Instant::now();
                    (0..500).for_each(|_| drop(vault.try_open(sealed, b"").unwrap()));
                    begun.elapsed()
                });
                (other.as_secs_f64() / plain.as_secs_f64(), plain / 500)
            })
            .collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, plain) = ratios[ratios.len() / 2];
        println!("share in {keyring:?}, kept for {kept} ms: {ratio:.2} of {plain:?} for 64 bytes");
    }
}
