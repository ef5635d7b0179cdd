//! Runs what handles secrets with the secrets marked undefined, and counts what memcheck reports:
//! every jump and every address that depends on one.
//!
//! Run it by `scripts/constant-time.sh`. What a caller is told, such as whether two secrets are
//! equal, may be known and is marked defined again before it is looked at. Opening a record jumps on
//! whether the tag is right, which is its answer, and perhaps once more where that is passed up. A
//! comparison that stops early would jump up to sixteen times.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("requests to valgrind are written for x86-64 Linux");

mod valgrind;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::process::ExitCode;

use strongroom_core::{Arena, Buffer, Enclave, Entropy, EntropyError, Sealed, internals};
use valgrind::{errors, known, make_defined, make_undefined};

fn main() -> ExitCode {
    if !valgrind::is_there() {
        eprintln!("this says nothing without valgrind: run scripts/constant-time.sh");
        return ExitCode::from(2);
    }
    let mut region = vec![MaybeUninit::uninit(); 64 * 1024];
    let arena = Arena::new(&mut region[..], &mut Counting).expect("a region of 64 KiB");
    let results = [
        check("a comparison that stops early", Expected::Some, || early(&arena)),
        check("a table that a secret looks up", Expected::Some, || table(&arena)),
        check("equality, equal", Expected::None, || equality(&arena, None)),
        check("equality, first byte", Expected::None, || equality(&arena, Some(0))),
        check("equality, last byte", Expected::None, || equality(&arena, Some(63))),
        check("cipher and MAC, seal", Expected::None, seal),
        check("cipher and MAC, open", Expected::Verdicts(LENGTHS.len()), || open(0)),
        check("cipher and MAC, refuse", Expected::Verdicts(LENGTHS.len()), || open(1)),
        check("shares, refresh and join", Expected::Verdicts(LENGTHS.len()), || enclave(&arena)),
    ];
    if results.iter().all(|&fine| fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many reports there must be.
enum Expected {
    None,
    /// One or two for each record that was opened.
    Verdicts(usize),
    /// A planted leak.
    Some,
}

fn check(name: &str, expected: Expected, work: impl FnOnce()) -> bool {
    let before = errors();
    work();
    let found = errors() - before;
    let (fine, wanted) = match expected {
        Expected::None => (found == 0, "0".to_owned()),
        Expected::Verdicts(opened) => {
            let each = found / opened;
            (found == each * opened && (1..=2).contains(&each), format!("{opened} verdicts"))
        }
        Expected::Some => (found > 0, "planted".to_owned()),
    };
    let verdict = if fine { "ok" } else { "FAILED" };
    println!("{verdict:6} {name}: {found} jumps or addresses from secrets ({wanted})");
    fine
}

/// A planted variable-time comparison.
fn early(arena: &Arena<'_>) {
    let secret = secret(arena, 16);
    let mut equal = true;
    for (a, b) in secret.expose_secret().iter().zip(black_box(&[7; 16])) {
        if a != b {
            equal = false;
            break;
        }
    }
    black_box(known(equal));
}

/// A planted look-up.
fn table(arena: &Arena<'_>) {
    let secret = secret(arena, 1);
    let table = black_box([1_u8; 256]);
    black_box(table[usize::from(secret.expose_secret()[0])]);
}

fn equality(arena: &Arena<'_>, different_at: Option<usize>) {
    let mut one = Buffer::random(arena, 64).expect("room");
    let mut other = one.expose_secret().to_vec();
    if let Some(at) = different_at {
        other[at] ^= 1;
    }
    make_undefined(&mut *one.expose_secret_mut());
    make_undefined(&other[..]);
    let equal = known(one.constant_time_eq(&other));
    assert_eq!(equal, different_at.is_none());
}

fn seal() {
    for length in LENGTHS {
        let (key, text, mut sealed) = ([3; 32], vec![5; length], vec![0; length]);
        make_undefined(&key);
        make_undefined(&text[..]);
        let tag = internals::seal(&key, &NONCE, CONTEXT, &text, &mut sealed);
        make_defined(&tag);
        make_defined(&sealed[..]);
        black_box((tag, sealed));
    }
}

/// Opens a record whose tag was changed by `change`.
fn open(change: u8) {
    for length in LENGTHS {
        let (key, text, mut sealed) = ([3; 32], vec![5; length], vec![0; length]);
        let mut tag = internals::seal(&key, &NONCE, CONTEXT, &text, &mut sealed);
        tag[15] ^= change;
        let mut opened = vec![0; length];
        make_undefined(&key);
        let fine = internals::open(&key, &NONCE, CONTEXT, &sealed, &tag, &mut opened);
        let fine = known(fine);
        make_defined(&opened[..]);
        assert_eq!(fine, change == 0);
        assert_eq!(opened == text, change == 0 || length == 0);
    }
}

/// With the shares of a key undefined, and the secrets too.
fn enclave(arena: &Arena<'_>) {
    let enclave = Enclave::new(arena).expect("room");
    // The shares are the last two secrets of 32 bytes, and this is the next.
    let next = Buffer::new(arena, 32).expect("room");
    let shares = next.expose_secret().as_ptr().wrapping_sub(2 * (32 + 8));
    for share in [shares, shares.wrapping_add(32 + 8)] {
        // SAFETY: the shares lie there, words that nobody writes to now, in this program's memory.
        let share = unsafe { std::slice::from_raw_parts(share, 32) };
        assert!(share.iter().any(|&byte| byte != 0), "the shares lie elsewhere");
        make_undefined(share);
    }
    for length in LENGTHS {
        let secret = secret(arena, length);
        let mut record = vec![0; Enclave::record_len(length)];
        let sealed = enclave.seal(&secret.expose_secret(), CONTEXT, &mut record[..]).expect("room");
        make_defined(sealed.record());
        enclave.refresh();
        let sealed = Sealed::from_record(sealed.record());
        let opened = enclave.open(&sealed, CONTEXT).expect("sealed here");
        assert!(known(opened.constant_time_eq(&secret.expose_secret())));
    }
    enclave.destroy();
}

/// A secret that memcheck watches.
fn secret<'a>(arena: &'a Arena<'_>, length: usize) -> Buffer<'a> {
    let mut secret = Buffer::random(arena, length).expect("room");
    make_undefined(&mut *secret.expose_secret_mut());
    secret
}

/// Not random, which is all the same here.
struct Counting;

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
        Ok(())
    }
}

/// Bytes in a text: within a block, a batch of the vector code, beyond.
const LENGTHS: [usize; 8] = [0, 1, 16, 64, 192, 193, 256, 1000];
const NONCE: [u8; 12] = [9; 12];
const CONTEXT: &[u8] = b"context";
