//! A program with many secrets, to which something is done from outside: its machine runs out of memory or
//! goes to sleep, somebody reads its memory, it crashes.
//!
//! ```text
//! victim DOING SEED BACKING SECRETS OPEN [MIB]
//! victim squeeze PROGRAM [ARGUMENT...]
//! ```
//!
//! SECRETS secrets that SEED tells are sealed, and OPEN of them stay open; as many controls lie in ordinary
//! memory. BACKING is `locked` (mlock), `secret` (`memfd_secret`) or `unlocked`: locked memory that is not
//! locked, since the limit is 0. DOING is one of
//!
//! - `swap`: swaps to `/dev/vda` until so many MIB were written there, while threads go on to open;
//! - `hibernate`: likewise, with 0 for MIB before any of that, and then the whole machine is written there;
//! - `still`: waits for a line on its standard input;
//! - `busy`: threads seal, open and drop until somebody ends it.
//!
//! `squeeze` has no secrets: it fills memory, and swaps to `/dev/vda`, until the other program has ended.
//!
//! What it tells is no secret: the bytes of its `Vault`, among which is the prefix of its nonces, and one
//! record. The other side is `src/bin/searcher`.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails by panicking")]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod pressure;

strongroom_tests::main_on_linux!(linux::main);
