//! What a stream says of itself takes no memory that the room does not account for.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};

use strongroom::{OpeningStream, SealingStream, StreamError, StreamHeader, Vault};

/// Remembers the most bytes that a thread has asked for at once.
struct Remembers;

thread_local! {
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system's; the note is a number of the thread's own.
unsafe impl GlobalAlloc for Remembers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.set(MOST.get().max(layout.size()));
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Remembers = Remembers;

#[test]
fn lengths_that_nobody_has_sealed_take_no_memory() {
    let vault = Vault::new(64 * 1024).unwrap();
    let room = vault.try_allocate(ROOM).unwrap();
    let mut sealing = SealingStream::new(room, Vec::new(), b"").unwrap();
    sealing.write_all(&[7; 300]).unwrap();
    let file = sealing.finish().unwrap();
    // The chunk length, the first frame, and both.
    let (header, frame) = (StreamHeader::LEN - 4, StreamHeader::LEN);
    for places in [&[header][..], &[frame], &[header, frame]] {
        for len in [1, 5000, 1 << 20, 0x4000_0000, 0x7fff_ffff, 0x8000_0000_u32, u32::MAX] {
            let mut forged = file.clone();
            for &place in places {
                forged[place..place + 4].copy_from_slice(&len.to_le_bytes());
            }
            // As much as it says that there is.
            let reader = forged.as_slice().chain(std::io::repeat(7).take(1 << 20));
            let room = vault.try_allocate(ROOM).unwrap();
            MOST.set(0);
            let mut opening = OpeningStream::new(room, reader, b"");
            let error = opening.read(&mut [0]).unwrap_err();
            let most = MOST.get();
            assert!(StreamError::of(&error).is_some(), "{error}");
            assert!(most <= ROOM + 100, "{most} bytes were asked for: {error}");
        }
    }
}

const ROOM: usize = 1000;
