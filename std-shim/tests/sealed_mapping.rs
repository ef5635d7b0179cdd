//! Memory that nobody can take away, move or open behind a vault's back: `mseal(2)`, Linux 6.10.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::ptr::{null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use std::{io, thread};

use strongroom::{
    Backing, Builder, Policy, SealedMappingError, Vault, VaultError, WindowKind, Windows, page_size,
};
use support::kernel::{locked_bytes, locked_mappings};
use support::memory::{Fault, advise, fault_of, is_readable, kinds};
use support::{alone, alone_in, forked, sandbox, skip};

mod support;

/// A vault whose memory is sealed, and where that lies; `None` if the kernel seals nothing.
fn sealed(builder: Builder) -> Option<(Vault, Vec<Range<usize>>)> {
    let before = locked_mappings();
    let vault = match builder.sealed_mapping(true).build() {
        Ok(vault) => vault,
        Err(VaultError::SealedMapping(error @ SealedMappingError::NotHere)) => {
            skip("mseal", &error.to_string());
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(vault.protections().sealed_mapping);
    let mut mappings = locked_mappings();
    mappings.retain(|mapping| !before.contains(mapping));
    Some((vault, mappings))
}

/// Without windows, whatever the tests are run with.
fn plain() -> Builder {
    Vault::builder().windows(Windows::None)
}

/// Without windows, and with keys where there are any.
fn builders() -> Vec<Builder> {
    let windows = [Windows::None, Windows::Keys].into_iter().take(kinds().len());
    windows.map(|windows| Vault::builder().budget(16384..=16384).windows(windows)).collect()
}

#[test]
fn nobody_takes_the_memory_away_or_changes_its_protection() {
    alone("nobody_takes_the_memory_away_or_changes_its_protection", || {
        for builder in builders() {
            let Some((vault, mappings)) = sealed(builder) else { return };
            let record = vault.seal(b"hunter2", b"").unwrap();
            let opened = vault.try_open(&record, b"").unwrap();
            assert!(!mappings.is_empty());
            let mappings = &mappings;
            // The guard pages too.
            let page = page_size();
            let whole = mappings.iter().map(|mapping| mapping.start - page..mapping.end + page);
            let pages = whole.flat_map(|whole| whole.step_by(page));
            let pages: Vec<usize> = pages.collect();
            thread::scope(|scope| {
                scope.spawn(|| pages.iter().for_each(|&page| refused(page)));
            });
            assert_eq!(opened.expose_secret(), b"hunter2");
            assert_eq!(vault.try_open(&record, b"").unwrap().expose_secret(), b"hunter2");
            vault.verify().unwrap();
            for guard in mappings.iter().flat_map(|range| [range.start - 1, range.end]) {
                // SAFETY: that it ends the process is what is tried.
                let touch = || _ = unsafe { with_exposed_provenance::<u8>(guard).read_volatile() };
                assert_eq!(fault_of(touch), Some(Fault::Access));
            }
            if vault.protections().windows == WindowKind::None {
                // What is sealed is what is mapped there, not what is in it.
                advise(opened.expose_secret().as_ptr(), libc::MADV_DONTNEED_LOCKED).unwrap();
                assert_eq!(opened.expose_secret(), [0; 7]);
            }
            // Its canaries are gone.
            std::mem::forget(opened);
        }
    });
}

/// Whatever would change what is mapped in a page.
fn refused(place: usize) {
    let page = page_size();
    let start = with_exposed_provenance_mut::<libc::c_void>(place);
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let fixed = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let is_refused = |what: &str, failed: bool| {
        let error = io::Error::last_os_error();
        assert!(failed && error.raw_os_error() == Some(libc::EPERM), "{what}: {error}");
    };
    // SAFETY: that the kernel refuses it is what is tried.
    is_refused("munmap", unsafe { libc::munmap(start, page) } != 0);
    // SAFETY: as above.
    is_refused("mprotect", unsafe { libc::mprotect(start, page, access) } != 0);
    // SAFETY: as above.
    is_refused("mprotect", unsafe { libc::mprotect(start, page, libc::PROT_NONE) } != 0);
    let (rights, no_key) = (libc::c_long::from(access), -1 as libc::c_long);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_pkey_mprotect, start, page, rights, no_key) };
    is_refused("pkey_mprotect", set != 0);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    let anywhere = null_mut::<libc::c_void>();
    // SAFETY: as above.
    let moved = unsafe { libc::mremap(start, page, page, flags, anywhere) };
    is_refused("mremap", moved == libc::MAP_FAILED);
    // SAFETY: as above.
    let mapped = unsafe { libc::mmap(start, page, access, fixed, -1, 0) };
    is_refused("mmap", mapped == libc::MAP_FAILED);
}

#[test]
fn at_its_end_it_is_wiped_and_unlocked_though_it_stays() {
    alone("at_its_end_it_is_wiped_and_unlocked_though_it_stays", || {
        for builder in builders() {
            let before = locked_bytes();
            let Some((vault, mappings)) = sealed(builder) else { return };
            let mut opened = vault.try_allocate(64).unwrap();
            opened.expose_secret_mut().fill(7);
            let place = opened.expose_secret().as_ptr();
            assert!(mappings.iter().any(|mapping| mapping.contains(&place.addr())));
            // As the vault's last secret, it is not wiped by its own drop.
            std::mem::forget(opened);
            let has_keys = vault.protections().windows == WindowKind::Keys;
            drop(vault);
            assert_eq!(locked_bytes(), before);
            if has_keys {
                assert!(!is_readable(place));
                continue;
            }
            for place in mappings.into_iter().flatten() {
                // SAFETY: it is mapped, and readable.
                assert_eq!(unsafe { with_exposed_provenance::<u8>(place).read_volatile() }, 0);
            }
        }
    });
}

#[test]
fn a_child_drops_what_it_inherited() {
    alone("a_child_drops_what_it_inherited", || {
        for backing in [Backing::Anonymous, Backing::PreferSecretMemory] {
            let Some((vault, _)) = sealed(plain().backing(backing)) else { return };
            let record = vault.seal(b"hunter2", b"").unwrap();
            let mut vault = Some(vault);
            let child = || {
                drop(vault.take());
                plain().sealed_mapping(true).build().is_ok()
            };
            assert!(forked(child).success(), "{backing:?}");
            let vault = vault.take().unwrap();
            assert_eq!(vault.try_open(&record, b"").unwrap().expose_secret(), b"hunter2");
        }
    });
}

/// What comes and goes is not sealed, and said not to be.
#[test]
fn memory_beyond_the_floor_still_goes() {
    alone("memory_beyond_the_floor_still_goes", || {
        let builder = plain().budget(16384..=65536).reserve("signer", 4096);
        let Some((vault, _)) = sealed(builder) else { return };
        let before = locked_bytes();
        let many: Vec<_> = (0..60).filter_map(|_| vault.try_allocate(500).ok()).collect();
        assert!(locked_bytes() > before && !vault.protections().sealed_mapping);
        drop(many);
        vault.trim();
        assert!(locked_bytes() == before && vault.protections().sealed_mapping);
    });
}

#[test]
fn what_cannot_be_sealed_is_said_or_done_without() {
    let pages = || Vault::builder().windows(Windows::Pages).sealed_mapping(true);
    let error = pages().build().err().unwrap();
    // Whether or not the kernel could.
    let expected = SealedMappingError::WindowsByPages;
    assert!(matches!(error, VaultError::SealedMapping(found) if found == expected), "{error}");
    assert!(error.to_string().contains("Windows::KeysOrNone"), "{error}");
    let preferred = pages().policy(Policy::Prefer).build().unwrap().protections();
    assert!(preferred.windows == WindowKind::Pages && !preferred.sealed_mapping);

    let name = "what_cannot_be_sealed_is_said_or_done_without";
    for (number, expected) in [
        (libc::ENOSYS, SealedMappingError::NotHere),
        (libc::EPERM, SealedMappingError::Refused(libc::EPERM)),
    ] {
        alone_in(name, &number.to_string(), || {
            if let Err(error) = sandbox::refuse(libc::SYS_mseal, None, number) {
                return skip(name, &error.to_string());
            }
            let before = locked_bytes();
            let builder = || plain().sealed_mapping(true);
            let error = builder().build().err().unwrap();
            assert!(matches!(error, VaultError::SealedMapping(found) if found == expected));
            assert!(error.to_string().contains("leave out Builder::sealed_mapping"), "{error}");
            assert_eq!(locked_bytes(), before);
            let vault = builder().policy(Policy::Prefer).build().unwrap();
            assert!(!vault.protections().sealed_mapping);
        });
    }
}
