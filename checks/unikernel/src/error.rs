//! What can end the kernel, each with its numbers.

use core::error::Error;
use core::fmt::{self, Display, Formatter};

use strongroom_core::{
    AllocateError, ArenaError, BulkError, EntropyError, Fault, OpenError, SealError,
};

use crate::boot::Status;
use crate::entropy::NoRdRand;

#[derive(Debug)]
pub enum KernelError {
    NoRdRand(NoRdRand),
    Entropy(EntropyError),
    RegionsTaken,
    UnknownViolation,
    Arena(ArenaError),
    Bulk(BulkError),
    Allocate(AllocateError),
    Seal(SealError),
    Open(OpenError),
    Fault(Fault),
    /// A secret came back with other bytes than it was sealed with.
    WrongSecret {
        number: usize,
    },
    /// What the kernel expected of the core did not come about.
    Unexpected(&'static str),
}

impl KernelError {
    /// What the machine ends with.
    pub fn status(&self) -> Status {
        match self {
            Self::NoRdRand(_) | Self::Entropy(_) => Status::NoEntropy,
            Self::Fault(_) => Status::Fault,
            _ => Status::Failed,
        }
    }
}

impl Display for KernelError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRdRand(error) => Display::fmt(error, f),
            Self::Entropy(error) => Display::fmt(error, f),
            Self::RegionsTaken => f.write_str("the regions were taken before"),
            Self::UnknownViolation => f.write_str(
                "the command line may name overflow, underflow, write-after-free or double-free",
            ),
            Self::Arena(error) => Display::fmt(error, f),
            Self::Bulk(error) => Display::fmt(error, f),
            Self::Allocate(error) => Display::fmt(error, f),
            Self::Seal(error) => Display::fmt(error, f),
            Self::Open(error) => Display::fmt(error, f),
            Self::Fault(fault) => Display::fmt(fault, f),
            Self::WrongSecret { number } => {
                write!(f, "secret {number} was opened with other bytes than it was sealed with")
            }
            Self::Unexpected(what) => f.write_str(what),
        }
    }
}

impl Error for KernelError {}

/// `?` turns each of the core's errors into the kernel's.
macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for KernelError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from!(
    NoRdRand(NoRdRand),
    Entropy(EntropyError),
    Arena(ArenaError),
    Bulk(BulkError),
    Allocate(AllocateError),
    Seal(SealError),
    Open(OpenError),
    Fault(Fault),
);
