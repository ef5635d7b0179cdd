//! The beginning of a long secret, sealed in ordinary memory until its length is known.

use std::time::Duration;

use super::chunk::{CHUNK, Chunk};
use crate::vault::{OpenError, Opened, SealError, Sealed, Vault};

/// Sealed pieces of [`PIECE`] bytes, in order.
#[derive(Default)]
pub(super) struct SealedPrefix {
    pieces: Vec<Sealed>,
}

impl SealedPrefix {
    /// The bytes in all pieces together.
    pub(super) fn len(&self) -> usize {
        self.pieces.len() * PIECE
    }

    /// Seals what is in a full chunk, but for the last byte: with a newline behind it, that could
    /// be part of a line's end.
    pub(super) fn seal(&mut self, vault: &Vault, chunk: &mut Chunk<'_>) -> Result<(), SealError> {
        let context = context(self.pieces.len());
        self.pieces.push(vault.seal(&chunk.bytes()[..PIECE], &context)?);
        chunk.consume(PIECE);
        Ok(())
    }

    /// Opens all pieces into the front of `secret`, one at a time; nothing is exposed while one waits.
    pub(super) fn copy_to(
        &self,
        secret: &mut Opened<'_>,
        vault: &Vault,
        timeout: Duration,
    ) -> Result<(), OpenError> {
        for (number, piece) in self.pieces.iter().enumerate() {
            let context = context(number);
            let opened = if timeout.is_zero() {
                vault.try_open(piece, &context)
            } else {
                vault.open_timeout(piece, &context, timeout)
            };
            let (opened, start) = (opened?, number * PIECE);
            secret.expose_secret_mut()[start..start + PIECE]
                .copy_from_slice(&opened.expose_secret());
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }
}

/// So that no piece opens in the place of another.
fn context(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

const PIECE: usize = CHUNK - 1;
