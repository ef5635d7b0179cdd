//! What this kernel does with its secrets: more of them than would fit open, sealed and opened in
//! changing order, until the arena is full, and looked for where they must not be.

use core::hint::black_box;

use strongroom_core::{AllocateError, Buffer, Bulk, BulkBox, Enclave, OpenError, Sealed};
use zeroize::Zeroize;

use crate::error::KernelError;
use crate::memory::count_copies;
use crate::serial::say;

/// The enclave, the heap, and the records that lie there.
pub struct Tour<'k> {
    enclave: &'k Enclave<'k>,
    bulk: &'k Bulk<'k>,
    records: [Option<Record<'k>>; SECRETS],
}

/// A sealed secret and what it is called by. Neither is secret.
struct Record<'k> {
    number: usize,
    sealed: Sealed<BulkBox<'k>>,
}

impl<'k> Tour<'k> {
    /// No records yet.
    pub fn new(enclave: &'k Enclave<'k>, bulk: &'k Bulk<'k>) -> Self {
        Self { enclave, bulk, records: [const { None }; SECRETS] }
    }

    /// Everything, in turn.
    pub fn go(mut self) -> Result<(), KernelError> {
        self.seal(1)?;
        self.open_all()?;
        // New shares of the key: what was learned of the old ones is worthless.
        self.enclave.refresh();
        self.seal(3)?;
        self.open_all()?;
        self.open_until_full()?;
        self.refuse_forgeries()?;
        self.look_for_copies()?;
        self.destroy()
    }

    /// Puts a new secret in the place of every so many of the old ones.
    fn seal(&mut self, every: usize) -> Result<(), KernelError> {
        let (mut sealed, mut bytes) = (0, 0);
        for index in (0..SECRETS).step_by(every) {
            let number = self.records[index].take().map_or(index, |old| old.number + SECRETS);
            let record = self.seal_one(number)?;
            sealed += 1;
            bytes += record.sealed.secret_len();
            self.records[index] = Some(record);
        }
        say!(
            "sealed: {sealed} secrets of {bytes} bytes; {} bytes of records free",
            self.bulk.free()
        );
        Ok(())
    }

    /// The plaintext exists in a cell of the arena only, and only until it is sealed.
    fn seal_one(&self, number: usize) -> Result<Record<'k>, KernelError> {
        let mut secret = Buffer::new(self.enclave.arena(), length(number))?;
        secret
            .expose_secret_mut()
            .iter_mut()
            .zip(content(number))
            .for_each(|(to, from)| *to = from);
        let memory = self.bulk.allocate(Enclave::record_len(secret.len()))?;
        let sealed = self.enclave.seal(&secret.expose_secret(), &context(number), memory)?;
        Ok(Record { number, sealed })
    }

    /// Opens all in another order than they were sealed in, with some open at any time.
    fn open_all(&self) -> Result<(), KernelError> {
        let mut held = [const { None }; HELD];
        for step in 0..SECRETS {
            let record = self.record(step * STRIDE % SECRETS)?;
            held[step % HELD] = Some(self.open(record)?);
        }
        say!("opened: {SECRETS} secrets, {HELD} at a time");
        Ok(())
    }

    /// Opens one under its own context, and checks what comes.
    fn open(&self, record: &Record<'_>) -> Result<Buffer<'k>, KernelError> {
        let opened = self.enclave.open(&record.sealed, &context(record.number))?;
        let same = opened.len() == length(record.number)
            && opened.expose_secret().iter().copied().eq(content(record.number).take(opened.len()));
        if same { Ok(opened) } else { Err(KernelError::WrongSecret { number: record.number }) }
    }

    /// Full is an ordinary answer: a value with its numbers, and nothing else is touched.
    fn open_until_full(&self) -> Result<(), KernelError> {
        let mut held = [const { None }; SECRETS];
        for (index, place) in held.iter_mut().enumerate() {
            *place = match self.open(self.record(index)?) {
                Ok(opened) => Some(opened),
                Err(KernelError::Open(OpenError::Allocate(full @ AllocateError::Full { .. }))) => {
                    say!("full: {index} secrets open at once, then: {full}");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        }
        Err(KernelError::Unexpected("the arena never got full"))
    }

    /// A record opens under its own context only, and only as it was sealed.
    fn refuse_forgeries(&self) -> Result<(), KernelError> {
        let (record, other) = (self.record(0)?, self.record(1)?);
        let mut copy = self.bulk.allocate(record.sealed.record().len())?;
        copy.as_mut().copy_from_slice(record.sealed.record());
        copy.as_mut()[Enclave::OVERHEAD / 2] ^= 1;
        let forged = Sealed::from_record(copy);
        let attempts = [
            self.enclave.open(&forged, &context(record.number)),
            self.enclave.open(&record.sealed, &context(other.number)),
            self.enclave.open(&other.sealed, &context(record.number)),
        ];
        if attempts.iter().all(|attempt| matches!(attempt, Err(OpenError::Tampered))) {
            say!("refused: a changed record, and two under each other's context");
            return Ok(());
        }
        Err(KernelError::Unexpected("a forged record was opened"))
    }

    /// An open secret lies in the region and nowhere else: not on the stack, not in a static.
    fn look_for_copies(&self) -> Result<(), KernelError> {
        let secret = Buffer::random(self.enclave.arena(), 32)?;
        let memory = self.bulk.allocate(Enclave::record_len(secret.len()))?;
        let sealed = self.enclave.seal(&secret.expose_secret(), b"looked for", memory)?;
        drop(secret);
        let opened = self.enclave.open(&sealed, b"looked for")?;
        let strays = count_copies(&opened.expose_secret());
        // The search would find one: here it is.
        let mut planted = [0; 32];
        planted.copy_from_slice(&opened.expose_secret());
        black_box(&mut planted);
        let found = count_copies(&opened.expose_secret());
        planted.zeroize();
        say!("copies outside the region: {strays}; with one planted on the stack: {found}");
        if strays == 0 && found > 0 {
            return Ok(());
        }
        Err(KernelError::Unexpected("a secret lies outside its region, or the search is blind"))
    }

    /// One call makes all records worthless.
    fn destroy(&self) -> Result<(), KernelError> {
        self.enclave.destroy();
        let record = self.record(0)?;
        match self.enclave.open(&record.sealed, &context(record.number)) {
            Err(error @ OpenError::Destroyed) => {
                say!("destroyed: {error}");
                Ok(())
            }
            _ => Err(KernelError::Unexpected("a destroyed enclave opened a record")),
        }
    }

    fn record(&self, index: usize) -> Result<&Record<'k>, KernelError> {
        self.records[index].as_ref().ok_or(KernelError::Unexpected("a record is missing"))
    }
}

/// A secret's bytes, told by its number, so that the kernel can check what it opens.
fn content(number: usize) -> impl Iterator<Item = u8> {
    let mut state = number as u64;
    core::iter::repeat_with(move || {
        // Knuth's linear congruential generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
}

/// A secret's length in bytes.
fn length(number: usize) -> usize {
    1 + number * 7 % 96
}

/// What a secret is for: its own, so that no record passes for another's.
fn context(number: usize) -> [u8; 16] {
    let mut context = *b"account/........";
    context[8..].copy_from_slice(&number.to_be_bytes());
    context
}

/// Secrets in all: about five times as many as fit open.
const SECRETS: usize = 5000;
/// Secrets that are held open in passing.
const HELD: usize = 64;
/// Without a factor in common with [`SECRETS`], so that every secret has its turn.
const STRIDE: usize = 2039;
