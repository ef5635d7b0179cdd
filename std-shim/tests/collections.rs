//! Collections that lie in a vault whole.
#![cfg(feature = "allocator-api2-0_2")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hash::RandomState;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::HashMap;
use strongroom::{Fault, Vault};

mod support;

#[test]
fn a_map_lies_in_the_vault_with_its_keys() {
    let vault = Vault::builder().budget(4096..=262_144).linger(Duration::ZERO).build().unwrap();
    // SAFETY: this program neither forks nor wipes.
    let memory = unsafe { vault.allocator() }.unwrap();
    let mut map = HashMap::with_hasher_in(RandomState::new(), memory);
    for number in 0..300_u64 {
        let mut name = Vec::new_in(memory);
        name.extend_from_slice(&number.to_le_bytes());
        map.insert(name, Box::new_in([number; 4], memory));
    }
    // The table, and for each a name and a value.
    assert_eq!(vault.held(), 601);
    let name = |number: u64| {
        let mut name = Vec::new_in(memory);
        name.extend_from_slice(&number.to_le_bytes());
        name
    };
    assert_eq!(map.get(&name(299)).map(|value| **value), Some([299; 4]));
    // What grew for it is kept as long as there is something in it, and given back then. (Where only an
    // earlier, smaller table was, there is nothing any more.)
    vault.trim();
    assert!(vault.metrics().locked > 4096);
    for number in 0..300 {
        assert_eq!(map.get(&name(number)).map(|value| **value), Some([number; 4]));
    }
    map.retain(|_, value| value[0] % 2 == 0);
    assert_eq!((vault.held(), vault.verify()), (301, Ok(())));
    drop(map);
    vault.trim();
    assert_eq!((vault.held(), vault.metrics().locked, vault.verify()), (0, 4096, Ok(())));
}

#[test]
fn where_there_is_no_room_nothing_is_lost_and_those_who_wait_are_served() {
    let vault =
        Arc::new(Vault::builder().budget(4096..=4096).reserve("own", 4096).build().unwrap());
    // SAFETY: this program neither forks nor wipes.
    let owned = unsafe { vault.share().allocator() }.unwrap();
    let mut bytes = Vec::new_in(owned);
    while bytes.try_reserve(1).is_ok() {
        bytes.push(0x5a_u8);
    }
    assert!(bytes.len() > 500 && bytes.iter().all(|&byte| byte == 0x5a));
    // SAFETY: as above.
    let reserved = unsafe { vault.reserve("own").unwrap().allocator() }.unwrap();
    assert!(Box::try_new_in([7_u128; 50], reserved).is_ok_and(|value| value[49] == 7));
    let others: std::vec::Vec<_> = std::iter::from_fn(|| vault.try_allocate(100).ok()).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| vault.allocate_timeout(500, Duration::from_secs(30)).is_ok());
        while vault.waiters() == 0 {
            thread::yield_now();
        }
        drop(bytes);
        assert!(waits.join().unwrap());
    });
    drop(others);
    assert_eq!((vault.held(), vault.verify()), (0, Ok(())));
    // The last owner of the vault may be a collection.
    // SAFETY: as above.
    let last = Box::new_in([7_u64; 8], unsafe { vault.share().allocator() }.unwrap());
    drop(vault);
    assert_eq!(thread::spawn(move || last[7]).join().unwrap(), 7);
}

#[test]
fn what_takes_no_memory_takes_no_place() {
    let vault = Vault::new(4096).unwrap();
    // SAFETY: this program neither forks nor wipes.
    let nothing = Box::new_in((), unsafe { vault.allocator() }.unwrap());
    assert_eq!((*nothing, vault.held()), ((), 0));
}

/// Many allocate and release what others have allocated, while the vault grows and shrinks.
#[test]
fn what_one_thread_allocates_another_releases() {
    const THREADS: usize = 4;
    let vault = Vault::builder().budget(4096..=65_536).linger(Duration::ZERO).build().unwrap();
    // SAFETY: this program neither forks nor wipes.
    let memory = unsafe { vault.allocator() }.unwrap();
    let all_there = Barrier::new(THREADS);
    thread::scope(|scope| {
        let (senders, receivers): (std::vec::Vec<_>, std::vec::Vec<_>) =
            (0..THREADS).map(|_| std::sync::mpsc::channel()).unzip();
        for (number, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(number + 1) % THREADS].clone();
            let (vault, all_there) = (&vault, &all_there);
            scope.spawn(move || {
                all_there.wait();
                for round in 0..2000_usize {
                    let mut bytes = Vec::new_in(memory);
                    if bytes.try_reserve(round % 700).is_ok() {
                        bytes.resize(round % 700, u8::try_from(number).unwrap());
                        // The receiver may have ended.
                        drop(next.send(bytes));
                    }
                    if let Ok(received) = receiver.try_recv() {
                        assert!(received.iter().all(|byte| *byte == received[0]));
                    }
                    if round % 64 == 0 {
                        vault.trim();
                    }
                }
            });
        }
        drop(senders);
    });
    vault.trim();
    assert_eq!((vault.held(), vault.metrics().locked, vault.verify()), (0, 4096, Ok(())));
}

/// Damage is told of once, by whichever handler; and memory that was found damaged is not counted twice.
#[test]
fn damage_is_told_of_once() {
    static FAULTS: AtomicUsize = AtomicUsize::new(0);
    fn count(_: Fault) {
        FAULTS.fetch_add(1, Ordering::Relaxed);
        panic!("damaged");
    }
    let vault = Vault::builder().budget(8192..=8192).on_fault(count).build().unwrap();
    // SAFETY: this program neither forks nor wipes.
    let memory = unsafe { vault.allocator() }.unwrap();
    let _beside = vault.try_allocate(64).unwrap();
    let mut bytes = Vec::with_capacity_in(64, memory);
    bytes.extend_from_slice(&[7_u8; 64]);
    // All of a canary: Miri itself fails at an atomic word of which a part was written.
    let canary = bytes.as_mut_ptr().wrapping_add(64).cast::<[u8; 8]>();
    // SAFETY: the canary after the secret, which nobody else uses now.
    unsafe { canary.write([1; 8]) };
    let grown = catch_unwind(AssertUnwindSafe(|| bytes.reserve(100)));
    assert!(grown.is_err() && FAULTS.load(Ordering::Relaxed) == 1);
    drop(bytes);
    assert_eq!(FAULTS.load(Ordering::Relaxed), 1);
    // What it grew into is lost with the panic; nothing else is.
    assert_eq!(vault.held(), 2);
}

#[test]
fn a_forked_child_and_a_wiped_process_get_nothing() {
    support::alone("a_forked_child_and_a_wiped_process_get_nothing", || {
        let vault = Vault::new(8192).unwrap();
        // SAFETY: what lies there is looked at no more after the fork and the wipe.
        let memory = unsafe { vault.allocator() }.unwrap();
        let layout = std::alloc::Layout::new::<[u64; 8]>();
        let before = memory.allocate(layout).unwrap();
        let child = support::forked(|| {
            // SAFETY: it was allocated with this layout, and is not used any more.
            unsafe { memory.deallocate(before.cast(), layout) };
            memory.allocate(layout).is_err()
        });
        assert!(child.success());
        strongroom::wipe_all();
        assert_eq!(vault.held(), 1);
        // SAFETY: it was allocated with this layout, and is not used any more.
        unsafe { memory.deallocate(before.cast(), layout) };
        assert_eq!(vault.held(), 0);
        assert!(memory.allocate(layout).is_err());
    });
}
