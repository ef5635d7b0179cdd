//! Keeps a million secrets under sixteen locked pages, on Linux and macOS.
//!
//! A [`Vault`] locks a fixed budget of memory, so that it is never written to the swap device. It
//! packs open secrets into it side by side, between canaries, and keeps the rest sealed: encrypted,
//! in ordinary memory, where a secret costs nothing that is scarce.
//!
//! # How it is used
//!
//! ```
//! use std::time::Duration;
//! use strongroom::Vault;
//!
//! let vault = Vault::new(64 * 1024)?;
//! let sealed = vault.seal(b"hunter2", b"db/password")?;
//!
//! let password = vault.open_timeout(&sealed, b"db/password", Duration::from_secs(1))?;
//! assert_eq!(password.expose_secret(), b"hunter2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Secrets are read in through [`Vault::read_to_end`] and [`Vault::reader`], which leave no copy
//! behind; [`Limits`] says ahead of time how much can be locked here and what to change if it is too
//! little. What is longer than the budget is sealed and opened in chunks: [`SealingStream`],
//! [`OpeningStream`].
//!
//! # What it promises
//!
//! - **Locking is never skipped in silence.** What cannot be locked is a [`LockError`] with the
//!   cause, the numbers and the remedy for the host it runs on.
//! - **Full is an ordinary answer.** [`Vault::try_open`] says so at once; [`Vault::open_timeout`]
//!   waits, in turn, for a bounded time.
//! - **What is locked is hidden too**: from core dumps (Linux) and from forked children, between two
//!   guard pages. [`Protections`] says what was achieved.
//! - What [`strongroom_core`] promises: canaries, wiping, authenticated records, constant-time
//!   comparison.
//!
//! # What it does not
//!
//! It does not protect against root, a debugger, or code in the same process that reads anywhere
//! while a secret is open (a vault with [`Windows`] stops what strays); nor against hibernation, nor
//! against what you copy out of an open secret.
//!
//! # Signal handlers
//!
//! A handler may have interrupted its own thread in the middle of any call. It may call [`wipe_all`]
//! and [`LockedPages::is_inherited`], and read or compare what is open already
//! ([`Opened::expose_secret`], [`Opened::constant_time_eq`]): none of these takes a lock or allocates.
//! Everything else may: opening, allocating, dropping, sealing, random bytes, `verify`, `stats`. The
//! lock would be waited for by the very thread that holds it. Where that is seen, the call panics
//! instead of hanging ([`Park`]); do not count on it.
//!
//! Who needs more in a handler makes an arena with an owner whose lock keeps the signal away
//! ([`strongroom_core::Lock`]).
//!
//! # Features
//!
//! None is on by default, and none changes what is there without it.
//!
//! - `allocator-api2-0_2` has a vault as an `Allocator` of
//!   [`allocator-api2`](https://docs.rs/allocator-api2/0.2), for its collections, those of `hashbrown`
//!   and others: `Vault::allocator`.
//! - `bytes` seals into [`bytes`](https://docs.rs/bytes/1): records that are shared, not copied
//!   (`Vault::seal_shared`), and at the end of a message (`Vault::seal_to_end`).
//! - `clap-4` has `SecretSource` as an argument of [`clap`](https://docs.rs/clap/4) that is not shown when
//!   it is wrong, for it may be the secret itself.
//! - `derive` is `#[derive(SealFields)]`: structs whose secret fields are sealed one by one.
//! - `json` and `toml` read such structs from documents, escapes included, without a copy
//!   (`TwinSeed::read_json`, `TwinSeed::read_toml`).
//! - `rand_core-0_10` has a vault's generator as a `TryCryptoRng` of
//!   [`rand_core`](https://docs.rs/rand_core/0.10): `Vault::generator`.
//! - `secrecy-0_10` seals the secrets of [`secrecy`](https://docs.rs/secrecy/0.10)
//!   (`Vault::seal_secrecy`), takes them into locked memory (`Vault::try_take_secrecy`), and copies what
//!   is open to the heap for whatever takes nothing else (`Opened::copy_to_secrecy_on_the_heap`).
//! - `serde` has seeds for whatever [`serde`](https://docs.rs/serde/1) reads, which seal a secret from
//!   where the parser has it: `Vault::seal_seed`, and `TwinSeed` for structs. And a [`SecretSource`] can be a
//!   setting.
//! - `store` has [`Store`](https://docs.rs/strongroom/latest/strongroom/struct.Store.html): names to
//!   secrets, millions of them, opened together by those who ask for the same.
//! - `subtle` makes secrets, which are compared with each other then, `ConstantTimeEq` of
//!   [`subtle`](https://docs.rs/subtle/2).
//! - `tokio-1` reads and writes streams by the traits of [`tokio`](https://docs.rs/tokio/1):
//!   [`SealingStream`] and [`OpeningStream`] are its `AsyncWrite` and `AsyncRead`.
//! - `zeroize` makes [`Opened`], [`OwnedOpened`], and what grows in a vault, `ZeroizeOnDrop` of
//!   [`zeroize`](https://docs.rs/zeroize/1).
//! - `internals` is for the repository's own tests; no promise is made about it.
//!
//! # How it is built
//!
//! Each file imports only from floors below its own (`tests/tests/floors.rs` holds them to it):
//!
//! | floor | files |
//! |---|---|
//! | 0 | `debug` `sys` |
//! | 1 | `entropy` `fork` `records` `scratch` |
//! | 2 | `clones` `emergency` `park` |
//! | 3 | `limits` `windows` |
//! | 4 | `pages` |
//! | 5 | `locked_arena` `vault` |
//! | 6 | `global` `io` `store` `stream` |
//! | 7 | `document` `interop` |
//!
//! # Other systems
//!
//! Everything that is about secrets is in [`strongroom_core`], which needs no operating system: give
//! it a region that you lock yourself.
#![deny(unsafe_code)]

mod clones;
mod debug;
#[cfg(feature = "serde")]
mod document;
#[expect(unsafe_code, reason = "keeps a list of all regions that a signal handler can walk")]
mod emergency;
mod entropy;
mod fork;
#[expect(unsafe_code, reason = "keeps a pointer to the vault of the whole process")]
mod global;
mod interop;
mod io;
pub mod limits;
#[expect(unsafe_code, reason = "makes an arena in the pages that it keeps beside it")]
mod locked_arena;
mod pages;
#[expect(unsafe_code, reason = "promises that its lock keeps others out")]
mod park;
mod records;
mod scratch;
#[cfg(feature = "store")]
mod store;
mod stream;
#[expect(unsafe_code, reason = "system calls, and the one mapping they work on")]
mod sys;
mod vault;
#[expect(unsafe_code, reason = "shuts and opens the memory of a vault")]
mod windows;

pub use clones::{CloneNotice, CloneWatchError, KernelLogError, renew_all, renew_when_cloned};
#[cfg(any(feature = "json", feature = "toml"))]
pub use document::DocumentError;
#[cfg(feature = "serde")]
#[doc(hidden)]
pub use document::{FieldNames, Form, StructSeeds, missing_field};
#[cfg(feature = "serde")]
pub use document::{FromDocument, ReadAs, SecretSeed, TwinSeed};
pub use emergency::wipe_all;
pub use entropy::OsEntropy;
pub use global::{InstallError, NotInstalled, global};
#[cfg(feature = "clap-4")]
pub use interop::SecretSourceParser;
#[cfg(feature = "rand_core-0_10")]
pub use interop::VaultGenerator;
pub use io::{NoSource, ReadError, SecretReader, SecretSource, SourceError, unbuffered_stdin};
pub use limits::Limits;
pub use locked_arena::{LockedArena, LockedArenaError, LockedOwner, LostArena, OwnedBuffer};
pub use pages::{
    Backing, ForkView, LockError, LockedPages, Policy, Protections, SealedMappingError, Trial,
    page_size,
};
pub use park::{Park, ParkLock};
pub use records::{RecordCopy, RecordHandle, Records, RecordsFull};
#[cfg(feature = "serde")]
#[doc(no_inline)]
pub use serde;
#[cfg(feature = "store")]
pub use store::{Name, OpeningShared, SharedOpened, Store, StoreError, StoreMetrics};
pub use stream::{OpeningStream, STREAM_CHUNK, SealingStream, StreamError, StreamHeader};
pub use strongroom_core;
pub use strongroom_core::{Fault, FaultKind, NotUtf8, SecretField, SecretString, SecretVec, Stats};
#[cfg(feature = "derive")]
pub use strongroom_derive::SealFields;
pub use vault::{
    Allocating, Builder, Built, Exposed, ExposedMut, Field, HoldsBytes, KeyShare, KeyShareError,
    Keyring, Metrics, OpenAs, OpenError, Opened, Opener, Opening, OpeningAll, OwnedOpened, Reserve,
    SealError, Sealed, SealedField, Share, Shortage, Vault, VaultError, VaultOwner,
};
#[cfg(feature = "allocator-api2-0_2")]
pub use vault::{OwnedAllocator, VaultAllocator};
pub use windows::{Window, WindowError, WindowKind, Windows};

/// Parts below the public interface, for the workspace's own fuzz targets. No promise is made about
/// them.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::limits::proc::{
        Cgroup, CgroupVersion, Runtime, ancestors, container_cgroup, is_user_service, line,
        memory_cgroup, memory_limit, namespace_inode, number, statistic, status_bytes, status_mask,
        swap, systemd_service,
    };
}

/// What docs/CONFIGURATION.md says compiles and runs.
#[cfg(all(doctest, feature = "clap-4", feature = "derive", feature = "json", feature = "toml"))]
#[doc = include_str!("../../docs/CONFIGURATION.md")]
struct Configuration;

/// What docs/IN-TESTS.md says compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/IN-TESTS.md")]
struct InTests;

/// What docs/TYPES.md says compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/TYPES.md")]
struct Types;

/// The README's example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
