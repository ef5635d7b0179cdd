//! A vault with windows is shut but for the moments in which somebody uses it. By pages on every machine;
//! by keys where there are any: `tests/guest/run` has some.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::Layout;
use std::io::Write;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use strongroom::strongroom_core::{Buffer, Door, Enclave, Owner};
use strongroom::{
    Backing, KeyShare, Keyring, LockedArena, LockedArenaError, LockedPages, OpenError, Opened,
    Opener, Policy, SecretString, SecretVec, Vault, VaultError, WindowError, WindowKind, Windows,
    wipe_all,
};
use support::kernel::locked_mappings;
use support::memory::{Fault, fault_of, fault_of_handler, is_readable, kinds, take_all_keys};
use support::{forked, skip};

mod support;

fn vault(windows: Windows) -> Vault {
    Vault::builder().budget(16384..=65536).windows(windows).build().unwrap()
}

/// Where a secret is.
fn place(secret: &Opened<'_>) -> *const u8 {
    secret.expose_secret().as_ptr()
}

#[test]
fn a_secret_is_there_while_it_is_exposed_and_shut_otherwise() {
    for windows in kinds() {
        let vault = vault(windows);
        let kind = if windows == Windows::Pages { WindowKind::Pages } else { WindowKind::Keys };
        assert_eq!((vault.windows(), vault.protections().windows), (kind, kind));
        let mut secret = vault.try_allocate(64).unwrap();
        let place = place(&secret);
        assert!(!is_readable(place), "{windows:?}");
        secret.expose_secret_mut().fill(7);
        assert!(!is_readable(place));
        let first = secret.expose_secret();
        let second = secret.expose_secret();
        assert!(is_readable(place) && *first == [7; 64]);
        // Not in the order in which they were made.
        drop(first);
        assert!(is_readable(place) && *second == [7; 64]);
        drop(second);
        assert!(!is_readable(place));
        assert!(secret.with_secret(|bytes| bytes == [7; 64] && is_readable(place)));
        assert!(secret.constant_time_eq(&[7; 64]) && !is_readable(place));
        drop(secret);
        assert!(!is_readable(place), "a free cell");
    }
}

#[test]
fn a_window_is_of_one_thread_with_keys_and_of_all_with_pages() {
    for windows in kinds() {
        let vault = vault(windows);
        let secret = vault.try_allocate(64).unwrap();
        let place = place(&secret).addr();
        let (ask, asked) = channel::<()>();
        let (answer, answered) = channel();
        let other = thread::spawn(move || {
            // It was there before.
            asked.iter().for_each(|()| {
                answer.send(is_readable(std::ptr::with_exposed_provenance(place))).unwrap();
            });
        });
        let is_open_there = || {
            ask.send(()).unwrap();
            answered.recv().unwrap()
        };
        assert!(!is_open_there());
        let guard = secret.expose_secret();
        assert_eq!(is_open_there(), windows == Windows::Pages);
        drop(guard);
        assert!(!is_open_there());
        drop(ask);
        other.join().unwrap();
    }
}

#[test]
fn no_byte_of_the_memory_is_open_and_the_key_s_is_not_even_in_a_window() {
    for windows in kinds() {
        // In a child, where no other test maps memory meanwhile.
        assert_eq!(fault_of(|| look_at_all_memory(windows)), None, "{windows:?}");
    }
}

fn look_at_all_memory(windows: Windows) {
    let before = locked_mappings();
    let vault = vault(windows);
    let secret = vault.try_allocate(64).unwrap();
    let mut mappings = locked_mappings();
    mappings.retain(|mapping| !before.contains(mapping));
    assert_eq!(mappings.len(), 2, "the secrets' and the key's: {mappings:x?}");
    let open = |mapping: &Range<usize>| {
        let places = mapping.clone().step_by(64).map(std::ptr::with_exposed_provenance);
        places.filter(|&place| is_readable(place)).count()
    };
    assert_eq!(mappings.iter().map(open).sum::<usize>(), 0);
    let guard = secret.expose_secret();
    let place = guard.as_ptr().addr();
    for mapping in &mappings {
        let has_secret = mapping.contains(&place);
        assert_eq!(open(mapping) > 0, has_secret);
    }
}

#[test]
fn whatever_a_vault_does_it_does_through_a_window_and_shuts_it() {
    for windows in kinds() {
        let vault = Arc::new(vault(windows));
        let witness = vault.try_allocate(64).unwrap();
        let place = place(&witness);
        let vault = &vault;
        let sealed = vault.seal(b"hunter2", b"context").unwrap();
        let open = |sealed: &_| vault.try_open(sealed, b"context").unwrap();
        let mut steps: Vec<Step<'_>> = Vec::new();
        steps.push(("open", Box::new(|| assert_eq!(open(&sealed).expose_secret(), b"hunter2"))));
        steps.push(("seal", Box::new(|| drop(open(&sealed).seal(b"").unwrap()))));
        steps.push(("values", {
            Box::new(|| {
                let mut key = vault.try_allocate_value::<[u64; 4]>().unwrap();
                key.fill_random().unwrap();
                let sealed = key.seal(b"").unwrap();
                let again = vault.try_open_value::<[u64; 4]>(&sealed, b"").unwrap();
                assert!(*again.expose_secret() == *key.expose_secret());
            })
        }));
        steps.push(("build", {
            Box::new(|| {
                let built = vault.try_build(|place| place.write(Reads([7; 40]))).unwrap();
                assert_eq!(built.try_expose_secret().unwrap().0, [7; 40]);
            })
        }));
        steps.push(("grow", {
            Box::new(|| {
                let mut text = SecretString::new(&**vault);
                let mut bytes = SecretVec::<u8, _>::new(vault.share());
                for _ in 0..50 {
                    text.push_str("hunter2").unwrap();
                    bytes.extend_from_slice(b"hunter2").unwrap();
                }
                assert_eq!(text.expose_secret().len(), bytes.expose_secret().len());
                text.truncate(3);
            })
        }));
        steps.push(("several", {
            Box::new(|| {
                let share = vault.share();
                let [one, other] = share
                    .open_all_timeout(
                        [(&sealed, &b"context"[..]), (&sealed, b"context")],
                        Duration::from_secs(1),
                    )
                    .unwrap();
                assert!(one.constant_time_eq(&other.expose_secret()));
            })
        }));
        steps.push(("stream", {
            Box::new(|| {
                let mut sealing = vault.try_seal_stream(Vec::new(), b"").unwrap();
                sealing.write_all(&[7; 9000]).unwrap();
                let stream = sealing.finish().unwrap();
                let mut opening = vault.try_open_stream(&stream[..], b"").unwrap();
                assert_eq!(opening.chunk().unwrap()[0], 7);
            })
        }));
        steps.push(("look", {
            Box::new(|| {
                vault.verify().unwrap();
                let _ = (vault.stats(), vault.metrics(), vault.protections());
                vault.fill_random(&mut [0; 300]).unwrap();
                vault.refresh();
                vault.trim();
            })
        }));
        steps.push(("grow and give back", {
            Box::new(|| {
                let many: Vec<_> = (0..60).filter_map(|_| vault.try_allocate(500).ok()).collect();
                assert!(many.len() > 40);
                drop(many);
                vault.trim();
            })
        }));
        steps.push(("read", {
            Box::new(|| {
                let read = vault.read_to_end(&b"hunter2"[..], 100).unwrap();
                assert_eq!(read.expose_secret(), b"hunter2");
            })
        }));
        for (step, act) in &steps {
            act();
            assert!(!is_readable(place), "{windows:?}: {step}");
        }
        drop(steps);
        vault.destroy();
        assert!(matches!(vault.seal(b"", b""), Err(strongroom::SealError::Destroyed)));
    }
}

/// Something that a vault does, and its name.
type Step<'v> = (&'static str, Box<dyn Fn() + 'v>);

/// Reads itself at its end.
struct Reads([u8; 40]);

impl Drop for Reads {
    fn drop(&mut self) {
        assert_eq!(self.0, [7; 40]);
    }
}

#[test]
fn a_stray_read_ends_the_process_and_says_why() {
    for windows in kinds() {
        let vault = vault(windows);
        let secret = vault.try_allocate(64).unwrap();
        let place = place(&secret);
        let expected = if windows == Windows::Keys { Fault::Key } else { Fault::Access };
        assert_eq!(fault_of(|| read(place)), Some(expected), "after the guard's end");
        let guard = secret.expose_secret();
        assert_eq!(fault_of(|| read(guard.as_ptr())), None);
        let address = guard.as_ptr().addr();
        let in_thread = || {
            let read = move || read(std::ptr::with_exposed_provenance(address));
            // One that was made while there is a window is born with it: SECURITY.md says so.
            thread::spawn(read).join().unwrap();
        };
        assert_eq!(fault_of(in_thread), None);
        drop(guard);
        assert_eq!(fault_of(in_thread), Some(expected), "a fresh thread");
    }
}

#[test]
fn a_signal_handler_has_no_window_of_whom_it_interrupts() {
    for windows in kinds() {
        let vault = vault(windows);
        let secret = vault.try_allocate(64).unwrap();
        let guard = secret.expose_secret();
        let address = guard.as_ptr().addr();
        let read = move || read(std::ptr::with_exposed_provenance(address));
        let expected = (windows == Windows::Keys).then_some(Fault::Key);
        assert_eq!(fault_of_handler(read), expected);
        // It may make one of its own, and that of whom it interrupts is there when it returns.
        let look = || {
            assert_eq!(secret.expose_secret().len(), 64);
            if windows == Windows::Keys {
                assert_eq!(secret.expose_secret()[3], 0);
            }
        };
        assert_eq!(fault_of_handler(look), None);
        assert_eq!(guard[3], 0);
    }
}

#[test]
fn an_emergency_opens_what_it_wipes() {
    for windows in kinds() {
        for in_handler in [false, true] {
            let vault = vault(windows);
            let mut secret = vault.try_allocate(64).unwrap();
            secret.expose_secret_mut().fill(7);
            let is_zero = || assert_eq!(*secret.expose_secret(), [0; 64]);
            let wipe = || {
                if in_handler {
                    assert_eq!(fault_of_handler(wipe_all), None);
                } else {
                    wipe_all();
                }
                is_zero();
                let guard = secret.expose_secret();
                wipe_all();
                drop(guard);
                is_zero();
            };
            assert_eq!(fault_of(wipe), None, "{windows:?}");
        }
    }
}

#[test]
fn a_forked_child_finds_zeros_and_no_lock() {
    for windows in kinds() {
        let vault = vault(windows);
        let secret = vault.try_allocate(64).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Somebody is always opening or shutting at the moment of the fork.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(secret.expose_secret()[0], 0);
                }
            });
            for _ in 0..200 {
                let child = || {
                    let begun = Instant::now();
                    assert_eq!(*secret.expose_secret(), [0; 64]);
                    assert!(matches!(vault.try_allocate(8), Err(OpenError::Forked)));
                    assert!(begun.elapsed() < Duration::from_secs(5));
                    true
                };
                assert!(forked(child).success(), "{windows:?}");
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_forgotten_guard_leaves_its_window_open_and_no_other() {
    for windows in kinds() {
        let (first, second) = (vault(windows), vault(windows));
        let (forgotten, other) =
            (first.try_allocate(64).unwrap(), second.try_allocate(64).unwrap());
        let (at_forgotten, at_other) = (place(&forgotten), place(&other));
        thread::scope(|scope| {
            let at = [at_forgotten.addr(), at_other.addr()];
            let forget = scope.spawn(move || {
                let [forgotten_at, other_at] = at.map(std::ptr::with_exposed_provenance);
                mem::forget(forgotten.expose_secret());
                assert!(is_readable(forgotten_at));
                // One key is for all vaults' secrets.
                assert_eq!(is_readable(other_at), windows == Windows::Keys);
                forgotten
            });
            drop(forget.join().unwrap());
        });
        // It was that thread's, or is the memory's.
        assert_eq!(is_readable(at_forgotten), windows == Windows::Pages);
        assert!(!is_readable(at_other));
    }
}

#[test]
fn a_guard_may_be_dropped_while_a_thread_s_locals_end() {
    thread_local! {
        static LAST: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    struct Late(Arc<Vault>, Option<strongroom::OwnedOpened>);
    impl Drop for Late {
        fn drop(&mut self) {
            let secret = self.1.take().unwrap();
            assert_eq!(secret.expose_secret()[0], 0);
            drop(secret);
            assert!(self.0.try_allocate(64).is_ok());
        }
    }
    for windows in kinds() {
        let vault = Arc::new(vault(windows));
        let share = vault.share();
        thread::spawn(move || {
            let secret = share.try_allocate(64).unwrap();
            let late = Late(share.vault().clone(), Some(secret));
            LAST.with(|last| *last.borrow_mut() = Some(late));
        })
        .join()
        .unwrap();
        assert_eq!(vault.held(), 0);
    }
}

#[test]
fn secret_memory_has_windows_too() {
    for windows in kinds() {
        let vault = Vault::builder().backing(Backing::PreferSecretMemory).windows(windows).build();
        let vault = vault.unwrap();
        let secret = vault.try_allocate(64).unwrap();
        let place = place(&secret);
        assert!(!is_readable(place) && secret.expose_secret()[0] == 0);
    }
}

#[test]
fn what_cannot_be_had_is_said_or_done_without() {
    let kind = |windows, policy| {
        let vault = Vault::builder().windows(windows).policy(policy).build();
        vault.map(|vault| vault.protections().windows)
    };
    assert_eq!(kind(Windows::None, Policy::Require).unwrap(), WindowKind::None);
    assert_eq!(kind(Windows::Pages, Policy::Require).unwrap(), WindowKind::Pages);
    let best = |otherwise| if kinds().len() > 1 { WindowKind::Keys } else { otherwise };
    assert_eq!(kind(Windows::KeysOrPages, Policy::Require).unwrap(), best(WindowKind::Pages));
    assert_eq!(kind(Windows::KeysOrNone, Policy::Require).unwrap(), best(WindowKind::None));
    assert_eq!(kind(Windows::Keys, Policy::Prefer).unwrap(), best(WindowKind::None));
    if let Err(error) = kind(Windows::Keys, Policy::Require) {
        assert!(matches!(error, VaultError::Windows(WindowError::NoKeysHere)), "{error}");
        let remedy = "ask for Windows::KeysOrPages or Windows::Pages";
        assert!(error.to_string().contains(remedy), "{error}");
    }
    // The budget begins at two pages, of which one is the key's.
    let smallest = Vault::builder().budget(0..=0).windows(Windows::Pages).build().unwrap();
    assert_eq!(smallest.metrics().budget, 2 * strongroom::page_size());
    assert_eq!(smallest.metrics().locked, 2 * strongroom::page_size());
    assert_eq!(smallest.metrics().windows, WindowKind::Pages);
    assert_eq!(strongroom::Limits::read().protection_keys, kinds().len() > 1);
}

#[test]
fn keys_that_others_have_taken_are_said_to_be() {
    if kinds().len() < 2 {
        return;
    }
    let child = || {
        // Not by this process's earlier vaults: a fresh one is asked.
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_key_is_left", "--ignored"])
            .status()
            .unwrap();
        assert!(status.success());
    };
    child();
}

#[test]
#[ignore = "takes all keys of its process"]
fn no_key_is_left() {
    assert_eq!(take_all_keys(), 15);
    let error = Vault::builder().windows(Windows::Keys).build().err().unwrap();
    assert!(matches!(error, VaultError::Windows(WindowError::NoKeyLeft)), "{error}");
    let vault = Vault::builder().windows(Windows::KeysOrPages).build().unwrap();
    assert_eq!(vault.protections().windows, WindowKind::Pages);
}

#[test]
#[cfg(feature = "allocator-api2-0_2")]
fn plain_pointers_are_refused() {
    let vault = Arc::new(vault(Windows::Pages));
    // SAFETY: nothing is put there.
    assert!(matches!(unsafe { vault.allocator() }, Err(WindowError::PlainPointers)));
    // SAFETY: as above.
    assert!(matches!(unsafe { vault.share().allocator() }, Err(WindowError::PlainPointers)));
}

/// The page is shut in which a share of the key is for a time, fetched from the kernel's keyring.
#[test]
fn a_share_that_is_near_is_shut() {
    for windows in kinds() {
        assert_eq!(fault_of(|| look_at_a_near_share(windows)), None, "{windows:?}");
    }
}

fn look_at_a_near_share(windows: Windows) {
    let before = locked_mappings();
    let builder = Vault::builder().windows(windows).key_share_kept(Duration::from_secs(60));
    let vault = match builder.key_share(KeyShare::Keyring(Keyring::Process)).build() {
        Ok(vault) => vault,
        Err(error) => return skip("the keyring", &error.to_string()),
    };
    let sealed = vault.seal(b"hunter2", b"").unwrap();
    let mut mappings = locked_mappings();
    mappings.retain(|mapping| !before.contains(mapping));
    assert_eq!(mappings.len(), 3, "the secrets', the key's and the share's: {mappings:x?}");
    for _ in 0..2 {
        assert_eq!(vault.try_open(&sealed, b"").unwrap().expose_secret(), b"hunter2");
        let places = mappings.iter().cloned().flatten().step_by(64);
        let is_open = |place| is_readable(std::ptr::with_exposed_provenance(place));
        assert_eq!(places.filter(|&place| is_open(place)).count(), 0);
        vault.refresh();
    }
    vault.destroy();
}

/// A locked arena without a vault has windows as well.
#[test]
fn a_locked_arena_is_shut_but_for_its_guards() {
    for windows in kinds() {
        let pages = LockedPages::new(16384).unwrap();
        let locked = Arc::new(LockedArena::with_windows(pages, windows).unwrap());
        let kind = locked.pages().protections().windows;
        assert_eq!(kind == WindowKind::Keys, windows == Windows::Keys);
        let arena = locked.arena().unwrap();
        let key = Buffer::wiping(arena, &mut [7; 32]).unwrap();
        let mut owned = locked.buffer::<u64>(4).unwrap();
        let enclave = Enclave::new(arena).unwrap();
        let sealed = enclave.seal(b"hunter2", b"", [0; Enclave::record_len(7)]).unwrap();
        let place = key.expose_secret().as_ptr();
        let every = locked.pages().as_non_null().cast::<u8>().as_ptr().cast_const();
        let open =
            || (0..16384).step_by(64).filter(|&at| is_readable(every.wrapping_add(at))).count();
        assert_eq!(open(), 0, "{windows:?}");
        let expected = if windows == Windows::Keys { Fault::Key } else { Fault::Access };
        assert_eq!(fault_of(|| read(place)), Some(expected));
        let guard = key.expose_secret();
        assert!(*guard == [7; 32] && open() == 256);
        drop(guard);
        owned.expose_secret_mut().fill(7);
        assert!(owned.constant_time_eq(&[7; 4]));
        assert_eq!(enclave.open(&sealed, b"").unwrap().expose_secret(), b"hunter2");
        let plain = arena.allocate(Layout::new::<[u8; 8]>()).unwrap().cast::<u8>();
        assert!(!is_readable(plain.as_ptr()));
        let window = arena.owner().open(Door::Expose);
        assert!(is_readable(plain.as_ptr()));
        drop(window);
        // SAFETY: it was allocated for this layout, and ends here.
        unsafe { arena.deallocate(plain, Layout::new::<[u8; 8]>()) };
        assert_eq!((open(), arena.verify()), (0, Ok(())));
        let wipe = || {
            wipe_all();
            assert_eq!(*key.expose_secret(), [0; 32]);
        };
        assert_eq!(fault_of(wipe), None);
    }
    let refused = LockedArena::with_windows(LockedPages::new(4096).unwrap(), Windows::Keys);
    if kinds().len() < 2 {
        let error = refused.unwrap_err();
        assert!(matches!(error, LockedArenaError::Windows(WindowError::NoKeysHere)), "{error}");
    }
}

/// Many threads open, read, grow and wait: no fault that should not be, and no window stays open.
#[test]
fn threads_beside_each_other() {
    stress(Duration::from_secs(1));
}

#[test]
#[ignore = "as long as STRONGROOM_SECONDS says"]
fn windows_stress() {
    let seconds = std::env::var("STRONGROOM_SECONDS").map_or(60, |text| text.parse().unwrap());
    stress(Duration::from_secs(seconds));
}

fn stress(time: Duration) {
    for windows in kinds() {
        let vault = Arc::new(vault(windows));
        let sealed: Vec<_> =
            (0..40_u8).map(|byte| vault.seal(&[byte; 300], &[byte]).unwrap()).collect();
        let until = Instant::now() + time;
        thread::scope(|scope| {
            for thread in 0..8_usize {
                let (vault, sealed) = (&vault, &sealed);
                scope.spawn(move || {
                    for step in thread.. {
                        if Instant::now() > until {
                            break;
                        }
                        let byte = u8::try_from(step * 7 % sealed.len()).unwrap();
                        let sealed = &sealed[usize::from(byte)];
                        let mut opened =
                            vault.open_timeout(sealed, &[byte], Duration::from_secs(20)).unwrap();
                        let place = place(&opened);
                        if windows == Windows::Keys {
                            assert!(!is_readable(place));
                        }
                        let first = opened.expose_secret();
                        assert!(first.iter().all(|&found| found == byte));
                        let second = opened.expose_secret();
                        drop(first);
                        assert!(second.iter().all(|&found| found == byte));
                        drop(second);
                        opened.expose_secret_mut().fill(byte.wrapping_add(1));
                        assert_eq!(opened.expose_secret()[299], byte.wrapping_add(1));
                        if step % 64 == 0 {
                            vault.verify().unwrap();
                            vault.refresh();
                        }
                        drop(opened);
                    }
                });
            }
        });
        let secret = vault.try_allocate(64).unwrap();
        assert!(!is_readable(place(&secret)), "{windows:?}: a window was left open");
        assert_eq!(vault.held(), 1);
    }
}

/// A load, which the compiler cannot leave out.
fn read(place: *const u8) {
    // SAFETY: the memory is mapped. If it may not be read, the process is to end.
    let _ = unsafe { place.read_volatile() };
}
