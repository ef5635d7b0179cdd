//! Two machines resumed from one snapshot: a forked child that goes on as a copy of its parent, with
//! an arena over ordinary memory, which it inherits.
#![cfg(all(target_os = "linux", feature = "vault"))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::FromRawFd;

use strongroom::OsEntropy;
use strongroom_core::{Arena, Enclave, Sealed};

const SEALS: usize = 100;
const RECORD: usize = Enclave::record_len(8);

/// What a copy made: random bytes, and records.
type Made = Vec<u8>;

fn make(arena: &Arena<'_>, enclave: &Enclave<'_>, renew: bool) -> Made {
    if renew {
        enclave.renew(&mut OsEntropy).unwrap();
    }
    let mut made = vec![0; 32];
    arena.fill_random(&mut made);
    for _ in 0..SEALS {
        made.extend(enclave.seal(&[7; 8], b"", [0; RECORD]).unwrap().into_record());
    }
    made
}

/// What parent and child make after the fork, each renewed or not.
fn both(arena: &Arena<'_>, enclave: &Enclave<'_>, renew: bool) -> [Made; 2] {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: both descriptors were opened just now, and nobody else has them.
    let [mut reading, mut writing] = ends.map(|end| unsafe { File::from_raw_fd(end) });
    // SAFETY: the child takes no lock that another thread of this process could hold.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let written = writing.write_all(&make(arena, enclave, renew));
        // SAFETY: ends the child at once, without the parent's destructors.
        unsafe { libc::_exit(i32::from(written.is_err())) };
    }
    drop(writing);
    let mut childs = Vec::new();
    reading.read_to_end(&mut childs).unwrap();
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
    [make(arena, enclave, renew), childs]
}

/// The nonces of what was made, as far as they stand in the records.
fn nonces(made: &Made) -> BTreeSet<&[u8]> {
    made[32..].chunks_exact(RECORD).map(|record| &record[..8]).collect()
}

#[test]
fn copies_that_are_renewed_share_no_nonce_and_no_random_byte() {
    let mut region = vec![MaybeUninit::uninit(); 16 * 1024];
    let arena = Arena::new(&mut region[..], &mut OsEntropy).unwrap();
    let enclave = Enclave::new(&arena).unwrap();
    let before = enclave.seal(b"before", b"", vec![0; Enclave::record_len(6)]).unwrap();

    let [own, childs] = both(&arena, &enclave, false);
    assert_eq!(own, childs, "copies do not differ by themselves: this is what is to be mended");

    let [own, childs] = both(&arena, &enclave, true);
    assert_ne!(own[..32], childs[..32], "random bytes");
    assert_eq!((nonces(&own).len(), nonces(&childs).len()), (SEALS, SEALS));
    assert!(nonces(&own).is_disjoint(&nonces(&childs)));
    // The child's records open here: it has the same key.
    for made in [&own, &childs] {
        for record in made[32..].chunks_exact(RECORD) {
            let opened = enclave.open(&Sealed::from_record(record), b"").unwrap();
            assert_eq!(opened.expose_secret(), [7; 8]);
        }
    }
    assert_eq!(enclave.open(&before, b"").unwrap().expose_secret(), b"before");
}
