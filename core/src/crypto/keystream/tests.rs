//! The RFC's vectors, and byte for byte against the crate's stream cipher.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use chacha20::ChaCha20;
use chacha20::cipher::{StreamCipher, StreamCipherSeek};
use std::vec;

use super::*;
use crate::crypto::aead::tests::hex;
use crate::testing::Noise;
use crate::testing::rounds;

#[test]
fn rfc_8439_section_2_4_2() {
    let key = core::array::from_fn(|i| u8::try_from(i).unwrap());
    let nonce = hex("000000000000004a00000000").try_into().unwrap();
    let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
                      tip for the future, sunscreen would be it."
        .to_vec();
    let length = text.len();
    Keystream::<LONG_BATCH>::with(&key, &nonce, length, |k| k.apply(text.as_mut_slice().into()));
    let expected = "6e2e359a2568f98041ba0728dd0d6981 e97e7aec1d4360c20a27afccfd9fae0b \
                    f91b65c5524733ab8f593dabcd62b357 1639d624e65152ab8f530c359f0861d8 \
                    07ca0dbf500d6a6156a38e088a22b65e 52bc514d16ccf806818ce91ab7793736 \
                    5af90bbf74a35be6b40b8eedf2785e42 874d";
    assert_eq!(text[..], hex(expected));
}

#[test]
fn rfc_8439_section_2_6_2_and_appendix_a_4() {
    for (key, nonce, first_key) in FIRST_KEYS {
        let (key, nonce) = (hex(key).try_into().unwrap(), hex(nonce).try_into().unwrap());
        Keystream::<SHORT_BATCH>::with(&key, &nonce, 0, |keystream| {
            assert_eq!(keystream.first_key()[..], hex(first_key));
        });
    }
}

#[test]
fn every_length_against_the_stream_cipher() {
    let mut noise = Noise(20);
    for length in (0..=1100).chain([4095, 4096, 4097, 65_537]).step_by(rounds(1, 401)) {
        let (key, nonce): ([u8; KEY], [u8; NONCE]) = (noise.array(), noise.array());
        let (mut first_key, mut text) = ([0; KEY], vec![0; length]);
        let mut twin = ChaCha20::new(&key.into(), &nonce.into());
        twin.apply_keystream(&mut first_key);
        twin.seek(BLOCK);
        twin.apply_keystream(&mut text);

        check::<LONG_BATCH>(&key, &nonce, &first_key, &text);
        if is_short(length) {
            check::<SHORT_BATCH>(&key, &nonce, &first_key, &text);
        }
    }
}

fn check<const BATCH: usize>(key: &[u8; KEY], nonce: &[u8; NONCE], first: &[u8; KEY], made: &[u8]) {
    let mut text = made.to_vec();
    Keystream::<BATCH>::with(key, nonce, made.len(), |keystream| {
        assert_eq!(keystream.first_key(), first);
        keystream.apply(text.as_mut_slice().into());
    });
    assert!(text.iter().all(|byte| *byte == 0), "{BATCH}, {} bytes", made.len());
}

/// Where other code makes the blocks, the crate is what all other machines have.
#[test]
fn the_crate_makes_the_same_batches() {
    let (key, nonce) = ([3; KEY], [5; NONCE]);
    let mut expected = vec![0; 2 * LONG_BATCH];
    ChaCha20::new(&key.into(), &nonce.into()).apply_keystream(&mut expected);
    for length in [1, 64, 65, 255, 256, 257, LONG_BATCH - 1, LONG_BATCH, LONG_BATCH + 1] {
        let mut cipher = Cipher::Crate(ChaChaCore::new(&key.into(), &nonce.into()));
        let mut batches = [[0; LONG_BATCH]; 2];
        cipher.write(&mut batches[0], LONG_BATCH);
        cipher.write(&mut batches[1], length);
        let length = length.min(LONG_BATCH);
        assert_eq!(batches.as_flattened()[..LONG_BATCH + length], expected[..LONG_BATCH + length]);
    }
}

#[test]
#[should_panic(expected = "no keystream was made")]
fn keystream_is_not_used_twice() {
    Keystream::<LONG_BATCH>::with(&[0; KEY], &[0; NONCE], 5, |keystream| {
        keystream.apply([0; 5].as_mut_slice().into());
        keystream.apply([0; 1].as_mut_slice().into());
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_longest_text() {
    assert_eq!(MAX_LENGTH, 274_877_906_880, "section 2.8: P_MAX");
    Keystream::<LONG_BATCH>::with(&[0; KEY], &[0; NONCE], MAX_LENGTH, |_| ());
}

#[test]
#[cfg(target_pointer_width = "64")]
#[should_panic(expected = "longer than RFC 8439 allows")]
fn longer_than_the_longest_text() {
    Keystream::<LONG_BATCH>::with(&[0; KEY], &[0; NONCE], MAX_LENGTH + 1, |_| ());
}

/// Key, nonce, first key.
const FIRST_KEYS: [(&str, &str, &str); 4] = [
    (
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "000000000001020304050607",
        "8ad5a08b905f81cc815040274ab29471a833b637e3fd0da508dbb8e2fdd1a646",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000001",
        "000000000000000000000002",
        "ecfa254f845f647473d3cb140da9e87606cb33066c447b87bc2666dde3fbb739",
    ),
    (
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
        "000000000000000000000002",
        "965e3bc6f9ec7ed9560808f4d229f94b137ff275ca9b3fcbdd59deaad23310ae",
    ),
];
