//! Bytes become numbers: what a fuzzer hands over is read from the front, and an end is an end.

/// What is left of a list of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Script<'b>(&'b [u8]);

impl<'b> Script<'b> {
    /// A script of all of `bytes`.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 behind the end.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// The next two bytes as a number.
    pub fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A length in bytes: mostly small, often beside the end of a cell, at times large, seldom absurd.
    pub fn size(&mut self) -> usize {
        match self.byte() {
            kind @ 0..120 => usize::from(kind) + 1,
            120..170 => self.short() % 700,
            170..200 => 8 * (1 + usize::from(self.byte()) % 80) + usize::from(self.byte() % 3) - 1,
            200..220 => (8 << (self.byte() % 11)) + usize::from(self.byte() % 5) - 2,
            220..250 => self.short() % 20_000,
            250 => 0,
            251 => usize::MAX - self.short(),
            252 => isize::MAX as usize - self.short(),
            _ => self.short(),
        }
    }

    /// A power of two: mostly 1 to 16, at times up to 2^15, seldom the greatest there is.
    pub fn align(&mut self) -> usize {
        match self.byte() {
            kind @ 0..160 => 1 << (kind % 5),
            kind @ 160..250 => 1 << (kind % 16),
            _ => 1 << (usize::BITS - 1),
        }
    }
}
