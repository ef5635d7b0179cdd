//! A little locked memory that takes what was read ahead.
//!
//! The bytes outside `filled` are zero.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use crate::vault::{Exposed, Opened};

pub(super) struct Chunk<'v> {
    memory: Opened<'v>,
    filled: Range<usize>,
}

impl<'v> Chunk<'v> {
    /// Takes `memory`, which is all zero.
    pub(super) fn new(memory: Opened<'v>) -> Self {
        Self { memory, filled: 0..0 }
    }

    pub(super) fn bytes(&self) -> Exposed<'_> {
        Exposed::map(self.memory.expose_secret(), |memory| &memory[self.filled.clone()])
    }

    #[cfg(test)]
    pub(super) fn whole(&self) -> Exposed<'_> {
        self.memory.expose_secret()
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled.len() == self.memory.len()
    }

    /// Wipes the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let start = self.filled.start + count;
        self.memory.expose_secret_mut()[self.filled.start..start].fill(0);
        self.filled.start = start;
    }

    /// Appends what one read gives, and says how many bytes that was.
    pub(super) fn read_from(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        self.move_to_front();
        let mut memory = self.memory.expose_secret_mut();
        let free = &mut memory[self.filled.end..];
        let count = loop {
            match reader.read(free) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if count > free.len() {
            return Err(io::Error::new(ErrorKind::InvalidData, MORE_THAN_THERE_IS_ROOM));
        }
        self.filled.end += count;
        Ok(count)
    }

    fn move_to_front(&mut self) {
        let Range { start, end } = self.filled;
        let mut memory = self.memory.expose_secret_mut();
        memory.copy_within(start..end, 0);
        self.filled = 0..end - start;
        memory[self.filled.end..end].fill(0);
    }
}

/// Bytes in a chunk. Each of them stands in the way of others as long as the reader lives; a read
/// of so many takes less than a microsecond.
pub(super) const CHUNK: usize = 512;

const MORE_THAN_THERE_IS_ROOM: &str = "the reader says that it has read more than there is room";
