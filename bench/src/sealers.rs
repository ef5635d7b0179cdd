//! Those that seal: strongroom's enclave, and bare ChaCha20-Poly1305 of others.
//!
//! Each seals one secret under one context again and again, and opens one record again and again.
//! The others work in place with a key that is set up, which is the least they can do.

use std::hint::black_box;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use strongroom_core::{Arena, Buffer, Enclave, Sealed};

use crate::peers::SodiumAead;

/// Seals and opens one secret.
pub(crate) trait Sealer {
    fn seal(&mut self);
    fn open(&mut self);
}

/// What the secret is for, as `Enclave::seal` takes it; the others authenticate the same.
pub(crate) const CONTEXT: &[u8] = b"db/password";

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [9; 12];
const TAG: usize = 16;

/// `Enclave::seal`, and `Enclave::open` with the drop of what was opened.
pub(crate) struct InEnclave<'a> {
    enclave: Enclave<'a>,
    secret: Buffer<'a>,
    record: Vec<u8>,
    sealed: Sealed<Vec<u8>>,
}

impl<'a> InEnclave<'a> {
    pub(crate) fn new(arena: &'a Arena<'_>, size: usize) -> Result<Self, String> {
        let enclave = Enclave::new(arena).map_err(|error| error.to_string())?;
        let secret = Buffer::random(arena, size).map_err(|error| error.to_string())?;
        let record = vec![0; Enclave::record_len(size)];
        let sealed = enclave
            .seal(&secret.expose_secret(), CONTEXT, record.clone())
            .map_err(|error| error.to_string())?;
        Ok(Self { enclave, secret, record, sealed })
    }

    pub(crate) fn destroy(&self) {
        self.enclave.destroy();
    }
}

impl Sealer for InEnclave<'_> {
    #[inline(always)]
    fn seal(&mut self) {
        let secret = self.secret.expose_secret();
        let sealed = self.enclave.seal(black_box(&*secret), CONTEXT, &mut self.record[..]);
        let _ = black_box(sealed);
    }

    #[inline(always)]
    fn open(&mut self) {
        drop(black_box(self.enclave.open(black_box(&self.sealed), CONTEXT)));
    }
}

/// ring.
pub(crate) struct Ring {
    key: LessSafeKey,
    text: Vec<u8>,
    /// Ciphertext and tag.
    record: Vec<u8>,
    opened: Vec<u8>,
}

impl Ring {
    pub(crate) fn new(size: usize) -> Result<Self, String> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &KEY).map_err(|error| error.to_string())?;
        let key = LessSafeKey::new(key);
        let mut record = vec![5; size];
        key.seal_in_place_append_tag(nonce(), Aad::from(CONTEXT), &mut record)
            .map_err(|error| error.to_string())?;
        Ok(Self { key, text: vec![5; size], opened: record.clone(), record })
    }
}

impl Sealer for Ring {
    #[inline(always)]
    fn seal(&mut self) {
        let text = black_box(&mut self.text[..]);
        let _ = black_box(self.key.seal_in_place_separate_tag(nonce(), Aad::from(CONTEXT), text));
    }

    #[inline(always)]
    fn open(&mut self) {
        // In place it consumes the record, so each time needs a copy.
        self.opened.copy_from_slice(&self.record);
        let text = black_box(&mut self.opened[..]);
        let opened = self.key.open_in_place(nonce(), Aad::from(CONTEXT), text);
        assert!(black_box(opened).is_ok(), "ring opens what it sealed");
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key(NONCE)
}

/// The `chacha20poly1305` crate.
pub(crate) struct Crate {
    cipher: ChaCha20Poly1305,
    text: Vec<u8>,
    record: Vec<u8>,
    tag: [u8; TAG],
    opened: Vec<u8>,
}

impl Crate {
    pub(crate) fn new(size: usize) -> Result<Self, String> {
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        let mut record = vec![5; size];
        let tag = cipher
            .encrypt_inout_detached(&NONCE.into(), CONTEXT, InOutBuf::from(&mut record[..]))
            .map_err(|error| error.to_string())?;
        Ok(Self { cipher, text: vec![5; size], opened: record.clone(), record, tag: tag.into() })
    }
}

impl Sealer for Crate {
    #[inline(always)]
    fn seal(&mut self) {
        let text = InOutBuf::from(black_box(&mut self.text[..]));
        let _ = black_box(self.cipher.encrypt_inout_detached(&NONCE.into(), CONTEXT, text));
    }

    #[inline(always)]
    fn open(&mut self) {
        self.opened.copy_from_slice(&self.record);
        let text = InOutBuf::from(black_box(&mut self.opened[..]));
        let (nonce, tag) = (NONCE.into(), self.tag.into());
        let opened = self.cipher.decrypt_inout_detached(&nonce, CONTEXT, text, &tag);
        assert!(black_box(opened).is_ok(), "the crate opens what it sealed");
    }
}

/// libsodium.
pub(crate) struct InSodium {
    aead: SodiumAead,
    text: Vec<u8>,
    record: Vec<u8>,
    tag: [u8; TAG],
    opened: Vec<u8>,
}

impl InSodium {
    pub(crate) fn new(size: usize) -> Result<Self, String> {
        let aead = SodiumAead::new()?;
        let mut record = vec![5; size];
        let tag = aead.seal(&KEY, &NONCE, CONTEXT, &mut record);
        Ok(Self { aead, text: vec![5; size], opened: record.clone(), record, tag })
    }
}

impl Sealer for InSodium {
    #[inline(always)]
    fn seal(&mut self) {
        black_box(self.aead.seal(&KEY, &NONCE, CONTEXT, black_box(&mut self.text)));
    }

    #[inline(always)]
    fn open(&mut self) {
        self.opened.copy_from_slice(&self.record);
        let text = black_box(&mut self.opened[..]);
        let opened = self.aead.open(&KEY, &NONCE, CONTEXT, text, &self.tag);
        assert!(black_box(opened), "libsodium opens what it sealed");
    }
}
