//! Every public call under real lock limits, as root without the capability and as nobody: each
//! works or says why not, and nothing stays locked.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::limits::IpcLock;
use strongroom::{
    Backing, InstallError, Limits, LockError, OpenError, Opened, Policy, ReadError, SealError,
    Vault, VaultError, global, page_size, wipe_all,
};
use support::kernel::locked_bytes;
use support::{Confinement, User, confined};

mod support;

#[test]
fn every_call_works_or_says_why_and_nothing_stays_locked() {
    let page = page_size();
    for user in [User::Same, User::Nobody] {
        for limit in [0, page, 16_384, 65_536] {
            let name = "every_call_works_or_says_why_and_nothing_stays_locked";
            confined(name, Confinement::of(limit as u64, user), || {
                for budget in [0, 1, page, 16_384, 65_536, limit, limit + 1, 8 << 20, usize::MAX] {
                    fixed(budget, limit);
                    growing(budget, limit);
                    preferred(budget, limit);
                    reserved(budget, limit);
                }
                installed(limit);
            });
        }
    }
}

/// What docs/IN-TESTS.md warns of, and what it advises.
#[test]
fn tests_share_the_limit_of_their_process() {
    let name = "tests_share_the_limit_of_their_process";
    confined(name, Confinement::of(65_536, User::Same), || {
        if Limits::read().ipc_lock == IpcLock::InEffect {
            return;
        }
        let four = |budget| {
            let all_there = Barrier::new(4);
            let test = || {
                let vault = Vault::new(budget);
                all_there.wait();
                vault.is_ok()
            };
            thread::scope(|scope| {
                let tests: Vec<_> = (0..4).map(|_| scope.spawn(test)).collect();
                tests.into_iter().map(|test| test.join().unwrap()).collect()
            })
        };
        let passed: Vec<bool> = four(64 * 1024);
        assert_eq!(passed.iter().filter(|&&passed| passed).count(), 1);
        let passed: Vec<bool> = four(4096);
        assert!(passed.iter().all(|&passed| passed));
        let vault = Vault::new(4096).unwrap();
        let sealed = vault.seal(b"hunter2", b"test").unwrap();
        let open: Vec<_> = std::iter::from_fn(|| vault.try_open(&sealed, b"test").ok()).collect();
        assert!(open.len() >= 12, "a dozen, of {}", open.len());
    });
}

/// A vault that must have its budget at once.
fn fixed(budget: usize, limit: usize) {
    let fits = budget.checked_next_multiple_of(page_size()).is_some_and(|whole| whole <= limit);
    match Vault::new(budget) {
        Ok(vault) => {
            assert!(fits && budget > 0);
            assert_eq!(locked_bytes(), vault.budget() as u64);
            assert!(vault.protections().locked && vault.lock_refusal().is_none());
            every_call(&vault);
        }
        Err(error) => {
            assert!(!fits || budget == 0, "{budget} under {limit}: {error}");
            says_why(&error, budget, limit);
        }
    }
    assert_eq!(locked_bytes(), 0, "{budget} under {limit}");
}

/// A vault that begins with a page and may grow to its budget, which the limit may not let it.
fn growing(budget: usize, limit: usize) {
    match Vault::builder().budget(1..=budget).linger(Duration::ZERO).build() {
        Ok(vault) => {
            assert!(limit > 0 && budget > 0);
            let sealed = vault.seal(&[7; 64], b"").unwrap();
            let open: Vec<_> = std::iter::from_fn(|| vault.try_open(&sealed, b"").ok()).collect();
            assert!(!open.is_empty());
            assert!(locked_bytes() <= limit.min(budget.max(page_size())) as u64);
            let error = vault.try_open(&sealed, b"").unwrap_err();
            let OpenError::Full(shortage) = error else { panic!("{error}") };
            let is_held_back = limit < budget.max(page_size()) / page_size() * page_size();
            assert_eq!(shortage.growth_refused, is_held_back, "{budget} under {limit}: {error}");
            match vault.growth_refusal() {
                Some(refusal) => says_why(&refusal.into(), 1, limit),
                None => assert!(!is_held_back),
            }
            drop(open);
            vault.trim();
            assert_eq!(locked_bytes(), page_size() as u64, "what was added is given back");
            every_call(&vault);
        }
        Err(error) => {
            assert!(limit == 0 || budget == 0, "{budget} under {limit}: {error}");
            says_why(&error, 1, limit);
        }
    }
    assert_eq!(locked_bytes(), 0, "{budget} under {limit}");
}

/// A vault that goes on unlocked where it must, and says so.
fn preferred(budget: usize, limit: usize) {
    if budget > 8 << 20 {
        return;
    }
    for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
        let builder = Vault::builder().policy(Policy::Prefer).backing(backing);
        match builder.budget(budget..=budget).build() {
            Ok(vault) => {
                assert!(locked_bytes() <= limit as u64);
                let protections = vault.protections();
                // Not all kernels charge secret memory to the limit.
                let is_locked = locked_bytes() > 0 || protections.secret_memory;
                assert_eq!(protections.locked, is_locked, "{protections:?}");
                assert_eq!(vault.lock_refusal().is_some(), !protections.locked);
                if let Some(refusal) = vault.lock_refusal() {
                    says_why(&refusal.into(), budget, limit);
                }
                every_call(&vault);
            }
            Err(error) => {
                assert_eq!(budget, 0, "{error}");
                says_why(&error, budget, limit);
            }
        }
        assert_eq!(locked_bytes(), 0, "{budget} under {limit}");
    }
}

/// A vault of one page with a reserve.
fn reserved(reserve: usize, limit: usize) {
    let fits = reserve.checked_next_multiple_of(page_size());
    let fits = fits.is_some_and(|whole| page_size().saturating_add(whole) <= limit);
    match Vault::builder().budget(1..=1).reserve("own", reserve).build() {
        Ok(vault) => {
            assert!(fits && reserve > 0);
            let own = vault.reserve("own").unwrap();
            let (largest, sealed) = (own.try_allocate(usize::MAX), vault.seal(b"a", b"").unwrap());
            assert!(matches!(largest, Err(OpenError::TooLarge { .. })));
            assert!(own.try_open(&sealed, b"").is_ok());
            assert!(
                own.open_timeout(&sealed, b"b", SHORT).is_err_and(|e| e == OpenError::Tampered)
            );
            every_call(&vault);
        }
        Err(error) => {
            assert!(!fits || reserve == 0, "{reserve} under {limit}: {error}");
            says_why(&error, reserve, limit);
        }
    }
    assert_eq!(locked_bytes(), 0, "{reserve} under {limit}");
}

/// The vault of the process, which stays to its end.
fn installed(limit: usize) {
    assert!(global().is_err());
    let installed = Vault::builder().budget(limit..=limit).install();
    match installed {
        Ok(vault) => {
            assert!(global().is_ok_and(|other| std::ptr::eq(other, vault)));
            let again = Vault::builder().install().unwrap_err();
            assert!(matches!(again, InstallError::AlreadyInstalled), "{again}");
            assert_eq!(locked_bytes(), limit as u64);
            vault.destroy();
            assert_eq!(vault.seal(b"a", b"").unwrap_err(), SealError::Destroyed);
            wipe_all();
            assert_eq!(vault.try_allocate(1).unwrap_err(), OpenError::Destroyed);
            std::process::exit(0);
        }
        Err(InstallError::Vault(error)) => {
            assert_eq!(limit, 0);
            says_why(&error, limit, limit);
            assert!(global().is_err());
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(locked_bytes(), 0);
}

/// All that can be asked of a vault.
fn every_call<'v>(vault: &'v Vault) {
    let begun = Instant::now();
    let before = vault.stats();
    for len in [0, 1, 64, 3000, 70_000] {
        let secret = vec![5; len];
        let sealed = vault.seal(&secret, CONTEXT).unwrap();
        let ways: [&dyn Fn() -> Result<Opened<'v>, OpenError>; 5] = [
            &|| vault.try_open(&sealed, CONTEXT),
            &|| vault.open_timeout(&sealed, CONTEXT, SHORT),
            // One that waits is dropped; then this says for what.
            &|| {
                now(vault.open(&sealed, CONTEXT))
                    .unwrap_or_else(|| vault.try_open(&sealed, CONTEXT))
            },
            &|| vault.read_to_end(&secret[..], len).map_err(of_reading),
            &|| vault.reader(&secret[..]).read_to_end(len).map_err(of_reading),
        ];
        for way in ways {
            match way() {
                Ok(opened) => {
                    assert_eq!(opened.expose_secret(), secret);
                    drop(opened.seal(b"").unwrap());
                    opened.write_to(std::io::sink()).unwrap();
                    opened.release().unwrap();
                }
                Err(OpenError::TooLarge { requested, largest }) => {
                    assert!(requested > largest && requested >= len);
                }
                // Reading takes a piece beside the whole.
                Err(OpenError::Full(_)) if len >= 3000 => {}
                Err(OpenError::Full(shortage) | OpenError::TimedOut { shortage, .. }) => {
                    assert!(shortage.growth_refused, "{len}: {shortage}");
                }
                Err(error) => panic!("{len}: {error}"),
            }
        }
        match vault.try_open(&sealed, b"other").unwrap_err() {
            OpenError::Tampered => {}
            // There was no room to look into it.
            OpenError::TooLarge { requested, largest } => assert!(requested > largest),
            OpenError::Full(shortage) => assert!(shortage.growth_refused, "{len}: {shortage}"),
            error => panic!("{len}: {error}"),
        }
    }
    assert!(matches!(vault.seal_into(b"a", b"", [0; 3]), Err(SealError::Enclave(_))));
    assert!(matches!(vault.try_allocate(usize::MAX), Err(OpenError::TooLarge { .. })));
    assert!(matches!(vault.allocate_timeout(usize::MAX, SHORT), Err(OpenError::TooLarge { .. })));
    assert!(vault.reserve("nobody's").is_none());
    assert!(vault.read_file("/nonexistent", 10).is_err());
    assert!(matches!(vault.read_environment("STRONGROOM_NOT_SET", 10), Ok(None)));
    let mut random = [0; 64];
    vault.fill_random(&mut random).unwrap();
    assert_ne!(random, [0; 64]);
    vault.refresh();
    vault.trim();
    vault.verify().unwrap();
    assert_eq!((vault.held(), vault.waiters()), (0, 0));
    assert_eq!(vault.stats().len(), before.len());
    let metrics = vault.metrics();
    assert_eq!((metrics.live, metrics.faults), (0, 0));
    vault.destroy();
    assert_eq!(vault.seal(b"a", b"").unwrap_err(), SealError::Destroyed);
    assert!(begun.elapsed() < Duration::from_secs(30), "a call hung");
}

fn of_reading(error: ReadError) -> OpenError {
    match error {
        ReadError::Open(error) => error,
        error => panic!("{error}"),
    }
}

/// What a future says without being waited for.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Whether an error names the right cause, the numbers, and what to change.
fn says_why(error: &VaultError, asked: usize, limit: usize) {
    let said = error.to_string();
    match error {
        VaultError::Lock(LockError::Zero) => assert_eq!(asked, 0, "{said}"),
        VaultError::Lock(LockError::TooLarge { .. }) => assert_eq!(asked, usize::MAX, "{said}"),
        VaultError::Lock(LockError::LimitReached { limit: told, requested, remedy, .. }) => {
            assert_eq!(*told, limit as u64, "{said}");
            assert!(*requested >= asked.next_multiple_of(page_size()) as u64, "{said}");
            assert!(
                said.contains("RLIMIT_MEMLOCK") && said.contains(&remedy.to_string()),
                "{said}"
            );
        }
        VaultError::Lock(LockError::NotPermitted { remedy, .. }) => {
            assert_eq!(limit, 0, "{said}");
            assert!(said.contains(&remedy.to_string()), "{said}");
        }
        VaultError::CeilingBelowFloor { .. } => assert_eq!(asked, 1, "{said}"),
        _ => panic!("{asked} under {limit}: {said}"),
    }
    assert!(Limits::read().to_string().contains("memory"), "the report can be read");
}

const CONTEXT: &[u8] = b"limits";
const SHORT: Duration = Duration::from_millis(1);
