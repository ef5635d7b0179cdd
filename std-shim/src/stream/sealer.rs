//! Plaintext becomes chunks.

use strongroom_core::Enclave;

use super::error::StreamError;
use super::format::{ChunkContext, Frame, IDENTITY, MOST, StreamHeader};
use crate::vault::HoldsBytes;

/// Takes plaintext and gives a stream's bytes. Nothing is sealed as long as something is
/// [pending](Self::pending), so that there is never more than one chunk.
pub(super) struct ChunkSealer<M> {
    memory: M,
    chunk_len: usize,
    /// How many bytes at the front of the memory wait to be sealed; the others are zero.
    filled: usize,
    context: ChunkContext,
    index: u64,
    /// What is sealed, and how much of it was written.
    output: Vec<u8>,
    written: usize,
    is_ended: bool,
}

impl<M: HoldsBytes> ChunkSealer<M> {
    pub(super) fn new(mut memory: M, context: &[u8]) -> Result<Self, StreamError> {
        memory.check()?;
        let chunk_len = memory.bytes().len().min(MOST);
        if chunk_len == 0 {
            return Err(StreamError::NoRoom);
        }
        // It may have held something.
        memory.bytes_mut().fill(0);
        let mut identity = [0; IDENTITY];
        memory.draw(&mut identity)?;
        let header = StreamHeader::new(identity, chunk_len);
        let mut context = ChunkContext::new(context);
        context.set_header(&header);
        let output = header.bytes().to_vec();
        let (filled, index, written, is_ended) = (0, 0, 0, false);
        Ok(Self { memory, chunk_len, filled, context, index, output, written, is_ended })
    }

    pub(super) fn chunk_len(&self) -> usize {
        self.chunk_len
    }

    /// What is to be written next. In a forked child it is the parent that writes it.
    pub(super) fn pending(&self) -> Result<&[u8], StreamError> {
        self.memory.check()?;
        Ok(&self.output[self.written..])
    }

    /// Notes that so many of the pending bytes were written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
    }

    /// Whether more may be written.
    pub(super) fn check(&self) -> Result<(), StreamError> {
        self.memory.check()?;
        if self.is_ended { Err(StreamError::Ended) } else { Ok(()) }
    }

    /// Takes the first of some bytes, and says how many. Nothing is pending.
    ///
    /// # Errors
    /// None was taken.
    pub(super) fn accept(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        if self.filled == 0
            && let Some(chunk) = bytes.get(..self.chunk_len)
        {
            // A whole chunk is sealed from where it is.
            self.seal(Some(chunk), false)?;
            return Ok(chunk.len());
        }
        let count = bytes.len().min(self.chunk_len - self.filled);
        let place = self.filled..self.filled + count;
        self.memory.bytes_mut()[place.clone()].copy_from_slice(&bytes[..count]);
        self.filled = place.end;
        if self.filled == self.chunk_len
            && let Err(error) = self.seal(None, false)
        {
            self.filled = place.start;
            self.memory.bytes_mut()[place].fill(0);
            return Err(error);
        }
        Ok(count)
    }

    /// Seals what has been taken, as a shorter chunk. Nothing is pending.
    pub(super) fn seal_rest(&mut self) -> Result<(), StreamError> {
        if self.filled == 0 { Ok(()) } else { self.seal(None, false) }
    }

    /// Seals what has been taken as the last chunk, unless that was done. Nothing is pending.
    pub(super) fn seal_last(&mut self) -> Result<(), StreamError> {
        if !self.is_ended {
            self.seal(None, true)?;
            self.is_ended = true;
        }
        Ok(())
    }

    /// Seals some bytes, or those in the memory, as the next chunk.
    fn seal(&mut self, elsewhere: Option<&[u8]>, is_last: bool) -> Result<(), StreamError> {
        let len = elsewhere.map_or(self.filled, <[u8]>::len);
        let frame = Frame { len, is_last };
        self.output.resize(Frame::LEN + Enclave::record_len(len), 0);
        let (front, record) = self.output.split_at_mut(Frame::LEN);
        front.copy_from_slice(&frame.to_bytes());
        let context = self.context.at(self.index, is_last);
        let sealed = match elsewhere {
            Some(bytes) => self.memory.seal_slice(bytes, context, record),
            None => self.memory.seal_slice(&self.memory.bytes()[..len], context, record),
        };
        self.written = 0;
        if let Err(error) = sealed {
            self.output.clear();
            return Err(error.into());
        }
        self.index += 1;
        self.memory.bytes_mut()[..self.filled].fill(0);
        self.filled = 0;
        Ok(())
    }
}
