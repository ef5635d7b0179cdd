//! The ways around windows of *PKU Pitfalls* (Connor and others, USENIX Security 2020) and some more: what
//! holds and what does not is as SECURITY.md says. By keys where there are any: `tests/guest/run keys`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use strongroom::{Opened, Vault, Windows};
use support::memory::{
    Fault, advise, fault_of, is_readable, kinds, moved, reprotect, take_key_off, through_a_tracer,
    through_proc, through_the_kernel,
};
use support::{forked, skip};

#[cfg(target_pointer_width = "64")]
#[path = "windows_around/ring.rs"]
mod ring;
mod support;

fn vault(windows: Windows) -> Vault {
    Vault::builder().budget(16384..=65536).windows(windows).build().unwrap()
}

/// A secret, and where it is.
fn secret(vault: &Vault) -> (Opened<'_>, *const u8) {
    let mut secret = vault.try_allocate(64).unwrap();
    secret.expose_secret_mut().fill(BYTE);
    let place = secret.expose_secret().as_ptr();
    (secret, place)
}

const BYTE: u8 = 0xa5;

#[test]
fn through_the_kernel_and_by_a_changed_mapping() {
    for windows in kinds() {
        let vault = vault(windows);
        let (_secret, place) = secret(&vault);
        let keys = windows == Windows::Keys;
        // The kernel reads for whoever asks, whatever the thread may do.
        assert!(through_proc(place) == Some(BYTE), "/proc/self/mem");
        assert_eq!(through_the_kernel(place) == Some(BYTE), keys, "process_vm_readv");
        // What another moves or gives away stays shut, or is gone.
        let moves = || {
            let to = moved(place);
            assert!(to != place && !is_readable(to));
        };
        assert_eq!(fault_of(moves), None, "mremap");
        // Whoever changes the protection has it.
        let opened = fault_of(|| {
            reprotect(place);
            read(place);
        });
        assert_eq!(opened, keys.then_some(Fault::Key), "mprotect");
        let opened = fault_of(|| {
            take_key_off(place);
            read(place);
        });
        assert_eq!(opened, None, "pkey_mprotect");
    }
}

#[test]
fn by_a_process_that_traces_this_one() {
    for windows in kinds() {
        let vault = vault(windows);
        let (_secret, place) = secret(&vault);
        match through_a_tracer(place) {
            Ok(byte) => assert_eq!(byte, Some(BYTE)),
            Err(error) => skip("ptrace", &error.to_string()),
        }
    }
}

/// Nothing that is said about the memory opens it.
#[test]
fn by_advice() {
    for windows in kinds() {
        let vault = vault(windows);
        let (secret, place) = secret(&vault);
        // A forked child finds what it should not, and that is shut.
        advise(place, libc::MADV_DOFORK).unwrap();
        advise(place, libc::MADV_KEEPONFORK).unwrap();
        assert!(forked(|| !is_readable(place)).success());
        assert!(forked(|| secret.expose_secret()[0] == BYTE).success());
        advise(place, libc::MADV_WIPEONFORK).unwrap();
        advise(place, libc::MADV_DODUMP).unwrap();
        assert!(!is_readable(place));
        // Locked memory is not thrown away but by the one advice that says so; then the secret is gone.
        assert!(advise(place, libc::MADV_DONTNEED).is_err());
        assert!(advise(place, libc::MADV_FREE).is_err());
        if advise(place, libc::MADV_DONTNEED_LOCKED).is_ok() {
            assert!(!is_readable(place));
            assert!(secret.expose_secret()[0] == 0);
        }
        // The canaries are gone as well.
        std::mem::forget(secret);
        std::mem::forget(vault);
    }
}

/// Who returns from a signal handler has what the frame on its stack says.
#[test]
#[cfg(target_arch = "x86_64")]
fn by_a_forged_signal_frame() {
    for windows in kinds() {
        let vault = vault(windows);
        let (_secret, place) = secret(&vault);
        let opened = fault_of(|| {
            support::memory::forge_register();
            read(place);
        });
        let expected = if windows == Windows::Keys { None } else { Some(Fault::Access) };
        assert_eq!(opened, expected, "{windows:?}");
    }
}

/// Whoever has the thread execute `wrpkru`, or `xrstor` with a state of his own, opens what is shut. Lists
/// where either is, as bytes: in code that means it, or by chance and in the middle of something else.
#[test]
#[cfg(target_arch = "x86_64")]
fn by_code_that_changes_the_register() {
    let planted = planted as fn() as usize;
    let mut found = code::found();
    assert!(found.iter().any(|place| (planted..planted + 64).contains(&place.address)));
    found.retain(|place| !place.name.contains("planted"));
    for code::Found { instruction, file, name, .. } in &found {
        println!("{instruction} in {file}: {name}");
    }
    let exe = std::env::current_exe().unwrap().display().to_string();
    let is_own = |place: &&code::Found| place.file == exe && place.name.contains("strongroom::");
    let own: Vec<_> = found.iter().filter(is_own).collect();
    if cfg!(not(debug_assertions)) {
        skip("whose the instructions are", "optimised, they are in whatever calls what means them");
    } else if code::has_names(&exe) {
        let means_it = |name: &str| {
            let parts = ["::windows::", "::sys::keys::", "::emergency::", "::sealed_mapping::"];
            parts.iter().any(|part| name.contains(part))
        };
        assert!(!own.is_empty() && own.iter().all(|place| means_it(&place.name)), "{own:?}");
    } else {
        skip("whose the instructions are", "there is no nm, or the program was stripped");
    }
}

/// Never called.
#[cfg(target_arch = "x86_64")]
fn planted() {
    // SAFETY: it is never executed.
    unsafe { std::arch::asm!("wrpkru", in("eax") 0, in("ecx") 0, in("edx") 0) }
}

#[cfg(target_arch = "x86_64")]
mod code {
    use std::fs;
    use std::process::Command;

    /// An instruction's bytes in the code of this process.
    #[derive(Debug)]
    pub(crate) struct Found {
        pub(crate) instruction: &'static str,
        pub(crate) file: String,
        pub(crate) address: usize,
        /// The function, or where in the file.
        pub(crate) name: String,
    }

    /// All that are in the files that are mapped to be executed.
    pub(crate) fn found() -> Vec<Found> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut found = Vec::new();
        for line in maps.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [range, rights, offset, _, _, file] = fields[..] else { continue };
            if !rights.contains('x') || !file.starts_with('/') {
                continue;
            }
            let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let (start, end, offset) = (number(start), number(end), number(offset));
            let bytes = fs::read(file).unwrap();
            let code = &bytes[offset..bytes.len().min(offset + end - start)];
            let names = names(file);
            for (at, window) in code.windows(3).enumerate() {
                let Some(instruction) = instruction(window) else { continue };
                // Where the linker put it: pages have the same places in the file but for whole pages.
                let before = names.iter().rev().find(|name| name.0 <= linked(&bytes, offset + at));
                let name = before.map_or(format!("{:x}", offset + at), |name| name.1.clone());
                let file = file.to_owned();
                found.push(Found { instruction, file, address: start + at, name });
            }
        }
        found
    }

    fn instruction(bytes: &[u8]) -> Option<&'static str> {
        match *bytes {
            [0x0f, 0x01, 0xef] => Some("wrpkru"),
            // Of /5 with a register that would be `lfence`.
            [0x0f, 0xae, form] if form >> 3 & 7 == 5 && form >> 6 != 3 => Some("xrstor"),
            _ => None,
        }
    }

    /// The address that the program headers give a byte of the file (`elf(5)`).
    fn linked(elf: &[u8], offset: usize) -> usize {
        let word = |at: usize| {
            usize::try_from(u64::from_le_bytes(elf[at..at + 8].try_into().unwrap())).unwrap()
        };
        let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
        let headers = (0..half(56)).map(|index| word(32) + index * half(54));
        let (first, address) = headers
            .filter(|&at| elf[at..at + 4] == [1, 0, 0, 0])
            .map(|at| (word(at + 8)..word(at + 8) + word(at + 32), word(at + 16)))
            .find(|(part, _)| part.contains(&offset))
            .map_or((0, 0), |(part, address)| (part.start, address));
        offset - first + address
    }

    /// A program's functions in the order of their addresses, by `nm(1)`.
    fn names(file: &str) -> Vec<(usize, String)> {
        let mut names = Vec::new();
        for dynamic in [&[][..], &["--dynamic"]] {
            let mut command = Command::new("nm");
            command.args(["--demangle", "--defined-only", "--numeric-sort"]).args(dynamic);
            let output = command.arg(file).output();
            let output = output.map_or(Vec::new(), |output| output.stdout);
            for line in String::from_utf8_lossy(&output).lines() {
                let mut fields = line.splitn(3, ' ');
                let (address, kind) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
                let Ok(address) = usize::from_str_radix(address, 16) else { continue };
                if "tTwWi".contains(kind) {
                    names.push((address, fields.next().unwrap_or("").to_owned()));
                }
            }
        }
        names.sort();
        names
    }

    pub(crate) fn has_names(file: &str) -> bool {
        names(file).len() > 10
    }
}

/// A load, which the compiler cannot leave out.
fn read(place: *const u8) {
    // SAFETY: the memory is mapped. If it may not be read, the process is to end.
    let _ = unsafe { place.read_volatile() };
}
