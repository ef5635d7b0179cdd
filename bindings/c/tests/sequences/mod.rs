//! Any bytes as a sequence of calls of the C interface, in wrong orders and with NULL for what must not be:
//! each answers with a status, and what is open is what was sealed.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use strongroom_capi::*;

/// What a C program has in its variables.
struct Program<'b> {
    bytes: &'b [u8],
    vault: *mut VaultHandle,
    store: *mut StoreHandle,
    opened: [*mut OpenedHandle; SLOTS],
    /// What each was opened from, if it was not changed.
    expected: [Option<Vec<u8>>; SLOTS],
    /// How many exposures it began and did not end, and whether the last one writes.
    exposures: [(usize, bool); SLOTS],
    openings: [*mut OpeningHandle; SLOTS],
    records: [(Vec<u8>, Vec<u8>); SLOTS],
    malloced: [*mut c_void; SLOTS],
    sealing: *mut SealStream,
    opening: *mut OpenStream,
    sealed: Vec<u8>,
    pushed: usize,
}

const SLOTS: usize = 4;

/// Plays all of it; panics if an answer is wrong.
pub fn run(bytes: &[u8]) {
    let mut program = Program {
        bytes,
        vault: null_mut(),
        store: null_mut(),
        opened: [null_mut(); SLOTS],
        expected: [const { None }; SLOTS],
        exposures: [(0, false); SLOTS],
        openings: [null_mut(); SLOTS],
        records: Default::default(),
        malloced: [null_mut(); SLOTS],
        sealing: null_mut(),
        opening: null_mut(),
        sealed: Vec::new(),
        pushed: 0,
    };
    // SAFETY: the place is a variable.
    assert_eq!(unsafe { strongroom_vault_new(16 * 1024, &raw mut program.vault) }, Status::OK);
    while let Some(call) = program.next() {
        program.call(call);
    }
    program.end();
}

unsafe extern "C" fn ignore(_: *mut c_void) {}

impl Program<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    fn slot(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0)) % SLOTS
    }

    fn size(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0)) * 16
    }

    /// The vault, or now and then NULL.
    fn vault(&mut self) -> *mut VaultHandle {
        if self.next().unwrap_or(0) == 255 { null_mut() } else { self.vault }
    }

    #[expect(clippy::too_many_lines, reason = "a list of calls")]
    fn call(&mut self, call: u8) {
        let slot = self.slot();
        match call % 18 {
            0 => {
                let (vault, len) = (self.vault(), self.size());
                let secret = vec![call; len];
                let mut record = vec![0; len + self.size()];
                let mut needed = 0;
                // SAFETY: all of it is as long as is said.
                let status = unsafe {
                    strongroom_seal(
                        vault,
                        secret.as_ptr().cast(),
                        len,
                        [call].as_ptr().cast(),
                        1,
                        record.as_mut_ptr().cast(),
                        record.len(),
                        &raw mut needed,
                    )
                };
                match status {
                    Status::OK => {
                        record.truncate(needed);
                        self.records[slot] = (record, secret);
                    }
                    Status::BUFFER_TOO_SMALL => {
                        assert!(needed == len + 24 && record.len() < needed);
                    }
                    status => assert!(vault.is_null() && status == Status::NULL_ARGUMENT),
                }
            }
            1 | 2 => self.open(slot),
            3 => {
                let (first, len) = (&mut null(), &mut 0);
                // SAFETY: a handle or NULL, and places that are variables.
                let status = unsafe { strongroom_opened_read(self.opened[slot], first, len) };
                if status == Status::OK {
                    assert!(!self.exposures[slot].1);
                    self.exposures[slot].0 += 1;
                    if let Some(expected) = &self.expected[slot] {
                        // SAFETY: they are exposed.
                        let bytes = unsafe { std::slice::from_raw_parts(*first, *len) };
                        assert_eq!(bytes, expected);
                    }
                } else {
                    assert!(self.opened[slot].is_null() || self.exposures[slot].1);
                }
            }
            4 => {
                let (first, len) = (&mut null_mut(), &mut 0);
                // SAFETY: as above.
                let status = unsafe { strongroom_opened_write(self.opened[slot], first, len) };
                if status == Status::OK {
                    assert_eq!(self.exposures[slot], (0, false));
                    self.exposures[slot] = (1, true);
                    self.expected[slot] = None;
                    if *len > 0 {
                        // SAFETY: they are exposed to be written.
                        unsafe { **first = call };
                    }
                }
            }
            5 | 6 => {
                // SAFETY: a handle or NULL.
                let status = unsafe { strongroom_opened_end(self.opened[slot]) };
                let exposures = self.exposures[slot].0;
                assert_eq!(status == Status::OK, exposures > 0, "{status:?}");
                self.exposures[slot] = (exposures.saturating_sub(1), false);
            }
            7 | 8 => self.close(slot),
            9 => {
                let waker = WakerIn { wake: Some(ignore), release: None, user_data: null_mut() };
                if self.openings[slot].is_null() && self.opened[slot].is_null() {
                    let (vault, len) = (self.vault(), self.size());
                    // SAFETY: places that are variables, and empty.
                    let status = unsafe {
                        strongroom_allocate_begin(
                            vault,
                            len,
                            waker,
                            &raw mut self.openings[slot],
                            &raw mut self.opened[slot],
                        )
                    };
                    assert_eq!(status == Status::OK, !self.opened[slot].is_null());
                    assert_eq!(status == Status::PENDING, !self.openings[slot].is_null());
                }
            }
            10 => {
                if self.opened[slot].is_null() {
                    // SAFETY: a handle or NULL, and a place that is empty.
                    let status = unsafe {
                        strongroom_opening_finish(
                            &raw mut self.openings[slot],
                            &raw mut self.opened[slot],
                        )
                    };
                    assert_eq!(status == Status::OK, !self.opened[slot].is_null());
                }
            }
            // SAFETY: a handle or NULL.
            11 => unsafe { strongroom_opening_cancel(&raw mut self.openings[slot]) },
            12 => {
                let size = self.size();
                // SAFETY: NULL, or what was given and not released.
                let new = unsafe { strongroom_realloc(self.malloced[slot], size) };
                if !new.is_null() {
                    self.malloced[slot] = new;
                    assert_eq!(strongroom_usable_size(new), size.max(1));
                }
            }
            13 => {
                // SAFETY: as above.
                unsafe { strongroom_free(self.malloced[slot]) };
                self.malloced[slot] = null_mut();
            }
            14 => self.name(slot),
            15 => self.seal_stream(),
            16 => self.open_stream(),
            _ => {
                let mut metrics = [0_u64; 25];
                let size = self.size().min(200) / 8 * 8;
                let place = metrics.as_mut_ptr().cast::<MetricsOut>();
                let vault = self.vault();
                // SAFETY: so many bytes may be written there.
                let status = unsafe { strongroom_vault_metrics_read(vault, place, size) };
                assert_eq!(status == Status::OK, !vault.is_null());
                assert!(metrics[size / 8..].iter().all(|&number| number == 0));
            }
        }
    }

    fn open(&mut self, slot: usize) {
        let (vault, is_forged) = (self.vault(), self.next().unwrap_or(0) > 200);
        if !self.opened[slot].is_null() {
            return;
        }
        let (record, secret) = &self.records[slot];
        let mut record = record.clone();
        if let Some(last) = record.last_mut()
            && is_forged
        {
            *last ^= 1;
        }
        // All are sealed by call 0 and its like, under that call as the context.
        let context = [secret.first().copied().unwrap_or(0)];
        // SAFETY: all of it is as long as is said, and the place is empty.
        let status = unsafe {
            strongroom_open(
                vault,
                record.as_ptr().cast(),
                record.len(),
                context.as_ptr().cast(),
                1,
                0,
                &raw mut self.opened[slot],
            )
        };
        assert_eq!(status == Status::OK, !self.opened[slot].is_null());
        assert!(status != Status::OK || !is_forged);
        if status == Status::OK {
            self.expected[slot] = Some(secret.clone());
        }
    }

    fn close(&mut self, slot: usize) {
        let exposures = self.exposures[slot].0;
        // SAFETY: a handle or NULL.
        let status = unsafe { strongroom_opened_close(&raw mut self.opened[slot]) };
        let expected = if exposures > 0 { Status::EXPOSED } else { Status::OK };
        assert_eq!(status, expected);
        if status == Status::OK {
            self.expected[slot] = None;
        }
    }

    /// Something with a name of the store's.
    fn name(&mut self, slot: usize) {
        if self.store.is_null() {
            // SAFETY: a handle, and a place that is empty.
            let made = unsafe { strongroom_store_new(self.vault, 3, 0, &raw mut self.store) };
            assert_eq!(made, Status::OK);
        }
        let (call, name) = (self.next().unwrap_or(0), [b'a' + self.next().unwrap_or(0) % 5]);
        let secret = vec![name[0]; 5];
        let (name, len) = (name.as_ptr().cast(), 1);
        let (secret_at, count) = (secret.as_ptr().cast(), secret.len());
        let store = self.store;
        match call % 4 {
            0 => {
                // SAFETY: handles, and bytes as long as is said; here and below.
                _ = unsafe {
                    strongroom_store_put(store, name, len, secret_at, count, 0, null_mut())
                };
            }
            // SAFETY: as above.
            1 => _ = unsafe { strongroom_store_remove(store, name, len) },
            2 if self.opened[slot].is_null() => {
                // SAFETY: as above, and the place is empty.
                let status = unsafe {
                    strongroom_store_open(store, name, len, 0, &raw mut self.opened[slot])
                };
                assert_eq!(status == Status::OK, !self.opened[slot].is_null());
                if status == Status::OK {
                    self.expected[slot] = Some(secret);
                }
            }
            _ => {
                // SAFETY: as above.
                _ = unsafe {
                    strongroom_store_replace(store, name, len, secret_at, count, 0, null_mut())
                };
            }
        }
    }

    fn seal_stream(&mut self) {
        if self.sealing.is_null() {
            // SAFETY: a handle, and a place that is empty.
            _ = unsafe {
                strongroom_seal_stream_new(self.vault, 100, null(), 0, 0, &raw mut self.sealing)
            };
        }
        let (count, more) = (self.size(), vec![7_u8; 4096]);
        let mut room = vec![0; if count % 3 == 0 { count } else { 16 * 1024 }];
        let mut len = 0;
        // SAFETY: a handle or NULL, and bytes as long as is said.
        let status = unsafe {
            strongroom_seal_stream_push(
                self.sealing,
                more.as_ptr().cast(),
                count.min(more.len()),
                room.as_mut_ptr().cast(),
                room.len(),
                &raw mut len,
            )
        };
        if status == Status::OK {
            self.sealed.extend_from_slice(&room[..len]);
        }
    }

    fn open_stream(&mut self) {
        if self.opening.is_null() {
            // SAFETY: a handle, and a place that is empty.
            _ = unsafe {
                strongroom_open_stream_new(self.vault, 100, null(), 0, 0, &raw mut self.opening)
            };
        }
        let left = &self.sealed[self.pushed..];
        let mut taken = 0;
        // SAFETY: a handle or NULL, and bytes as long as is said.
        let pushed = unsafe {
            strongroom_open_stream_push(
                self.opening,
                left.as_ptr().cast(),
                left.len(),
                &raw mut taken,
            )
        };
        if pushed == Status::OK {
            self.pushed += taken;
        }
        let (first, len) = (&mut null(), &mut 0);
        // SAFETY: a handle or NULL, and places that are variables.
        if unsafe { strongroom_open_stream_read(self.opening, first, len) } == Status::OK {
            // SAFETY: they are exposed.
            let bytes = unsafe { std::slice::from_raw_parts(*first, *len) };
            assert!(bytes.iter().all(|&byte| byte == 7));
            // SAFETY: as above.
            assert_eq!(unsafe { strongroom_open_stream_end(self.opening, *len) }, Status::OK);
        }
    }

    /// Takes all back, in this order: the vault's handle is not the last.
    fn end(mut self) {
        // SAFETY: handles or NULL; here and below.
        unsafe { strongroom_vault_free(&raw mut self.vault) };
        for slot in 0..SLOTS {
            while self.exposures[slot].0 > 0 {
                // SAFETY: as above.
                assert_eq!(unsafe { strongroom_opened_end(self.opened[slot]) }, Status::OK);
                self.exposures[slot].0 -= 1;
            }
            // SAFETY: as above.
            unsafe { strongroom_opening_cancel(&raw mut self.openings[slot]) };
            self.close(slot);
            // SAFETY: NULL, or what was given and not released.
            unsafe { strongroom_free(self.malloced[slot]) };
        }
        // SAFETY: as above.
        unsafe { strongroom_store_free(&raw mut self.store) };
        // SAFETY: as above.
        unsafe { strongroom_seal_stream_free(&raw mut self.sealing) };
        // SAFETY: as above.
        unsafe { strongroom_open_stream_free(&raw mut self.opening) };
    }
}
