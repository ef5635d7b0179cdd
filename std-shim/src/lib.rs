//! strongroom keeps many secrets under few locked pages, on Linux and macOS.
//!
//! [`LockedPages`] are what the operating system grants: memory that is never swapped, never in a
//! core dump and never seen by a forked child, between two guard pages. [`OsEntropy`] is its
//! generator, and [`Limits`] says how much can be locked here and what to change if it is too
//! little. Everything that is about secrets is in [`strongroom_core`], which needs no operating
//! system.
//!
//! It promises that locking is never skipped in silence: what cannot be locked is a [`LockError`]
//! with the numbers and the remedy.
#![deny(unsafe_code)]

mod entropy;
mod error;
mod fork;
mod io;
pub mod limits;
mod pages;
mod refusal;
#[expect(unsafe_code, reason = "system calls, and the one mapping they work on")]
mod sys;
#[expect(unsafe_code, reason = "keeps pages, their arena and what uses it together")]
mod vault;

pub use entropy::OsEntropy;
pub use error::LockError;
pub use io::{ReadError, SecretReader, unbuffered_stdin};
pub use limits::Limits;
pub use pages::{ForkView, LockedPages, Protections, page_size};
pub use strongroom_core::{self as core, Fault, FaultKind, SealError, Sealed, Stats};
pub use vault::{OpenError, Opened, Shortage, Vault, VaultError};
