//! Sealed records: every change is refused, and an unchanged one is what RFC 8439 says.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::mem::MaybeUninit;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use strongroom_core::{Arena, Buffer, Bulk, Enclave, OpenError, SealError, Sealed, SpanKind};
use strongroom_tests::noise::Noise;
use strongroom_tests::raw::{Ground, Lab};

fn with_enclave(test: impl FnOnce(&Enclave<'_>)) {
    let mut region = vec![MaybeUninit::uninit(); 1 << 16];
    let arena = Arena::new(&mut region[..], &mut Noise(5)).unwrap();
    let enclave = Enclave::new(&arena).unwrap();
    test(&enclave);
    assert_eq!(arena.stats().live, 2, "only the key's shares are left");
    assert_eq!(arena.verify(), Ok(()));
}

fn seal(enclave: &Enclave<'_>, secret: &[u8], context: &[u8]) -> Vec<u8> {
    let storage = vec![0; Enclave::record_len(secret.len())];
    enclave.seal(secret, context, storage).unwrap().into_record()
}

fn refused(enclave: &Enclave<'_>, record: &[u8], context: &[u8], what: &str) {
    let error = enclave.open(&Sealed::from_record(record), context).map(drop).unwrap_err();
    assert_eq!(error, OpenError::Tampered, "{what}");
}

#[test]
fn any_bit_flipped() {
    with_enclave(|enclave| {
        for len in [0, 1, 15, 16, 17, 64, 200, 1000] {
            let record = seal(enclave, &Noise(1).bytes(len), b"context");
            for bit in 0..record.len() * 8 {
                let mut changed = record.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                refused(enclave, &changed, b"context", &format!("bit {bit} of {len} bytes"));
            }
            assert!(enclave.open(&Sealed::from_record(&record), b"context").is_ok());
        }
    });
}

#[test]
fn cut_and_extended() {
    with_enclave(|enclave| {
        for len in [0, 1, 16, 33, 100] {
            let record = seal(enclave, &Noise(1).bytes(len), b"context");
            for cut in 0..record.len() {
                refused(enclave, &record[..cut], b"context", "cut at the end");
                refused(enclave, &record[cut + 1..], b"context", "cut at the start");
            }
            for more in 1..40 {
                for byte in [0, 0xff, record[0]] {
                    let padding = vec![byte; more];
                    refused(enclave, &[&record, &padding[..]].concat(), b"context", "extended");
                    refused(enclave, &[&padding, &record[..]].concat(), b"context", "prefixed");
                }
            }
            refused(enclave, &[&record[..], &record[..]].concat(), b"context", "doubled");
        }
    });
}

#[test]
fn another_context() {
    with_enclave(|enclave| {
        let contexts: [&[u8]; 8] = [b"", b"\0", b"a", b"a\0", b"b", b"ab", &[0; 16], &[b'a'; 100]];
        for context in contexts {
            let record = seal(enclave, b"secret", context);
            for other in contexts.into_iter().filter(|&other| other != context) {
                refused(enclave, &record, other, "another context");
            }
            // What moves between context and ciphertext is not the same again.
            let longer = [context, &record[8..9]].concat();
            refused(enclave, &[&record[..8], &record[9..]].concat(), &longer, "moved");
            assert!(enclave.open(&Sealed::from_record(&record), context).is_ok());
        }
    });
}

#[test]
fn records_swapped_or_spliced() {
    with_enclave(|enclave| {
        let [user, password] = [b"user", b"pass"].map(|name| seal(enclave, &[7; 40], name));
        refused(enclave, &user, b"pass", "swapped");
        refused(enclave, &password, b"user", "swapped");
        for at in 1..user.len() {
            let spliced = [&user[..at], &password[at..]].concat();
            // The first numbers differ in their first byte alone.
            refused(enclave, &spliced, b"user", "spliced");
            refused(enclave, &spliced, b"pass", "spliced");
        }
    });
}

#[test]
fn another_enclave_or_arena() {
    with_enclave(|enclave| {
        let record = seal(enclave, b"secret", b"");
        let second = Enclave::new(enclave.arena()).unwrap();
        refused(&second, &record, b"", "another enclave over the same arena");
        let mut region = vec![MaybeUninit::uninit(); 8192];
        let arena = Arena::new(&mut region[..], &mut Noise(6)).unwrap();
        let third = Enclave::new(&arena).unwrap();
        refused(&third, &record, b"", "another arena");
    });
}

#[test]
fn refused_records_leave_no_byte_in_the_arena() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 5).unwrap();
    let enclave = Enclave::new(lab.arena()).unwrap();
    let mut record = seal(&enclave, &[0x5a; 300], b"");
    record[8] ^= 1;
    refused(&enclave, &record, b"", "changed");
    assert_eq!(lab.arena().verify(), Ok(()), "free memory is zero");
    let end = lab.first_leaf() + lab.arena().capacity();
    let plaintext = lab.read(lab.first_leaf()..end);
    assert!(!plaintext.windows(8).any(|bytes| bytes == [0x5a; 8]));
}

#[test]
fn storage_of_every_kind_and_of_the_wrong_length() {
    with_enclave(|enclave| {
        let mut ordinary = [MaybeUninit::uninit(); 1024];
        let bulk = Bulk::new(&mut ordinary).unwrap();
        let on_stack = enclave.seal(b"1234", b"", [0; Enclave::record_len(4)]).unwrap();
        let boxed = enclave.seal(b"1234", b"", vec![0; 28].into_boxed_slice()).unwrap();
        let in_bulk = enclave.seal(b"1234", b"", bulk.allocate(28).unwrap()).unwrap();
        let mut bytes = [0; 28];
        let borrowed = enclave.seal(b"1234", b"", &mut bytes[..]).unwrap();
        let records = [on_stack.record(), boxed.record(), in_bulk.record(), borrowed.record()];
        for record in records {
            let opened = enclave.open(&Sealed::from_record(record), b"").unwrap();
            assert_eq!(opened.expose_secret(), b"1234");
        }
        for given in (0..60).filter(|&given| given != 28) {
            let mut storage = vec![0xaa; given];
            let error = enclave.seal(b"1234", b"", &mut storage[..]).map(drop).unwrap_err();
            assert_eq!(error, SealError::RecordLength { needed: 28, given });
            assert!(storage.iter().all(|&byte| byte == 0xaa), "storage is as it was");
        }
    });
}

#[test]
fn destroyed_means_unreadable() {
    let mut region = vec![MaybeUninit::uninit(); 1 << 14];
    let arena = Arena::new(&mut region[..], &mut Noise(5)).unwrap();
    let enclave = Enclave::new(&arena).unwrap();
    let record = seal(&enclave, b"secret", b"");
    let buffer = Buffer::wiping(&arena, &mut [7; 40]).unwrap();
    let mut in_place = enclave.seal_in_place(buffer, b"").unwrap();
    enclave.destroy();
    enclave.refresh();
    let opened = enclave.open(&Sealed::from_record(&record), b"").map(drop);
    assert_eq!(opened, Err(OpenError::Destroyed));
    assert_eq!(in_place.open(&enclave, b"").map(drop), Err(OpenError::Destroyed));
    let mut storage = [0xaa; 30];
    assert_eq!(enclave.seal(b"secret", b"", &mut storage).map(drop), Err(SealError::Destroyed));
    assert_eq!(storage, [0xaa; 30], "storage is as it was");
}

/// A record is `counter | ciphertext | tag`, and another implementation of RFC 8439 opens it: the
/// key is what the two shares in the arena join to, and the nonce is a prefix and the counter.
#[test]
fn another_implementation_opens_what_was_sealed() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 5).unwrap();
    let enclave = Enclave::new(lab.arena()).unwrap();
    enclave.refresh();
    let shares = live_cells(&lab);
    assert_eq!(shares.len(), 2, "only the shares are in the arena");
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = shares[0][index] ^ shares[1][index];
    }
    // An arena with the same seed draws the same: a prefix first.
    let mut twin_ground = Ground::new(1 << 14, 0);
    let twin = Lab::new(&mut twin_ground, 5).unwrap();
    let mut nonce = [0; 12];
    twin.arena().fill_random(&mut nonce[..4]);
    let cipher = ChaCha20Poly1305::new(&key.into());
    for (len, context) in (0..300).zip([&b""[..], b"context", &[1; 33]].into_iter().cycle()) {
        let secret = Noise(len as u64).bytes(len);
        let record = seal(&enclave, &secret, context);
        let (counter, rest) = record.split_first_chunk::<8>().unwrap();
        let (ciphertext, tag) = rest.split_last_chunk::<16>().unwrap();
        nonce[4..].copy_from_slice(counter);
        let mut text = ciphertext.to_vec();
        cipher
            .decrypt_inout_detached(&nonce.into(), context, (&mut text[..]).into(), &(*tag).into())
            .unwrap();
        assert_eq!(text, secret);
    }
}

#[test]
fn refresh_changes_every_word_of_both_shares() {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    let enclave = Enclave::new(lab.arena()).unwrap();
    let record = seal(&enclave, b"secret", b"");
    let before = live_cells(&lab).concat();
    assert_eq!(before.len(), 64, "two shares");
    enclave.refresh();
    let after = live_cells(&lab).concat();
    assert!(before.chunks(8).zip(after.chunks(8)).all(|(before, after)| before != after));
    assert!(enclave.open(&Sealed::from_record(record), b"").is_ok());
}

/// The contents of all cells of 32 bytes that are live.
fn live_cells(lab: &Lab<'_>) -> Vec<Vec<u8>> {
    let mut cells = Vec::new();
    for span in lab.arena().map() {
        let SpanKind::Run { cell_size: 32, cells: count, live, .. } = span.kind else { continue };
        for index in (0..count).filter(|index| live >> index & 1 == 1) {
            let start = span.offset + 8 + index * 40;
            cells.push(lab.read(start..start + 32));
        }
    }
    cells
}
