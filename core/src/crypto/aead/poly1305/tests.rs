//! The RFC's vectors, and byte for byte against the crate.

use ::poly1305::universal_hash::KeyInit;
use core::mem::MaybeUninit;
use std::vec::Vec;

use super::{BLOCK, Poly1305, WIDE};
use crate::crypto::aead::tests::hex;
use crate::testing::Noise;
use crate::testing::rounds;

/// Section 2.5.1 for a message of any length: a short last block ends in a 1 instead of having
/// 2^128 added.
fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let mut poly1305 = Poly1305::new(key);
    let (blocks, rest) = message.as_chunks();
    poly1305.update(blocks, 1);
    if !rest.is_empty() {
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 1;
        poly1305.update(&[last], 0);
    }
    poly1305.finalize()
}

fn twin(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    ::poly1305::Poly1305::new(key.into()).compute_unpadded(message).into()
}

fn check(key: &str, message: &[u8], tag: &str) {
    let key = hex(key).try_into().expect("32 bytes");
    assert_eq!(mac(&key, message).as_slice(), hex(tag));
}

#[test]
#[expect(unsafe_code, reason = "looks at what is left where a value was dropped")]
fn nothing_is_left_of_the_key() {
    let mut place = MaybeUninit::new(Poly1305::new(&[0x5a; 32]));
    // SAFETY: the value was just written, and is dropped once.
    let poly1305 = unsafe { place.assume_init_mut() };
    poly1305.update_padded(b"message");
    assert_ne!(words(poly1305)[..5], [0; 5]);
    // SAFETY: the value was written, and is not used or dropped again.
    unsafe { place.assume_init_drop() };
    // SAFETY: what is left are plain words, whatever they hold.
    assert_eq!(words(unsafe { place.assume_init_ref() }), [0; 7]);
}

fn words(poly1305: &Poly1305) -> [u64; 7] {
    let Poly1305 { r: [r0, r1], h: [h0, h1, h2], pad: [pad0, pad1] } = *poly1305;
    [r0, r1, h0, h1, h2, pad0, pad1]
}

#[test]
fn rfc_8439_section_2_5_2() {
    check(
        "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
        b"Cryptographic Forum Research Group",
        "a8061dc1305136c6c22b8baf0c0127a9",
    );
}

#[test]
fn rfc_8439_appendix_a_3_texts() {
    let zeros = "00000000000000000000000000000000";
    let half = "36e5f6b5c5e06070f0efca96227a863e";
    check(&[zeros, zeros].concat(), &[0; 64], zeros);
    check(&[zeros, half].concat(), CONTRIBUTION, half);
    check(&[half, zeros].concat(), CONTRIBUTION, "f3477e7cd95417af89a6b8794c310cf0");
    check(
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
        b"'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\n\
          All mimsy were the borogoves,\nAnd the mome raths outgrabe.",
        "4541669a7eaaee61e708dc7cbcc5eb62",
    );
}

#[test]
fn rfc_8439_appendix_a_3_edges() {
    for (number, r, s, message, tag) in EDGES {
        let key = [hex(r), hex(s)].concat().try_into().expect("32 bytes");
        assert_eq!(mac(&key, &hex(message)).as_slice(), hex(tag), "test vector #{number}");
    }
}

#[test]
fn every_length_against_the_crate() {
    let mut noise = Noise(1);
    for length in (0..=1100).step_by(rounds(1, 401)) {
        let (key, message) = (noise.array(), noise.bytes(length));
        assert_eq!(mac(&key, &message), twin(&key, &message), "{length} bytes of noise");
        for fill in [0x00, 0x01, 0x80, 0xfb, 0xfe, 0xff] {
            let message = std::vec![fill; length];
            for key in [[0xff; 32], noise.array()] {
                assert_eq!(mac(&key, &message), twin(&key, &message), "{length} of {fill:#x}");
            }
        }
    }
}

/// Words at which sums carry and h passes p, in every mixture.
#[test]
fn carries_against_the_crate() {
    let words =
        [0, 1, 2, 4, 5, u64::MAX, u64::MAX - 1, u64::MAX - 4, u64::MAX - 5, 1 << 63, 3 << 62];
    let mut noise = Noise(2);
    let mut pick = |number: usize| -> Vec<u8> {
        let mut word = || words[usize::from(noise.array::<1>()[0]) % words.len()];
        (0..number).flat_map(|_| word().to_le_bytes()).collect()
    };
    for round in 0..rounds(20_000, 10) {
        let (key, message) = (pick(4).try_into().expect("32 bytes"), pick(2 * (1 + round % 7)));
        assert_eq!(mac(&key, &message), twin(&key, &message), "{key:02x?} {message:02x?}");
    }
}

/// Four blocks at a time, behind a block that was taken in alone.
#[test]
fn vectors_against_the_crate() {
    let words = [0, 1, 5, u64::MAX, u64::MAX - 4, 1 << 63, (1 << 26) - 1, !0 << 26, !0 << 14];
    let mut noise = Noise(5);
    for round in 0..rounds(3000, 1) {
        let mut pick = |number: usize| -> Vec<u8> {
            let mut word = |_| match (round % 3, usize::from(noise.array::<1>()[0])) {
                (0, _) => noise.array::<8>(),
                (1, index) => words[index % words.len()].to_le_bytes(),
                (_, _) => words[round % words.len()].to_le_bytes(),
            };
            (0..number).flat_map(&mut word).collect()
        };
        let key = pick(4).try_into().expect("32 bytes");
        let message = pick(2 + 8 * (WIDE / 64 + round % 70));
        let mut poly1305 = Poly1305::new(&key);
        let (alone, fours) = message.split_at(BLOCK);
        poly1305.update_padded(alone);
        poly1305.update_padded_wide(fours);
        assert!(poly1305.h[2] < 5, "2^128 times {}", poly1305.h[2]);
        assert_eq!(poly1305.finalize(), twin(&key, &message), "round {round}: {key:02x?}");
    }
}

/// Where vectors are worth it, and what is left behind them.
#[test]
fn long_messages_against_the_crate() {
    let mut noise = Noise(6);
    for length in (0..=2 * WIDE).step_by(rounds(1, 401)) {
        let (key, message) = (noise.array(), noise.bytes(length));
        let mut padded = message.clone();
        padded.resize(length.next_multiple_of(16), 0);
        let mut poly1305 = Poly1305::new(&key);
        poly1305.update_padded_wide(&message);
        assert_eq!(poly1305.finalize(), twin(&key, &padded), "{length} bytes");
    }
}

/// Every value of h near p, where the last subtraction decides.
#[test]
fn around_p() {
    // r = 1 makes h the sum of the blocks: 3 · 2^128 + a + b + c = p + difference.
    let mut key = [0; 32];
    key[0] = 1;
    let rest = u128::MAX - 0xffff;
    for difference in (0..100).step_by(rounds(1, 33)) {
        let c = 0x10000 - 55 + difference;
        for a in [0, 1, rest / 2, rest] {
            let message = [a, rest - a, c].map(u128::to_le_bytes).concat();
            assert_eq!(mac(&key, &message), twin(&key, &message), "p - 50 + {difference}, {a:#x}");
        }
    }
}

#[test]
fn parts_are_one_message() {
    let mut noise = Noise(4);
    let (key, message) = (noise.array(), noise.bytes(160));
    for cut in (0..=160).step_by(16) {
        let mut poly1305 = Poly1305::new(&key);
        poly1305.update_padded(&message[..cut]);
        poly1305.update_padded(&message[cut..]);
        assert_eq!(poly1305.finalize(), twin(&key, &message));
    }
}

const CONTRIBUTION: &[u8] = b"Any submission to the IETF intended by the Contributor for \
publication as all or part of an IETF Internet-Draft or RFC and any statement made within the \
context of an IETF activity is considered an \"IETF Contribution\". Such statements include oral \
statements in IETF sessions, as well as written and electronic communications made at any time or \
place, which are addressed to";

/// Number, r, s, message, tag.
const EDGES: [(u8, &str, &str, &str, &str); 7] = [
    (
        5,
        "02000000000000000000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "03000000000000000000000000000000",
    ),
    (
        6,
        "02000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "02000000000000000000000000000000",
        "03000000000000000000000000000000",
    ),
    (
        7,
        "01000000000000000000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff f0ffffffffffffffffffffffffffffff \
         11000000000000000000000000000000",
        "05000000000000000000000000000000",
    ),
    (
        8,
        "01000000000000000000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff fbfefefefefefefefefefefefefefefe \
         01010101010101010101010101010101",
        "00000000000000000000000000000000",
    ),
    (
        9,
        "02000000000000000000000000000000",
        "00000000000000000000000000000000",
        "fdffffffffffffffffffffffffffffff",
        "faffffffffffffffffffffffffffffff",
    ),
    (
        10,
        "01000000000000000400000000000000",
        "00000000000000000000000000000000",
        "e33594d7505e43b90000000000000000 3394d7505e4379cd0100000000000000 \
         00000000000000000000000000000000 01000000000000000000000000000000",
        "14000000000000005500000000000000",
    ),
    (
        11,
        "01000000000000000400000000000000",
        "00000000000000000000000000000000",
        "e33594d7505e43b90000000000000000 3394d7505e4379cd0100000000000000 \
         00000000000000000000000000000000",
        "13000000000000000000000000000000",
    ),
];
