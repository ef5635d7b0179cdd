//! All memory of a process, read by a thread that has no window, while many secrets are open. By keys where
//! there are any: `tests/guest/run keys`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::ptr;
use std::sync::Barrier;
use std::thread;

use strongroom::{Opened, Vault, Windows, page_size};
use support::kernel::locked_mappings;
use support::memory::{is_readable, kinds};

mod support;

#[test]
fn no_secret_that_is_open_is_read_without_a_window() {
    let (found, shut) = scan(Windows::None);
    assert_eq!((found, shut), (SECRETS, 0), "then this would prove nothing");
    for windows in kinds() {
        let (found, shut) = scan(windows);
        assert_eq!(found, 0, "{windows:?}");
        assert!(shut >= BUDGET, "{shut} bytes are shut, {windows:?}");
    }
}

/// How many of the secrets a thread without a window finds by reading all that it may, and how many bytes of
/// the vault it may not read.
fn scan(windows: Windows) -> (usize, usize) {
    let before = locked_mappings();
    let vault = Vault::builder().budget(BUDGET..=BUDGET).windows(windows).build().unwrap();
    let secrets: Vec<_> = (0..SECRETS).map(|_| random(&vault)).collect();
    let wanted = Wanted::of(&secrets);
    let own: Vec<_> =
        locked_mappings().into_iter().filter(|mapping| !before.contains(mapping)).collect();
    let begun = Barrier::new(2);
    thread::scope(|scope| {
        // A thread that is made by one with a window is born with it, so this one comes first.
        let scanner = scope.spawn(|| {
            begun.wait();
            let shut = own.iter().map(|mapping| shut_bytes(mapping.clone())).sum();
            (wanted.found(), shut)
        });
        // By keys a window is of one thread.
        let _guard = (windows == Windows::Keys).then(|| secrets[0].expose_secret());
        begun.wait();
        scanner.join().unwrap()
    })
}

fn random(vault: &Vault) -> Opened<'_> {
    let mut secret = vault.try_allocate(64).unwrap();
    secret.fill_random().unwrap();
    secret
}

fn shut_bytes(mapping: Range<usize>) -> usize {
    let pages = mapping.step_by(page_size());
    pages.filter(|&page| !is_readable(ptr::with_exposed_provenance(page))).count() * page_size()
}

/// The first eight bytes of each secret, all bits of them inverted: what is wanted is not to be found here.
struct Wanted {
    numbers: HashMap<u64, usize>,
    /// Whether any begins with these two bytes.
    begins: Vec<bool>,
}

impl Wanted {
    fn of(secrets: &[Opened<'_>]) -> Self {
        let mut wanted = Self { numbers: HashMap::new(), begins: vec![false; 1 << 16] };
        for (number, secret) in secrets.iter().enumerate() {
            let secret = secret.expose_secret();
            let inverted =
                secret[..8].iter().rev().fold(0, |all, &byte| all << 8 | u64::from(!byte));
            wanted.numbers.insert(inverted, number);
            wanted.begins[usize::from(u16::from_le_bytes([secret[0], secret[1]]))] = true;
        }
        wanted
    }

    /// How many of them lie anywhere in what the calling thread may read.
    fn found(&self) -> usize {
        let mut found = vec![false; self.numbers.len()];
        for mapping in mappings() {
            for page in mapping.step_by(page_size()) {
                if is_readable(ptr::with_exposed_provenance(page)) {
                    self.look_at(ptr::with_exposed_provenance(page), &mut found);
                }
            }
        }
        found.into_iter().filter(|found| *found).count()
    }

    fn look_at(&self, page: *const u64, found: &mut [bool]) {
        let mut before = 0_u64;
        for word in 0..=page_size() / 8 {
            let now = if word == page_size() / 8 {
                0
            } else {
                // SAFETY: the page may be read, and no thread unmaps anything meanwhile.
                u64::from_le(unsafe { page.wrapping_add(word).read_volatile() })
            };
            // The eight bytes from each of those before on.
            for bits in (0..64).step_by(8) {
                let eight = before >> bits | now.checked_shl(64 - bits).unwrap_or(0);
                if self.begins[(eight & 0xffff) as usize]
                    && let Some(&number) = self.numbers.get(&!eight)
                {
                    found[number] = true;
                }
            }
            before = now;
        }
    }
}

/// All mappings but the kernel's own.
fn mappings() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| !line.contains("[v"));
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    };
    lines.filter_map(range).collect()
}

const SECRETS: usize = 500;
/// Bytes in which so many fit.
const BUDGET: usize = 64 * 1024;
