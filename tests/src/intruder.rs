//! What an intruder does who has a copy of a vault's memory: joins the key from its shares.

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};

/// A vault's key as it was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundKey {
    /// The key, which lies nowhere whole.
    pub key: [u8; 32],
    /// The two that it was joined from.
    pub shares: [[u8; 32]; 2],
    /// How the vault's nonces begin.
    pub prefix: [u8; 4],
}

/// A record of the vault's, by which a key is known to be the right one.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The whole record: number, ciphertext, tag.
    pub record: &'a [u8],
    /// What it was sealed under.
    pub context: &'a [u8],
    /// Bytes among which is the prefix of the vault's nonces, which is no secret.
    pub prefixes: &'a [u8],
}

impl Proof<'_> {
    /// Joins all in `memory` that might be the two shares, until the record opens.
    #[must_use]
    pub fn key_in(&self, memory: &[u8]) -> Option<FoundKey> {
        // Two cells of 32 bytes that are neighbours, each with a canary of 8 bytes behind it.
        memory.array_windows::<80>().step_by(8).find_map(|two| {
            let [one, other] = [&two[..32], &two[40..72]];
            let is_likely = two[32..40] != [0; 8]
                && are_alike(&two[32..40], &two[72..])
                && [one, other].into_iter().all(may_be_random);
            let key = std::array::from_fn(|at| one[at] ^ other[at]);
            let prefix = if is_likely { self.prefix_with(&key) } else { None }?;
            let shares = [one, other].map(|share| share.try_into().unwrap());
            Some(FoundKey { key, shares, prefix })
        })
    }

    /// How the vault's nonces begin, if this is its key.
    #[must_use]
    pub fn prefix_with(&self, key: &[u8; 32]) -> Option<[u8; 4]> {
        self.prefixes.array_windows().copied().find(|&prefix| self.opens(key, prefix))
    }

    fn opens(&self, key: &[u8; 32], prefix: [u8; 4]) -> bool {
        let (number, sealed) = self.record.split_first_chunk::<8>().unwrap();
        let (text, tag) = sealed.split_last_chunk::<16>().unwrap();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&prefix);
        nonce[4..].copy_from_slice(number);
        let mut text = text.to_vec();
        let cipher = ChaCha20Poly1305::new(key.into());
        let text = text.as_mut_slice().into();
        cipher.decrypt_inout_detached(&nonce.into(), self.context, text, tag.into()).is_ok()
    }
}

/// Of 32 random bytes hardly ever fewer than 20 are different; of what programs keep hardly ever so many.
fn may_be_random(bytes: &[u8]) -> bool {
    let seen = bytes.iter().fold([0_u64; 4], |mut seen, byte| {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
        seen
    });
    seen.iter().map(|word| word.count_ones()).sum::<u32>() >= 20
}

/// Canaries of one run differ in their state at most, which takes two bytes.
#[must_use]
pub fn are_alike(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).filter(|(a, b)| a != b).count() <= 2
}
