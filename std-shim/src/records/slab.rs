//! Records in slots of their own length, which stand side by side in chunks: what a record takes is what
//! it is long, up to a few bytes.
//!
//! ```text
//! slab    one shelf for each length: its free slots, the chunk that is being filled
//! chunk   [slot | slot | slot | ...]     twice as many bytes each time, 1 MiB at most; stays for good
//! slot    a record; or, with a head: [its length | when it expires | a record]
//! ```
//! Nothing is locked to read a slot. It may be written anew meanwhile, so it is read word by word, and
//! whoever reads asks afterwards whether the slot was still the same record's.

use std::fmt::{self, Debug, Formatter};
#[cfg(feature = "store")]
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::free_list::FreeList;
use super::table::Table;

/// A place for a record, in four bytes: the number of its chunk, and its own in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

pub(crate) struct Slab {
    shelves: Box<[Shelf]>,
    chunks: Table<OnceLock<Chunk>>,
    /// Held to make a chunk.
    growing: Mutex<()>,
}

/// The slots of one length.
#[derive(Default)]
struct Shelf {
    free: FreeList,
    /// The chunk that is being filled, plus 1, above; and how many of its slots were given out below.
    cursor: AtomicU64,
    /// How many chunks there are.
    chunks: AtomicU32,
}

struct Chunk {
    class: usize,
    shape: Shape,
    words: Box<[AtomicU64]>,
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    /// Words of the slot, its head included.
    words: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The record fills it.
    Whole,
    /// The last byte says how many bytes behind the record are not its.
    Padded,
    /// Two words before the record say its length, and when it expires.
    Headed,
}

/// A record, copied out of [`Records`](super::Records). Of one of up to 128 bytes nothing is in the heap.
pub struct RecordCopy {
    few: [u64; FEW],
    many: Vec<u64>,
    begin: usize,
    len: usize,
    expires: u64,
}

impl Slab {
    pub(crate) fn new() -> Self {
        let shelves = (0..SHELVES).map(|_| Shelf::default()).collect();
        Self { shelves, chunks: Table::new(), growing: Mutex::default() }
    }

    /// Writes a record into a slot of its own; `None` if the slab holds no more.
    pub(crate) fn put(&self, record: &[u8], expires: u64) -> Option<Slot> {
        let (number, shape) = shelf_for(record.len(), expires)?;
        let slot = self.slot(number, shape)?;
        let words = self.words(slot)?.1;
        // Whoever reads a word of this sees from what came before that the slot was given up.
        fence(Ordering::Release);
        let begin = if shape.kind == Kind::Headed { HEAD } else { 0 };
        if let [len, until, ..] = words
            && shape.kind == Kind::Headed
        {
            len.store(record.len() as u64, Ordering::Relaxed);
            until.store(expires, Ordering::Relaxed);
        }
        let (whole, rest) = record.as_chunks::<WORD>();
        for (word, bytes) in words[begin..].iter().zip(whole) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            if let (Kind::Padded, [.., padding]) = (shape.kind, &mut last) {
                *padding = u8::try_from(WORD - rest.len()).unwrap_or(0);
            }
            words[begin + whole.len()].store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        Some(slot)
    }

    /// Copies what is in a slot. It may be anything: see [`still`].
    #[inline]
    pub(crate) fn copy(&self, slot: Slot) -> Option<RecordCopy> {
        let (shape, words) = self.words(slot)?;
        let mut copied =
            RecordCopy { few: [0; FEW], many: Vec::new(), begin: 0, len: 0, expires: 0 };
        let copy = if words.len() <= FEW {
            &mut copied.few[..words.len()]
        } else {
            copied.many = vec![0; words.len()];
            &mut copied.many[..]
        };
        copy.iter_mut().zip(words).for_each(|(copy, word)| *copy = word.load(Ordering::Relaxed));
        let bytes = words.len() * WORD;
        let (begin, len, expires) = match shape.kind {
            Kind::Whole => (0, bytes, 0),
            Kind::Padded => {
                let padding =
                    copy.last().map_or(0, |last| usize::from(last.to_ne_bytes()[WORD - 1]));
                (0, bytes.saturating_sub(padding), 0)
            }
            Kind::Headed => (HEAD * WORD, usize::try_from(copy[0]).unwrap_or(usize::MAX), copy[1]),
        };
        (copied.begin, copied.len, copied.expires) = (begin, len.min(bytes - begin), expires);
        Some(copied)
    }

    /// When what is in a slot expires. It may be anything: see [`still`].
    #[cfg(feature = "store")]
    #[inline]
    pub(crate) fn expires(&self, slot: Slot) -> u64 {
        match self.words(slot) {
            Some((Shape { kind: Kind::Headed, .. }, words)) => words[1].load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// Has the processor fetch what is in a slot, which may be anything, while something else is waited for.
    #[cfg(feature = "store")]
    #[inline]
    pub(crate) fn fetch(&self, slot: Slot) {
        if let Some((_, [first, .., last])) = self.words(slot) {
            black_box((first.load(Ordering::Relaxed), last.load(Ordering::Relaxed)));
        }
    }

    /// Gives a slot up, whose record nobody will ask for any more.
    pub(crate) fn free(&self, slot: Slot) {
        if let (Some(chunk), Some((_, words))) = (self.chunk(slot), self.words(slot)) {
            // As in `put`: whoever reads the link sees that the slot was given up.
            fence(Ordering::Release);
            let link = |next: u32| words[0].store(u64::from(next), Ordering::Relaxed);
            self.shelves[chunk.class].free.push(slot.0, link);
        }
    }

    /// Bytes of all chunks. What was never written in the last chunk of a shelf takes no memory.
    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().filter_map(|(_, chunk)| chunk.get());
        chunks.map(|chunk| chunk.words.len() * WORD).sum()
    }

    fn slot(&self, class: usize, shape: Shape) -> Option<Slot> {
        let own = &self.shelves[class];
        let next = |slot: u32| {
            let first = self.words(Slot(slot)).map(|(_, words)| words[0].load(Ordering::Relaxed));
            // Whatever it is: a word that is no link is seen to be stale.
            first.map_or(0, |word| u32::try_from(word).unwrap_or(0))
        };
        if let Some(free) = own.free.pop(next) {
            return Some(Slot(free));
        }
        loop {
            let cursor = own.cursor.load(Ordering::Acquire);
            if let Some(fresh) = self.at_cursor(cursor) {
                let next = cursor + 1;
                let taken =
                    own.cursor.compare_exchange(cursor, next, Ordering::AcqRel, Ordering::Relaxed);
                if taken.is_ok() {
                    return Some(fresh);
                }
            } else {
                let _turn = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
                if own.cursor.load(Ordering::Relaxed) == cursor {
                    self.grow(class, shape)?;
                }
            }
        }
    }

    /// The next slot of the chunk that is being filled, unless that is full.
    fn at_cursor(&self, cursor: u64) -> Option<Slot> {
        let number = u32::try_from(cursor >> 32).ok()?.checked_sub(1)?;
        let chunk = self.chunks.at(number)?.get()?;
        let index = u32::try_from(cursor & u64::from(u32::MAX)).ok()?;
        ((index as usize) < chunk.slots()).then_some(Slot(number << INDEX_BITS | index))
    }

    /// Makes a chunk, to be filled next. `None` if there are as many as there can be.
    fn grow(&self, class: usize, shape: Shape) -> Option<()> {
        let own = &self.shelves[class];
        let made = own.chunks.load(Ordering::Relaxed);
        let bytes = (FIRST_CHUNK << made.min(16)).min(MOST_CHUNK);
        let slots = (bytes / (shape.words * WORD)).clamp(1, 1 << INDEX_BITS);
        let words = bytemuck::try_zeroed_slice_box(slots * shape.words).ok()?;
        let chunk = self.chunks.add(1 << (u32::BITS - INDEX_BITS))?;
        self.chunks.at(chunk)?.set(Chunk { class, shape, words }).ok()?;
        own.chunks.store(made + 1, Ordering::Relaxed);
        own.cursor.store(u64::from(chunk + 1) << 32, Ordering::Release);
        Some(())
    }

    #[inline]
    fn chunk(&self, slot: Slot) -> Option<&Chunk> {
        self.chunks.at(slot.0 >> INDEX_BITS)?.get()
    }

    #[inline]
    fn words(&self, slot: Slot) -> Option<(Shape, &[AtomicU64])> {
        let chunk = self.chunk(slot)?;
        let begin = (slot.0 & ((1 << INDEX_BITS) - 1)) as usize * chunk.shape.words;
        let words = chunk.words.get(begin..)?.get(..chunk.shape.words)?;
        Some((chunk.shape, words))
    }
}

impl Chunk {
    fn slots(&self) -> usize {
        self.words.len() / self.shape.words
    }
}

#[cfg(feature = "store")]
impl RecordCopy {
    /// Milliseconds of the store's clock; 0 for never.
    pub(crate) fn expires(&self) -> u64 {
        self.expires
    }
}

impl Debug for RecordCopy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordCopy").field("len", &self.len).finish_non_exhaustive()
    }
}

impl AsRef<[u8]> for RecordCopy {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        let words = if self.many.is_empty() { &self.few[..] } else { &self.many };
        &bytemuck::cast_slice(words)[self.begin..][..self.len]
    }
}

/// Whether `word`, which says whose a slot is, says the same as before the slot was copied: then the copy
/// is whole.
#[cfg(feature = "store")]
#[inline]
pub(crate) fn still(word: &AtomicU64, before: u64) -> bool {
    // Pairs with the fence of whoever writes the slot anew.
    fence(Ordering::Acquire);
    word.load(Ordering::SeqCst) == before
}

/// Where a record of `len` bytes is kept; `None` if it is too long for any memory.
fn shelf_for(len: usize, expires: u64) -> Option<(usize, Shape)> {
    let words = len.div_ceil(WORD);
    if expires == 0 && (1..=FEW).contains(&words) {
        let kind = if words * WORD == len { Kind::Whole } else { Kind::Padded };
        return Some((words * 2 + usize::from(kind == Kind::Padded), Shape { words, kind }));
    }
    // Eight steps for each power of two.
    let needed = (words + HEAD).max(STEPS);
    let power = needed.ilog2();
    let step = 1 << (power - STEPS.ilog2());
    let words = needed.checked_next_multiple_of(step)?;
    // Eight steps up is the next power.
    let steps = (power - STEPS.ilog2()) as usize * STEPS + words / step - STEPS;
    let number = HEADED + steps;
    (number < SHELVES).then_some((number, Shape { words, kind: Kind::Headed }))
}

const WORD: usize = size_of::<u64>();

/// Words of the longest record without a head.
const FEW: usize = 16;

/// Words of a head.
const HEAD: usize = 2;

const STEPS: usize = 8;

/// The first shelf of slots that have a head.
const HEADED: usize = FEW * 2 + 2;

/// Up to 2³² words.
const SHELVES: usize = HEADED + 30 * STEPS;

/// Bits of a slot's number in its chunk.
const INDEX_BITS: u32 = 14;

/// Bytes.
const FIRST_CHUNK: usize = 4096;
const MOST_CHUNK: usize = 1 << 20;

#[cfg(test)]
#[cfg(feature = "store")]
impl Slab {
    pub(crate) fn words_of(&self, slot: Slot) -> Vec<u64> {
        let (_, words) = self.words(slot).unwrap();
        words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// As one who writes anywhere could.
    pub(crate) fn overwrite(&self, slot: Slot, with: &[u64]) {
        let (_, words) = self.words(slot).unwrap();
        words.iter().zip(with).for_each(|(word, &with)| word.store(with, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + seed).to_le_bytes()[0]).collect()
    }

    #[test]
    fn what_was_put_is_copied_whatever_its_length() {
        let slab = Slab::new();
        let mut put = Vec::new();
        for len in (1..400).chain([1000, 1023, 4096, 70_001, 3 << 20]) {
            for (seed, expires) in [(0, 0), (1, 5), (2, 0), (3, 0)] {
                put.push((slab.put(&record(len, seed), expires).unwrap(), len, seed, expires));
            }
        }
        for (slot, len, seed, expires) in put {
            let copied = slab.copy(slot).unwrap();
            assert_eq!(copied.as_ref(), record(len, seed), "{len}");
            assert_eq!(copied.expires, expires);
        }
    }

    #[test]
    fn lengths_share_no_shelf_unless_they_share_its_shape() {
        let mut shapes = vec![None; SHELVES];
        let most = usize::BITS.min(34);
        for len in (1..200_000).chain((20..most).flat_map(|power| [1 << power, (1 << power) + 9])) {
            for expires in [0, 1] {
                let (number, shape) = shelf_for(len, expires).unwrap();
                assert_eq!(*shapes[number].get_or_insert(shape), shape, "{len}");
                let head = if shape.kind == Kind::Headed { HEAD } else { 0 };
                let waste = shape.words * WORD - head * WORD - len;
                assert!(waste <= len / 8 + 64, "{len}: {waste}");
            }
        }
        // No record is so long where addresses have 32 bits.
        #[cfg(target_pointer_width = "64")]
        assert!(shelf_for(usize::MAX, 0).is_none());
    }

    #[test]
    fn slots_that_were_given_up_are_used_again() {
        let slab = Slab::new();
        let slots: Vec<_> = (0..1000).map(|seed| slab.put(&record(88, seed), 0).unwrap()).collect();
        let bytes = slab.bytes();
        slots.iter().for_each(|&slot| slab.free(slot));
        let mut again: Vec<_> =
            (0..1000).map(|seed| slab.put(&record(88, seed), 0).unwrap().0).collect();
        again.sort_unstable();
        again.dedup();
        assert_eq!((again.len(), slab.bytes()), (1000, bytes));
    }

    #[test]
    fn a_64_byte_secret_s_record_takes_hardly_more_than_itself() {
        let slab = Slab::new();
        for seed in 0..200_000 {
            slab.put(&record(88, seed), 0).unwrap();
        }
        let waste = slab.bytes() - 200_000 * 88;
        assert!(waste < 2 << 20, "{waste}: no more than a chunk that is not full yet");
    }

    #[test]
    fn threads_never_get_the_same_slot() {
        let slab = &Slab::new();
        std::thread::scope(|scope| {
            for thread in 0_u8..4 {
                scope.spawn(move || {
                    for round in 0..300 {
                        let own = record(40 + round % 3, usize::from(thread) * 50);
                        let slots: Vec<_> = (0..20).map(|_| slab.put(&own, 0).unwrap()).collect();
                        for slot in slots {
                            assert_eq!(slab.copy(slot).unwrap().as_ref(), own);
                            slab.free(slot);
                        }
                    }
                });
            }
        });
    }
}
