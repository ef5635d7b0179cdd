//! The same job the old way: each secret in locked pages of its own, as far as the budget goes.
//!
//! There is not even a guard page: what is counted here is the best that can be had this way. Who may
//! lock without a limit, as root may, would lock gigabytes if the budget did not end it.

use std::io::{self, Write};
use std::ptr::{self, NonNull};
use std::slice;
use std::thread;
use std::time::Instant;

use indicatif::{BinaryBytes, HumanCount};
use strongroom::strongroom_core::Entropy;
use strongroom::{Limits, OsEntropy, Vault, page_size};
use zeroize::Zeroize;

use crate::digest::{KEY, digest};
use crate::options::Options;
use crate::progress::Progress;
use crate::report::{Locked, Time};
use crate::source::Source;
use crate::tally::OpenTally;
use crate::{Failure, kernel, workers};

/// Locks a page for each secret as far as that goes, uses them all, and reports. An error if it did
/// not go far enough.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let source = Source::new(options)?;
    let mut fleet = Fleet { key: [0; KEY], secrets: Vec::new(), left: options.budget };
    OsEntropy.fill(&mut fleet.key)?;
    let locked_all = fleet.lock_all(&source, options.budget);
    let open = |number, tally: &mut _| fleet.open_one(number, options, tally);
    let order = workers::random_order(fleet.secrets.len())?;
    let (tally, ()) = workers::run(options.threads, &order, open, || Ok(()))?;
    fleet.report(&source, &tally)?;
    locked_all
}

struct Fleet {
    key: [u8; KEY],
    secrets: Vec<Secret>,
    /// Bytes of the budget that are not locked yet.
    left: usize,
}

struct Secret {
    pages: Pages,
    digest: u64,
}

impl Fleet {
    fn lock_all(&mut self, source: &Source, budget: usize) -> Result<(), Failure> {
        let progress = Progress::new("locking", source.count());
        if let Source::Random { count, len } = source {
            for _ in 0..*count {
                let mut pages = self.lock(*len, budget)?;
                OsEntropy.fill(pages.bytes_mut())?;
                self.keep(pages);
                progress.step();
            }
            return Ok(());
        }
        // Reading takes locked memory too: so much less is left for the pages.
        self.take(READER_PAGES * page_size(), budget)?;
        let reader = Vault::new(READER_PAGES * page_size())?;
        source.for_each(&reader, |secret| {
            let mut pages = self.lock(secret.len(), budget)?;
            pages.bytes_mut().copy_from_slice(secret);
            self.keep(pages);
            progress.step();
            Ok(())
        })
    }

    fn lock(&mut self, len: usize, budget: usize) -> Result<Pages, Failure> {
        self.take(len, budget)?;
        Pages::lock(len).map_err(|error| self.refused(&error))
    }

    /// Counts the pages of so many bytes against the budget.
    fn take(&mut self, bytes: usize, budget: usize) -> Result<(), Failure> {
        let pages = bytes.checked_next_multiple_of(page_size());
        let Some(left) = pages.and_then(|pages| self.left.checked_sub(pages)) else {
            let budget = HumanCount(budget as u64);
            let why =
                format!("a budget of {budget} bytes has no page left; give a larger --budget");
            return Err(self.stopped(&why));
        };
        self.left = left;
        Ok(())
    }

    fn keep(&mut self, pages: Pages) {
        let digest = digest(&self.key, pages.bytes());
        self.secrets.push(Secret { pages, digest });
    }
}

impl Fleet {
    /// Every secret is open all the time: there is nothing to wait for but the check.
    fn open_one(
        &self,
        number: usize,
        options: &Options,
        tally: &mut OpenTally,
    ) -> Result<(), Failure> {
        let Secret { pages, digest: expected } = &self.secrets[number];
        let begun = Instant::now();
        if digest(&self.key, pages.bytes()) != *expected {
            return Err(format!("secret {} is not what was kept", number + 1).into());
        }
        tally.did_not_wait(begun.elapsed());
        if !options.hold.is_zero() {
            thread::sleep(options.hold);
        }
        Ok(())
    }

    /// The system did not lock any more.
    fn refused(&self, error: &io::Error) -> Failure {
        let locked = Locked(kernel::locked_bytes());
        let remedy = Limits::read().remedy(page_size() as u64);
        let remedy = remedy.map_or(String::new(), |remedy| format!("; {remedy}"));
        self.stopped(&format!("{error}; locked: {locked}{remedy}"))
    }

    fn stopped(&self, why: &str) -> Failure {
        let held = HumanCount(self.secrets.len() as u64);
        format!("one page for each stops at {held} secrets: {why}").into()
    }

    fn report(&self, source: &Source, tally: &OpenTally) -> Result<(), Failure> {
        let count = |number| HumanCount(number as u64);
        let wanted = source.count().map_or(String::new(), |all| format!(" of {}", count(all)));
        let mut out = io::stdout().lock();
        let held = count(self.secrets.len());
        writeln!(out, "secrets held         {held}{wanted}, in locked pages of their own")?;
        writeln!(out, "locked memory        {}", Locked(kernel::locked_bytes()))?;
        if let Some(resident) = kernel::resident_bytes() {
            writeln!(out, "resident memory      {}", BinaryBytes(resident))?;
        }
        if let Some(bytes) = needed(source) {
            writeln!(out, "one page per secret  would lock {} bytes", HumanCount(bytes))?;
        }
        let (checked, elapsed) = (HumanCount(tally.opened), Time(tally.elapsed));
        writeln!(out, "checked              {checked} in {elapsed}")?;
        Ok(())
    }
}

/// The bytes of the pages of all secrets, if their lengths are known before they are read.
fn needed(source: &Source) -> Option<u64> {
    let Source::Random { count, len } = source else { return None };
    len.checked_next_multiple_of(page_size())?.checked_mul(*count).map(|bytes| bytes as u64)
}

/// Locked pages with one secret at their start.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages belong to this value alone, and to no thread.
unsafe impl Send for Pages {}
// SAFETY: a shared `Pages` only lets its bytes be read.
unsafe impl Sync for Pages {}

impl Pages {
    fn lock(len: usize) -> io::Result<Self> {
        // SAFETY: with a null hint and without MAP_FIXED no existing mapping is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, READ_WRITE, PRIVATE, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let pages = Self { start, len };
        // SAFETY: locking changes no byte.
        if unsafe { libc::mlock(start.as_ptr().cast(), len) } == 0 {
            Ok(pages)
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the pages were mapped readable, as zeros, and are unmapped in `drop` only.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the pages were mapped writable, as zeros, and are this value's alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        // SAFETY: the pages are this value's alone, and it goes.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Locked pages for reading secrets in.
const READER_PAGES: usize = 2;
