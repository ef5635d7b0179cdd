//! A program with no `std`, no `alloc`, no libc and no start-up code: it seals and opens a secret in
//! a static region, and ends with status 0 if that went well.
//!
//! It is linked with `-nostdlib -nostartfiles -static`. Nothing here comes from the operating
//! system but the exit.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use strongroom_core::{Arena, Enclave, Entropy, EntropyError};

/// The secrets' region; a unikernel would lock it by never paging it out.
static mut REGION: [MaybeUninit<u8>; 16 * 1024] = [MaybeUninit::uninit(); 16 * 1024];

/// The time stamp counter, stirred: enough for a proof that it links, not for keys.
struct Ticks;

impl Entropy for Ticks {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            // SAFETY: every x86-64 processor has the instruction.
            let ticks = unsafe { core::arch::x86_64::_rdtsc() };
            *byte = (ticks.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        }
        Ok(())
    }
}

fn seal_and_open() -> bool {
    let region = &raw mut REGION;
    // SAFETY: this function runs once, and nobody else names the static.
    let region = unsafe { &mut *region };
    let Ok(arena) = Arena::new(&mut region[..], &mut Ticks) else { return false };
    let Ok(enclave) = Enclave::new(&arena) else { return false };
    let mut record = [0; Enclave::record_len(7)];
    let Ok(sealed) = enclave.seal(b"hunter2", b"proof", &mut record) else { return false };
    let opened = enclave.open(&sealed, b"proof");
    opened.is_ok_and(|secret| secret.constant_time_eq(b"hunter2")) && arena.verify().is_ok()
}

/// Where the program begins.
///
/// # Safety
/// Called once, by the loader.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    // The loader leaves the stack aligned to 16 bytes; a call wants it so.
    core::arch::naked_asm!("call {main}", main = sym main)
}

extern "C" fn main() -> ! {
    exit(i32::from(!seal_and_open()))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}

/// The host's core is built to unwind and names this; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

fn exit(status: i32) -> ! {
    const EXIT: u64 = 60;
    // SAFETY: exit(2) on Linux takes its status in `edi` and does not return.
    unsafe { core::arch::asm!("syscall", in("rax") EXIT, in("edi") status, options(noreturn)) }
}

/// The compiler calls these by name, and there is no libc to have them.
mod memory {
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        // SAFETY: the caller gives `len` bytes to read and to write that do not overlap.
        unsafe {
            core::arch::asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
        // SAFETY: the caller gives `len` bytes to write.
        unsafe {
            core::arch::asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        for index in 0..len {
            // SAFETY: the caller gives `len` bytes to read in both.
            let (a, b) = unsafe { (*a.add(index), *b.add(index)) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        // SAFETY: as for `memcmp`.
        unsafe { memcmp(a, b, len) }
    }
}
