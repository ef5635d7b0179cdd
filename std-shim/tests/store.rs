//! A store: what a name stands for, at every moment.
#![cfg(feature = "store")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "all numbers are small")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, scope};
use std::time::{Duration, Instant};

use strongroom::{Name, OpenError, Store, StoreError, Vault};

const WAIT: Duration = Duration::from_secs(60);

fn vault(budget: usize) -> Arc<Vault> {
    Arc::new(Vault::new(budget).unwrap())
}

fn store() -> Store<String> {
    Store::new(vault(64 << 10).share())
}

fn contents(store: &Store<String>, name: &str) -> Vec<u8> {
    store.try_open(name).unwrap().expose_secret().to_vec()
}

#[test]
fn a_name_stands_for_what_was_put_in_last() {
    let store = store();
    assert_eq!(store.try_open("a").unwrap_err(), StoreError::NotFound);
    assert_eq!(store.replace("a", b"0").unwrap_err(), StoreError::NotFound);
    assert_eq!(store.insert("a".into(), b"one"), Ok(1));
    assert_eq!(store.insert("a".into(), b"two"), Err(StoreError::Exists { version: 1 }));
    assert_eq!(contents(&store, "a"), b"one");
    assert_eq!(store.replace("a", b"two"), Ok(2));
    assert_eq!(contents(&store, "a"), b"two");
    assert_eq!(store.put("a", b"three"), Ok(3));
    assert_eq!(store.put("b", b""), Ok(1));
    assert_eq!(store.replace_version("a", 2, b"x"), Err(StoreError::OtherVersion { version: 3 }));
    assert_eq!(store.replace_version("a", 3, b"four"), Ok(4));
    assert_eq!((contents(&store, "a"), contents(&store, "b")), (b"four".to_vec(), vec![]));
    assert_eq!((store.len(), store.version("a")), (2, Some(4)));
    let mut names = HashSet::new();
    store.for_each_name(|name, version| assert!(names.insert((name.clone(), version))));
    assert_eq!(names, HashSet::from([("a".into(), 4), ("b".into(), 1)]));
    assert!(store.remove("a") && !store.remove("a") && !store.contains("a"));
    assert_eq!(store.try_open("a").unwrap_err(), StoreError::NotFound);
    assert_eq!(store.insert("a".into(), b"again"), Ok(1));
    assert_eq!(contents(&store, "a"), b"again");
    assert_eq!(store.vault().held(), 0);
}

/// A name that counts how often it is asked for its bytes.
struct Counting<'c>(u32, &'c AtomicUsize);

impl Name for Counting<'_> {
    fn name_bytes(&self) -> &[u8] {
        self.1.fetch_add(1, Ordering::Relaxed);
        bytemuck::bytes_of(&self.0)
    }
}

/// A user's name, which is neither `Hash` nor `Eq`.
struct Login(&'static str);

impl Name for Login {
    fn name_bytes(&self) -> &[u8] {
        self.0.trim_end().as_bytes()
    }
}

#[test]
fn a_name_is_its_bytes() {
    let store = Store::new(vault(8192).share());
    store.insert(Login("root"), b"hunter2").unwrap();
    let again = store.insert(Login("root "), b"other");
    assert_eq!(again, Err(StoreError::Exists { version: 1 }));
    assert_eq!(store.replace(&Login("root  "), b"other"), Ok(2));
    assert_eq!(*store.try_open(&Login("root")).unwrap().expose_secret(), *b"other");
    for other in ["", "r", "root\0", "rootroot"] {
        assert_eq!(store.try_open(&Login(other)).unwrap_err(), StoreError::NotFound);
    }
    assert!(store.remove(&Login("root ")));
    assert!(store.is_empty());
}

/// Others wait while the store grows: no name's own code runs then.
#[test]
fn a_store_grows_without_asking_the_names_it_holds() {
    let asked = AtomicUsize::new(0);
    let store = Store::new(vault(8192).share());
    for number in 0..5000 {
        store.insert(Counting(number, &asked), &number.to_le_bytes()).unwrap();
    }
    // Each for itself, twice; and where two share a hash.
    let asked_inserting = asked.load(Ordering::Relaxed);
    assert!(asked_inserting <= 2 * 5000 + 4, "{asked_inserting}");
    for number in 0..5000_u32 {
        let opened = store.try_open(&Counting(number, &asked)).unwrap();
        assert_eq!(*opened.expose_secret(), number.to_le_bytes());
    }
    assert_eq!(store.try_open(&Counting(5000, &asked)).unwrap_err(), StoreError::NotFound);
}

#[test]
fn any_length_is_stored() {
    let store = store();
    for len in (0..300).chain([1000, 4096, 20_000]) {
        let secret: Vec<u8> = (0..len).map(|at: usize| (at * 3) as u8).collect();
        store.put("name", &secret).unwrap();
        assert_eq!(contents(&store, "name"), secret, "{len}");
        let alone = store.try_open_alone("name").unwrap();
        assert_eq!(*alone.expose_secret(), *secret);
    }
}

#[test]
fn values_and_several_at_once_are_opened_alone() {
    let store = store();
    store.insert_value("key".into(), &[7_u64, 8]).unwrap();
    let mut key = store.try_open_value::<[u64; 2], str>("key").unwrap();
    key.expose_secret_mut()[0] = 1;
    assert_eq!(*key.expose_secret(), [1, 8]);
    assert_eq!(*store.try_open_value::<[u64; 2], str>("key").unwrap().expose_secret(), [7, 8]);
    let other = store.try_open_value::<u64, str>("key").unwrap_err();
    assert!(matches!(other, StoreError::Open(OpenError::Enclave(_))), "{other}");
    store.insert("user".into(), b"admin").unwrap();
    let [key, user] = store.open_all_timeout(["key", "user"], WAIT).unwrap();
    assert_eq!((key.len(), &*user.expose_secret()), (16, &b"admin"[..]));
    assert_eq!(store.try_open_all(["user", "none"]).unwrap_err(), StoreError::NotFound);
    // What is open alone outlives the store.
    drop(store);
    assert_eq!(*user.expose_secret(), *b"admin");
}

#[test]
fn those_who_open_the_same_name_share_one_cell() {
    let store = store();
    store.insert("password".into(), b"hunter2").unwrap();
    let opened: Vec<_> = (0..2000).map(|_| store.try_open("password").unwrap()).collect();
    assert_eq!((store.vault().held(), store.metrics().decryptions), (1, 1));
    drop(opened);
    assert_eq!((store.vault().held(), store.metrics().open), (0, 0));
}

/// A thread has a cell of its own to begin with, which is empty for nobody else while something is open in it.
#[test]
fn one_thread_opens_a_hundred_names_at_once() {
    let store = store();
    let names: Vec<String> = (0..100).map(|name: u32| name.to_string()).collect();
    names.iter().for_each(|name| _ = store.insert(name.clone(), name.as_bytes()).unwrap());
    for _ in 0..3 {
        let open: Vec<_> = names.iter().map(|name| store.try_open(name).unwrap()).collect();
        for (name, opened) in names.iter().zip(&open) {
            assert_eq!(opened.expose_secret(), name.as_bytes());
        }
        assert_eq!(store.metrics().open, 100);
    }
}

#[test]
fn two_thousand_threads_that_use_one_password_take_one_cell() {
    let store = &Store::<String>::new(vault(4096).share());
    store.insert("password".into(), &[7; 64]).unwrap();
    let all = &Barrier::new(2000);
    scope(|scope| {
        for _ in 0..2000 {
            let work = move || {
                all.wait();
                let password = store.open_timeout("password", WAIT).unwrap();
                assert_eq!(*password.expose_secret(), [7; 64]);
                all.wait();
                // All are open.
                assert_eq!(store.vault().held(), 1);
                all.wait();
            };
            thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work).unwrap();
        }
    });
    assert_eq!((store.metrics().decryptions, store.vault().held()), (1, 0));
}

#[test]
fn what_is_open_stays_what_it_was_when_its_name_is_given_another() {
    for lingering in [Duration::ZERO, WAIT] {
        let store = store().with_lingering(lingering);
        store.insert("a".into(), b"old").unwrap();
        let old = store.try_open("a").unwrap();
        store.replace("a", b"new").unwrap();
        let new = store.try_open("a").unwrap();
        assert_eq!((&*old.expose_secret(), old.version()), (&b"old"[..], 1));
        assert_eq!((&*new.expose_secret(), new.version()), (&b"new"[..], 2));
        assert_eq!(store.vault().held(), 2);
        drop(old);
        assert_eq!(store.vault().held(), 1, "it does not linger");
        store.remove("a");
        assert_eq!(*new.expose_secret(), *b"new");
        drop(new);
        assert_eq!(store.vault().held(), 0);
    }
}

#[test]
fn what_lingers_is_opened_without_decryption_for_a_time() {
    let store = store().with_lingering(Duration::from_millis(200));
    store.insert("a".into(), b"secret").unwrap();
    let begun = Instant::now();
    assert_eq!(contents(&store, "a"), b"secret");
    assert_eq!(contents(&store, "a"), b"secret");
    let metrics = store.metrics();
    if begun.elapsed() < Duration::from_millis(200) {
        assert_eq!((metrics.open, metrics.lingering, metrics.decryptions), (1, 1, 1));
    }
    while store.metrics().open > 0 {
        thread::sleep(Duration::from_millis(5));
        assert!(begun.elapsed() < WAIT);
    }
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(store.vault().held(), 0);
    assert_eq!(contents(&store, "a"), b"secret");
    assert_eq!(store.metrics().decryptions, 2);
}

#[test]
fn rotation_removal_expiry_and_destruction_end_lingering() {
    let store = store().with_lingering(WAIT);
    for name in ["replaced", "removed"] {
        store.insert(name.into(), b"secret").unwrap();
        drop(store.try_open(name).unwrap());
    }
    assert_eq!(store.metrics().lingering, 2);
    store.replace("replaced", b"other").unwrap();
    store.remove("removed");
    assert_eq!((store.metrics().open, store.vault().held()), (0, 0));

    store.insert_for("short".into(), b"secret", Duration::from_millis(50)).unwrap();
    drop(store.try_open("short"));
    let begun = Instant::now();
    while store.metrics().open > 0 {
        thread::sleep(Duration::from_millis(1));
        assert!(begun.elapsed() < WAIT);
    }
    assert_eq!(store.try_open("short").unwrap_err(), StoreError::NotFound);

    drop(store.try_open("replaced").unwrap());
    assert_eq!(store.metrics().lingering, 1);
    store.vault().destroy();
    assert_eq!((store.metrics().open, store.vault().held()), (0, 0));
    let refused = store.try_open("replaced").unwrap_err();
    assert_eq!(refused, StoreError::Open(OpenError::Destroyed));
}

/// Whoever reads it keeps it, and nobody comes to that any more.
#[test]
fn what_is_open_is_not_opened_again_after_destruction() {
    let store = store();
    store.insert("name".into(), b"secret").unwrap();
    let opened = store.try_open("name").unwrap();
    store.vault().destroy();
    let refused = store.try_open("name").unwrap_err();
    assert_eq!(refused, StoreError::Open(OpenError::Destroyed));
    assert_eq!(opened.expose_secret(), b"secret");
    drop(opened);
    assert_eq!((store.metrics().open, store.vault().held()), (0, 0));
}

#[test]
fn a_dropped_store_leaves_nothing_open() {
    let vault = vault(64 << 10);
    let store = Store::<String>::new(vault.share()).with_lingering(WAIT);
    store.insert("a".into(), b"secret").unwrap();
    drop(store.try_open("a").unwrap());
    assert_eq!(vault.held(), 1);
    drop(store);
    assert_eq!(vault.held(), 0);
}

#[test]
fn whoever_needs_room_has_the_longest_unused_given_up() {
    let store = Store::<String>::new(vault(4096).share()).with_lingering(WAIT);
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for name in &names {
        store.insert(name.clone(), &[1; 64]).unwrap();
        drop(store.try_open(name.as_str()).unwrap());
    }
    let metrics = store.metrics();
    assert!(metrics.given_up > 0 && metrics.lingering + metrics.given_up as usize == 100);
    let oldest = 100 - metrics.lingering;
    // The first of those that are left is used again, so the next one is the longest unused.
    let decryptions = |store: &Store<String>, name: &String| {
        let before = store.metrics().decryptions;
        drop(store.try_open(name.as_str()).unwrap());
        store.metrics().decryptions - before
    };
    assert_eq!(decryptions(&store, &names[oldest]), 0);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(decryptions(&store, &names[oldest]), 0);
    assert_eq!(decryptions(&store, &names[0]), 1);
    assert_eq!(decryptions(&store, &names[oldest]), 0, "it was used last");
    assert_eq!(decryptions(&store, &names[oldest + 1]), 1, "it was the longest unused");

    // Others in the vault too: all of it, at once.
    let mut held = Vec::new();
    while let Ok(opened) = store.vault().try_allocate(64) {
        held.push(opened);
    }
    assert_eq!((store.metrics().lingering, held.len()), (0, store.vault().held()));
    let full = store.try_open("1").unwrap_err();
    assert!(matches!(full, StoreError::Open(OpenError::Full(_))), "{full}");
}

#[test]
fn one_who_waits_is_served_by_what_a_reader_drops() {
    let store = &Store::<String>::new(vault(4096).share()).with_lingering(WAIT);
    store.insert("a".into(), &[1; 1800]).unwrap();
    store.insert("b".into(), &[2; 2000]).unwrap();
    let first = store.try_open("a").unwrap();
    scope(|scope| {
        let waiter = scope.spawn(|| store.open_timeout("b", WAIT).unwrap().len());
        while store.vault().waiters() == 0 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(store.vault().waiters(), 1, "what is read is not given up");
        let begun = Instant::now();
        drop(first);
        assert_eq!(waiter.join().unwrap(), 2000);
        assert!(begun.elapsed() < WAIT / 2, "it does not linger while somebody waits");
    });
}

#[test]
fn those_who_wait_for_the_same_are_served_when_one_has_it() {
    let store = &Store::<String>::new(vault(4096).share());
    store.insert("a".into(), &[1; 1500]).unwrap();
    let rest = store.vault().try_allocate(2200).unwrap();
    let all_in = &Barrier::new(21);
    scope(|scope| {
        for _ in 0..20 {
            scope.spawn(move || {
                let opened = store.open_timeout("a", WAIT).unwrap();
                // Nobody drops it before all have it.
                all_in.wait();
                assert_eq!(opened.len(), 1500);
            });
        }
        while store.vault().waiters() < 20 {
            thread::yield_now();
        }
        drop(rest);
        all_in.wait();
    });
    assert_eq!((store.metrics().decryptions, store.vault().held()), (1, 0));
}

#[test]
fn futures_share_and_wait_like_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let store = Arc::new(Store::<String>::new(vault(4096).share()));
    store.insert("a".into(), &[1; 1500]).unwrap();
    runtime.block_on(async {
        let rest = store.vault().share().try_allocate(2200).unwrap();
        let have_it = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (store, have_it) = (store.clone(), have_it.clone());
                tokio::spawn(async move {
                    let opened = store.open("a").await.unwrap();
                    have_it.fetch_add(1, Ordering::Relaxed);
                    // Nobody drops it before all have it.
                    while have_it.load(Ordering::Relaxed) < 50 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    assert_eq!(opened.len(), 1500);
                })
            })
            .collect();
        while store.vault().waiters() < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(rest);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(store.open("none").await.unwrap_err(), StoreError::NotFound);
        assert_eq!(store.open_alone("a").await.unwrap().len(), 1500);
    });
    assert_eq!(store.vault().held(), 0);
}

#[test]
fn a_store_takes_as_many_as_it_may() {
    let store = store().with_most(2);
    store.insert("a".into(), b"").unwrap();
    store.put("b", b"").unwrap();
    assert_eq!(store.insert("c".into(), b""), Err(StoreError::Full { most: 2 }));
    assert_eq!(store.put("c", b""), Err(StoreError::Full { most: 2 }));
    store.put("b", b"again").unwrap();
    store.remove("a");
    store.insert("c".into(), b"").unwrap();
    assert_eq!(store.len(), 2);
}

#[test]
fn what_has_expired_is_gone() {
    let store = store();
    let short = Duration::from_millis(30);
    store.insert_for("a".into(), b"secret", short).unwrap();
    store.insert_for("b".into(), b"secret", short).unwrap();
    store.insert("c".into(), b"secret").unwrap();
    store.replace_for("c", b"other", short).unwrap();
    store.insert_for("d".into(), b"secret", WAIT).unwrap();
    store.insert_for("e".into(), b"secret", short).unwrap();
    store.replace("e", b"for good").unwrap();
    thread::sleep(short * 2);
    assert_eq!(store.try_open("a").unwrap_err(), StoreError::NotFound);
    assert_eq!(store.try_open_alone("c").unwrap_err(), StoreError::NotFound);
    assert_eq!(store.len(), 3);
    assert_eq!(store.remove_expired(), 1);
    assert_eq!(store.insert("b".into(), b"new"), Ok(1));
    assert_eq!(
        (contents(&store, "b"), contents(&store, "e")),
        (b"new".to_vec(), b"for good".to_vec())
    );
    assert_eq!((store.len(), contents(&store, "d")), (3, b"secret".to_vec()));
}

/// Rotation, expiry and removal beside opens: nobody sees another name's secret, nor an old one once a
/// newer was returned by whoever put it.
#[test]
fn no_open_returns_what_was_replaced_before_it_began() {
    for lingering in [Duration::ZERO, Duration::from_millis(20)] {
        churn(lingering, Duration::from_millis(1500));
    }
}

/// The same for minutes: `STRONGROOM_SECONDS=300 cargo test --release -p strongroom --features store
/// --test store -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn stress() {
    let seconds = std::env::var("STRONGROOM_SECONDS").map_or(60, |text| text.parse().unwrap());
    for lingering in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(100)] {
        churn(lingering, Duration::from_secs(seconds) / 3);
    }
}

const NAMES: usize = 40;

fn churn(lingering: Duration, time: Duration) {
    // Each secret says its name and a number; what was put in last, `floors` knows.
    let store = &Store::<String>::new(vault(8192).share()).with_lingering(lingering);
    let names: &Vec<String> = &(0..NAMES).map(|name| format!("name {name}")).collect();
    let secret = |name: usize, number: u64| {
        let len = 16 + name % 5 * 31;
        let mut secret = vec![name as u8; len];
        secret[..8].copy_from_slice(&number.to_le_bytes());
        secret
    };
    let (floors, numbers): (Vec<_>, Vec<_>) =
        (0..NAMES).map(|_| (AtomicU64::new(0), AtomicU64::new(0))).unzip();
    let (floors, numbers) = (&floors, &numbers);
    let ended = &AtomicBool::new(false);
    let (opens, misses) = (&AtomicU64::new(0), &AtomicU64::new(0));
    scope(|scope| {
        for thread in 0..16_u64 {
            scope.spawn(move || {
                let mut random = (thread + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let mut below = move |most: u64| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random % most
                };
                let mut kept = None;
                while !ended.load(Ordering::Relaxed) {
                    let at = below(NAMES as u64) as usize;
                    let name = names[at].as_str();
                    // One thread for each name writes, so that numbers rise.
                    if thread as usize == at % 4 && below(3) == 0 {
                        let number = numbers[at].fetch_add(1, Ordering::SeqCst) + 1;
                        match below(10) {
                            0 => {
                                store.remove(name);
                            }
                            1 => {
                                let short = Duration::from_millis(below(10));
                                store.put_for(name, &secret(at, number), short).unwrap();
                            }
                            _ => {
                                store.put(name, &secret(at, number)).unwrap();
                            }
                        }
                        floors[at].store(number, Ordering::SeqCst);
                    }
                    let floor = floors[at].load(Ordering::SeqCst);
                    let check = |found: &[u8], is_late: bool| {
                        assert_eq!(found.len(), 16 + at % 5 * 31);
                        assert!(found[8..].iter().all(|&byte| byte == at as u8), "another's");
                        let number = u64::from_le_bytes(found[..8].try_into().unwrap());
                        assert!(is_late || number >= floor, "{number} after {floor}");
                    };
                    let opened = match below(8) {
                        0 => store.try_open(name).map(Some),
                        turn @ (1 | 2) => {
                            let alone = if turn == 1 {
                                store.try_open_alone(name)
                            } else {
                                store.open_alone_timeout(name, WAIT)
                            };
                            alone.map(|alone| check(&alone.expose_secret(), false)).map(|()| None)
                        }
                        _ => store.open_timeout(name, WAIT).map(Some),
                    };
                    match opened {
                        Ok(Some(opened)) => {
                            opens.fetch_add(1, Ordering::Relaxed);
                            check(&opened.expose_secret(), false);
                            // Not kept while others are opened: that could wait for ever.
                            if below(4) == 0 {
                                kept = Some(opened);
                                check(&kept.as_ref().unwrap().expose_secret(), true);
                            }
                        }
                        Ok(None) => {}
                        Err(StoreError::NotFound | StoreError::Open(OpenError::Full(_))) => {
                            misses.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    kept = None;
                }
                drop(kept);
            });
        }
        thread::sleep(time);
        ended.store(true, Ordering::Relaxed);
    });
    assert!(opens.load(Ordering::Relaxed) > 100);
    let begun = Instant::now();
    while store.vault().held() > 0 {
        thread::sleep(Duration::from_millis(5));
        assert!(begun.elapsed() < WAIT, "{:?}", store.metrics());
    }
    let listed: HashSet<String> = {
        let mut listed = HashSet::new();
        store.for_each_name(|name, _| assert!(listed.insert(name.clone())));
        listed
    };
    store.remove_expired();
    assert_eq!(store.len(), listed.len());
    assert!(store.vault().verify().is_ok());
}
