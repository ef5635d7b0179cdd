//! Streams written and read in pieces, through readers and writers that fail, and then tampered with;
//! and the shadow model, which knows each chunk.
//!
//! The model seals a stream, compares its chunks with what they should be, reads it back, and then attacks
//! copies of it. Whatever is done to a copy, what is read of it is the text of those chunks at its front
//! that nothing has touched, and then an error.

mod fickle;

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use strongroom::{OpeningStream, SealingStream, StreamError, StreamHeader, Vault};

use self::fickle::{Fickle, insist};
use crate::noise::Noise;
use crate::script::Script;

/// What is done to a stream while it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write some bytes, all of them, but not of a great many chunks.
    Write {
        /// How many.
        len: usize,
    },
    /// Flush, which ends a chunk.
    Flush,
}

/// How a stream is read, again and again until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Into memory of so many bytes, but one.
    Read {
        /// How many.
        len: usize,
    },
    /// In its place, of which some bytes are consumed.
    Chunk {
        /// How many, counted around.
        consume: usize,
    },
}

/// What is done to a copy of a stream. Chunks and places are counted around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A bit is flipped.
    Flip {
        /// Which.
        bit: usize,
    },
    /// It is cut off, at least by one byte.
    Cut {
        /// What is left, in bytes.
        len: usize,
    },
    /// Bytes are added to its end.
    Append {
        /// How many, but one.
        more: u8,
    },
    /// Two chunks change places.
    Swap {
        /// One.
        one: usize,
        /// The other.
        other: usize,
    },
    /// A chunk stands at another place too.
    Repeat {
        /// Which.
        one: usize,
        /// Before which.
        at: usize,
    },
    /// A chunk is left out.
    Remove {
        /// Which.
        one: usize,
    },
    /// A chunk is that of another stream of the same text and context.
    Graft {
        /// Which.
        one: usize,
    },
    /// A chunk is said to be the last, and nothing follows it.
    End {
        /// Which.
        one: usize,
    },
    /// The header is that of the other stream.
    Behead,
    /// Nothing but the header is left, and bytes that nobody has sealed.
    Forge {
        /// What they are.
        seed: u64,
    },
}

/// The chunk length in bytes, and what the text and the errors look like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// From 1.
    pub chunk: usize,
    /// Of all that is random.
    pub seed: u64,
}

/// Reads operations from `bytes` and does them.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let setup = Setup { chunk: 1 + script.size() % MOST, seed: script.short() as u64 };
    let (mut ops, mut looks, mut attacks) = (Vec::new(), Vec::new(), Vec::new());
    while !script.is_empty() {
        match script.byte() % 4 {
            0 | 1 => ops.push(Op::decode(&mut script)),
            2 => looks.push(Look::decode(&mut script)),
            _ => attacks.push(Attack::decode(&mut script)),
        }
    }
    setup.run(&ops, &looks, &attacks);
}

/// Opens `bytes`, which nobody has sealed, behind nothing or more of an empty stream.
pub fn open_hostile(bytes: &[u8]) {
    let vault = vault();
    let begun = SealingStream::new(vault.try_allocate(MOST).unwrap(), Vec::new(), CONTEXT);
    let empty = begun.unwrap().finish().unwrap();
    for front in [0, 8, 24, StreamHeader::LEN, empty.len()] {
        let file = [&empty[..front], bytes].concat();
        if file != empty {
            let (read, end) = read_all(&file, MOST);
            assert!(read.is_empty() && end.is_err(), "a forged stream was opened");
        }
    }
}

impl Op {
    fn decode(script: &mut Script<'_>) -> Self {
        if script.byte().is_multiple_of(8) {
            Self::Flush
        } else {
            Self::Write { len: script.size() % LONGEST }
        }
    }
}

impl Look {
    fn decode(script: &mut Script<'_>) -> Self {
        if script.byte().is_multiple_of(2) {
            Self::Read { len: script.size() % LONGEST }
        } else {
            Self::Chunk { consume: script.size() }
        }
    }
}

impl Attack {
    fn decode(script: &mut Script<'_>) -> Self {
        match script.byte() % 10 {
            0 => Self::Flip { bit: script.short() },
            1 => Self::Cut { len: script.short() },
            2 => Self::Append { more: script.byte() },
            3 => Self::Swap { one: script.short(), other: script.short() },
            4 => Self::Repeat { one: script.short(), at: script.short() },
            5 => Self::Remove { one: script.short() },
            6 => Self::Graft { one: script.short() },
            7 => Self::Behead,
            8 => Self::End { one: script.short() },
            _ => Self::Forge { seed: script.short() as u64 },
        }
    }
}

impl Setup {
    /// Seals, reads back, attacks.
    pub fn run(self, ops: &[Op], looks: &[Look], attacks: &[Attack]) {
        let stream = self.seal(ops);
        let other = self.seal(ops);
        assert!(stream.texts == other.texts && stream.file != other.file, "two streams are one");
        assert!(self.read(looks, &stream.file) == stream.texts.concat(), "other text was read");
        for &attack in attacks {
            stream.check_attacked(self.chunk, &stream.attacked(&other, attack));
        }
    }

    fn seal(self, ops: &[Op]) -> Stream {
        let mut noise = Noise(self.seed);
        let room = vault().try_allocate(self.chunk).unwrap();
        let writer = Fickle::new(Vec::new(), self.seed);
        let mut sealing = SealingStream::new(room, writer, CONTEXT).unwrap();
        let mut texts = Vec::new();
        let mut waiting = Vec::new();
        for &op in ops.iter().take(MANY) {
            match op {
                Op::Write { len } => {
                    let text = noise.bytes(len.min(self.chunk * MANY));
                    let mut rest = &text[..];
                    while !rest.is_empty() {
                        let count = insist(|| sealing.write(rest));
                        assert!((1..=rest.len()).contains(&count), "{count} bytes were taken");
                        rest = &rest[count..];
                    }
                    waiting.extend(text);
                    while waiting.len() >= self.chunk {
                        texts.push(waiting.drain(..self.chunk).collect());
                    }
                }
                Op::Flush => {
                    insist(|| sealing.flush());
                    if !waiting.is_empty() {
                        texts.push(std::mem::take(&mut waiting));
                    }
                    let written = &sealing.writer().inner;
                    assert_eq!(written.len(), length(&texts).max(StreamHeader::LEN), "not flushed");
                }
            }
        }
        texts.push(waiting);
        insist(|| sealing.end());
        let stream = Stream { file: sealing.into_inner().inner, texts };
        stream.check_chunks();
        stream
    }

    /// Reads to the end, in the ways that are said, one after the other.
    fn read(self, looks: &[Look], file: &[u8]) -> Vec<u8> {
        let room = vault().try_allocate(self.chunk).unwrap();
        let mut opening = OpeningStream::new(room, Fickle::new(file, self.seed), CONTEXT);
        let mut read = Vec::new();
        let otherwise = [Look::Chunk { consume: self.chunk }];
        for &look in looks.iter().chain(otherwise.iter().cycle()) {
            match look {
                Look::Read { len } => {
                    let mut buffer = vec![0; len + 1];
                    let count = insist(|| opening.read(&mut buffer));
                    if count == 0 {
                        break;
                    }
                    read.extend_from_slice(&buffer[..count]);
                }
                Look::Chunk { consume } => {
                    insist(|| opening.chunk().map(drop));
                    let open = opening.chunk().unwrap();
                    if open.is_empty() {
                        break;
                    }
                    let count = 1 + consume % open.len();
                    read.extend_from_slice(&open[..count]);
                    drop(open);
                    opening.consume(count);
                }
            }
        }
        assert_eq!(opening.read(&mut [0]).unwrap(), 0, "it went on after its end");
        read
    }
}

/// A stream, and the text of each of its chunks.
struct Stream {
    file: Vec<u8>,
    texts: Vec<Vec<u8>>,
}

impl Stream {
    /// Holds the chunks of the file against the model's.
    fn check_chunks(&self) {
        let mut rest = &self.file[StreamHeader::LEN..];
        for (index, text) in self.texts.iter().enumerate() {
            let (frame, behind) = rest.split_first_chunk().unwrap();
            let is_last = index + 1 == self.texts.len();
            let expected = u32::try_from(text.len()).unwrap() | u32::from(is_last) << 31;
            assert_eq!(u32::from_le_bytes(*frame), expected, "chunk {index}");
            rest = &behind[text.len() + 24..];
        }
        assert!(rest.is_empty(), "{} bytes follow the last chunk", rest.len());
    }

    /// The chunks as they are in the file.
    fn chunks(&self) -> Vec<&[u8]> {
        let mut rest = &self.file[StreamHeader::LEN..];
        let chunk = |text: &Vec<u8>| {
            let (chunk, behind) = rest.split_at(text.len() + 28);
            rest = behind;
            chunk
        };
        self.texts.iter().map(chunk).collect()
    }

    fn attacked(&self, other: &Self, attack: Attack) -> Vec<u8> {
        let (mut header, mut chunks) = (&self.file[..StreamHeader::LEN], self.chunks());
        let count = chunks.len();
        match attack {
            Attack::Flip { bit } => {
                let mut file = self.file.clone();
                let bit = bit % (8 * file.len());
                file[bit / 8] ^= 1 << (bit % 8);
                return file;
            }
            Attack::Cut { len } => return self.file[..len % self.file.len()].to_vec(),
            Attack::Append { more } => {
                return [&self.file[..], &vec![more; 1 + usize::from(more)]].concat();
            }
            Attack::Forge { seed } => return [header, &Noise(seed).bytes(100)].concat(),
            Attack::End { one } => {
                let one = one % count;
                let mut file = self.file[..length(&self.texts[..=one])].to_vec();
                // The greatest bit of the frame.
                file[length(&self.texts[..one]) + 3] |= 0x80;
                return file;
            }
            Attack::Swap { one, other } => chunks.swap(one % count, other % count),
            Attack::Repeat { one, at } => chunks.insert(at % (count + 1), chunks[one % count]),
            Attack::Remove { one } => _ = chunks.remove(one % count),
            Attack::Graft { one } => chunks[one % count] = other.chunks()[one % count],
            Attack::Behead => header = &other.file[..StreamHeader::LEN],
        }
        [header, &chunks.concat()].concat()
    }

    /// Holds what is read of a changed copy against the model.
    fn check_attacked(&self, chunk: usize, file: &[u8]) {
        if *file == *self.file {
            return;
        }
        let same = self.file.iter().zip(file).take_while(|(a, b)| a == b).count();
        let ends = (1..=self.texts.len()).map(|count| length(&self.texts[..count]));
        let whole = ends.take_while(|&end| end <= same).count();
        let (read, end) = read_all(file, chunk);
        assert!(read == self.texts[..whole].concat(), "not the {whole} chunks that are whole");
        assert!(end.is_err(), "it was opened though it was changed");
        if same == self.file.len() {
            assert_eq!(end, Err(StreamError::Followed));
        }
        if same == file.len() {
            let chunk = whole as u64;
            assert_eq!(end, Err(StreamError::Truncated { chunk }));
        }
    }
}

/// Where in a file the chunks with these texts end.
fn length(texts: &[Vec<u8>]) -> usize {
    texts.iter().fold(StreamHeader::LEN, |sum, text| sum + text.len() + 28)
}

/// What can be read, and how it ends.
fn read_all(file: &[u8], chunk: usize) -> (Vec<u8>, Result<(), StreamError>) {
    let room = vault().try_allocate(chunk).unwrap();
    let mut opening = OpeningStream::new(room, file, CONTEXT);
    let mut read = Vec::new();
    let own = |error: io::Error| StreamError::of(&error).unwrap();
    let end = opening.copy_to(&mut read).map(drop).map_err(own);
    if let Err(error) = end {
        assert_eq!(opening.read(&mut [0]).map_err(own), Err(error), "it did not stay so");
    }
    (read, end)
}

fn vault() -> &'static Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    VAULT.get_or_init(|| Vault::new(1 << 20).unwrap())
}

const CONTEXT: &[u8] = b"a stream";

/// The longest chunk in bytes, and the most bytes that are written or read at once.
const MOST: usize = 300;
const LONGEST: usize = 2000;

/// The most operations while sealing, and the most chunks of one of them.
const MANY: usize = 12;
