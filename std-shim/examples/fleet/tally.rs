//! What is counted and timed while the job runs.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use strongroom::page_size;

use crate::Failure;
use crate::kernel;

/// How long something took, many times over, to one part in a hundred.
pub(crate) struct Times {
    nanoseconds: Histogram<u32>,
}

impl Times {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self { nanoseconds: Histogram::new_with_max(LONGEST, DIGITS)? })
    }

    /// Counts a time; one of more than [`LONGEST`] as that.
    pub(crate) fn record(&mut self, time: Duration) {
        self.nanoseconds.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) -> Result<(), Failure> {
        Ok(self.nanoseconds.add(&other.nanoseconds)?)
    }

    /// The time within which this share (0 to 1) of all was done.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.nanoseconds.value_at_quantile(share))
    }
}

/// What sealing took.
pub(crate) struct SealTally {
    pub(crate) secrets: usize,
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
    /// Whole pages, if each secret had its own.
    pub(crate) pages: usize,
    pub(crate) times: Times,
    pub(crate) elapsed: Duration,
    /// Bytes of resident memory, and by how much they grew.
    pub(crate) resident: Option<u64>,
    pub(crate) growth: Option<u64>,
    /// Bytes of ordinary memory for the records.
    pub(crate) record_bytes: usize,
    begun: Instant,
    before: Option<u64>,
}

impl SealTally {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            secrets: 0,
            shortest: usize::MAX,
            longest: 0,
            pages: 0,
            times: Times::new()?,
            elapsed: Duration::ZERO,
            resident: None,
            growth: None,
            record_bytes: 0,
            before: kernel::resident_bytes(),
            begun: Instant::now(),
        })
    }

    /// A secret of `len` bytes was sealed in `time`.
    pub(crate) fn add(&mut self, len: usize, time: Duration) {
        self.secrets += 1;
        self.shortest = self.shortest.min(len);
        self.longest = self.longest.max(len);
        self.pages += len.div_ceil(page_size());
        self.times.record(time);
    }

    /// All are sealed, into records of so many bytes.
    pub(crate) fn end(&mut self, record_bytes: usize) {
        self.record_bytes = record_bytes;
        self.elapsed = self.begun.elapsed();
        self.resident = kernel::resident_bytes();
        self.growth = self.resident.zip(self.before).map(|(now, then)| now.saturating_sub(then));
    }
}

/// What opening took: of one thread, or of all.
pub(crate) struct OpenTally {
    /// Of those that did not have to wait.
    pub(crate) times: Times,
    pub(crate) opened: u64,
    pub(crate) waits: u64,
    pub(crate) longest_wait: Duration,
    pub(crate) most_open: usize,
    pub(crate) elapsed: Duration,
}

impl OpenTally {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            times: Times::new()?,
            opened: 0,
            waits: 0,
            longest_wait: Duration::ZERO,
            most_open: 0,
            elapsed: Duration::ZERO,
        })
    }

    pub(crate) fn did_not_wait(&mut self, time: Duration) {
        self.opened += 1;
        self.times.record(time);
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        self.opened += 1;
        self.waits += 1;
        self.longest_wait = self.longest_wait.max(time);
    }

    /// So many are open at this moment.
    pub(crate) fn are_open(&mut self, count: usize) {
        self.most_open = self.most_open.max(count);
    }

    /// Takes over what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.opened += other.opened;
        self.waits += other.waits;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.most_open = self.most_open.max(other.most_open);
        self.times.add(&other.times)
    }
}

/// Significant digits of a time that are kept. Each thread has a histogram of its own, and a third
/// digit would make it eight times as large.
const DIGITS: u8 = 2;

/// A minute, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;
