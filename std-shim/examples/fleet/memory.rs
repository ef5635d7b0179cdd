//! Reading this process's own memory, as the kernel shows it (`proc_pid_mem(5)`).

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zeroize::Zeroize;

use crate::Failure;

/// How much was read.
#[derive(Default)]
pub(crate) struct Searched {
    pub(crate) bytes: usize,
    pub(crate) mappings: usize,
}

/// Hands every readable byte to `look`, in pieces: with the piece's address and the name of its
/// mapping. Pieces of a mapping overlap by `overlap` bytes.
///
/// Only the buffer that they are read into is left out.
pub(crate) fn read_all(
    overlap: usize,
    mut look: impl FnMut(usize, &[u8], &str),
) -> Result<Searched, Failure> {
    let told = |error: io::Error| format!("--scan cannot read this process's memory: {error}");
    let memory = File::open("/proc/self/mem").map_err(told)?;
    let mut buffer = vec![0; BUFFER];
    let own = buffer.as_ptr_range();
    let own = own.start.addr()..own.end.addr();
    let maps = fs::read_to_string("/proc/self/maps").map_err(told)?;
    let mut searched = Searched::default();
    for Mapping { range, name } in maps.lines().filter_map(Mapping::readable) {
        let parts = [range.start..range.end.min(own.start), range.start.max(own.end)..range.end];
        let before = searched.bytes;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            searched.bytes += read(&memory, part, overlap, &mut buffer, |address, piece| {
                look(address, piece, name);
            });
        }
        searched.mappings += usize::from(searched.bytes > before);
    }
    buffer.zeroize();
    Ok(searched)
}

/// Reads `range` in pieces, and says how many bytes that was. The kernel gives nothing of some
/// mappings, as of its own (`[vvar]`).
fn read(
    memory: &File,
    range: Range<usize>,
    overlap: usize,
    buffer: &mut [u8],
    mut look: impl FnMut(usize, &[u8]),
) -> usize {
    let mut address = range.start;
    loop {
        let most = buffer.len().min(range.end - address);
        let Ok(count @ 1..) = memory.read_at(&mut buffer[..most], address as u64) else {
            return address - range.start;
        };
        look(address, &buffer[..count]);
        address += count;
        if address == range.end || count <= overlap {
            return address - range.start;
        }
        address -= overlap;
    }
}

/// A line of `/proc/self/maps` (`proc_pid_maps(5)`).
struct Mapping<'m> {
    range: Range<usize>,
    name: &'m str,
}

impl<'m> Mapping<'m> {
    fn readable(line: &'m str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let access = words.next()?;
        let name = words.nth(3).map_or("", str::trim);
        let hex = |text| usize::from_str_radix(text, 16).ok();
        let range = hex(start)?..hex(end)?;
        let name = if name.is_empty() { "an unnamed mapping" } else { name };
        access.starts_with('r').then_some(Self { range, name })
    }
}

const BUFFER: usize = 1 << 20;
