//! Core files of agents, and what whoever has one can read in it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use aes::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha512};

use super::done;

/// A core file, as gdb writes it of a process that goes on.
pub struct CoreFile {
    pub path: PathBuf,
    bytes: Vec<u8>,
    segments: Vec<Segment>,
}

struct Segment {
    addresses: Range<u64>,
    /// Where its bytes are in the file.
    at: usize,
}

impl CoreFile {
    /// `gcore`, which takes what the kernel would put into a core file of its own.
    pub fn of(id: u32, folder: &Path) -> Self {
        let path = folder.join(format!("core.{id}"));
        done(Command::new("gcore").arg("-o").arg(folder.join("core")).arg(id.to_string()));
        let bytes = fs::read(&path).unwrap();
        let segments = segments(&bytes).unwrap();
        Self { path, bytes, segments }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether bytes of these addresses are in it.
    pub fn has_any_of(&self, addresses: &Range<u64>) -> bool {
        self.segments.iter().any(|segment| {
            segment.addresses.start < addresses.end && addresses.start < segment.addresses.end
        })
    }

    fn at(&self, address: u64, len: usize) -> Option<&[u8]> {
        let segment = self.segments.iter().find(|segment| segment.addresses.contains(&address))?;
        let at = segment.at + usize::try_from(address - segment.addresses.start).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }

    /// The private keys that OpenSSH's agent has at rest. It encrypts each under a hash of 16 KiB of random
    /// bytes ("shielded"), and both lie in the process: `shielded_private`, `shielded_len`, `shield_prekey`
    /// and `shield_prekey_len`, one after the other in its `struct sshkey`.
    pub fn shielded_keys(&self) -> Vec<Vec<u8>> {
        let words: Vec<u64> =
            self.segments.iter().flat_map(|segment| self.words(segment)).collect();
        let found = words.windows(4).filter_map(|fields| {
            let &[private, len, prekey, prekey_len] = fields else { return None };
            if prekey_len != PREKEY || len == 0 || len > 1 << 14 || len % 16 != 0 {
                return None;
            }
            let prekey = self.at(prekey, usize::try_from(prekey_len).ok()?)?;
            let hash = Sha512::digest(prekey);
            let mut private = self.at(private, usize::try_from(len).ok()?)?.to_vec();
            let (key, rest) = hash.split_first_chunk::<32>()?;
            let (nonce, _) = rest.split_first_chunk::<16>()?;
            let mut cipher = ctr::Ctr128BE::<aes::Aes256>::new(key.into(), nonce.into());
            cipher.apply_keystream(&mut private);
            private.get(4..).is_some_and(|name| name.starts_with(b"ssh-")).then_some(private)
        });
        found.collect()
    }

    fn words(&self, segment: &Segment) -> impl Iterator<Item = u64> {
        let len = usize::try_from(segment.addresses.end - segment.addresses.start).unwrap();
        let bytes = &self.bytes[segment.at..segment.at + len];
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
    }
}

impl Drop for CoreFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The parts of a core file that have bytes (elf(5), `PT_LOAD`), on a machine of 64 bits.
fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let size = |at: usize| usize::try_from(word(at)?).ok();
    let (table, entry, count) = (size(32)?, usize::from(half(54)?), usize::from(half(56)?));
    assert_eq!(bytes.first_chunk(), Some(b"\x7fELF\x02"), "an ELF file of 64 bits");
    let mut segments = Vec::new();
    for header in (0..count).map(|number| table + number * entry) {
        let (at, address, len) = (size(header + 8)?, word(header + 16)?, word(header + 32)?);
        if half(header)? == 1 && len > 0 && at + usize::try_from(len).ok()? <= bytes.len() {
            segments.push(Segment { addresses: address..address + len, at });
        }
    }
    Some(segments)
}

/// The mappings of a process that are locked and stay out of core files (`lo`, `dd` in its smaps).
pub fn hidden_mappings(id: u32) -> Vec<Range<u64>> {
    let smaps = fs::read_to_string(format!("/proc/{id}/smaps")).unwrap();
    let mut hidden = Vec::new();
    let mut current = 0..0;
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let hex = |text| u64::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = range.map(|(start, end)| (hex(start), hex(end))) {
            current = start..end;
        }
        let flags: Vec<_> = line.strip_prefix("VmFlags:").unwrap_or_default().split(' ').collect();
        if flags.contains(&"lo") && flags.contains(&"dd") {
            hidden.push(current.clone());
        }
    }
    hidden
}

/// `SSHKEY_SHIELD_PREKEY_LEN`.
const PREKEY: u64 = 16 * 1024;
