//! What can go wrong, as values: one type for each kind of call, each with its numbers.

use core::error::Error;
use core::fmt::{self, Display, Formatter};

/// The caller's [`Entropy`](crate::Entropy) could not deliver random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyError;

impl Display for EntropyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the entropy source could not deliver random bytes")
    }
}

impl Error for EntropyError {}

/// An [`Arena`](crate::Arena) could not be made. Nothing was handed out, and the region is as
/// the caller gave it or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArenaError {
    /// The region cannot hold the bookkeeping and one leaf.
    RegionTooSmall {
        /// The region's length in bytes.
        bytes: usize,
        /// The least length in bytes that would do at any alignment.
        needed: usize,
    },
    /// The region is longer than leaf numbers can count.
    RegionTooLarge {
        /// The region's length in bytes.
        bytes: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// The generator could not be seeded.
    Entropy(EntropyError),
}

impl Display for ArenaError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegionTooSmall { bytes, needed } => write!(
                f,
                "a region of {bytes} bytes is too small for an arena: give it {needed} bytes or more"
            ),
            Self::RegionTooLarge { bytes, limit } => write!(
                f,
                "a region of {bytes} bytes is too large for one arena: split it into arenas of at \
                 most {limit} bytes"
            ),
            Self::Entropy(error) => Display::fmt(error, f),
        }
    }
}

impl Error for ArenaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Entropy(error) => Some(error),
            _ => None,
        }
    }
}

impl From<EntropyError> for ArenaError {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}

/// An allocation was refused. Everything else stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocateError {
    /// There is no room now; there may be after a release.
    Full {
        /// The bytes that were asked for.
        requested: usize,
        /// The arena's capacity in bytes (its leaves, without the bookkeeping).
        capacity: usize,
    },
    /// The request would not fit into this arena even if it were empty.
    TooLarge {
        /// The bytes that were asked for.
        requested: usize,
        /// The longest secret in bytes that an empty arena could hold.
        largest: usize,
    },
    /// The alignment is greater than the arena serves.
    Alignment {
        /// The alignment that was asked for, in bytes.
        requested: usize,
        /// The greatest alignment in bytes.
        largest: usize,
    },
}

impl Display for AllocateError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { requested, capacity } => write!(
                f,
                "no room for {requested} bytes in an arena of {capacity} bytes: drop an open \
                 secret or use a larger region"
            ),
            Self::TooLarge { requested, largest } => write!(
                f,
                "{requested} bytes can never fit: this arena holds secrets of at most {largest} \
                 bytes; use a larger region"
            ),
            Self::Alignment { requested, largest } => write!(
                f,
                "an alignment of {requested} bytes is not served: the greatest is {largest} bytes"
            ),
        }
    }
}

impl Error for AllocateError {}

/// Damage found in an arena: where, and of what kind.
///
/// It holds no byte of the memory it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was found.
    pub kind: FaultKind,
    /// Where: bytes from the start of the region to the secret, or to the pointer that was
    /// released; `None` for a pointer outside the region.
    pub offset: Option<usize>,
}

/// The kinds of damage that an arena finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The canary before a secret was overwritten: something wrote below its start.
    CanaryBefore,
    /// The canary behind a secret was overwritten: something wrote past its end.
    CanaryAfter,
    /// Free memory was written to: somebody kept a pointer.
    WriteAfterFree,
    /// A secret was released that is not live.
    DoubleFree,
    /// A pointer was released that this arena never handed out.
    ForeignFree,
    /// A secret was released with another size or alignment than it was allocated with.
    WrongLayout,
}

impl FaultKind {
    /// The fixed text for this kind.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::CanaryBefore => "strongroom: canary before a secret overwritten",
            Self::CanaryAfter => "strongroom: canary behind a secret overwritten",
            Self::WriteAfterFree => "strongroom: free memory written to",
            Self::DoubleFree => "strongroom: secret released twice",
            Self::ForeignFree => "strongroom: foreign pointer released",
            Self::WrongLayout => "strongroom: secret released with another layout",
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())?;
        match self.offset {
            Some(offset) => write!(f, " (byte {offset} of the region)"),
            None => f.write_str(" (outside the region)"),
        }
    }
}

impl Error for Fault {}
