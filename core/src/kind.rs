//! What each leaf is, in one byte.

use crate::classes::{SHAPES, Shape};

/// What a leaf is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Free, or in the hands of whoever is making something of it.
    Vacant,
    /// The first leaf of a block with one large secret.
    Block,
    /// The same while `verify` looks at it.
    BlockFrozen,
    /// The same while it is being released.
    BlockReleasing,
    /// The same after damage was found; it is never given back.
    BlockQuarantined,
    /// A further leaf of a block: the first few hold the number of all further leaves, digit by
    /// digit, the lowest first.
    BlockRest(usize),
    /// The first leaf of a run of this shape.
    Run(usize),
    /// A further leaf of a run, so many leaves behind its first.
    RunRest(usize),
}

impl Kind {
    pub(crate) fn shape(self) -> Option<&'static Shape> {
        match self {
            Self::Run(number) => SHAPES.get(number),
            _ => None,
        }
    }

    pub(crate) fn byte(self) -> u8 {
        let number = match self {
            Self::Vacant => 0,
            Self::Block => 1,
            Self::BlockFrozen => 2,
            Self::BlockReleasing => 3,
            Self::BlockQuarantined => 4,
            Self::BlockRest(digit) => FIRST_DIGIT + digit,
            Self::Run(number) => FIRST_RUN + number,
            Self::RunRest(distance) => FIRST_REST + distance,
        };
        narrow(number)
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        match usize::from(byte) {
            0 => Self::Vacant,
            1 => Self::Block,
            2 => Self::BlockFrozen,
            3 => Self::BlockReleasing,
            4 => Self::BlockQuarantined,
            number if number < FIRST_RUN => Self::BlockRest(number - FIRST_DIGIT),
            number if number < FIRST_REST => Self::Run(number - FIRST_RUN),
            number => Self::RunRest(number - FIRST_REST),
        }
    }
}

/// The shape of a run whose first leaf has this byte, without the detour by [`Kind`].
#[inline]
pub(crate) fn shape_of(byte: u8) -> Option<&'static Shape> {
    SHAPES.get(usize::from(byte).wrapping_sub(FIRST_RUN))
}

/// How many leaves before this one its run begins; 0 for all that is no further leaf of a run.
#[inline]
pub(crate) fn distance_of(byte: u8) -> usize {
    usize::from(byte).saturating_sub(FIRST_REST)
}

#[expect(clippy::cast_possible_truncation, reason = "all kinds fit: checked below")]
fn narrow(number: usize) -> u8 {
    number as u8
}

/// Values of a digit of a block's length.
pub(crate) const DIGITS: usize = 32;

/// The bytes: the kinds without a number, then digits, then run shapes, then distances.
const FIRST_DIGIT: usize = 5;
const FIRST_RUN: usize = FIRST_DIGIT + DIGITS;
const FIRST_REST: usize = 224;
const _: () = assert!(FIRST_RUN + SHAPES.len() <= FIRST_REST);
const _: () = {
    let mut number = 0;
    while number < SHAPES.len() {
        assert!(FIRST_REST + (SHAPES[number].leaves as usize) <= 256);
        number += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_kind_and_comes_back() {
        for byte in 0..=u8::MAX {
            let kind = Kind::from_byte(byte);
            // Bytes between the last shape and the first distance are never written.
            if !matches!(kind, Kind::Run(number) if number >= SHAPES.len()) {
                assert_eq!(kind.byte(), byte);
            }
            assert!(kind.shape() == shape_of(byte));
            let distance = if let Kind::RunRest(distance) = kind { distance } else { 0 };
            assert_eq!(distance_of(byte), distance);
        }
    }
}
