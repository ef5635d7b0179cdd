//! A vault that is told that its machine was cloned goes on under other numbers, whatever it seals with.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{
    CloneNotice, CloneWatchError, OpenError, Opener, OpeningStream, SealError, SealingStream,
    StreamError, Vault, renew_all, renew_when_cloned, wipe_all,
};
use support::{alone, forked, sandbox};

mod support;

fn vault() -> Vault {
    Vault::new(64 * 1024).unwrap()
}

/// The part of a record's nonce that counts.
fn number(record: &[u8]) -> u64 {
    u64::from_le_bytes(record[..8].try_into().unwrap())
}

fn next(vault: &Vault) -> u64 {
    number(vault.seal(b"", b"").unwrap().record())
}

type Way = fn(&Vault) -> Result<u64, SealError>;

/// All ways to seal: the numbers that they take, in order, one each.
const WAYS: [Way; 6] = [
    |vault| vault.seal(b"secret", b"").map(|sealed| number(sealed.record())),
    |vault| vault.seal_into(b"secret", b"", [0; 30]).map(|sealed| number(sealed.record())),
    |vault| vault.seal_and_wipe(&mut [7; 6], b"").map(|sealed| number(sealed.record())),
    |vault| vault.seal_value(&7_u64, b"").map(|sealed| number(sealed.record())),
    |vault| vault.try_allocate(8).unwrap().seal(b"").map(|sealed| number(sealed.record())),
    |vault| {
        let value = vault.try_allocate_value::<u64>().unwrap();
        value.seal(b"").map(|sealed| number(sealed.record()))
    },
];

#[test]
fn whoever_seals_next_goes_on_under_another_number_and_old_records_open() {
    alone("whoever_seals_next_goes_on_under_another_number_and_old_records_open", || {
        let vault = vault();
        let before = vault.seal(b"before", b"").unwrap();
        for way in WAYS {
            let last = way(&vault).unwrap();
            assert_eq!(way(&vault), Ok(last + 1), "nobody was told");
            renew_all();
            let renewed = way(&vault).unwrap();
            // By chance one in 2^31.
            assert!(renewed.wrapping_sub(last).min(last.wrapping_sub(renewed)) > 1 << 32);
            assert_eq!(way(&vault), Ok(renewed + 1), "once is enough");
        }
        let after = vault.seal(b"after", b"").unwrap();
        assert_eq!(vault.try_open(&before, b"").unwrap().expose_secret(), b"before");
        assert_eq!(vault.try_open(&after, b"").unwrap().expose_secret(), b"after");
    });
}

#[test]
fn a_stream_goes_on() {
    alone("a_stream_goes_on", || {
        let vault = vault();
        let before = next(&vault);
        let room = vault.try_allocate(16).unwrap();
        let mut sealing = SealingStream::new(room, Vec::new(), b"").unwrap();
        sealing.write_all(&[7; 40]).unwrap();
        renew_all();
        sealing.write_all(&[7; 40]).unwrap();
        let file = sealing.finish().unwrap();
        // Two numbers before, and then others.
        assert!(next(&vault).wrapping_sub(before) > 1 << 32);
        let mut text = Vec::new();
        let room = vault.try_allocate(16).unwrap();
        OpeningStream::new(room, &file[..], b"").read_to_end(&mut text).unwrap();
        assert_eq!(text, [7; 80]);
    });
}

#[test]
fn every_vault_is_told_and_one_that_is_made_later_need_not_be() {
    alone("every_vault_is_told_and_one_that_is_made_later_need_not_be", || {
        let vaults = [vault(), vault()];
        assert_eq!(vaults.each_ref().map(next), [0, 0]);
        renew_all();
        renew_all();
        let later = vault();
        assert!(vaults.iter().all(|vault| next(vault) > 1 << 16));
        assert_eq!([next(&later), next(&later)], [0, 1]);
        // Who has renewed himself meanwhile has done what was asked for.
        renew_all();
        later.renew().unwrap();
        let renewed = next(&later);
        assert_eq!(next(&later), renewed + 1);
    });
}

#[test]
fn no_number_is_given_out_twice_meanwhile() {
    alone("no_number_is_given_out_twice_meanwhile", || {
        let vault = vault();
        let taken = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| (0..SEALS).map(|_| next(&vault)).collect::<Vec<_>>()))
                .collect();
            (0..100).for_each(|_| {
                renew_all();
                thread::yield_now();
            });
            let all = threads.into_iter().flat_map(|thread| thread.join().unwrap());
            all.collect::<BTreeSet<_>>()
        });
        assert_eq!(taken.len(), 3 * SEALS);
        // Nobody has forgotten it.
        assert!(next(&vault) > 3 * u64::try_from(SEALS).unwrap());
    });
}

/// Everything that takes a number or random bytes.
#[test]
fn what_cannot_be_renewed_neither_seals_nor_draws() {
    alone("what_cannot_be_renewed_neither_seals_nor_draws", || {
        let vault = vault();
        let sealed = vault.seal(b"before", b"").unwrap();
        let mut open = vault.try_allocate(16).unwrap();
        let room = vault.try_allocate(16).unwrap();
        let mut stream = SealingStream::new(room, Vec::new(), b"").unwrap();
        sandbox::refuse(libc::SYS_getrandom, None, libc::EPERM).unwrap();
        // Nobody has to ask the system for them as long as nobody was told.
        assert!(WAYS.iter().all(|way| way(&vault).is_ok()));
        assert_eq!(vault.fill_random(&mut [0; 8]), Ok(()));
        renew_all();
        for way in WAYS {
            assert_eq!(way(&vault), Err(SealError::NoEntropy));
        }
        assert!(SealError::NoEntropy.to_string().contains("random bytes"));
        assert_eq!(vault.fill_random(&mut [0; 8]), Err(OpenError::NoEntropy));
        assert_eq!(open.fill_random(), Err(OpenError::NoEntropy));
        assert_eq!(vault.renew(), Err(OpenError::NoEntropy));
        let error = stream.write_all(&[7; 40]).unwrap_err();
        let is_told =
            matches!(StreamError::of(&error), Some(StreamError::Seal(SealError::NoEntropy)));
        assert!(is_told, "{error}");
        let error = SealingStream::new(vault.try_allocate(16).unwrap(), Vec::<u8>::new(), b"")
            .err()
            .unwrap();
        assert!(matches!(error, StreamError::Open(OpenError::NoEntropy)), "{error}");
        // To open takes neither.
        assert_eq!(vault.try_open(&sealed, b"").unwrap().expose_secret(), b"before");
    });
}

#[cfg(feature = "store")]
#[test]
fn nor_does_its_store() {
    alone("nor_does_its_store", || {
        let store = strongroom::Store::<String>::new(std::sync::Arc::new(vault()).share());
        store.insert("before".to_owned(), b"before").unwrap();
        sandbox::refuse(libc::SYS_getrandom, None, libc::EPERM).unwrap();
        store.insert("after".to_owned(), b"after").unwrap();
        renew_all();
        let error = store.put("before", b"other").unwrap_err();
        assert!(matches!(error, strongroom::StoreError::Seal(SealError::NoEntropy)), "{error}");
        assert_eq!(store.try_open("before").unwrap().expose_secret(), b"before");
    });
}

#[test]
fn what_was_wiped_says_so() {
    alone("what_was_wiped_says_so", || {
        let vault = vault();
        renew_all();
        wipe_all();
        renew_all();
        assert!(WAYS[..4].iter().all(|way| way(&vault) == Err(SealError::Destroyed)));
        assert_eq!(vault.fill_random(&mut [0; 8]), Err(OpenError::Destroyed));
    });
}

#[test]
fn a_forked_child_has_nothing_to_renew_and_its_parent_does_not_notice() {
    alone("a_forked_child_has_nothing_to_renew_and_its_parent_does_not_notice", || {
        let vault = vault();
        let child = forked(|| {
            renew_all();
            let own = Vault::new(64 * 1024).unwrap();
            let is_own = next(&own) == 0;
            renew_all();
            is_own
                && next(&own) > 1 << 16
                && WAYS[..4].iter().all(|way| way(&vault) == Err(SealError::Forked))
                && vault.fill_random(&mut [0; 8]) == Err(OpenError::Forked)
        });
        assert!(child.success());
        assert_eq!([next(&vault), next(&vault)], [0, 1]);
    });
}

#[test]
fn a_process_watches_once_and_its_child_by_itself() {
    alone("a_process_watches_once_and_its_child_by_itself", || {
        let vault = vault();
        let notice = renew_when_cloned().unwrap();
        // The clock is waited for in any case.
        let all = 1 + usize::from(notice == CloneNotice::KernelLog);
        await_watchers(all);
        for _ in 0..3 {
            assert_eq!(renew_when_cloned(), Ok(notice));
        }
        await_watchers(all);
        let child = forked(|| {
            let before = watchers();
            let is_same = renew_when_cloned() == Ok(notice);
            await_watchers(all);
            before == 0 && is_same
        });
        assert!(child.success());
        // What the log says of former times is no notice.
        thread::sleep(Duration::from_millis(100));
        assert_eq!([next(&vault), next(&vault)], [0, 1]);
        let said = notice.to_string();
        match notice {
            CloneNotice::KernelLog => assert!(said.contains("kernel's log"), "{said}"),
            notice => assert!(said.contains("only when the clock is set: "), "{notice}"),
        }
    });
}

#[test]
fn of_several_who_begin_together_one_stays_and_later_ones_need_nothing() {
    alone("of_several_who_begin_together_one_stays_and_later_ones_need_nothing", || {
        let together = Barrier::new(8);
        let begin = || {
            together.wait();
            renew_when_cloned().unwrap()
        };
        let notice = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).last().unwrap()
        });
        await_watchers(1 + usize::from(notice == CloneNotice::KernelLog));
        sandbox::refuse(libc::SYS_clone, None, libc::EAGAIN).unwrap();
        sandbox::refuse(libc::SYS_clone3, None, libc::EAGAIN).unwrap();
        assert_eq!(renew_when_cloned(), Ok(notice));
    });
}

#[test]
fn what_cannot_watch_says_why() {
    alone("what_cannot_watch_says_why", || {
        // Who may not open a file has no log.
        sandbox::refuse(libc::SYS_openat, None, libc::EACCES).unwrap();
        #[cfg(target_arch = "x86_64")]
        sandbox::refuse(libc::SYS_open, None, libc::EACCES).unwrap();
        sandbox::refuse(libc::SYS_timerfd_create, None, libc::EPERM).unwrap();
        let error = renew_when_cloned().unwrap_err();
        assert_eq!(error, CloneWatchError::Refused { code: libc::EPERM });
        let said = error.to_string();
        assert!(said.contains("timerfd_create") && said.contains("renew_all"), "{said}");
    });
}

#[test]
fn no_thread_is_an_error() {
    alone("no_thread_is_an_error", || {
        sandbox::refuse(libc::SYS_clone, None, libc::EAGAIN).unwrap();
        sandbox::refuse(libc::SYS_clone3, None, libc::EAGAIN).unwrap();
        let error = renew_when_cloned().unwrap_err();
        assert_eq!(error, CloneWatchError::NoThread);
        assert!(error.to_string().contains("RLIMIT_NPROC"), "{error}");
    });
}

/// A thread takes its time to begin and to end.
fn await_watchers(count: usize) {
    let begun = Instant::now();
    while watchers() != count {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} watch, not {count}", watchers());
        thread::yield_now();
    }
}

fn watchers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("strongroom-clo")).count()
}

const SEALS: usize = 2000;
