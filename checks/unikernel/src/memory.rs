//! The two regions, and the functions for memory that the compiler calls by name.
//!
//! A kernel without a swap device has all its memory locked. What the secrets' own section buys is
//! that one knows where they are.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Memory for an arena and for a heap of sealed records, lent for good.
pub struct Regions {
    pub secrets: &'static mut [MaybeUninit<u8>],
    pub records: &'static mut [MaybeUninit<u8>],
}

impl Regions {
    /// The regions, the first time.
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Relaxed) {
            return None;
        }
        // SAFETY: only the first call comes here, and nobody else names the static.
        let secrets = unsafe { &mut *SECRETS.0.get() };
        // SAFETY: only the first call comes here, and nobody else names the static.
        let records = unsafe { &mut *RECORDS.0.get() };
        Some(Self { secrets, records })
    }
}

/// How often `bytes` lie in the kernel's own memory: its code, its statics and its stack, which is
/// everything but the two regions.
pub fn count_copies(bytes: &[u8]) -> usize {
    let Range { start, end } = kernel();
    let last = end.addr() - start.addr() - bytes.len();
    let is_at = |offset: usize| {
        bytes.iter().enumerate().all(|(index, byte)| {
            let place = start.wrapping_add(offset + index);
            // SAFETY: within the kernel, all of which is mapped; volatile, because the stack is in
            // there, and others may be writing to what is read.
            unsafe { place.read_volatile() == *byte }
        })
    };
    (0..=last).filter(|&offset| is_at(offset)).count()
}

fn kernel() -> Range<*const u8> {
    unsafe extern "C" {
        static __kernel_start: u8;
        static __kernel_end: u8;
    }
    &raw const __kernel_start..&raw const __kernel_end
}

/// Sixteen pages for secrets, where kernel.ld puts them.
#[unsafe(link_section = ".secrets")]
static SECRETS: Memory<{ 64 * 1024 }> = Memory::new();

/// A megabyte for sealed records.
#[unsafe(link_section = ".records")]
static RECORDS: Memory<{ 1024 * 1024 }> = Memory::new();

#[repr(align(16))]
struct Memory<const BYTES: usize>(UnsafeCell<[MaybeUninit<u8>; BYTES]>);

impl<const BYTES: usize> Memory<BYTES> {
    const fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::uninit(); BYTES]))
    }
}

// SAFETY: the bytes are reached through `Regions::take` only, once.
unsafe impl<const BYTES: usize> Sync for Memory<BYTES> {}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller gives `len` bytes to read and `len` to write that do not overlap.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: the start of `to` is not within `from`, so copying upwards reads every byte
        // before it is overwritten.
        return unsafe { memcpy(to, from, len) };
    }
    let (last_to, last_from) = (to.wrapping_add(len - 1), from.wrapping_add(len - 1));
    // SAFETY: the caller gives `len` bytes to read and to write; from the last byte down, every
    // byte is read before it is overwritten. The direction is set back.
    unsafe {
        asm!(
            "std", "rep movsb", "cld",
            inout("rcx") len => _, inout("rdi") last_to => _, inout("rsi") last_from => _,
            options(nostack),
        );
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller gives `len` bytes to write.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") len => _, inout("rdi") to => _, in("al") byte.to_le_bytes()[0],
            options(nostack, preserves_flags),
        );
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: the caller gives `len` bytes to read at `a`.
        let left = unsafe { a.wrapping_add(index).read() };
        // SAFETY: the caller gives `len` bytes to read at `b`.
        let right = unsafe { b.wrapping_add(index).read() };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: the contract is the same.
    unsafe { memcmp(a, b, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the caller gives a string that ends in NUL, which has not come yet.
    while unsafe { text.wrapping_add(len).read() } != 0 {
        len += 1;
    }
    len
}
