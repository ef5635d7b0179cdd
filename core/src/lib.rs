//! strongroom-core
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

mod aead;
#[expect(unsafe_code, reason = "claims cells and gives their memory out")]
mod arena;
mod bitmap;
mod buddy;
#[expect(unsafe_code, reason = "owns the memory of one secret")]
mod buffer;
#[expect(unsafe_code, reason = "hands memory to linked_list_allocator")]
mod bulk;
mod canary;
mod classes;
mod drbg;
mod enclave;
mod entropy;
mod equal;
mod error;
#[expect(unsafe_code, reason = "reads and writes what lies between two canaries")]
mod extent;
mod key;
mod keystream;
#[expect(unsafe_code, reason = "turns a caller's memory into tables and leaves")]
mod region;
mod runs;
#[expect(unsafe_code, reason = "keeps a typed value in a buffer's memory")]
mod secret;
#[cfg(all(test, unix))]
#[expect(unsafe_code, reason = "runs work on a stack that it can read afterwards")]
mod stack_probe;
mod sync;
#[cfg(test)]
mod testing;
mod wipe;

pub use arena::{Arena, ClassStats, Map, Span, SpanKind, Stats};
pub use buffer::Buffer;
pub use bulk::{Bulk, BulkBox};
pub use enclave::{Enclave, OpenedInPlace, Sealed, SealedInPlace};
pub use entropy::Entropy;
pub use error::{
    AllocateError, ArenaError, BulkError, EntropyError, Fault, FaultKind, OpenError, SealError,
};
pub use region::Region;
pub use secret::Secret;
