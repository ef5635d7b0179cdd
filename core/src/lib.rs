//! Packs many canaried secrets into one region of locked memory, and seals the rest.
//!
//! *Locked* memory is memory that is never written to the swap device. There is little of it: 64 KiB
//! on many hosts. This crate spends it on bytes, not on pages. It is `#![no_std]`, needs no `alloc`
//! and no operating system, and works in any memory you give it; the
//! [`strongroom`](https://docs.rs/strongroom) crate gets that memory from Linux or macOS and is what
//! an ordinary program adds.
//!
//! # How it is used
//!
//! ```
//! use core::mem::MaybeUninit;
//! use strongroom_core::{Arena, Buffer, Enclave};
//! # use strongroom_core::{Entropy, EntropyError};
//! # struct Board;
//! # impl Entropy for Board {
//! #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
//! #         bytes.fill(7);
//! #         Ok(())
//! #     }
//! # }
//!
//! // A region: an array, a linker section, an mmap. `Board` is your source of entropy.
//! let mut region = [MaybeUninit::uninit(); 64 * 1024];
//! let arena = Arena::new(&mut region, &mut Board)?;
//!
//! // A secret between canaries, wiped when it is dropped.
//! let key = Buffer::random(&arena, 32)?;
//!
//! // Sealed, it costs no locked memory at all.
//! let enclave = Enclave::new(&arena)?;
//! let mut record = [0; Enclave::record_len(32)];
//! let sealed = enclave.seal(&key.expose_secret(), b"signing key", &mut record)?;
//! drop(key);
//!
//! let opened = enclave.open(&sealed, b"signing key")?;
//! assert_eq!(opened.len(), 32);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - **Locked memory is spent on bytes.** Many secrets share a page; a canary of eight bytes lies
//!   between neighbours, and the bookkeeping lies apart from them.
//! - **Sealed secrets cost no locked memory.** They are ciphertext in memory of your choice.
//! - **Full is an ordinary answer**: a typed error, never a panic, and nothing else is touched.
//! - **Plaintext lies in the region only**: not on the heap, and not left behind on the stack.
//! - **Damage is found**: canaries on both sides of every secret, freed memory checked for writes
//!   before it is handed out again, double and foreign frees caught, sealed records authenticated.
//!
//! # What it does not
//!
//! It does not lock memory: that is the region's owner's part. It does not protect against code in
//! the same process that reads anywhere, nor against what you copy out. Two secrets on one page
//! cannot be kept apart by the processor's page protection: keep what you do not use sealed.
//!
//! # Interrupt and signal handlers
//!
//! With [`Spin`], a handler may use nothing that could meet the lock which it interrupted: it would
//! spin for ever. With an [`Owner`] whose [`Lock`] is a critical section (interrupts masked, or the
//! signal blocked; what was enabled before is kept in the lock), a handler may use the arena and
//! enclave that it interrupts: allocate and release, large secrets and small; random bytes; seal,
//! open, in place too; `refresh`; `stats`; and `verify`, `find_faults` and `map`, which hold the lock
//! for one cell, leaf or block at a time.
//!
//! Not a handler's: the very `Buffer`, `Secret` or guard that the interrupted code is using; making or
//! dropping the arena; and a [`Bulk`] heap, unless its lock is such a one too. What the interrupted
//! code is allocating or releasing at that moment counts as taken: in a region that is nearly full a
//! handler may be told that it is full. A fault handler that panics panics in the handler: bring one
//! that returns. With several processors, the lock must mask and spin.
//!
//! # Features
//!
//! None is on by default, and none changes what is there without it.
//!
//! - `allocator-api2-0_2` makes `&Arena` an `Allocator` of the crate
//!   [`allocator-api2`](https://docs.rs/allocator-api2/0.2), so that what its `Vec` and `Box` keep in
//!   memory, and `hashbrown`'s maps, lies in the region. Those need the crate `alloc`, this one does not.
//! - `portable-atomic` is for machines without compare-and-swap (thumbv6m): atomic operations come from
//!   the crate [`portable-atomic`](https://docs.rs/portable-atomic), and the final program says how, by
//!   one of its features `critical-section` and `unsafe-assume-single-core`.
//! - `rand_core-0_10` has an arena's generator as a `CryptoRng` of
//!   [`rand_core`](https://docs.rs/rand_core/0.10): `Arena::generator`.
//! - `subtle` makes secrets ([`Buffer`], [`Secret`], [`SecretVec`], [`SecretString`]), which are compared
//!   with each other then, `ConstantTimeEq` of [`subtle`](https://docs.rs/subtle/2).
//! - `zeroize` makes what wipes itself ([`Buffer`], [`Secret`], [`SecretVec`], [`SecretString`],
//!   [`OpenedInPlace`]) `ZeroizeOnDrop` of [`zeroize`](https://docs.rs/zeroize/1).
//! - `std` makes a [`SecretVec<u8, _>`](SecretVec) a `std::io::Write`.
//! - `internals` is for the repository's own tests; no promise is made about it.
//!
//! # How it is built
//!
//! The region is divided into *leaves* of 256 bytes behind its bookkeeping. A *run* is a few leaves
//! in a row, cut into equal *cells* of one size class with a canary between neighbours; a *block* is
//! leaves in a row with one larger secret. A buddy allocator knows which leaves are free.
//!
//! Each file imports only from floors below its own (`tests/tests/floors.rs` holds them to it):
//!
//! | floor | files |
//! |---|---|
//! | 0 | `arch` |
//! | 1 | `error` `lent` `sync` `wipe` `constant_time` |
//! | 2 | `classes` `entropy` `index` `keeper` `lock` `place` |
//! | 3 | `buddy` `canary` `crypto` `kind` `numbers` `region` `shards` |
//! | 4 | `bulk` `guarded` `owner` `runs` |
//! | 5 | `cells` `exposed` |
//! | 6 | `arena` |
//! | 7 | `buffer` |
//! | 8 | `allocate` `secret` |
//! | 9 | `key` `vec` |
//! | 10 | `enclave` `string` |
//! | 11 | `field` `interop` |
//!
//! `buddy`, `classes`, `index` and `runs` compute on numbers and touch no memory but their tables.
//! All unsafe code is in the modules that are marked for it below.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod allocate;
mod arch;
#[expect(
    unsafe_code,
    reason = "is made in place, takes leaves, takes secrets back from their owners"
)]
mod arena;
mod buddy;
#[expect(unsafe_code, reason = "owns the memory of one secret")]
mod buffer;
#[expect(unsafe_code, reason = "hands memory to linked_list_allocator")]
mod bulk;
mod canary;
#[expect(unsafe_code, reason = "gives claims their memory, and takes secrets back")]
mod cells;
mod classes;
mod constant_time;
mod crypto;
mod enclave;
mod entropy;
mod error;
mod exposed;
mod field;
#[expect(unsafe_code, reason = "reads and writes what lies between two canaries")]
mod guarded;
mod index;
mod interop;
mod keeper;
mod key;
mod kind;
#[expect(unsafe_code, reason = "turns a lent pointer into a reference for the moment of use")]
mod lent;
#[expect(unsafe_code, reason = "lends a value to whoever holds its lock")]
mod lock;
mod numbers;
mod owner;
#[expect(unsafe_code, reason = "hands out a static's memory once")]
mod place;
#[expect(unsafe_code, reason = "turns a caller's memory into tables and leaves")]
mod region;
mod runs;
#[expect(unsafe_code, reason = "keeps a typed value in a buffer's memory")]
mod secret;
#[expect(unsafe_code, reason = "may be made of zeros, in place")]
mod shards;
#[cfg(all(test, target_os = "linux"))]
#[expect(unsafe_code, reason = "runs work on a stack that it can read afterwards")]
mod stack_probe;
mod string;
mod sync;
#[cfg(test)]
#[expect(unsafe_code, reason = "maps memory and shuts it")]
mod testing;
mod vec;
mod wipe;

pub use allocate::Allocate;
pub use arena::{Arena, ClassStats, Map, Span, SpanKind, Stats};
pub use buffer::Buffer;
pub use bulk::{Bulk, BulkBox};
pub use enclave::{Enclave, OpenedInPlace, Sealed, SealedInPlace};
pub use entropy::Entropy;
pub use error::{
    AllocateError, ArenaError, BulkError, EntropyError, Fault, FaultKind, OpenError, SealError,
    ShareError, Taken,
};
pub use exposed::{Exposed, ExposedMut};
pub use field::SecretField;
#[cfg(feature = "rand_core-0_10")]
pub use interop::Generator;
pub use keeper::{SHARE_BYTES, ShareKeeper};
pub use lock::{Lock, Mutex, MutexGuard, SpinLock};
pub use owner::{Door, Lost, Owner, Spin};
pub use place::Place;
pub use region::Region;
pub use secret::Secret;
pub use shards::{Shard, Shards};
pub use string::{NotUtf8, SecretString};
pub use vec::SecretVec;
pub use wipe::wiping_stack;

/// Parts below the public interface, for the workspace's own tests, fuzz targets and benchmarks. No
/// promise is made about them.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    use crate::crypto::aead;

    /// Encrypts as RFC 8439 says, section 2.8, and returns the tag.
    ///
    /// # Panics
    /// If the texts differ in length.
    pub fn seal(
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; 16] {
        aead::seal(key, nonce, context, plaintext, ciphertext)
    }

    /// Encrypts where the text is, and returns the tag.
    #[must_use]
    pub fn seal_in_place(
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        text: &mut [u8],
    ) -> [u8; 16] {
        aead::seal_in_place(key, nonce, context, text)
    }

    /// Decrypts, and says whether the tag was right; if not, `plaintext` is as it was.
    ///
    /// # Panics
    /// If the texts differ in length.
    #[must_use]
    pub fn open(
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        plaintext: &mut [u8],
    ) -> bool {
        aead::open(key, nonce, context, ciphertext, tag, plaintext).is_ok()
    }

    /// Decrypts where the text is, and says whether the tag was right; if not, it is as it was.
    #[must_use]
    pub fn open_in_place(
        key: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
        text: &mut [u8],
        tag: &[u8; 16],
    ) -> bool {
        aead::open_in_place(key, nonce, context, text, tag).is_ok()
    }
}

/// The README's example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
