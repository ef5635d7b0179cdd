//! Keys that sign, agree and encrypt, sealed at rest in a [`strongroom`] vault.
//!
//! A private key rests as a sealed record in ordinary memory. For each operation it is opened into locked
//! memory, waiting in line for room if need be; what the cipher's crate has left on the stack is wiped
//! afterwards. Keys are used through the traits that programs know: `signature::Signer`,
//! `aead::AeadInOut`, `rustls::sign::SigningKey`.
//!
//! ```
//! # #[cfg(feature = "ed25519")] {
//! use std::sync::Arc;
//! use strongroom::Vault;
//! use strongroom_keys::Ed25519Key;
//! use strongroom_keys::signature::{Signer, Verifier};
//!
//! let vault = Arc::new(Vault::new(64 * 1024)?);
//! let key = Ed25519Key::generate(&vault.share(), b"releases")?;
//!
//! let signature = key.try_sign(b"a message")?;
//! key.public_key().verify(b"a message", &signature)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which key
//!
//! | feature | type | does | crate |
//! |---|---|---|---|
//! | `ed25519` | `Ed25519Key` | signs: Ed25519 (RFC 8032) | `ed25519-dalek` 3 |
//! | `p256-0_14` | `P256Key` | signs: ECDSA over P-256 with SHA-256 (FIPS 186-5, RFC 6979) | `p256` 0.14 |
//! | `x25519` | `X25519Key` | agrees on a secret (RFC 7748) | `x25519-dalek` 3 |
//! | `rsa-0_10` | `RsaKey` | signs: PSS and PKCS#1 v1.5 (RFC 8017) | `rsa` 0.10 |
//! | `chacha20poly1305-0_11` | `ChaCha20Poly1305Key`, `XChaCha20Poly1305Key` | encrypts (RFC 8439) | `chacha20poly1305` 0.11 |
//! | `aes-gcm-0_11` | `Aes128GcmKey`, `Aes256GcmKey` | encrypts (NIST SP 800-38D) | `aes-gcm` 0.11 |
//! | `rustls-0_23` | `TlsKey` | lets a signing key answer for a TLS server or client | `rustls` 0.23 |
//!
//! No feature is on by default.
//!
//! # What it promises
//!
//! - At rest a private key is a sealed record, bound to its algorithm, its public key and the context that
//!   its owner gave. A record under another's public key does not open.
//! - While a key is used, its bytes are in locked memory, and what is computed from them passes over the
//!   stack of the thread that uses it. Afterwards nothing of either is left on that stack or on the heap.
//!   `docs/KEYS.md` has what each crate leaves by itself, as a test finds it. For RSA that is no promise, but
//!   what was found with one allocator: its type says more.
//! - A full vault is an error when the key's time is up (`with_timeout`), never a key in unlocked
//!   memory.
//!
//! # How it is built
//!
//! Each file imports only from floors below its own:
//!
//! | floor | files |
//! |---|---|
//! | 0 | `error` |
//! | 1 | `kept` |
//! | 2 | `key` `symmetric` |
//! | 3 | `ed25519` `p256` `rsa` `x25519` |
//! | 4 | `tls` |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "ed25519", feature = "x25519", feature = "aes-gcm-0_11")),
    allow(dead_code, reason = "an algorithm needs a part of what all share")
)]

#[cfg(feature = "ed25519")]
mod ed25519;
mod error;
mod kept;
#[cfg(any(feature = "ed25519", feature = "p256-0_14", feature = "rsa-0_10", feature = "x25519"))]
mod key;
#[cfg(feature = "p256-0_14")]
mod p256;
#[cfg(feature = "rsa-0_10")]
mod rsa;
#[cfg(any(feature = "aes-gcm-0_11", feature = "chacha20poly1305-0_11"))]
mod symmetric;
#[cfg(all(
    feature = "rustls-0_23",
    any(feature = "ed25519", feature = "p256-0_14", feature = "rsa-0_10")
))]
mod tls;
#[cfg(feature = "x25519")]
mod x25519;

#[cfg(any(feature = "aes-gcm-0_11", feature = "chacha20poly1305-0_11"))]
pub use aead;
#[cfg(any(feature = "ed25519", feature = "p256-0_14", feature = "rsa-0_10"))]
pub use signature;

#[cfg(feature = "ed25519")]
pub use self::ed25519::{Ed25519, Ed25519Key};
pub use self::error::{Format, KeyError};
pub use self::kept::DEFAULT_TIMEOUT;
#[cfg(any(
    feature = "ed25519",
    feature = "p256-0_14",
    feature = "rsa-0_10",
    feature = "x25519"
))]
pub use self::key::{Algorithm, Key};
#[cfg(feature = "p256-0_14")]
pub use self::p256::{P256, P256Key};
#[cfg(feature = "rsa-0_10")]
pub use self::rsa::{Rsa, RsaKey, RsaNumbers};
#[cfg(feature = "aes-gcm-0_11")]
pub use self::symmetric::{Aes128GcmKey, Aes256GcmKey};
#[cfg(feature = "chacha20poly1305-0_11")]
pub use self::symmetric::{ChaCha20Poly1305Key, XChaCha20Poly1305Key};
#[cfg(any(feature = "aes-gcm-0_11", feature = "chacha20poly1305-0_11"))]
pub use self::symmetric::{Cipher, SymmetricKey};
#[cfg(all(
    feature = "rustls-0_23",
    any(feature = "ed25519", feature = "p256-0_14", feature = "rsa-0_10")
))]
pub use self::tls::{TlsAlgorithm, TlsKey};
#[cfg(feature = "x25519")]
pub use self::x25519::{X25519, X25519Key};

/// What docs/KEYS.md says compiles and runs.
#[cfg(all(
    doctest,
    feature = "aes-gcm-0_11",
    feature = "chacha20poly1305-0_11",
    feature = "ed25519",
    feature = "p256-0_14",
    feature = "rsa-0_10",
    feature = "rustls-0_23",
    feature = "x25519",
))]
#[doc = include_str!("../../docs/KEYS.md")]
struct Keys;
