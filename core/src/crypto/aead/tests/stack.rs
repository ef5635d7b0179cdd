//! Nothing secret is left on the stack.

use core::hint::black_box;
use std::collections::HashSet;

use super::*;
use crate::stack_probe::StackProbe;

/// One sealing's inputs in memory that stays where it is, so that two sets of secrets can be
/// compared, and the pieces of secret to look for.
struct Secrets {
    case: Case,
    text: Vec<u8>,
    pieces: HashSet<[u8; 8]>,
}

impl Secrets {
    fn new(noise: &mut Noise, (context, length): (usize, usize)) -> Self {
        let case = Case::twin(noise, context, length);
        let mut keystream = vec![0; length];
        let first_key = Keystream::<LONG_BATCH>::with(&case.key, &case.nonce, length, |source| {
            source.apply(keystream.as_mut_slice().into());
            *source.first_key()
        });
        let secrets: [&[u8]; 4] = [&case.key, &first_key, &case.plaintext, &keystream];
        let pieces = secrets.iter().flat_map(|secret| secret.as_chunks().0);
        let pieces = pieces.flat_map(|piece| [*piece, swapped(*piece)]).collect();
        Self { text: vec![0; length], case, pieces }
    }

    /// New secrets in the same places.
    fn replace(&mut self, noise: &mut Noise) {
        let other = Self::new(noise, (self.case.context.len(), self.text.len()));
        let (case, new) = (&mut self.case, other.case);
        (case.key, case.nonce, case.tag) = (new.key, new.nonce, new.tag);
        case.context.copy_from_slice(&new.context);
        case.plaintext.copy_from_slice(&new.plaintext);
        case.ciphertext.copy_from_slice(&new.ciphertext);
        self.pieces = other.pieces;
    }

    /// What each function leaves on the stack.
    fn left(&mut self, probe: &mut StackProbe, function: &str) -> Vec<u8> {
        let Self { case, text, .. } = self;
        let Case { key, nonce, context, plaintext, ciphertext, tag } = case;
        let mut made = *tag;
        let mut refused = *tag;
        refused[3] ^= 1;
        match function {
            "seal" => probe.run(|| made = seal(key, nonce, context, plaintext, text)),
            "open" => probe.run(|| open(key, nonce, context, ciphertext, tag, text).unwrap()),
            "seal in place" => {
                text.copy_from_slice(plaintext);
                probe.run(|| made = seal_in_place(key, nonce, context, text))
            }
            "open in place" => {
                text.copy_from_slice(ciphertext);
                probe.run(|| open_in_place(key, nonce, context, text, tag).unwrap())
            }
            "refused" => probe.run(|| {
                open(key, nonce, context, ciphertext, &refused, text).unwrap_err();
            }),
            // The work alone, without the wiping.
            "seal unwiped" => {
                probe.run(|| made = seal_text(key, nonce, context, pair(plaintext, text)))
            }
            _ => probe.run(|| open_text(key, nonce, context, pair(ciphertext, text), tag).unwrap()),
        }
    }

    fn found(&self, left: &[u8]) -> Option<usize> {
        left.windows(8).position(|piece| self.pieces.contains(piece))
    }
}

#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn the_probe_finds_a_planted_copy() {
    let mut noise = Noise(30);
    let mut probe = StackProbe::new();
    let secrets = Secrets::new(&mut noise, (20, 64));
    assert!(secrets.found(&probe.run(|| plant([0x77; 32]))).is_none());
    let key = &secrets.case.key;
    assert!(secrets.found(&probe.run(|| plant(*key))).is_some());
    let plaintext = &secrets.case.plaintext;
    assert!(secrets.found(&probe.run(|| plant(plaintext[8..40].try_into().unwrap()))).is_some());
}

/// Where it is known to: on other processors what has a name may be all there is.
#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
#[cfg(target_arch = "x86_64")]
fn the_work_would_leave_secrets_if_the_stack_were_not_wiped() {
    let mut noise = Noise(31);
    let mut secrets = Secrets::new(&mut noise, (20, 64));
    let left = secrets.left(&mut StackProbe::new(), "seal unwiped");
    assert!(secrets.found(&left).is_some(), "then these tests would prove nothing");
}

#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn no_secret_is_left() {
    let mut noise = Noise(32);
    let mut probe = StackProbe::new();
    for lengths in LENGTHS {
        let mut secrets = Secrets::new(&mut noise, lengths);
        for function in FUNCTIONS {
            let left = secrets.left(&mut probe, function);
            assert_eq!(secrets.found(&left), None, "{function}, {lengths:?} bytes");
        }
    }
}

/// Catches secrets in any form, such as limbs or spread-out lanes: what is left does not depend on
/// them.
#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn what_is_left_is_the_same_for_other_secrets() {
    let mut noise = Noise(33);
    let mut probe = StackProbe::new();
    for lengths in LENGTHS {
        let mut secrets = Secrets::new(&mut noise, lengths);
        for function in FUNCTIONS {
            let tag = secrets.case.tag;
            let first = without(&secrets.left(&mut probe, function), tag);
            secrets.replace(&mut noise);
            let tag = secrets.case.tag;
            let second = without(&secrets.left(&mut probe, function), tag);
            assert_eq!(first.len(), second.len(), "{function}, {lengths:?} bytes");
            let differs = first.iter().zip(&second).rposition(|(a, b)| a != b);
            assert_eq!(differs, None, "of {}: {function}, {lengths:?} bytes", first.len());
        }
    }
}

/// The compiler decides how deep the work goes: this fails before it goes too deep.
#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn more_stack_is_wiped_than_used() {
    let mut noise = Noise(34);
    let mut probe = StackProbe::new();
    for lengths in LENGTHS {
        let mut secrets = Secrets::new(&mut noise, lengths);
        let wiped = secrets.left(&mut probe, "seal").len();
        for function in ["seal unwiped", "open unwiped"] {
            let used = secrets.left(&mut probe, function).len();
            std::println!("{lengths:?} bytes: {used} of {wiped} bytes of stack");
            assert!(used + used / 8 <= wiped, "{function}, {lengths:?} bytes: {used} of {wiped}");
        }
    }
}

/// As a processor of the other byte order holds two words of 32 bits.
fn swapped(mut piece: [u8; 8]) -> [u8; 8] {
    piece.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    piece
}

#[inline(never)]
fn plant(secret: [u8; 32]) {
    let copy = secret;
    black_box(&copy);
}

/// A tag is public, and so are the words in which it was handed up.
fn without(left: &[u8], tag: [u8; TAG]) -> Vec<u8> {
    let mut left = left.to_vec();
    for word in tag.as_chunks::<4>().0 {
        while let Some(place) = left.windows(4).position(|bytes| bytes == word) {
            left[place..place + 4].fill(0);
        }
    }
    left
}

const FUNCTIONS: [&str; 5] = ["seal", "open", "seal in place", "open in place", "refused"];
/// Bytes of context and of text.
const LENGTHS: [(usize, usize); 14] = [
    (20, 0),
    (20, 7),
    (20, 16),
    (20, 64),
    (20, 192),
    (20, 193),
    (20, 256),
    (20, 449),
    (20, 1024),
    (20, LONG_HERE - 21),
    (20, LONG_HERE),
    (767, 64),
    (768, 64),
    (3000, 193),
];
