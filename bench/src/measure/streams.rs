//! Streams beside `aead-stream`, the STREAM construction of the same cipher with its key set up.
//!
//! Both seal a text from memory into a writer that takes everything, and open it again from memory. The
//! other needs a buffer for each chunk, in ordinary memory; ours is what a vault's user calls, from the room
//! that it takes to the last chunk.

use std::hint::black_box;
use std::io::{self, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use strongroom::{OpeningStream, SealingStream, Vault};

use super::sealing::{LONG, OPEN, SEAL};
use crate::harness::Harness;
use crate::peers;
use crate::results::Stream;
use crate::sealers::CONTEXT;

/// Measures every chunk length.
pub(crate) fn measure(harness: Harness) -> Result<Vec<Stream>, String> {
    let vault = peers::vault(REGION)?;
    let mut found = Vec::new();
    for chunk in CHUNKS {
        let own = Own::new(&vault, chunk)?;
        let other = Other::new(chunk);
        let paired = harness
            .pair(|count| repeat(count, || other.seal()), |count| repeat(count, || own.seal()));
        found.push(Stream { operation: SEAL, chunk, text: TEXT, paired });
        let paired = harness
            .pair(|count| repeat(count, || other.open()), |count| repeat(count, || own.open()));
        found.push(Stream { operation: OPEN, chunk, text: TEXT, paired });
    }
    Ok(found)
}

#[inline(never)]
fn repeat(count: u64, work: impl Fn()) {
    (0..count).for_each(|_| work());
}

/// A vault's streams.
struct Own<'v> {
    vault: &'v Vault,
    chunk: usize,
    text: Vec<u8>,
    file: Vec<u8>,
}

impl<'v> Own<'v> {
    fn new(vault: &'v Vault, chunk: usize) -> Result<Self, String> {
        let mut own = Self { vault, chunk, text: vec![5; TEXT], file: Vec::new() };
        own.file = own.seal_to(Vec::new()).map_err(|error| error.to_string())?;
        Ok(own)
    }

    fn seal_to<W: Write>(&self, writer: W) -> io::Result<W> {
        let room = self.vault.try_allocate(self.chunk).map_err(io::Error::other)?;
        let mut sealing = SealingStream::new(room, writer, CONTEXT)?;
        sealing.write_all(black_box(&self.text))?;
        sealing.finish()
    }

    fn seal(&self) {
        self.seal_to(Sink).expect("there is room for one");
    }

    fn open(&self) {
        let room = self.vault.try_allocate(self.chunk).expect("there is room for one");
        let mut opening = OpeningStream::new(room, black_box(&self.file[..]), CONTEXT);
        let len = opening.copy_to(&mut Sink).expect("it was sealed here");
        assert_eq!(len, TEXT as u64);
    }
}

/// The crate.
struct Other {
    chunk: usize,
    text: Vec<u8>,
    file: Vec<u8>,
}

impl Other {
    fn new(chunk: usize) -> Self {
        let mut other = Self { chunk, text: vec![5; TEXT], file: Vec::new() };
        other.file = other.seal_to(Vec::new());
        other
    }

    fn seal_to<W: Write>(&self, mut writer: W) -> W {
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        let mut stream = EncryptorBE32::from_aead(cipher, &NONCE.into());
        let mut buffer = Vec::with_capacity(self.chunk + TAG);
        let text = black_box(&self.text);
        let (last, chunks) = split(text, self.chunk);
        for chunk in chunks {
            buffer.clear();
            buffer.extend_from_slice(chunk);
            stream.encrypt_next_in_place(CONTEXT, &mut buffer).expect("it seals");
            writer.write_all(&buffer).expect("it takes everything");
        }
        buffer.clear();
        buffer.extend_from_slice(last);
        stream.encrypt_last_in_place(CONTEXT, &mut buffer).expect("it seals");
        writer.write_all(&buffer).expect("it takes everything");
        writer
    }

    fn seal(&self) {
        self.seal_to(Sink);
    }

    fn open(&self) {
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        let mut stream = DecryptorBE32::from_aead(cipher, &NONCE.into());
        let mut buffer = Vec::with_capacity(self.chunk + TAG);
        let (last, records) = split(black_box(&self.file), self.chunk + TAG);
        for record in records {
            buffer.clear();
            buffer.extend_from_slice(record);
            stream.decrypt_next_in_place(CONTEXT, &mut buffer).expect("it was sealed here");
            Sink.write_all(&buffer).expect("it takes everything");
        }
        buffer.clear();
        buffer.extend_from_slice(last);
        stream.decrypt_last_in_place(CONTEXT, &mut buffer).expect("it was sealed here");
        Sink.write_all(&buffer).expect("it takes everything");
    }
}

/// The last piece of some bytes, and those before it.
fn split(bytes: &[u8], piece: usize) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let last = (bytes.len() - 1) / piece * piece;
    (&bytes[last..], bytes[..last].chunks(piece))
}

/// Takes everything, and the compiler does not know that it does nothing with it.
struct Sink;

impl Write for Sink {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        black_box(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of plaintext in a whole chunk.
pub(crate) const CHUNKS: [usize; 3] = [1024, LONG, 64 * 1024];

/// Bytes of a stream's plaintext.
const TEXT: usize = 1024 * 1024;

const REGION: usize = 1024 * 1024;
const TAG: usize = 16;
const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 7] = [9; 7];
