//! Reading what SSH writes (RFC 4251, section 5) where it lies: nothing is copied.

/// What is left to be read of a message.
pub(crate) struct Reader<'m>(&'m [u8]);

impl<'m> Reader<'m> {
    pub(crate) fn new(message: &'m [u8]) -> Self {
        Self(message)
    }

    /// Takes a `byte`.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Takes a `uint32`.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// Takes a `string`, or an `mpint` as its bytes.
    pub(crate) fn string(&mut self) -> Option<&'m [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(string)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn what_is_too_short_is_no_string() {
        let mut reader = Reader::new(b"\0\0\0\x02ab\0\0\0\x03ab");
        assert_eq!(reader.string(), Some(&b"ab"[..]));
        assert_eq!(reader.string(), None);
        assert_eq!(Reader::new(b"\xff\xff\xff\xffab").string(), None);
        assert_eq!(Reader::new(b"\0\0\x01").number(), None);
        assert_eq!(Reader::new(b"").byte(), None);
        assert!(Reader::new(b"").is_at_end());
    }
}
