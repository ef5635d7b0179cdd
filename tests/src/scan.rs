//! The search of a whole process, from outside, for bytes that must not be there.
//!
//! What is searched for is known to the searcher alone, so all that is found is the process's own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What to look for: every eight bytes in a row of some patterns.
#[derive(Debug, Default)]
pub struct Search {
    windows: HashMap<[u8; WINDOW], &'static str>,
    /// Which first three bytes a window can have: most memory is passed over by this alone.
    starts: Vec<bool>,
}

/// Bytes in a row that are a pattern's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// What was found, as it was called.
    pub name: &'static str,
    /// Where, as addresses or as bytes of a file.
    pub place: Range<usize>,
}

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<usize>,
    /// Its file or use, if it has any.
    pub name: String,
}

impl Search {
    /// Adds a pattern of eight bytes or more.
    pub fn add(&mut self, name: &'static str, pattern: &[u8]) {
        pattern.array_windows().for_each(|window| self.add_window(name, *window));
    }

    /// Adds every eighth of its windows only, where patterns are many: it is found where it lies whole, and
    /// any fifteen bytes of it are.
    pub fn add_one_of_many(&mut self, name: &'static str, pattern: &[u8]) {
        pattern.as_chunks().0.iter().for_each(|window| self.add_window(name, *window));
    }

    fn add_window(&mut self, name: &'static str, window: [u8; WINDOW]) {
        self.starts.resize(1 << 24, false);
        self.windows.insert(window, name);
        self.starts[start_of(window)] = true;
    }

    /// Searches all of a process's memory that can be read.
    ///
    /// # Errors
    /// Those of reading `/proc`: another user's process, or one that has ended.
    pub fn process(&self, id: u32) -> io::Result<Vec<Find>> {
        let memory = File::open(format!("/proc/{id}/mem"))?;
        let mut finds = Vec::new();
        for mapping in mappings(id)? {
            self.read(&memory, mapping.range, &mut finds);
        }
        Ok(finds)
    }

    /// Searches a file.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn file(&self, file: &File) -> io::Result<Vec<Find>> {
        let mut finds = Vec::new();
        self.read(file, 0..usize::try_from(file.metadata()?.len()).unwrap(), &mut finds);
        Ok(finds)
    }

    /// Searches some bytes, which begin at `place`.
    pub fn bytes(&self, place: usize, bytes: &[u8], finds: &mut Vec<Find>) {
        for (window, at) in bytes.array_windows().zip(place..) {
            if self.starts[start_of(*window)]
                && let Some(&name) = self.windows.get(window)
            {
                found(finds, name, at);
            }
        }
    }

    /// Reads in pieces; the kernel gives nothing of some mappings, as of its own (`[vvar]`).
    fn read(&self, from: &File, range: Range<usize>, finds: &mut Vec<Find>) {
        let mut buffer = vec![0; PIECE + WINDOW - 1];
        for place in range.clone().step_by(PIECE) {
            let most = buffer.len().min(range.end - place);
            if let Ok(count) = from.read_at(&mut buffer[..most], place as u64) {
                self.bytes(place, &buffer[..count], finds);
            }
        }
    }
}

/// The mappings of a process that can be read.
///
/// # Errors
/// Those of reading `/proc`.
pub fn mappings(id: u32) -> io::Result<Vec<Mapping>> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
    Ok(maps.lines().filter_map(Mapping::readable).collect())
}

/// A copy of a part of a process's memory.
///
/// # Errors
/// Those of reading `/proc`.
pub fn read(id: u32, range: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len()];
    File::open(format!("/proc/{id}/mem"))?.read_exact_at(&mut bytes, range.start as u64)?;
    Ok(bytes)
}

impl Mapping {
    fn readable(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text| usize::from_str_radix(text, 16).ok();
        let range = hex(start)?..hex(end)?;
        let is_readable = words.next()?.starts_with('r');
        let name = words.nth(3).unwrap_or_default().to_owned();
        is_readable.then_some(Self { range, name })
    }
}

fn found(finds: &mut Vec<Find>, name: &'static str, at: usize) {
    match finds.last_mut() {
        // The window overlaps the one before it.
        Some(last) if last.name == name && last.place.end + 1 >= at + WINDOW => {
            last.place.end = at + WINDOW;
        }
        _ => finds.push(Find { name, place: at..at + WINDOW }),
    }
}

fn start_of([first, second, third, ..]: [u8; WINDOW]) -> usize {
    u32::from_le_bytes([first, second, third, 0]) as usize
}

const WINDOW: usize = 8;
const PIECE: usize = 1 << 18;
