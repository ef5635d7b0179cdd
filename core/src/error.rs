//! What can go wrong, as values: one type for each kind of call, each with its numbers.

use core::error::Error;
use core::fmt::{self, Debug, Display, Formatter};

/// `unwrap` and a `main` that returns an error print `Debug`: there too a person gets the sentence.
macro_rules! debug_as_displayed {
    ($($error:ty),*) => {$(
        impl Debug for $error {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        }
    )*};
}

debug_as_displayed!(
    EntropyError,
    ArenaError,
    AllocateError,
    SealError,
    OpenError,
    BulkError,
    ShareError,
    Fault
);

/// The caller's [`Entropy`](crate::Entropy) could not deliver random bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntropyError;

impl Display for EntropyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the entropy source could not deliver random bytes")
    }
}

impl Error for EntropyError {}

/// The memory of a [`Place`](crate::Place) was handed out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken;

impl Display for Taken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the place was taken before: its memory is handed out once")
    }
}

impl Error for Taken {}

/// An [`Arena`](crate::Arena) could not be made. Nothing was handed out, and the region is as
/// the caller gave it or zero.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    /// It was to be made of a [`Place`](crate::Place) that was taken before.
    Taken,
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
            Self::Taken => Display::fmt(&Taken, f),
        }
    }
}

impl Error for ArenaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Entropy(error) => Some(error),
            Self::Taken => Some(&Taken),
            _ => None,
        }
    }
}

impl From<Taken> for ArenaError {
    fn from(_: Taken) -> Self {
        Self::Taken
    }
}

impl From<EntropyError> for ArenaError {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}

/// An allocation was refused. Everything else stays as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
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
        /// The longest secret in bytes, of no particular alignment, that an empty arena could hold.
        largest: usize,
    },
    /// The alignment is greater than the arena serves.
    Alignment {
        /// The alignment that was asked for, in bytes.
        requested: usize,
        /// The greatest alignment in bytes.
        largest: usize,
    },
    /// The arena's memory is lost, as its owner says ([`Owner::lost`](crate::Owner::lost)).
    Lost,
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
            Self::Lost => f.write_str(
                "the arena's memory is lost, because this process was forked from the one that made it or \
                 because all was wiped: make another arena",
            ),
        }
    }
}

impl Error for AllocateError {}

/// A secret was not sealed. It is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The memory for the record has another length than the record.
    RecordLength {
        /// The record's length in bytes.
        needed: usize,
        /// The length in bytes of the memory that was given.
        given: usize,
    },
    /// The secret is longer than one call of the cipher can encrypt.
    TooLong {
        /// The secret's length in bytes.
        len: usize,
        /// The greatest length in bytes.
        longest: usize,
    },
    /// The enclave has used up its nonces.
    Exhausted,
    /// The enclave was destroyed.
    Destroyed,
    /// The share of the key that is kept elsewhere could not be had.
    Share(ShareError),
}

impl Display for SealError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordLength { needed, given } => write!(
                f,
                "the record takes {needed} bytes, but {given} were given: see Enclave::record_len"
            ),
            Self::TooLong { len, longest } => write!(
                f,
                "a secret of {len} bytes is too long to seal: split it into pieces of at most \
                 {longest} bytes"
            ),
            Self::Exhausted => f.write_str(EXHAUSTED),
            Self::Destroyed => f.write_str(DESTROYED),
            Self::Share(error) => Display::fmt(error, f),
        }
    }
}

impl Error for SealError {}

/// A sealed secret was not opened. The record is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The record was changed, is another's, or belongs to another enclave or context. Which of
    /// these, cannot be told.
    Tampered,
    /// The arena has no room for the secret.
    Allocate(AllocateError),
    /// The enclave has used up its nonces, so the secret could not be sealed again.
    Exhausted,
    /// The record is not as long as one of the value that was asked for.
    OtherSize {
        /// The length in bytes of the secret in the record.
        len: usize,
        /// The size in bytes of the value.
        size: usize,
    },
    /// The enclave was destroyed.
    Destroyed,
    /// The share of the key that is kept elsewhere could not be had.
    Share(ShareError),
}

impl Display for OpenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tampered => f.write_str(
                "the record was changed, or was sealed under another context or by another enclave",
            ),
            Self::Allocate(error) => Display::fmt(error, f),
            Self::OtherSize { len, size } => write!(
                f,
                "the record holds {len} bytes, and the value takes {size}: open it as what was sealed"
            ),
            Self::Exhausted => f.write_str(EXHAUSTED),
            Self::Destroyed => f.write_str(DESTROYED),
            Self::Share(error) => Display::fmt(error, f),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Allocate(error) => Some(error),
            Self::Share(error) => Some(error),
            _ => None,
        }
    }
}

impl From<AllocateError> for OpenError {
    fn from(error: AllocateError) -> Self {
        Self::Allocate(error)
    }
}

const EXHAUSTED: &str =
    "the enclave has used up its nonces: call renew, or make another and seal anew";
const DESTROYED: &str = "the enclave was destroyed: what it sealed cannot be opened any more";

/// The share of a key that a [`ShareKeeper`](crate::ShareKeeper) has was not stored or loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareError {
    /// The keeper refused, for a reason that it has a number for.
    Refused(i32),
    /// What the keeper gives is not what it was given.
    Changed,
}

impl Display for ShareError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(
                f,
                "the other share of the key cannot be had: whoever keeps it refuses with {code}"
            ),
            Self::Changed => f.write_str(
                "the other share of the key was changed where it is kept: what was sealed is lost, make \
                 another enclave",
            ),
        }
    }
}

impl Error for ShareError {}

/// A region for sealed records is too small or full.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BulkError {
    /// The region cannot hold even one record.
    RegionTooSmall {
        /// The region's length in bytes.
        bytes: usize,
        /// The least length in bytes that would do at any alignment.
        needed: usize,
    },
    /// There is no room now for that many bytes in a row.
    Full {
        /// The bytes that were asked for.
        requested: usize,
        /// The bytes that are free in all.
        free: usize,
    },
}

impl Display for BulkError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegionTooSmall { bytes, needed } => write!(
                f,
                "a region of {bytes} bytes is too small for records: give it {needed} bytes or more"
            ),
            Self::Full { requested, free } => write!(
                f,
                "no room for a record of {requested} bytes ({free} bytes free in all): drop a \
                 record or use a larger region"
            ),
        }
    }
}

impl Error for BulkError {}

/// Damage found in an arena: where, and of what kind.
///
/// It holds no byte of the memory it speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What was found.
    pub kind: FaultKind,
    /// Where: bytes from the start of the region to the secret, or to the pointer that was
    /// released; `None` for a pointer that is not among the leaves.
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
    /// Whether memory was harmed, so that it was wiped and quarantined; otherwise what was released was
    /// not the caller's, and nothing has changed.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        !matches!(self, Self::DoubleFree | Self::ForeignFree)
    }

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
