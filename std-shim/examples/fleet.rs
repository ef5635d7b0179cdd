//! The main job: hold a million secrets sealed, and open each of them the moment it is needed,
//! under a lock limit of 64 KiB.
//!
//! ```text
//! cargo run --release --example fleet -- --help
//! ```
//!
//! Each secret is sealed into ordinary memory, its record beside all others', with a digest of it. Then threads open them
//! all in random order into the vault's locked memory, check each against its digest, hold it for a
//! moment and drop it. Whoever finds no room waits for some. The report at the end says what it
//! took.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "fleet/digest.rs"]
mod digest;
#[path = "fleet/kernel.rs"]
mod kernel;
#[path = "fleet/memory.rs"]
mod memory;
#[path = "fleet/options.rs"]
mod options;
#[path = "fleet/page_each.rs"]
mod page_each;
#[path = "fleet/progress.rs"]
mod progress;
#[path = "fleet/report.rs"]
mod report;
#[path = "fleet/scan.rs"]
mod scan;
#[path = "fleet/source.rs"]
mod source;
#[path = "fleet/tally.rs"]
mod tally;
#[path = "fleet/workers.rs"]
mod workers;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use indicatif::HumanCount;
use strongroom::{LockedPages, OpenError, RecordCopy, RecordHandle, Records, Sealed, Trial, Vault};

use digest::Digester;
use kernel::LockWatch;
use options::Options;
use progress::Progress;
use report::Report;
use scan::Sample;
use source::Source;
use tally::{OpenTally, SealTally};

/// Whatever keeps the job from being done; its text is for a person.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    let job = if options.page_each { page_each::run } else { run };
    let done = locking_kills_nobody().and_then(|()| job(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody can be told, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A filter that ends whoever locks would end this program without a word.
fn locking_kills_nobody() -> Result<(), Failure> {
    match LockedPages::try_lock(1) {
        killed @ Trial::Killed { .. } => Err(format!("no memory can be locked: {killed}").into()),
        _ => Ok(()),
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let source = Source::new(options)?;
    let watch = LockWatch::start()?;
    let vault = Vault::new(options.budget)?;

    let mut fleet = Fleet::new(&vault)?;
    let seals = fleet.seal_all(&source)?;
    let order = workers::random_order(seals.secrets)?;
    let sample = options.scan.then(|| Sample::take(&fleet, &source, &order)).transpose()?;
    let open = |number, tally: &mut _| fleet.open_one(number, options, tally);
    // The search comes when no secret is open any more but the threads' stacks are still there.
    let search = || sample.map(|sample| sample.search(&fleet)).transpose();
    let (opens, scan) = workers::run(options.threads, &order, open, search)?;

    let report = Report { locked: watch.peak(), seals, opens, scan };
    writeln!(io::stdout(), "{report}").map_err(|error| format!("the report is lost: {error}"))?;
    report.verdict()
}

/// All secrets, and the vault to open them in.
struct Fleet<'v> {
    vault: &'v Vault,
    digester: Digester<'v>,
    records: Records,
    secrets: Vec<Secret>,
    open_now: AtomicUsize,
}

/// What is kept of one secret, in ordinary memory.
struct Secret {
    record: RecordHandle,
    digest: u64,
}

impl<'v> Fleet<'v> {
    fn new(vault: &'v Vault) -> Result<Self, Failure> {
        let digester = Digester::new(vault)?;
        let (records, secrets, open_now) = (Records::new(), Vec::new(), AtomicUsize::new(0));
        Ok(Self { vault, digester, records, secrets, open_now })
    }

    /// Seals every secret of the source.
    fn seal_all(&mut self, source: &Source) -> Result<SealTally, Failure> {
        let count = source.count().unwrap_or(0);
        let told =
            |_| format!("there is no memory for {} sealed secrets", HumanCount(count as u64));
        self.secrets.try_reserve_exact(count).map_err(told)?;
        let mut tally = SealTally::new()?;
        let progress = Progress::new("sealing", source.count());
        source.for_each(self.vault, |secret| {
            let begun = Instant::now();
            let sealed = self.vault.seal(secret, &context(self.secrets.len()))?;
            let record = self.records.insert(&sealed)?;
            tally.add(secret.len(), begun.elapsed());
            self.secrets.push(Secret { record, digest: self.digester.digest(secret) });
            progress.step();
            Ok(())
        })?;
        self.secrets.shrink_to_fit();
        tally.end(self.records.bytes());
        Ok(tally)
    }

    /// A secret's record.
    fn sealed(&self, number: usize) -> Result<Sealed<RecordCopy>, Failure> {
        let sealed = self.records.get(&self.secrets[number].record);
        sealed.ok_or_else(|| format!("the record of secret {} is gone", number + 1).into())
    }

    /// Opens a secret, waiting if there is no room; checks it, holds it for a while and drops it.
    fn open_one(
        &self,
        number: usize,
        options: &Options,
        tally: &mut OpenTally,
    ) -> Result<(), Failure> {
        let digest = self.secrets[number].digest;
        let begun = Instant::now();
        let sealed = &self.sealed(number)?;
        let opened = match self.vault.try_open(sealed, &context(number)) {
            Err(OpenError::Full(_)) => {
                let opened = self.vault.open_timeout(sealed, &context(number), options.timeout);
                tally.waited(begun.elapsed());
                opened
            }
            settled => {
                tally.did_not_wait(begun.elapsed());
                settled
            }
        };
        let opened = opened.map_err(|error| format!("secret {}: {error}", number + 1))?;
        tally.are_open(self.open_now.fetch_add(1, Ordering::Relaxed) + 1);
        if self.digester.digest(&opened.expose_secret()) != digest {
            return Err(format!("secret {} is not what was sealed", number + 1).into());
        }
        if !options.hold.is_zero() {
            thread::sleep(options.hold);
        }
        self.open_now.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A secret's number is the context it is sealed under, so that no record opens as another's.
fn context(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}
