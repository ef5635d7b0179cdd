//! The shadow of one enclave: what was sealed, where, and under which context.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Formatter};
use std::ptr::NonNull;

use bytemuck::Pod;
use strongroom_core::{
    Arena, Buffer, Bulk, Enclave, OpenError, SealError, Sealed, SealedInPlace, SecretVec,
};

use super::storage::Storage;
use super::{Op, Tamper};
use crate::noise::Noise;
use crate::raw::Lab;

/// An enclave and all that is known of it.
pub struct Model<'a> {
    lab: &'a Lab<'a>,
    bulk: &'a Bulk<'a>,
    enclave: Enclave<'a>,
    records: Vec<Record<'a>>,
    open: Vec<(Buffer<'a>, Vec<u8>)>,
    in_place: Vec<InPlace<'a>>,
    /// The numbers that records of this enclave begin with, which never repeat.
    numbers: BTreeSet<[u8; 8]>,
    /// How many enclaves were destroyed.
    generation: usize,
    noise: Noise,
}

struct Record<'a> {
    sealed: Sealed<Storage<'a>>,
    secret: Vec<u8>,
    context: Vec<u8>,
    generation: usize,
}

struct InPlace<'a> {
    sealed: SealedInPlace<'a>,
    secret: Vec<u8>,
    context: Vec<u8>,
    /// Where the ciphertext lies in the region.
    offset: usize,
}

impl<'a> Model<'a> {
    /// A fresh enclave, or nothing if the arena has no room for its key.
    #[must_use]
    pub fn new(lab: &'a Lab<'_>, bulk: &'a Bulk<'_>, seed: u64) -> Option<Self> {
        let enclave = Enclave::new(lab.arena()).ok()?;
        Some(Self {
            lab,
            bulk,
            enclave,
            records: Vec::new(),
            open: Vec::new(),
            in_place: Vec::new(),
            numbers: BTreeSet::new(),
            generation: 0,
            noise: Noise(seed),
        })
    }

    /// Does `op`, and checks what it answered and that nothing else has changed.
    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Seal { len, context } => self.seal(len, context),
            Op::Open { nth } => {
                drop(self.open(nth));
                self.open_otherwise(nth);
            }
            Op::Hold { nth } => {
                let opened = self.open(nth);
                self.open.extend(opened);
            }
            Op::LetGo { nth } => self.grow_and_let_go(nth),
            Op::Tamper { nth, how } => self.tamper(nth, how),
            Op::Forget { nth } => drop(take(&mut self.records, nth)),
            Op::Refresh => self.enclave.refresh(),
            Op::Destroy => self.destroy(),
            Op::SealInPlace { len, context } => self.seal_in_place(len, context),
            Op::OpenInPlace { nth, seed } => self.open_in_place(nth, seed),
            Op::TamperInPlace { nth, at, mask } => self.tamper_in_place(nth, at, mask),
            Op::ForgetInPlace { nth } => drop(take(&mut self.in_place, nth)),
        }
        self.check();
    }

    /// Opens `record` by an enclave of its own, and finds that it is refused.
    pub(super) fn refuse(record: &[u8], context: u8) {
        let mut region = vec![std::mem::MaybeUninit::uninit(); 16_384];
        let arena = Arena::new(&mut region[..], &mut Noise(7)).unwrap();
        let enclave = Enclave::new(&arena).unwrap();
        let sealed = Sealed::from_record(record);
        refused(&arena, &enclave.open(&sealed, &context_of(context)), sealed.secret_len());
    }

    fn seal(&mut self, len: usize, context: u8) {
        let (secret, context) = (self.noise.bytes(len), context_of(context));
        let storage = Storage::new(self.bulk, Enclave::record_len(len));
        let sealed = self.enclave.seal(&secret, &context, storage).unwrap();
        let record = sealed.record();
        assert_eq!(sealed.secret_len(), len);
        assert!(len < 16 || !record.windows(8).any(|bytes| bytes == &secret[..8]), "not encrypted");
        let number = *record.first_chunk().unwrap();
        assert!(self.numbers.insert(number), "a nonce was used twice: {number:?}");
        self.records.push(Record { sealed, secret, context, generation: self.generation });
    }

    /// Opens a record, which works if it is of this enclave and there is room.
    fn open(&self, nth: usize) -> Option<(Buffer<'a>, Vec<u8>)> {
        let record = self.records.get(nth.checked_rem(self.records.len())?)?;
        let opened = self.enclave.open(&record.sealed, &record.context);
        if record.generation != self.generation {
            refused(self.lab.arena(), &opened, record.secret.len());
            return None;
        }
        match opened {
            Ok(opened) => {
                assert_eq!(opened.expose_secret(), record.secret);
                Some((opened, record.secret.clone()))
            }
            Err(error) => {
                no_room(self.lab.arena(), error, record.secret.len());
                None
            }
        }
    }

    /// Opens a record into memory that is not the arena's, and as values of its size and of another.
    fn open_otherwise(&self, nth: usize) {
        let Some(nth) = nth.checked_rem(self.records.len()) else { return };
        let record = &self.records[nth];
        let (len, is_own) = (record.secret.len(), record.generation == self.generation);
        let mut bytes = vec![0xa5; len];
        match self.enclave.open_into(&record.sealed, &record.context, &mut bytes) {
            Ok(()) => assert!(is_own && bytes == record.secret),
            Err(error) => {
                assert!(!is_own && error == OpenError::Tampered, "{error:?}");
                assert!(bytes.iter().all(|&byte| byte == 0xa5), "written to");
            }
        }
        let mut longer = vec![0xa5; len + 1];
        let answer = self.enclave.open_into(&record.sealed, &record.context, &mut longer);
        assert_eq!(answer, Err(OpenError::OtherSize { len, size: len + 1 }));
        match len {
            8 => self.open_as::<u64>(record),
            16 => self.open_as::<u128>(record),
            64 => self.open_as::<[u64; 8]>(record),
            100 => self.open_as::<[u8; 100]>(record),
            _ => self.open_as::<[u32; 8]>(record),
        }
    }

    /// Opens a record as a value, which works if it is of this enclave and size, and there is room.
    fn open_as<T: Pod>(&self, record: &Record<'_>) {
        let (len, size) = (record.secret.len(), size_of::<T>());
        match self.enclave.open_value::<T, _>(&record.sealed, &record.context) {
            Ok(value) => {
                let value = value.expose_secret();
                assert_eq!((&raw const *value).addr() % align_of::<T>(), 0);
                assert!(bytemuck::bytes_of(&*value) == record.secret);
                assert_eq!(record.generation, self.generation);
            }
            Err(error) if len != size => assert_eq!(error, OpenError::OtherSize { len, size }),
            Err(error) if record.generation == self.generation => {
                assert!(matches!(error, OpenError::Allocate(_)), "{error:?}");
            }
            Err(error) => {
                assert!(matches!(error, OpenError::Tampered | OpenError::Allocate(_)), "{error:?}");
            }
        }
    }

    /// Lets an open secret grow, if there is room, before it is dropped.
    fn grow_and_let_go(&mut self, nth: usize) {
        let Some((buffer, mut secret)) = take(&mut self.open, nth) else { return };
        let more = self.noise.bytes(nth % 97);
        let mut grown = SecretVec::from_buffer(self.lab.arena(), buffer);
        match grown.extend_from_slice(&more) {
            Ok(()) => secret.extend_from_slice(&more),
            Err(error) => no_room(self.lab.arena(), error.into(), secret.len() + more.len()),
        }
        assert!(grown.constant_time_eq(&secret));
        grown.truncate(secret.len() / 2);
        assert!(grown.constant_time_eq(&secret[..secret.len() / 2]));
    }

    fn tamper(&mut self, nth: usize, how: Tamper) {
        let Some(nth) = nth.checked_rem(self.records.len()) else { return };
        let record = &self.records[nth];
        let other = |other: usize| &self.records[other % self.records.len()];
        let (mut bytes, mut context) = (record.sealed.record().to_vec(), record.context.clone());
        match how {
            Tamper::Flip { bit } => {
                let bit = bit % (8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Tamper::Cut { len } => bytes.truncate(len % bytes.len()),
            Tamper::Extend { more, byte, front } => {
                let at = if front { 0 } else { bytes.len() };
                bytes.splice(at..at, std::iter::repeat_n(byte, 1 + usize::from(more)));
            }
            Tamper::Swap { other: nth } => other(nth).sealed.record().clone_into(&mut bytes),
            Tamper::Splice { other: nth, len } => {
                let tail = other(nth).sealed.record();
                let len = len % (bytes.len().min(tail.len()) + 1);
                bytes.truncate(bytes.len() - len);
                bytes.extend_from_slice(&tail[tail.len() - len..]);
            }
            Tamper::Context { context: other } => context = context_of(other),
            Tamper::OtherEnclave => return self.refuse_by_another(nth),
            Tamper::Replace { len, seed } => bytes = Noise(seed).bytes(len),
        }
        // Some ways to tamper come to the same again, or to another record under its own context.
        let known = |record: &&Record<'_>| {
            record.generation == self.generation
                && (record.sealed.record(), &record.context) == (&bytes[..], &context)
        };
        let opened = self.enclave.open(&Sealed::from_record(&bytes[..]), &context);
        match self.records.iter().find(known) {
            None => refused(self.lab.arena(), &opened, bytes.len().saturating_sub(24)),
            Some(known) => match opened {
                Ok(opened) => assert_eq!(opened.expose_secret(), known.secret),
                Err(error) => no_room(self.lab.arena(), error, known.secret.len()),
            },
        }
        drop(self.open(nth));
    }

    fn refuse_by_another(&self, nth: usize) {
        let (arena, record) = (self.lab.arena(), &self.records[nth]);
        let Ok(other) = Enclave::new(arena) else { return };
        refused(arena, &other.open(&record.sealed, &record.context), record.secret.len());
    }

    fn destroy(&mut self) {
        self.destroy_while_open();
        self.check_destroyed();
        self.in_place.clear();
        self.enclave = self.another_enclave();
        self.numbers.clear();
        self.generation += 1;
    }

    /// Destroys the enclave while a secret is open in place, which is then wiped.
    fn destroy_while_open(&mut self) {
        let Some(last) = self.in_place.last_mut() else { return self.enclave.destroy() };
        let guard = last.sealed.open(&self.enclave, &last.context).unwrap();
        self.enclave.destroy();
        assert_eq!(guard.expose_secret(), last.secret);
        drop(guard);
        let (start, len) = (last.offset, last.secret.len());
        assert!(len == 0 || self.lab.is_zero(start..start + len), "left open");
    }

    /// The shares of the destroyed one make room if nothing else does.
    fn another_enclave(&mut self) -> Enclave<'a> {
        loop {
            match Enclave::new(self.lab.arena()) {
                Ok(enclave) => return enclave,
                Err(_) => assert!(self.open.pop().is_some(), "no room in an empty arena"),
            }
        }
    }

    fn check_destroyed(&mut self) {
        let arena = self.lab.arena();
        for record in &self.records {
            // In a full arena too.
            let error = self.enclave.open(&record.sealed, &record.context).unwrap_err();
            assert_eq!(error, OpenError::Destroyed);
        }
        for secret in &mut self.in_place {
            let error = secret.sealed.open(&self.enclave, &secret.context).unwrap_err();
            assert_eq!(error, OpenError::Destroyed);
        }
        let error = self.enclave.seal(b"secret", b"", [0; Enclave::record_len(6)]).unwrap_err();
        assert_eq!(error, SealError::Destroyed);
        let Ok(buffer) = Buffer::wiping(arena, &mut [7; 20]) else { return };
        let (buffer, error) = self.enclave.seal_in_place(buffer, b"").unwrap_err();
        assert_eq!(error, SealError::Destroyed);
        assert_eq!(buffer.expose_secret(), [7; 20]);
    }

    fn seal_in_place(&mut self, len: usize, context: u8) {
        let (secret, context) = (self.noise.bytes(len), context_of(context));
        let Ok(buffer) = Buffer::wiping(self.lab.arena(), &mut secret.clone()) else { return };
        let place = NonNull::from(&*buffer.expose_secret()).cast();
        let offset = if len == 0 { 0 } else { self.lab.offset_of(place) };
        let sealed = self.enclave.seal_in_place(buffer, &context).unwrap();
        assert_eq!(sealed.len(), len);
        assert!(len < 8 || !self.lab.holds(offset, &secret), "not encrypted");
        self.in_place.push(InPlace { sealed, secret, context, offset });
    }

    fn open_in_place(&mut self, nth: usize, seed: Option<u64>) {
        let Some(nth) = nth.checked_rem(self.in_place.len()) else { return };
        let InPlace { sealed, secret, context, offset } = &mut self.in_place[nth];
        let at_rest = |lab: &Lab<'_>| lab.read(*offset..*offset + secret.len());
        let before = if secret.is_empty() { Vec::new() } else { at_rest(self.lab) };
        let mut guard = sealed.open(&self.enclave, context).unwrap();
        assert_eq!(guard.expose_secret(), secret);
        if let Some(seed) = seed {
            *secret = Noise(seed).bytes(secret.len());
            guard.expose_secret_mut().copy_from_slice(secret);
        }
        drop(guard);
        let fresh = secret.len() < 8 || !self.lab.holds(*offset, &before);
        assert!(fresh, "sealed again under the same nonce");
    }

    fn tamper_in_place(&mut self, nth: usize, at: usize, mask: u8) {
        let Some(nth) = nth.checked_rem(self.in_place.len()) else { return };
        let InPlace { sealed, secret, context, offset } = &mut self.in_place[nth];
        let refused = OpenError::Tampered;
        if let (1.., Some(at)) = (mask, at.checked_rem(secret.len())) {
            self.lab.flip(*offset + at, mask);
            assert_eq!(sealed.open(&self.enclave, context).unwrap_err(), refused);
            self.lab.flip(*offset + at, mask);
        } else {
            let longer = [&context[..], b"."].concat();
            assert_eq!(sealed.open(&self.enclave, &longer).unwrap_err(), refused);
        }
        self.open_in_place(nth, None);
    }

    fn check(&self) {
        for (open, secret) in &self.open {
            assert_eq!(open.expose_secret(), secret);
        }
        let open = self.open.iter().filter(|(_, secret)| !secret.is_empty()).count();
        let in_place = self.in_place.iter().filter(|sealed| !sealed.secret.is_empty()).count();
        assert_eq!(self.lab.arena().stats().live, SHARES + open + in_place);
        assert_eq!(self.lab.arena().verify(), Ok(()));
        assert!(self.lab.is_guard_intact(), "written outside the region");
    }
}

impl Debug for Model<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// Checks that a record was refused, if not for want of room then because it was tampered with.
fn refused(arena: &Arena<'_>, opened: &Result<Buffer<'_>, OpenError>, len: usize) {
    match opened {
        Err(OpenError::Tampered) => {}
        Err(error) => no_room(arena, *error, len),
        Ok(opened) => panic!("opened: {opened:?}"),
    }
}

/// Checks that an error is about room that indeed is not there.
fn no_room(arena: &Arena<'_>, error: OpenError, len: usize) {
    let refused = Buffer::new(arena, len).map(drop).map_err(OpenError::Allocate);
    assert_eq!(refused, Err(error));
}

fn take<T>(items: &mut Vec<T>, nth: usize) -> Option<T> {
    let nth = nth.checked_rem(items.len())?;
    Some(items.swap_remove(nth))
}

/// One of a few contexts: none, short ones and long ones, two of each length.
fn context_of(number: u8) -> Vec<u8> {
    vec![b'a' + number % 2; [0, 1, 16, 70][usize::from(number / 2 % 4)]]
}

/// What the key of an enclave takes in the arena.
const SHARES: usize = 2;
