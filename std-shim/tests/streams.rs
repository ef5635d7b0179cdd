//! Streams: what comes out is what went in, and nothing of a stream that was tampered with.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cmp::min;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Seek, Write};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use strongroom::{
    HoldsBytes, OpenError, Opener, OpeningStream, STREAM_CHUNK, SealError, SealingStream,
    StreamError, StreamHeader, Vault, wipe_all,
};

mod support;

use support::watchdog::{SOON, ends_within};
use support::{alone, forked};

fn vault() -> Vault {
    Vault::new(64 * 1024).unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// Seals with chunks of so many bytes.
fn sealed(vault: &Vault, chunk: usize, context: &[u8], text: &[u8]) -> Vec<u8> {
    let room = vault.try_allocate(chunk).unwrap();
    let mut sealing = SealingStream::new(room, Vec::new(), context).unwrap();
    sealing.write_all(text).unwrap();
    sealing.finish().unwrap()
}

/// What can be read, and the error at the end.
fn opened(vault: &Vault, context: &[u8], file: &[u8]) -> (Vec<u8>, Option<StreamError>) {
    let room = vault.try_allocate(CHUNK).unwrap();
    let mut opening = OpeningStream::new(room, file, context);
    let mut text = Vec::new();
    let error = opening.copy_to(&mut text).err().map(|error| StreamError::of(&error).unwrap());
    if let Some(error) = error {
        // It stays as it is.
        let again = opening.read(&mut [0]).unwrap_err();
        assert_eq!(StreamError::of(&again), Some(error));
        assert!(opening.chunk().is_err());
    }
    (text, error)
}

/// Of a stream that was changed, nothing is read but whole chunks from the front.
fn assert_refused(
    vault: &Vault,
    context: &[u8],
    file: &[u8],
    text: &[u8],
    what: &str,
) -> StreamError {
    let (read, error) = opened(vault, context, file);
    let error = error.unwrap_or_else(|| panic!("{what} was not refused"));
    assert!(text.starts_with(&read), "{what}: other plaintext was given");
    assert!(read.len() % CHUNK == 0 || read.len() == text.len(), "{what}: a part of a chunk");
    error
}

/// The chunks of a stream that was sealed with `CHUNK`, frames included.
fn chunks(file: &[u8]) -> Vec<&[u8]> {
    file[StreamHeader::LEN..].chunks(4 + 24 + CHUNK).collect()
}

fn joined(file: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    [&file[..StreamHeader::LEN], &chunks.concat()].concat()
}

#[test]
fn a_stream_comes_out_as_it_went_in() {
    let vault = vault();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 7] {
        let text = text(len);
        let file = sealed(&vault, CHUNK, b"context", &text);
        assert_eq!(file.len(), StreamHeader::LEN + len + 28 * (len / CHUNK + 1));
        assert_eq!(opened(&vault, b"context", &file), (text, None), "{len} bytes");
    }
}

#[test]
fn every_changed_bit_is_found() {
    let vault = vault();
    let text = text(2 * CHUNK + 5);
    let mut file = sealed(&vault, CHUNK, b"", &text);
    for bit in 0..8 * file.len() {
        file[bit / 8] ^= 1 << (bit % 8);
        assert_refused(&vault, b"", &file, &text, &format!("bit {bit}"));
        file[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(opened(&vault, b"", &file), (text, None));
}

#[test]
fn every_cut_is_found() {
    let vault = vault();
    for len in [0, CHUNK, 2 * CHUNK + 5] {
        let text = text(len);
        let file = sealed(&vault, CHUNK, b"", &text);
        for end in 0..file.len() {
            let error = assert_refused(&vault, b"", &file[..end], &text, &format!("cut at {end}"));
            assert!(matches!(error, StreamError::Truncated { .. }), "{error}");
        }
    }
}

#[test]
fn chunks_stay_where_they_are() {
    let vault = vault();
    let text = text(4 * CHUNK + 5);
    let file = sealed(&vault, CHUNK, b"", &text);
    let chunks = chunks(&file);
    assert_eq!(chunks.len(), 5);
    for one in 0..5 {
        for other in 0..5 {
            let mut swapped = chunks.clone();
            swapped.swap(one, other);
            let mut replaced = chunks.clone();
            replaced[one] = chunks[other];
            let mut inserted = chunks.clone();
            inserted.insert(one, chunks[other]);
            for (what, changed) in
                [("swapped", swapped), ("replaced", replaced), ("inserted", inserted)]
            {
                if changed != chunks {
                    let file = joined(&file, &changed);
                    assert_refused(&vault, b"", &file, &text, &format!("{what} {one} {other}"));
                }
            }
        }
        let mut removed = chunks.clone();
        removed.remove(one);
        assert_refused(&vault, b"", &joined(&file, &removed), &text, &format!("removed {one}"));
    }
}

/// Nor does another chunk become the end, with nothing behind it, nor the end another chunk.
#[test]
fn the_last_chunk_is_the_last() {
    let vault = vault();
    let text = text(2 * CHUNK + 5);
    let file = sealed(&vault, CHUNK, b"", &text);
    let chunks = chunks(&file);
    for at in 0..2 {
        let mut cut = joined(&file, &chunks[..=at]);
        cut[StreamHeader::LEN + at * chunks[0].len() + 3] |= 0x80;
        let error = assert_refused(&vault, b"", &cut, &text, "an end in the middle");
        assert_eq!(error, StreamError::Tampered { chunk: at as u64 });
    }
    let mut longer = joined(&file, &[&chunks[..], &chunks[2..]].concat());
    longer[StreamHeader::LEN + 2 * chunks[0].len() + 3] &= 0x7f;
    let error = assert_refused(&vault, b"", &longer, &text, "an end in the middle");
    assert_eq!(error, StreamError::Tampered { chunk: 2 });
}

#[test]
fn streams_do_not_mix() {
    let (vault, other_vault) = (vault(), vault());
    let text = text(3 * CHUNK);
    let file = sealed(&vault, CHUNK, b"a", &text);
    for (other, context) in [(&vault, &b"a"[..]), (&vault, b"b"), (&other_vault, b"a")] {
        let other = sealed(other, CHUNK, context, &text);
        let (own, others) = (chunks(&file), chunks(&other));
        for at in 0..own.len() {
            let mut mixed = own.clone();
            mixed[at] = others[at];
            let error =
                assert_refused(&vault, b"a", &joined(&file, &mixed), &text, "a mixed stream");
            assert_eq!(error, StreamError::Tampered { chunk: at as u64 });
        }
        // The other's header before these chunks.
        assert_refused(&vault, b"a", &joined(&other, &own), &text, "a header");
    }
    for (vault, context) in [(&vault, &b"b"[..]), (&vault, b""), (&other_vault, b"a")] {
        let error = assert_refused(vault, context, &file, &text, "another context or vault");
        assert_eq!(error, StreamError::Tampered { chunk: 0 });
    }
}

/// What a context says cannot be said by what stands before it, nor the other way round.
#[test]
fn a_chunk_is_no_other_record() {
    let vault = vault();
    let file = sealed(&vault, CHUNK, b"context", b"text");
    let record = &file[StreamHeader::LEN + 4..];
    let record = strongroom::Sealed::from_record(record);
    assert_eq!(vault.try_open(&record, b"context").unwrap_err(), OpenError::Tampered);
    assert_eq!(vault.try_open(&record, b"").unwrap_err(), OpenError::Tampered);
    // As the docs have it: header, index, flag, the caller's.
    let whole = [&file[..StreamHeader::LEN], &[0; 8], &[1], b"context"].concat();
    assert_eq!(vault.try_open(&record, &whole).unwrap().expose_secret(), b"text");
}

#[test]
fn what_follows_is_refused_unless_said_otherwise() {
    let vault = vault();
    let text = text(CHUNK + 5);
    let mut file = sealed(&vault, CHUNK, b"", &text);
    let second = sealed(&vault, CHUNK, b"", &text);
    file.extend(second);
    file.extend(b"rest");
    let (read, error) = opened(&vault, b"", &file);
    assert_eq!((read, error), (text.clone(), Some(StreamError::Followed)));

    let mut reader = &file[..];
    for _ in 0..2 {
        let room = vault.try_allocate(CHUNK).unwrap();
        let mut opening = OpeningStream::new(room, reader, b"").embedded();
        let mut read = Vec::new();
        opening.copy_to(&mut read).unwrap();
        assert_eq!(read, text);
        reader = opening.into_inner();
    }
    assert_eq!(reader, b"rest");
}

#[test]
fn a_header_takes_no_more_than_the_room() {
    let vault = vault();
    let text = text(3 * CHUNK);
    let file = sealed(&vault, 2 * CHUNK, b"", &text);
    let told = opened(&vault, b"", &file);
    assert_eq!(told, (vec![], Some(StreamError::ChunkTooLong { chunk: 2 * CHUNK, room: CHUNK })));
    let said = told.1.unwrap().to_string();
    assert!(said.contains("200 bytes") && said.contains("room for 100"), "{said}");

    // With the room that it asks for, it goes on.
    let mut reader = &file[..];
    let header = StreamHeader::read(&mut reader).unwrap();
    let room = vault.try_allocate(header.chunk_len()).unwrap();
    let mut read = Vec::new();
    OpeningStream::after_header(room, header, reader, b"").copy_to(&mut read).unwrap();
    assert_eq!(read, text);

    let room = vault.try_allocate(CHUNK).unwrap();
    let mut opening = OpeningStream::after_header(room, header, &file[..], b"");
    assert_eq!(opening.chunk().map(drop).map_err(|error| StreamError::of(&error)), Err(told.1));
    drop(opening);

    // What nobody has sealed: the vault says that it never has so much.
    let mut forged = file.clone();
    forged[24..28].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let header = StreamHeader::read(&mut &forged[..]).unwrap();
    let error = vault.try_allocate(header.chunk_len()).unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { .. }), "{error}");
    for len in [0, 0x8000_0000_u32] {
        forged[24..28].copy_from_slice(&len.to_le_bytes());
        let error = StreamHeader::read(&mut &forged[..]).unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::NotAStream));
    }
    // A shorter chunk length than the chunks have, and a longer one, within the room.
    for len in [CHUNK, CHUNK + 1] {
        forged[24..28].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        let room = vault.try_allocate(2 * CHUNK).unwrap();
        let mut opening = OpeningStream::new(room, &forged[..], b"");
        let error = opening.chunk().map(drop).unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::Tampered { chunk: 0 }));
    }
    let nothing = vault.try_allocate(0).unwrap();
    let begun = SealingStream::new(nothing, io::sink(), b"");
    assert_eq!(begun.map(drop), Err(StreamError::NoRoom));
}

/// Gives and takes bytes in pieces, with errors between.
struct Fickle<T> {
    inner: T,
    turn: usize,
}

impl<T> Fickle<T> {
    fn new(inner: T) -> Self {
        Self { inner, turn: 0 }
    }

    /// How many bytes this time, of so many.
    fn next(&mut self, len: usize) -> io::Result<usize> {
        self.turn += 1;
        match self.turn % 7 {
            0 => Err(ErrorKind::WouldBlock.into()),
            2 => Err(ErrorKind::Interrupted.into()),
            4 => Err(io::Error::other("no space left")),
            odd => Ok(min(len, odd * 5)),
        }
    }
}

impl<W: Write> Write for Fickle<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.next(bytes.len())?;
        self.inner.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next(0).map(drop)
    }
}

impl<R: Read> Read for Fickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.next(buffer.len())?;
        self.inner.read(&mut buffer[..count])
    }
}

/// Makes a call until it succeeds; none of these errors is the stream's own.
fn insist<T>(mut call: impl FnMut() -> io::Result<T>) -> T {
    for _ in 0..10_000 {
        match call() {
            Ok(done) => return done,
            Err(error) => assert_eq!(StreamError::of(&error), None, "{error}"),
        }
    }
    panic!("it does not come to an end");
}

#[test]
fn errors_of_the_writer_and_the_reader_lose_and_double_nothing() {
    let vault = vault();
    for (chunk, step) in [(100, 7), (100, 100), (100, 250), (1, 3), (64, 64)] {
        let text = text(1234);
        let room = vault.try_allocate(chunk).unwrap();
        let mut sealing = SealingStream::new(room, Fickle::new(Vec::new()), b"").unwrap();
        let (mut written, mut flushes) = (0, 0);
        while written < text.len() {
            let piece = &text[written..min(text.len(), written + step)];
            written += insist(|| sealing.write(piece));
            if written % 11 == 0 {
                insist(|| sealing.flush());
                flushes += 1;
            }
        }
        insist(|| sealing.end());
        insist(|| sealing.end());
        let more = sealing.write(b"more").map_err(|error| StreamError::of(&error));
        assert_eq!(more, Err(Some(StreamError::Ended)));
        let file = sealing.into_inner().inner;
        let most = text.len() / chunk + 1 + flushes;
        assert!(file.len() <= StreamHeader::LEN + text.len() + 28 * most, "sealed twice");

        let room = vault.try_allocate(chunk).unwrap();
        let mut opening = OpeningStream::new(room, Fickle::new(&file[..]), b"");
        let (mut read, mut buffer) = (Vec::new(), vec![0; step]);
        loop {
            let count = insist(|| opening.read(&mut buffer));
            if count == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..count]);
        }
        assert!(read == text, "chunks of {chunk}, steps of {step}");
        assert_eq!(opening.read(&mut buffer).unwrap(), 0);
    }
}

#[test]
fn copying_goes_on_after_an_error() {
    let vault = vault();
    let text = text(1234);
    let file = sealed(&vault, CHUNK, b"", &text);
    let mut opening =
        OpeningStream::new(vault.try_allocate(CHUNK).unwrap(), Fickle::new(&file[..]), b"");
    let mut writer = Fickle::new(Vec::new());
    insist(|| opening.copy_to(&mut writer));
    assert!(writer.inner == text);
}

/// Says that it has moved more than it was given.
struct Liar;

impl Read for Liar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(buffer.len() + 1)
    }
}

impl Write for Liar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len() + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_or_writer_that_lies_is_an_error() {
    let vault = vault();
    let kind = |error: io::Error| error.kind();
    let mut opening = vault.try_open_stream(Liar, b"").unwrap();
    assert_eq!(opening.read(&mut [0]).map_err(kind), Err(ErrorKind::InvalidData));
    drop(opening);
    let mut sealing = vault.try_seal_stream(Liar, b"").unwrap();
    assert_eq!(sealing.write(&[0]).map_err(kind), Err(ErrorKind::InvalidData));
    drop(sealing);
    let file = sealed(&vault, CHUNK, b"", b"text");
    let mut opening = vault.try_open_stream(&file[..], b"").unwrap();
    assert_eq!(opening.copy_to(&mut Liar).map_err(kind), Err(ErrorKind::InvalidData));
}

/// What was flushed is there for the other side before more is written.
#[test]
fn a_flush_reaches_the_other_side() {
    ends_within(SOON, || {
        let vault = vault();
        let (reader, writer) = io::pipe().unwrap();
        let mut opening = vault.try_open_stream(reader, b"").unwrap();
        let mut sealing = vault.try_seal_stream(writer, b"").unwrap();
        for word in ["one", "two", "three"] {
            sealing.write_all(word.as_bytes()).unwrap();
            sealing.flush().unwrap();
            let chunk = opening.chunk().unwrap();
            assert!(*chunk == *word.as_bytes());
            drop(chunk);
            opening.consume(word.len());
        }
        drop(sealing.finish().unwrap());
        assert!(opening.chunk().unwrap().is_empty());
    });
}

/// A stream that nobody has finished, and one whose writer was taken back.
#[test]
fn what_was_not_finished_is_truncated() {
    let vault = vault();
    let mut file = Vec::new();
    let mut sealing = vault.try_seal_stream(&mut file, b"").unwrap();
    sealing.write_all(&text(3 * STREAM_CHUNK)).unwrap();
    sealing.flush().unwrap();
    drop(sealing);
    let mut opening = vault.try_open_stream(&file[..], b"").unwrap();
    let error = opening.copy_to(&mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(StreamError::of(&error), Some(StreamError::Truncated { chunk: 3 }));
    assert!(error.source().is_none(), "nothing is below it");
    drop(opening);

    let mut opening = vault.try_open_stream(&[][..], b"").unwrap();
    let error = opening.chunk().map(drop).unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Truncated { chunk: 0 }));
}

/// Gives its parts, and an end after each.
struct Parts<'p>(Vec<&'p [u8]>);

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.0.first_mut() else { return Ok(0) };
        if part.is_empty() {
            self.0.remove(0);
            return Ok(0);
        }
        part.read(buffer)
    }
}

/// Whoever was told that a stream is cut off is not told otherwise later, nor is there anything behind an
/// end.
#[test]
fn an_error_and_an_end_are_for_good() {
    let vault = vault();
    let text = text(2 * CHUNK + 5);
    let file = sealed(&vault, CHUNK, b"", &text);
    let (front, back) = file.split_at(CHUNK * 2);
    let mut opening = vault.try_open_stream(Parts(vec![front, back]), b"").unwrap();
    let truncated = Some(StreamError::Truncated { chunk: 1 });
    let mut read = Vec::new();
    for _ in 0..3 {
        let error = opening.copy_to(&mut read).unwrap_err();
        assert_eq!(StreamError::of(&error), truncated);
    }
    assert!(read == text[..CHUNK]);
    drop(opening);

    let mut opening = vault.try_open_stream(Parts(vec![&file, &file]), b"").unwrap();
    assert_eq!(opening.copy_to(&mut io::sink()).unwrap(), text.len() as u64);
    for _ in 0..3 {
        assert_eq!(opening.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn two_streams_take_a_small_vault_and_a_third_is_told() {
    let vault = vault();
    let [_one, _other] = vault.try_allocate_all([STREAM_CHUNK; 2]).unwrap();
    let mut more = Vec::new();
    let error = loop {
        match vault.try_seal_stream(Vec::<u8>::new(), b"") {
            Ok(stream) => more.push(stream),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StreamError::Open(OpenError::Full(_))), "{error}");
    assert!(more.len() <= 1);
    let error = vault.try_allocate_all([STREAM_CHUNK; 5]).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NeverTogether { secrets: 5, .. }), "{error}");
}

/// Many threads reseal in a vault that holds the chunks of few, and all come to the end.
#[test]
fn resealing_under_a_small_budget_ends() {
    ends_within(3 * SOON, || {
        let vault = vault();
        let text = text(3 * STREAM_CHUNK + 77);
        let mut sealing = vault.try_seal_stream(Vec::new(), b"0").unwrap();
        sealing.write_all(&text).unwrap();
        let file = sealing.finish().unwrap();
        thread::scope(|scope| {
            for number in 0..8_u8 {
                let (vault, file, text) = (&vault, &file, &text);
                scope.spawn(move || {
                    for _ in 0..5 {
                        let rooms = vault.allocate_all_timeout([STREAM_CHUNK; 2], 2 * SOON);
                        let [from, to] = rooms.unwrap();
                        let mut opening = OpeningStream::new(from, &file[..], b"0");
                        let mut sealing = SealingStream::new(to, Vec::new(), &[number]).unwrap();
                        opening.copy_to(&mut sealing).unwrap();
                        let own = sealing.finish().unwrap();
                        drop(opening);
                        let room = vault.allocate_timeout(STREAM_CHUNK, 2 * SOON).unwrap();
                        let mut read = Vec::new();
                        let mut opening = OpeningStream::new(room, &own[..], &[number]);
                        opening.copy_to(&mut read).unwrap();
                        assert!(read == *text);
                    }
                });
            }
        });
        assert_eq!(vault.held(), 0);
    });
}

/// From one vault to another, with the room of a reserve and of a share.
#[test]
fn all_who_open_can_stream() {
    fn through<M: HoldsBytes>(seal: M, open: M) {
        let mut sealing = SealingStream::new(seal, Vec::new(), b"").unwrap();
        sealing.write_all(&text(1000)).unwrap();
        let file = sealing.finish().unwrap();
        let mut read = Vec::new();
        OpeningStream::new(open, &file[..], b"").copy_to(&mut read).unwrap();
        assert!(read == text(1000));
    }
    let vault = Arc::new(Vault::builder().reserve("streams", 8192).build().unwrap());
    let reserve = vault.reserve("streams").unwrap();
    let share = vault.share();
    through(vault.try_allocate(300).unwrap(), vault.try_allocate(300).unwrap());
    through(reserve.try_allocate(300).unwrap(), reserve.try_allocate(300).unwrap());
    through(share.try_allocate(300).unwrap(), share.try_allocate(300).unwrap());
    let [one, other] = share.try_allocate_all([300, 400]).unwrap();
    // What a room held is not part of the stream.
    drop(vault);
    thread::spawn(move || through(one, other)).join().unwrap();
}

/// What one vault has sealed is sealed by another, from where it is open.
#[test]
fn a_stream_passes_from_vault_to_vault() {
    let (one, other) = (vault(), vault());
    let text = text(5 * STREAM_CHUNK + 9);
    let mut sealing = one.try_seal_stream(Vec::new(), b"one").unwrap();
    sealing.write_all(&text).unwrap();
    let file = sealing.finish().unwrap();
    let mut opening = one.try_open_stream(&file[..], b"one").unwrap();
    let mut sealing = other.try_seal_stream(Vec::new(), b"other").unwrap();
    assert_eq!(opening.copy_to(&mut sealing).unwrap(), text.len() as u64);
    let file = sealing.finish().unwrap();
    let mut read = Vec::new();
    let mut opening = other.try_open_stream(&file[..], b"other").unwrap();
    opening.copy_to(&mut read).unwrap();
    assert!(read == text);
}

/// A stream holds its vault's memory for one chunk, all of it zero but for what is open.
#[test]
fn what_was_consumed_is_wiped() {
    let vault = vault();
    let mut room = vault.try_allocate(CHUNK + 20).unwrap();
    room.expose_secret_mut().fill(7);
    let file = sealed(&vault, CHUNK, b"", &[1; 150]);
    let mut opening = OpeningStream::new(room, &file[..], b"");
    let place = {
        let chunk = opening.chunk().unwrap();
        assert!(chunk.iter().all(|&byte| byte == 1) && chunk.len() == CHUNK);
        chunk.as_ptr()
    };
    // SAFETY: these are the chunk's bytes, which the stream holds.
    let byte = |at: usize| unsafe { place.wrapping_add(at).read_volatile() };
    opening.consume(40);
    let is_open = |at| (40..CHUNK).contains(&at);
    assert!((0..CHUNK + 20).all(|at| byte(at) == u8::from(is_open(at))));
    opening.consume(usize::MAX);
    assert_eq!(opening.chunk().unwrap().len(), 50);
    assert!((0..CHUNK + 20).all(|at| byte(at) == u8::from(at < 50)));
}

#[test]
fn a_destroyed_vault_says_so() {
    let vault = vault();
    let file = sealed(&vault, CHUNK, b"", &text(300));
    let mut opening = vault.try_open_stream(&file[..], b"").unwrap();
    let mut first = [0; CHUNK];
    opening.read_exact(&mut first[..50]).unwrap();
    let mut sealing = vault.try_seal_stream(Vec::new(), b"").unwrap();
    sealing.write_all(b"part").unwrap();
    vault.destroy();
    // What is open stays open.
    opening.read_exact(&mut first[50..]).unwrap();
    assert!(first == text(300)[..CHUNK]);
    let error = opening.read(&mut first).unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Open(OpenError::Destroyed)));
    let error = sealing.end().unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Seal(SealError::Destroyed)));
    assert!(error.to_string().contains("destroyed"));
}

/// A write that would end a chunk, where that cannot be sealed, has taken nothing.
#[test]
fn a_write_that_is_refused_takes_nothing() {
    let vault = vault();
    let room = vault.try_allocate(CHUNK).unwrap();
    let mut sealing = SealingStream::new(room, Vec::new(), b"").unwrap();
    sealing.write_all(&text(60)).unwrap();
    vault.destroy();
    // There is room for 40 more, and for 39 after each refusal.
    for _ in 0..2 {
        let error = sealing.write(&text(40)).unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::Seal(SealError::Destroyed)));
    }
    assert_eq!(sealing.write(&text(39)).unwrap(), 39);
    assert!(sealing.write(&text(1)).is_err());
}

#[test]
fn a_wiped_vault_says_so() {
    alone("a_wiped_vault_says_so", || {
        let vault = vault();
        let file = sealed(&vault, CHUNK, b"", &text(300));
        let mut opening = vault.try_open_stream(&file[..], b"").unwrap();
        let mut sealing = vault.try_seal_stream(Vec::new(), b"").unwrap();
        sealing.write_all(b"part").unwrap();
        opening.read_exact(&mut [0; 50]).unwrap();
        wipe_all();
        let destroyed = Some(StreamError::Open(OpenError::Destroyed));
        let told = |error: io::Error| assert_eq!(StreamError::of(&error), destroyed, "{error}");
        told(opening.read(&mut [0]).unwrap_err());
        told(opening.chunk().map(drop).unwrap_err());
        told(sealing.write(b"more").unwrap_err());
        told(sealing.flush().unwrap_err());
        told(sealing.finish().unwrap_err());
        drop(opening);
    });
}

/// A child that goes on with its parent's streams neither reads nor writes: both have the same file.
#[test]
fn a_forked_child_is_told_and_moves_nothing() {
    let vault = vault();
    let file = sealed(&vault, CHUNK, b"", &text(300));
    let mut sealing = vault.try_seal_stream(Cursor::new(Vec::new()), b"").unwrap();
    sealing.write_all(b"part").unwrap();
    let mut opening = vault.try_open_stream(Cursor::new(&file), b"").unwrap();
    opening.read_exact(&mut [0; 50]).unwrap();
    let status = forked(|| {
        let is_forked = |error: io::Error| {
            StreamError::of(&error) == Some(StreamError::Open(OpenError::Forked))
        };
        let (read, written) = (opening.reader().position(), sealing.writer().position());
        opening.read(&mut [0]).is_err_and(is_forked)
            && opening.chunk().map(drop).is_err_and(is_forked)
            && sealing.write(b"more").is_err_and(is_forked)
            && sealing.flush().is_err_and(is_forked)
            && sealing.end().is_err_and(is_forked)
            && (read, written) == (opening.reader().position(), sealing.writer().position())
            && vault.try_seal_stream(io::sink(), b"").map(drop)
                == Err(StreamError::Open(OpenError::Forked))
    });
    assert!(status.success(), "{status}");
    sealing.end().unwrap();
    opening.copy_to(&mut io::sink()).unwrap();
}

/// More than any budget, through 64 KiB; see `a_gibibyte`.
#[test]
fn sixteen_mebibytes_pass_through_64_kib() {
    pass(16 << 20);
}

/// `cargo test --release -p strongroom --test streams -- --ignored --nocapture a_gibibyte` prints what
/// it took.
#[test]
#[ignore = "writes a file of a gibibyte"]
fn a_gibibyte_passes_through_64_kib() {
    pass(1 << 30);
}

/// Seals so many bytes to a file and opens them again, in a vault of 64 KiB.
fn pass(len: usize) {
    let vault = vault();
    let path = std::env::temp_dir().join(format!("strongroom-stream-{}-{len}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let begun = Instant::now();
    let mut sealing = vault.try_seal_stream(&mut file, b"file").unwrap();
    let mut plain = vault.try_allocate(4096).unwrap();
    for number in 0..len / 4096 {
        fill(&mut plain.expose_secret_mut(), number);
        sealing.write_all(&plain.expose_secret()).unwrap();
    }
    sealing.finish().unwrap();
    let to_seal = begun.elapsed();
    assert!(vault.metrics().locked <= 64 * 1024);

    file.rewind().unwrap();
    let begun = Instant::now();
    let mut opening = vault.try_open_stream(&mut file, b"file").unwrap();
    let mut read = vault.try_allocate(4096).unwrap();
    for number in 0..len / 4096 {
        opening.read_exact(&mut read.expose_secret_mut()).unwrap();
        fill(&mut plain.expose_secret_mut(), number);
        assert!(read.constant_time_eq(&plain.expose_secret()), "page {number} is another");
    }
    assert_eq!(opening.read(&mut [0]).unwrap(), 0);
    eprintln!(
        "counted: {len} bytes sealed in {to_seal:.2?}, opened in {:.2?}; {}",
        begun.elapsed(),
        peaks()
    );
}

fn fill(page: &mut [u8], number: usize) {
    page.fill(0);
    page[..8].copy_from_slice(&(number as u64).to_le_bytes());
    page[4088..].copy_from_slice(&(number as u64).to_be_bytes());
}

/// What is locked, and the most that was resident, as the kernel says.
fn peaks() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines =
        status.lines().filter(|line| line.starts_with("VmLck") || line.starts_with("VmHWM"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

const CHUNK: usize = 100;
