//! What an enclave promises, checked from outside.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::secret::Secret;
use crate::testing::{Counting, fill, rounds, with_arena};

fn seal<O: Owner>(enclave: &Enclave<'_, O>, secret: &[u8], context: &[u8]) -> Sealed<Vec<u8>> {
    enclave.seal(secret, context, vec![0; Enclave::record_len(secret.len())]).unwrap()
}

#[test]
fn every_length_comes_back() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        for len in (0..=600).step_by(rounds(1, 150)) {
            let secret: Vec<u8> = (0..len).map(|i: usize| i.to_le_bytes()[0] ^ 0x5a).collect();
            let sealed = seal(&enclave, &secret, b"context");
            assert_eq!(sealed.secret_len(), len);
            assert_eq!(enclave.open(&sealed, b"context").unwrap().expose_secret(), secret);
        }
        assert_eq!(arena.stats().live, 2, "only the key's shares are left");
    });
}

#[test]
fn a_changed_record_is_refused() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let sealed = seal(&enclave, b"correct horse", b"context");
        let record = sealed.record();
        let refused = |record: &[u8], context: &[u8]| {
            let error = enclave.open(&Sealed::from_record(record), context).unwrap_err();
            assert_eq!(error, OpenError::Tampered);
        };
        for bit in (0..record.len() * 8).step_by(rounds(1, 97)) {
            let mut changed = record.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(&changed, b"context");
        }
        (0..record.len()).step_by(rounds(1, 9)).for_each(|len| refused(&record[..len], b"context"));
        for more in (1..20).step_by(rounds(1, 9)) {
            refused(&[record, &vec![0; more][..]].concat(), b"context");
            refused(&[&vec![0; more][..], record].concat(), b"context");
        }
        for context in [&b""[..], b"contex", b"contexts", b"Context", b"context\0"] {
            refused(record, context);
        }
        let other = Enclave::new(arena).unwrap();
        assert_eq!(other.open(&sealed, b"context").unwrap_err(), OpenError::Tampered);
        assert!(enclave.open(&sealed, b"context").is_ok());
        assert_eq!(arena.stats().live, 4, "refused records leave nothing in the arena");
    });
}

#[test]
fn no_two_records_are_alike() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let mut records: Vec<_> =
            (0..rounds(200, 8)).map(|_| seal(&enclave, b"same", b"").into_record()).collect();
        records.sort();
        records.dedup();
        assert_eq!(records.len(), rounds(200, 8));
    });
}

#[test]
fn wrong_lengths_and_a_full_arena_are_told() {
    with_arena(4096, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        for given in [0, 7, 8, 27, 29] {
            let error = enclave.seal(b"1234", b"", vec![0; given]).unwrap_err();
            assert_eq!(error, SealError::RecordLength { needed: 28, given });
        }
        let sealed = seal(&enclave, &[1; 64], b"");
        let open: Vec<_> = core::iter::from_fn(|| enclave.open(&sealed, b"").ok()).collect();
        assert!(open.len() > 20);
        let full = enclave.open(&sealed, b"").unwrap_err();
        assert!(matches!(full, OpenError::Allocate(AllocateError::Full { requested: 64, .. })));
        drop(open);
        assert!(enclave.open(&sealed, b"").is_ok());
        let large = Sealed::from_record(vec![0; 9000]);
        let error = enclave.open(&large, b"").unwrap_err();
        assert!(matches!(error, OpenError::Allocate(AllocateError::TooLarge { .. })));
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_longest_secret() {
    let longest = Enclave::LONGEST_SECRET;
    assert_eq!(check_lengths(longest, longest + Enclave::OVERHEAD), Ok(()));
    for len in [longest + 1, longest + 2] {
        let error = check_lengths(len, len + Enclave::OVERHEAD);
        assert_eq!(error, Err(SealError::TooLong { len, longest }));
    }
}

#[test]
fn refresh_keeps_and_destroy_ends_what_was_sealed() {
    with_arena(2500, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let sealed = seal(&enclave, b"secret", b"");
        enclave.refresh();
        let open = enclave.open(&sealed, b"").unwrap();
        assert!(!enclave.is_destroyed());
        enclave.destroy();
        assert!(enclave.is_destroyed());
        // Who cannot open at all is not told of room.
        let _full = fill(arena, 6);
        assert_eq!(enclave.open(&sealed, b"").unwrap_err(), OpenError::Destroyed);
        let error = enclave.seal(b"secret", b"", vec![0; 30]).unwrap_err();
        assert_eq!(error, SealError::Destroyed);
        assert_eq!(open.expose_secret(), b"secret", "what is open stays open");
    });
}

#[test]
fn the_last_number_is_refused_and_not_repeated() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        enclave.numbers.use_up();
        assert!(enclave.seal(b"", b"", vec![0; 24]).is_ok());
        for _ in 0..3 {
            assert_eq!(enclave.seal(b"", b"", vec![0; 24]).unwrap_err(), SealError::Exhausted);
        }
        let secret = Buffer::new(arena, 8).unwrap();
        let (secret, error) = enclave.seal_in_place(secret, b"").unwrap_err();
        assert_eq!((secret.len(), error), (8, SealError::Exhausted));
        enclave.renew(&mut Counting(9)).unwrap();
        assert!(enclave.seal(b"", b"", vec![0; 24]).is_ok());
    });
}

#[test]
fn what_is_authenticated_can_be_opened_and_nothing_else() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        for len in [0, 1, 64, 300, 5000] {
            let sealed = seal(&enclave, &vec![7; len], b"context");
            assert_eq!(enclave.authenticate(&sealed, b"context"), Ok(()));
            assert_eq!(enclave.authenticate(&sealed, b"contexts"), Err(OpenError::Tampered));
            for bit in (0..sealed.record().len() * 8).step_by(rounds(1 + len / 4, 97 + len)) {
                let mut changed = sealed.record().to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                let changed = Sealed::from_record(changed);
                assert_eq!(enclave.authenticate(&changed, b"context"), Err(OpenError::Tampered));
            }
        }
        let short = Sealed::from_record([0; Enclave::OVERHEAD - 1]);
        assert_eq!(enclave.authenticate(&short, b""), Err(OpenError::Tampered));
        assert_eq!(arena.stats().live, 2, "it takes no memory");
        let sealed = seal(&enclave, b"secret", b"");
        enclave.destroy();
        assert_eq!(enclave.authenticate(&sealed, b""), Err(OpenError::Destroyed));
    });
}

#[test]
fn renewed_numbers_are_others_and_old_records_open() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let mut sealed = Vec::new();
        for round in 0..8 {
            sealed.extend((0..8).map(|_| seal(&enclave, b"secret", b"")));
            enclave.renew(&mut Counting(round)).unwrap();
        }
        let numbers: std::collections::BTreeSet<_> =
            sealed.iter().map(|sealed| sealed.record()[..COUNTER].to_vec()).collect();
        assert_eq!(numbers.len(), sealed.len());
        assert!(sealed.iter().all(|sealed| enclave.open(sealed, b"").is_ok()));
        let before = seal(&enclave, b"", b"").record()[..COUNTER].to_vec();
        assert_eq!(enclave.renew(&mut Failing), Err(EntropyError));
        let after = seal(&enclave, b"", b"").record()[..COUNTER].to_vec();
        let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(number(after), number(before).wrapping_add(1), "nothing has changed");
    });
}

struct Failing;

impl Entropy for Failing {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

#[test]
fn in_place() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let secret = Buffer::wiping(arena, &mut [7; 100]).unwrap();
        let mut sealed = enclave.seal_in_place(secret, b"name").unwrap();
        let first = sealed.ciphertext.expose_secret().to_vec();
        assert_ne!(first, [7; 100]);
        assert_eq!(sealed.open(&enclave, b"other").unwrap_err(), OpenError::Tampered);
        assert_eq!(sealed.ciphertext.expose_secret(), first, "a refused open changes nothing");
        {
            let mut opened = sealed.open(&enclave, b"name").unwrap();
            assert_eq!(opened.expose_secret(), [7; 100]);
            opened.expose_secret_mut()[0] = 8;
        }
        assert_ne!(sealed.ciphertext.expose_secret()[1..], first[1..], "a fresh nonce");
        assert_eq!(sealed.open(&enclave, b"name").unwrap().expose_secret()[..2], [8, 7]);
        sealed.ciphertext.expose_secret_mut()[50] ^= 1;
        assert_eq!(sealed.open(&enclave, b"name").unwrap_err(), OpenError::Tampered);
    });
}

#[test]
fn a_secret_sealed_in_place_tells_its_length() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        for len in [0, 1, 100] {
            let sealed = enclave.seal_in_place(Buffer::new(arena, len).unwrap(), b"").unwrap();
            assert_eq!((sealed.len(), sealed.is_empty()), (len, len == 0));
        }
    });
}

#[test]
fn a_secret_open_in_place_is_wiped_when_the_enclave_is_destroyed() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let secret = Buffer::wiping(arena, &mut [7; 100]).unwrap();
        let mut sealed = enclave.seal_in_place(secret, b"").unwrap();
        {
            let _opened = sealed.open(&enclave, b"").unwrap();
            enclave.destroy();
        }
        assert_eq!(sealed.ciphertext.expose_secret(), [0; 100]);
        assert_eq!(sealed.open(&enclave, b"").unwrap_err(), OpenError::Destroyed);
    });
}

#[test]
fn a_forgotten_guard_leaves_the_secret_open_until_it_is_released() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let secret = Buffer::wiping(arena, &mut [7; 100]).unwrap();
        let mut sealed = enclave.seal_in_place(secret, b"").unwrap();
        core::mem::forget(sealed.open(&enclave, b"").unwrap());
        assert_eq!(sealed.ciphertext.expose_secret(), [7; 100]);
        assert_eq!(sealed.open(&enclave, b"").unwrap_err(), OpenError::Tampered);
        assert_eq!(sealed.ciphertext.expose_secret(), [7; 100], "refused, and as it was");
        drop(sealed);
        assert_eq!((arena.stats().live, arena.verify()), (2, Ok(())));
    });
}

#[test]
fn a_panic_while_a_secret_is_open_in_place_seals_it() {
    with_arena(8192, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let secret = Buffer::wiping(arena, &mut [7; 100]).unwrap();
        let mut sealed = enclave.seal_in_place(secret, b"").unwrap();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut opened = sealed.open(&enclave, b"").unwrap();
            opened.expose_secret_mut()[0] = 8;
            panic!("in use");
        }));
        assert!(panic.is_err());
        assert_ne!(sealed.ciphertext.expose_secret()[1..], [7; 99]);
        assert_eq!(sealed.open(&enclave, b"").unwrap().expose_secret()[..2], [8, 7]);
    });
}

#[test]
fn values_are_opened_as_what_they_were_sealed() {
    with_arena(4096, |arena| {
        let enclave = Enclave::new(arena).unwrap();
        let key = Secret::<[u64; 4], _>::random(arena).unwrap();
        let mut record = [0; Enclave::record_len(32)];
        let sealed = enclave.seal_value(&*key.expose_secret(), b"key", &mut record[..]).unwrap();
        let opened: Secret<'_, [u64; 4], _> = enclave.open_value(&sealed, b"key").unwrap();
        assert!(key.constant_time_eq(&opened.expose_secret()));
        assert_eq!(opened.expose_secret().as_ptr().addr() % align_of::<u64>(), 0);
        let other = enclave.open_value::<[u32; 9], _>(&sealed, b"key").unwrap_err();
        assert_eq!(other, OpenError::OtherSize { len: 32, size: 36 });
        let refused = enclave.open_value::<[u8; 32], _>(&sealed, b"another").unwrap_err();
        assert_eq!(refused, OpenError::Tampered);
        drop((key, opened));
        assert_eq!((arena.stats().live, arena.verify()), (2, Ok(())), "the key's shares");
        enclave.destroy();
        let sealed = Sealed::from_record(&record[..]);
        let gone = enclave.open_value::<[u32; 9], _>(&sealed, b"key").unwrap_err();
        assert_eq!(gone, OpenError::Destroyed);
    });
}
