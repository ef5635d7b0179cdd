//! The stream composed by hand, what the state holds, and what is left behind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use std::collections::HashSet;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::Noise;
use crate::testing::rounds;

/// Gives the bytes it was made of, then fails, as many bytes in as are left.
struct Bytes(Vec<u8>);

impl Entropy for Bytes {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let length = self.0.len().min(bytes.len());
        bytes[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        if length == bytes.len() { Ok(()) } else { Err(EntropyError) }
    }
}

/// The same generator written down as simply as can be.
struct Twin {
    key: [u8; KEY],
    buffer: Vec<u8>,
}

impl Twin {
    fn seeded(seed: &[u8]) -> Self {
        let mut twin = Self { key: [0; KEY], buffer: Vec::new() };
        twin.reseed(seed);
        twin
    }

    fn reseed(&mut self, seed: &[u8]) {
        self.generate(0);
        self.key.iter_mut().zip(seed).for_each(|(key, fresh)| *key ^= fresh);
        self.buffer.clear();
    }

    fn generate(&mut self, length: usize) -> Vec<u8> {
        let mut stream = vec![0; 64 + length];
        ChaCha20::new(&self.key.into(), &[0; 12].into()).apply_keystream(&mut stream);
        self.key = stream[..KEY].try_into().unwrap();
        stream.split_off(64)
    }

    fn fill(&mut self, length: usize) -> Vec<u8> {
        if length > BUFFER {
            return self.generate(length);
        }
        let mut out = Vec::new();
        let mut missing = length;
        if missing > self.buffer.len() {
            missing -= self.buffer.len();
            out.append(&mut self.buffer);
            self.buffer = self.generate(BUFFER);
        }
        out.extend(self.buffer.split_off(self.buffer.len() - missing));
        out
    }
}

fn seeded(seed: u64) -> Drbg {
    let mut drbg = Drbg::unseeded();
    reseed(&mut drbg, &mut Bytes(Noise(seed).bytes(KEY))).unwrap();
    drbg
}

fn reseed(drbg: &mut Drbg, entropy: &mut impl Entropy) -> Result<(), EntropyError> {
    let mut seed = Seed::zero();
    seed.fill(entropy)?;
    drbg.reseed(&seed);
    Ok(())
}

fn draw(drbg: &mut Drbg, length: usize) -> Vec<u8> {
    let mut out = vec![0xaa; length];
    drbg.fill(&mut out);
    out
}

/// All bytes of the state.
fn state(drbg: &Drbg) -> Vec<u8> {
    [&drbg.key[..], &drbg.buffer, &drbg.available.to_ne_bytes()].concat()
}

fn contains(state: &[u8], secret: &[u8]) -> bool {
    let mut pieces = secret.windows(4).step_by(rounds(1, 41));
    pieces.any(|piece| state.windows(4).any(|bytes| bytes == piece))
}

#[test]
fn stream_against_the_twin() {
    let mut noise = Noise(40);
    let mut drbg = seeded(40);
    let mut twin = Twin::seeded(&Noise(40).bytes(KEY));
    let lengths =
        [8, 8, 1, 0, 7, 32, 8, 151, 152, 153, 1, 192, 193, 500, 8, 152, 4096, 3, 100, 100];
    for length in lengths.into_iter().cycle().take(rounds(2000, 20)) {
        assert_eq!(draw(&mut drbg, length), twin.fill(length), "{length} bytes");
        if noise.array::<1>()[0] < 5 {
            let seed = noise.bytes(KEY);
            reseed(&mut drbg, &mut Bytes(seed.clone())).unwrap();
            twin.reseed(&seed);
        }
        assert_eq!(drbg.key, twin.key);
    }
}

#[test]
fn draws_do_not_repeat() {
    let mut drbg = seeded(41);
    let mut seen = HashSet::new();
    for _ in 0..rounds(100_000, 30) {
        let mut word = [0; 8];
        drbg.fill(&mut word);
        assert!(seen.insert(word));
    }
}

#[test]
fn other_seeds_give_other_streams() {
    assert_ne!(draw(&mut seeded(42), 64), draw(&mut seeded(43), 64));
    assert_eq!(draw(&mut seeded(42), 64), draw(&mut seeded(42), 64));
}

#[test]
fn drawn_bytes_are_gone_from_the_state() {
    for length in [8, 16, 100, BUFFER, BUFFER + 1, 1000] {
        let mut drbg = seeded(44);
        draw(&mut drbg, 24);
        let key = drbg.key;
        let out = draw(&mut drbg, length);
        assert!(!contains(&state(&drbg), &out), "{length} bytes");
        assert!(drbg.buffer[drbg.available..].iter().all(|byte| *byte == 0));
        assert_eq!(drbg.key == key, length <= BUFFER - 24, "a new key with every refill");
    }
}

/// Who takes the state now can compute what comes, but nothing that was.
#[test]
fn the_state_does_not_lead_back() {
    let mut drbg = seeded(45);
    let before = draw(&mut drbg, 3 * BUFFER + 8);
    let stolen = (drbg.key, drbg.buffer, drbg.available);
    let mut thief = Drbg::unseeded();
    (thief.key, thief.buffer, thief.available) = stolen;
    let after = draw(&mut drbg, 4096);
    let thiefs = draw(&mut thief, 4096);
    assert_eq!(thiefs, after);
    assert!(!contains(&thiefs, &before[..64]));
    assert!(!contains(&[&stolen.0[..], &stolen.1].concat(), &before));
}

#[test]
fn reseeding_changes_the_stream_and_drops_what_was_buffered() {
    let (mut drbg, mut other) = (seeded(46), seeded(46));
    draw(&mut drbg, 8);
    draw(&mut other, 8);
    let buffered = drbg.buffer[..drbg.available].to_vec();
    reseed(&mut drbg, &mut Bytes(vec![0; KEY])).unwrap();
    assert_eq!(drbg.available, 0);
    assert!(!contains(&state(&drbg), &buffered));
    let (after, unchanged) = (draw(&mut drbg, 64), draw(&mut other, 64));
    assert_ne!(after, unchanged, "even fresh bytes that are all zero");
    assert!(!contains(&after, &unchanged));
}

#[test]
fn failing_entropy_leaves_the_old_state_and_no_trace() {
    for given in [0, 1, 16, 31] {
        let mut drbg = seeded(47);
        draw(&mut drbg, 8);
        let fresh = Noise(48).bytes(given);
        let before = state(&drbg);
        assert_eq!(reseed(&mut drbg, &mut Bytes(fresh)), Err(EntropyError));
        assert!(state(&drbg) == before, "{given} bytes");
    }
}

#[test]
fn a_failing_source_sees_nothing_of_the_stream() {
    struct Curious(Vec<u8>);
    impl Entropy for Curious {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            self.0.extend_from_slice(bytes);
            Err(EntropyError)
        }
    }
    let mut drbg = seeded(49);
    draw(&mut drbg, 8);
    let mut curious = Curious(Vec::new());
    reseed(&mut drbg, &mut curious).unwrap_err();
    assert_eq!(curious.0, [0; KEY]);
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(miri, ignore = "it reads another thread's stack")]
fn nothing_is_left_on_the_stack() {
    let mut probe = crate::stack_probe::StackProbe::new();
    let mut drbg = seeded(50);
    for length in [8, 144, BUFFER, BUFFER + 1, 500, 4000] {
        let mut out = vec![0; length];
        let before = state(&drbg);
        let left = probe.run(|| drbg.fill(&mut out));
        assert_eq!(found(&left, &[&before, &state(&drbg), &out]), None, "{length} bytes");
    }
    let mut entropy = Bytes(Noise(51).bytes(KEY));
    let secrets = [state(&drbg), entropy.0.clone()];
    let left = probe.run(|| reseed(&mut drbg, &mut entropy).unwrap());
    assert_eq!(found(&left, &[&secrets[0], &secrets[1], &state(&drbg)]), None, "reseed");

    let key = drbg.key;
    assert!(found(&probe.run(|| plant(key)), &[&key]).is_some(), "the probe would see nothing");
}

#[cfg(target_os = "linux")]
#[inline(never)]
fn plant(secret: [u8; KEY]) {
    core::hint::black_box(&secret);
}

/// Where `left` holds eight bytes of a secret.
#[cfg(target_os = "linux")]
fn found(left: &[u8], secrets: &[&[u8]]) -> Option<usize> {
    let pieces = secrets.iter().flat_map(|secret| secret.as_chunks::<8>().0);
    // A count or a run of zeros is no secret.
    let pieces: HashSet<_> = pieces.filter(|piece| !piece.contains(&0)).collect();
    left.windows(8)
        .position(|bytes| bytes.first_chunk().is_some_and(|piece| pieces.contains(piece)))
}
