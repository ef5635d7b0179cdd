//! Chunks become plaintext.

use std::ops::Range;

use strongroom_core::Enclave;

use super::error::StreamError;
use super::format::{ChunkContext, Frame, StreamHeader};
use crate::vault::{Exposed, HoldsBytes, OpenError};

/// Takes a stream's bytes and gives plaintext, one chunk at a time, none of it before its tag was checked.
pub(super) struct ChunkOpener<M> {
    memory: M,
    /// Where in the memory there is plaintext that was not consumed; the other bytes are zero.
    open: Range<usize>,
    context: ChunkContext,
    index: u64,
    chunk_len: usize,
    next: Part,
    /// What was read of the next part, and perhaps of the frame behind it.
    input: Vec<u8>,
    read: usize,
    is_embedded: bool,
    /// Once there was one, it is the answer for good.
    failure: Option<StreamError>,
}

/// What comes next in a stream.
#[derive(Clone, Copy)]
enum Part {
    Header,
    Frame,
    Record(Frame),
    /// Behind the last chunk, where nothing may be.
    Behind,
    End,
}

impl Part {
    /// How many bytes it has, and how many may be read before it was looked at: no more than the stream
    /// has in any case.
    fn len_and_most(self) -> (usize, usize) {
        match self {
            Self::Header => (StreamHeader::LEN, StreamHeader::LEN + Frame::LEN),
            Self::Frame => (Frame::LEN, Frame::LEN),
            Self::Record(Frame { len, is_last }) => {
                let record = Enclave::record_len(len);
                (record, if is_last { record } else { record + Frame::LEN })
            }
            Self::Behind => (1, 1),
            Self::End => (0, 0),
        }
    }
}

impl<M: HoldsBytes> ChunkOpener<M> {
    pub(super) fn new(mut memory: M, context: &[u8]) -> Self {
        // It may have held something.
        memory.bytes_mut().fill(0);
        Self {
            memory,
            open: 0..0,
            context: ChunkContext::new(context),
            index: 0,
            chunk_len: 0,
            next: Part::Header,
            input: Vec::new(),
            read: 0,
            is_embedded: false,
            failure: None,
        }
    }

    /// Goes on behind a header that was read elsewhere.
    pub(super) fn begin(&mut self, header: &StreamHeader) {
        self.failure = self.take_header(header).err();
    }

    pub(super) fn embed(&mut self) {
        self.is_embedded = true;
    }

    /// Where the stream's next bytes are to be read to; `None` if a chunk is open, and at the end.
    pub(super) fn wanted(&mut self) -> Result<Option<&mut [u8]>, StreamError> {
        self.check()?;
        while self.open.is_empty() {
            let (len, most) = self.next.len_and_most();
            if matches!(self.next, Part::End) {
                return Ok(None);
            }
            if self.read < len {
                if self.input.len() < most {
                    self.input.resize(most, 0);
                }
                return Ok(Some(&mut self.input[self.read..most]));
            }
            let taken = self.take(len);
            self.note(taken)?;
        }
        Ok(None)
    }

    /// Notes that so many bytes were read to where they were wanted; that there are no more, if none.
    pub(super) fn took(&mut self, count: usize) -> Result<(), StreamError> {
        self.read += count;
        match self.next {
            _ if count > 0 => Ok(()),
            Part::Behind => {
                self.next = Part::End;
                Ok(())
            }
            _ => self.note(Err(StreamError::Truncated { chunk: self.index })),
        }
    }

    /// What is open and was not consumed.
    pub(super) fn bytes(&self) -> Exposed<'_> {
        Exposed::map(self.memory.bytes(), |memory| memory.get(self.open.clone()).unwrap_or(&[]))
    }

    /// Has some of what is open copied, and consumes so many bytes.
    pub(super) fn copy_out(
        &mut self,
        copy: impl FnOnce(&[u8]) -> usize,
    ) -> Result<usize, StreamError> {
        let count = copy(&self.bytes());
        // What was wiped meanwhile is not what was open.
        self.memory.check()?;
        self.consume(count);
        Ok(count)
    }

    /// Wipes the first `count` bytes that are open.
    pub(super) fn consume(&mut self, count: usize) {
        let start = self.open.end.min(self.open.start.saturating_add(count));
        if let Some(consumed) = self.memory.bytes_mut().get_mut(self.open.start..start) {
            consumed.fill(0);
        }
        self.open.start = start;
    }

    /// Whether there is anything to be had from here.
    pub(super) fn check(&self) -> Result<(), StreamError> {
        self.memory.check()?;
        self.failure.map_or(Ok(()), Err)
    }

    /// Takes the next part, which is whole and at the front of what was read.
    fn take(&mut self, len: usize) -> Result<(), StreamError> {
        match self.next {
            Part::Header => {
                let bytes = self.input.first_chunk().copied().unwrap_or([0; StreamHeader::LEN]);
                self.take_header(&StreamHeader::from_bytes(bytes)?)?;
            }
            Part::Frame => {
                let bytes = self.input.first_chunk().copied().unwrap_or_default();
                let frame = Frame::from_bytes(bytes);
                if frame.len > self.chunk_len {
                    return Err(self.tampered());
                }
                self.next = Part::Record(frame);
            }
            Part::Record(frame) => self.open_chunk(frame, len)?,
            Part::Behind => return Err(StreamError::Followed),
            Part::End => {}
        }
        self.input.copy_within(len..self.read, 0);
        self.read -= len;
        Ok(())
    }

    fn take_header(&mut self, header: &StreamHeader) -> Result<(), StreamError> {
        let (chunk, room) = (header.chunk_len(), self.memory.bytes().len());
        if chunk > room {
            return Err(StreamError::ChunkTooLong { chunk, room });
        }
        self.chunk_len = chunk;
        self.context.set_header(header);
        self.next = Part::Frame;
        Ok(())
    }

    fn open_chunk(&mut self, frame: Frame, len: usize) -> Result<(), StreamError> {
        let context = self.context.at(self.index, frame.is_last);
        let opened = self.memory.open_front(&self.input[..len], context);
        opened.map_err(|error| match error {
            OpenError::Tampered => self.tampered(),
            error => error.into(),
        })?;
        self.open = 0..frame.len;
        self.index += 1;
        self.next = match frame.is_last {
            false => Part::Frame,
            true if self.is_embedded => Part::End,
            true => Part::Behind,
        };
        Ok(())
    }

    fn tampered(&self) -> StreamError {
        StreamError::Tampered { chunk: self.index }
    }

    fn note(&mut self, done: Result<(), StreamError>) -> Result<(), StreamError> {
        self.failure = self.failure.or(done.err());
        done
    }
}
