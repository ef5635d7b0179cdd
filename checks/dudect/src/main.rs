//! Times what handles secrets on two classes of input, in random order, and asks by Welch's t-test
//! whether the times differ (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?",
//! 2017).
//!
//! Run it by `scripts/constant-time.sh`, which holds the results against a threshold. Those named
//! `planted_…` leak on purpose and must be found.

use std::hint::black_box;
use std::mem::MaybeUninit;

use dudect_bencher::rand::RngExt;
use dudect_bencher::{BenchRng, Class, CtRunner, ctbench_main};
use strongroom_core::{Arena, Buffer, Enclave, Entropy, EntropyError, Sealed, internals};

ctbench_main!(
    planted_early_exit,
    planted_loop_by_value,
    equality_of_equal_and_random,
    equality_by_place_of_difference,
    seal_fixed_and_random,
    seal_and_mac_of_a_long_text,
    open_fixed_and_random,
    refusal_by_place_of_difference,
    enclave_open_fixed_and_random
);

/// A comparison that stops where the texts differ.
fn planted_early_exit(runner: &mut CtRunner, random: &mut BenchRng) {
    let secret = [7; LENGTH];
    let places = |class| if class { LENGTH - 1 } else { 0 };
    let texts = pairs(random, |class, _| changed(secret, places(class)));
    time(runner, texts, |text| secret.iter().zip(text).all(|(one, other)| one == other));
}

/// Work that is the longer, the greater a byte of the secret.
fn planted_loop_by_value(runner: &mut CtRunner, random: &mut BenchRng) {
    let texts = pairs(random, fixed_or_random::<1>);
    time(runner, texts, |text| (0..text[0]).map(black_box).count());
}

fn equality_of_equal_and_random(runner: &mut CtRunner, random: &mut BenchRng) {
    with_arena(|arena| {
        let secret = Buffer::wiping(arena, &mut [0; LENGTH]).expect("room");
        let texts = pairs(random, fixed_or_random::<LENGTH>);
        time(runner, texts, |text| secret.constant_time_eq(text));
    });
}

fn equality_by_place_of_difference(runner: &mut CtRunner, random: &mut BenchRng) {
    with_arena(|arena| {
        let secret = Buffer::wiping(arena, &mut [7; LENGTH]).expect("room");
        let places = |class| if class { LENGTH - 1 } else { 0 };
        let texts = pairs(random, |class, _| changed([7; LENGTH], places(class)));
        time(runner, texts, |text| secret.constant_time_eq(text));
    });
}

/// The short-message MAC is in it.
fn seal_fixed_and_random(runner: &mut CtRunner, random: &mut BenchRng) {
    let inputs = pairs(random, |class, random| {
        (fixed_or_random::<32>(class, random), fixed_or_random::<LENGTH>(class, random))
    });
    time(runner, inputs, |(key, text)| {
        let mut sealed = [0; LENGTH];
        (internals::seal(key, &NONCE, b"", text, &mut sealed), sealed)
    });
}

fn seal_and_mac_of_a_long_text(runner: &mut CtRunner, random: &mut BenchRng) {
    let inputs = pairs(random, |class, random| {
        (fixed_or_random::<32>(class, random), fixed_or_random::<1000>(class, random))
    });
    time(runner, inputs, |(key, text)| {
        let mut sealed = [0; 1000];
        (internals::seal(key, &NONCE, b"", text, &mut sealed), sealed)
    });
}

fn open_fixed_and_random(runner: &mut CtRunner, random: &mut BenchRng) {
    let inputs = pairs(random, |class, random| {
        let (key, mut sealed) = (fixed_or_random::<32>(class, random), [0; LENGTH]);
        let text = fixed_or_random::<LENGTH>(class, random);
        let tag = internals::seal(&key, &NONCE, b"", &text, &mut sealed);
        (key, sealed, tag)
    });
    time(runner, inputs, |(key, sealed, tag)| {
        let mut opened = [0; LENGTH];
        assert!(internals::open(key, &NONCE, b"", sealed, tag, &mut opened));
        opened
    });
}

/// The comparison of tags.
fn refusal_by_place_of_difference(runner: &mut CtRunner, random: &mut BenchRng) {
    let inputs = pairs(random, |class, random| {
        let (key, mut sealed) = (random.random::<[u8; 32]>(), [0; LENGTH]);
        let tag = internals::seal(&key, &NONCE, b"", &[0; LENGTH], &mut sealed);
        (key, sealed, changed(tag, if class { 15 } else { 0 }))
    });
    time(runner, inputs, |(key, sealed, tag)| {
        let mut opened = [0; LENGTH];
        assert!(!internals::open(key, &NONCE, b"", sealed, tag, &mut opened));
    });
}

/// With the shares of the key joined, and the cell taken and wiped.
fn enclave_open_fixed_and_random(runner: &mut CtRunner, random: &mut BenchRng) {
    with_arena(|arena| {
        let enclave = Enclave::new(arena).expect("room");
        let records = pairs(random, |class, random| {
            let mut record = [0; Enclave::record_len(LENGTH)];
            let text = fixed_or_random::<LENGTH>(class, random);
            enclave.seal(&text, b"", &mut record[..]).expect("the record fits");
            record
        });
        time(runner, records, |record| {
            enclave.open(&Sealed::from_record(record), b"").expect("sealed here");
        });
    });
}

/// Inputs of two classes, in random order and laid out alike.
fn pairs<T>(random: &mut BenchRng, make: impl Fn(bool, &mut BenchRng) -> T) -> Vec<(bool, T)> {
    let mut one = || {
        let class = random.random();
        (class, make(class, random))
    };
    (0..INPUTS).map(|_| one()).collect()
}

fn time<T, R>(runner: &mut CtRunner, inputs: Vec<(bool, T)>, work: impl Fn(&T) -> R) {
    for (class, input) in inputs.iter().cycle().take(SAMPLES) {
        runner.run_one(if *class { Class::Right } else { Class::Left }, || work(input));
    }
}

fn fixed_or_random<const N: usize>(is_random: bool, random: &mut BenchRng) -> [u8; N] {
    let mut bytes = [0; N];
    // Drawn for both, so that both classes are made in the same way.
    random.fill(&mut bytes[..]);
    if is_random { bytes } else { [0; N] }
}

fn changed<const N: usize>(mut bytes: [u8; N], place: usize) -> [u8; N] {
    bytes[place] ^= 1;
    bytes
}

fn with_arena(work: impl FnOnce(&Arena<'_>)) {
    let mut region = vec![MaybeUninit::uninit(); 64 * 1024];
    work(&Arena::new(&mut region[..], &mut Counting).expect("a region of 64 KiB"));
}

/// Not random, which is all the same here.
struct Counting;

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
        Ok(())
    }
}

const LENGTH: usize = 64;
const NONCE: [u8; 12] = [9; 12];

/// Few enough to lie in the cache, many enough that no order of them is learned.
const INPUTS: usize = 1 << 12;
const SAMPLES: usize = 1 << 18;
