//! The search of this process's whole memory for plaintext.
//!
//! It shows first that it finds: a copy of one secret is planted, found and wiped. Then nothing
//! must be found any more.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount};
use zeroize::{Zeroize, zeroize_stack};

use crate::memory::{self, Searched};
use crate::report::Time;
use crate::source::Source;
use crate::{Failure, Fleet, context};

/// What some secrets look like, without a byte of them: every eight bytes of each, scrambled.
pub(crate) struct Sample {
    /// Scrambles eight bytes one-to-one: equal scrambled means equal plain.
    key: u64,
    /// The scrambled windows, and the number of a secret with that window.
    windows: HashMap<u64, usize>,
    /// A bit for each possible end of a scrambled window: most memory is passed over by this alone.
    filter: Vec<u64>,
    /// How many bytes in a row must be a secret's to count.
    telling: usize,
    secrets: BTreeSet<usize>,
}

impl Sample {
    /// Opens the secrets that were sealed last and those that will be opened last, and remembers
    /// what they look like: what is left behind on a stack is of these, the rest is overwritten.
    pub(crate) fn take(fleet: &Fleet<'_>, source: &Source, order: &[u32]) -> Result<Self, Failure> {
        let mut key = [0; 8];
        fleet.vault.fill_random(&mut key)?;
        // A few bytes of what people write may stand anywhere; of random ones they do not.
        let telling = if matches!(source, Source::Random { .. }) { WINDOW } else { 2 * WINDOW };
        let mut sample = Self {
            key: u64::from_ne_bytes(key),
            windows: HashMap::new(),
            filter: vec![0; 1 << (FILTER_LOG2 - 6)],
            telling,
            secrets: BTreeSet::new(),
        };
        let sealed_last = (0..order.len()).rev().take(SEALED_LAST);
        let opened_last = order.iter().rev().take(OPENED_LAST).map(|&number| number as usize);
        for number in sealed_last.chain(opened_last) {
            let secret = fleet.vault.try_open(&fleet.sealed(number)?, &context(number))?;
            sample.add(number, &secret.expose_secret());
            zeroize_stack::<STACK>();
        }
        if sample.secrets.is_empty() {
            return Err(
                format!("--scan finds no secret of {telling} bytes or more to search for").into()
            );
        }
        Ok(sample)
    }

    /// Searches all memory, after it was shown that a planted copy is found.
    pub(crate) fn search(&self, fleet: &Fleet<'_>) -> Result<Scan, Failure> {
        let begun = Instant::now();
        let mut planted = self.copy_of_one(fleet)?;
        let place = planted.as_ptr_range();
        let place = place.start.addr()..place.end.addr();
        let with_planted = self.pass()?;
        planted.as_mut_slice().zeroize();
        if !with_planted.finds.iter().any(|find| place.contains(&find.place.start)) {
            return Err("the search does not find what is there, so it says nothing".into());
        }
        let mut scan = self.pass()?;
        scan.elapsed = begun.elapsed();
        Ok(scan)
    }

    /// What must not be: plaintext in ordinary memory.
    #[inline(never)]
    fn copy_of_one(&self, fleet: &Fleet<'_>) -> Result<Vec<u8>, Failure> {
        let number = self.secrets.first().copied().unwrap_or(0);
        let secret = fleet.vault.try_open(&fleet.sealed(number)?, &context(number))?;
        Ok(secret.expose_secret().to_vec())
    }

    /// Not inlined, so that what it leaves on the stack lies below the caller's frame.
    #[inline(never)]
    fn add(&mut self, number: usize, secret: &[u8]) {
        let (mut run, mut longest) = (0, 0);
        for window in windows_of(secret) {
            if is_plain(window) {
                run = 0;
                continue;
            }
            let scrambled = self.scramble(window);
            let (word, bit) = place_in_filter(scrambled);
            self.filter[word] |= bit;
            self.windows.entry(scrambled).or_insert(number);
            run += 1;
            longest = longest.max(run);
        }
        if longest + WINDOW > self.telling {
            self.secrets.insert(number);
        }
    }

    /// One search of everything.
    fn pass(&self) -> Result<Scan, Failure> {
        let mut scan = Scan { secrets: self.secrets.len(), ..Scan::default() };
        scan.searched = memory::read_all(WINDOW - 1, |address, bytes, mapping| {
            for (window, address) in windows_of(bytes).zip(address..) {
                if let Some(number) = self.secret_with(window) {
                    scan.found(number, address, mapping);
                }
            }
        })?;
        scan.finds.retain(|find| find.place.len() >= self.telling);
        Ok(scan)
    }

    /// The number of a secret with these bytes in it.
    fn secret_with(&self, window: u64) -> Option<usize> {
        let scrambled = self.scramble(window);
        let (word, bit) = place_in_filter(scrambled);
        if self.filter[word] & bit == 0 { None } else { self.windows.get(&scrambled).copied() }
    }

    fn scramble(&self, window: u64) -> u64 {
        (window ^ self.key).wrapping_mul(ODD)
    }
}

/// What a search found.
#[derive(Default)]
pub(crate) struct Scan {
    secrets: usize,
    searched: Searched,
    finds: Vec<Find>,
    elapsed: Duration,
}

/// Bytes in a row that are a secret's.
struct Find {
    number: usize,
    place: Range<usize>,
    mapping: String,
}

impl Scan {
    /// Whether nothing was found, as it must be.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.finds.is_empty() {
            return Ok(());
        }
        Err("there is stray plaintext in this process; the report says where".into())
    }

    fn found(&mut self, number: usize, address: usize, mapping: &str) {
        match self.finds.last_mut() {
            // The window overlaps the one before it.
            Some(last) if last.place.end + 1 == address + WINDOW => last.place.end += 1,
            _ => {
                let place = address..address + WINDOW;
                self.finds.push(Find { number, place, mapping: mapping.to_owned() });
            }
        }
    }
}

impl Display for Scan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { secrets, searched, finds, elapsed } = self;
        let secrets = HumanCount(*secrets as u64);
        if finds.is_empty() {
            write!(f, "no plaintext of {secrets} sampled secrets")?;
        } else {
            write!(f, "FOUND PLAINTEXT of {secrets} sampled secrets {} times", finds.len())?;
        }
        let (bytes, mappings) = (BinaryBytes(searched.bytes as u64), searched.mappings);
        write!(f, " in {bytes} of {mappings} mappings, twice in {}", Time(*elapsed))?;
        for Find { number, place, mapping } in finds.iter().take(SHOWN) {
            let Range { start, end } = place;
            let number = HumanCount(*number as u64 + 1);
            write!(f, "\n  {} bytes of secret {number} at {start:#x} in {mapping}", end - start)?;
        }
        Ok(())
    }
}

/// All stretches of so many bytes as a word has.
fn windows_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.windows(WINDOW).filter_map(|window| Some(u64::from_ne_bytes(*window.first_chunk()?)))
}

/// Whether the bytes are so few different ones that they may stand anywhere.
fn is_plain(window: u64) -> bool {
    let bytes = window.to_ne_bytes();
    let first_seen = |&at: &usize| !bytes[..at].contains(&bytes[at]);
    (0..WINDOW).filter(first_seen).count() < DIFFERENT
}

fn place_in_filter(scrambled: u64) -> (usize, u64) {
    let number = scrambled >> (u64::BITS - FILTER_LOG2);
    ((number / 64) as usize, 1 << (number % 64))
}

/// Bytes that are looked at together.
const WINDOW: usize = size_of::<u64>();
const DIFFERENT: usize = 4;

/// The most secrets in a sample.
const SEALED_LAST: usize = 100;
const OPENED_LAST: usize = 900;

/// Half a mebibyte of bits: the windows of a thousand secrets of 64 bytes fill one in 73.
const FILTER_LOG2: u32 = 22;

/// An odd number, so that multiplying by it loses nothing.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of stack that looking at a secret may use.
const STACK: usize = 4096;

/// The most finds that are told one by one.
const SHOWN: usize = 10;
