//! From the machine's first instruction to `kernel`, and from there to the exit status.
//!
//! ```text
//! QEMU ── PVH: 32 bits, no paging ──> start ── page tables, SSE, 64 bits ──> enter ──> kernel
//! ```
//!
//! Interrupts are off from first to last. The host's core library keeps values below the stack
//! pointer (the red zone), where an interrupt on the same stack would write.

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;

use crate::serial::say;

/// How the kernel ended, for whoever started the machine.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Status {
    /// QEMU ends with status 33.
    Passed = 0x10,
    /// Something went another way than it should: status 35.
    Failed,
    /// Damage was found: status 37.
    Fault,
    /// The processor has no RDRAND: status 39.
    NoEntropy,
    /// The kernel panicked: status 41.
    Panic,
}

/// Ends the machine. QEMU's `isa-debug-exit` makes twice the status, plus one, its own.
pub fn exit(status: Status) -> ! {
    // SAFETY: nobody but this device listens on the port.
    unsafe {
        asm!("out dx, al", in("dx") EXIT_PORT, in("al") status as u8, options(nomem, nostack));
    }
    halt()
}

/// Where there is no such device, the machine stands still.
fn halt() -> ! {
    loop {
        // SAFETY: interrupts are off, so this waits for ever; it touches no memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    say!("{panic}");
    exit(Status::Panic)
}

/// The host's core library was built to unwind and names this; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// What the loader tells, as far as it is read here (`hvm_start_info` of Xen's PVH).
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: *const c_char,
}

/// # Safety
/// Called once, by `start`, with what the loader left in memory for good.
unsafe extern "C" fn enter(info: *const StartInfo) -> ! {
    // SAFETY: the loader's block is there, aligned, and nobody writes to it.
    let info = unsafe { &*info };
    assert_eq!(info.magic, MAGIC, "not started by a PVH loader");
    // SAFETY: a PVH loader leaves a string that ends in NUL there, or nothing.
    let line = (!info.command_line.is_null()).then(|| unsafe { CStr::from_ptr(info.command_line) });
    crate::kernel(line.and_then(|line| line.to_str().ok()).unwrap_or_default())
}

const EXIT_PORT: u16 = 0xf4;
const MAGIC: u32 = 0x336e_c578;

// Tells the loader where to begin: Xen's note 18, PHYS32_ENTRY.
global_asm!(".section .note.pvh, \"a\", @note", ".long 4, 8, 18", ".asciz \"Xen\"", ".quad start",);

// Intel's manual, volume 3, section 11.8.5, tells the way to 64 bits; section 15.1.4 and volume 1,
// section 11.6.2, how SSE is switched on, which all compiled code uses.
global_asm!(
    ".section .text.start, \"ax\"",
    ".code32",
    ".global start",
    "start:",
    "cli",
    "cld",
    "mov eax, cr4",
    "or eax, {pae} | {osfxsr} | {osxmmexcpt}",
    "mov cr4, eax",
    "mov eax, offset level_4",
    "mov cr3, eax",
    "mov ecx, {efer}",
    "rdmsr",
    "or eax, {long_mode}",
    "wrmsr",
    "mov eax, cr0",
    "and eax, ~{emulate_fpu}",
    "or eax, {monitor_fpu} | {paging}",
    "mov cr0, eax",
    "lgdt [gdt_pointer]",
    "ljmp 8, offset start_64",
    ".code64",
    "start_64:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "lea rsp, [stack_end]",
    // The loader left its block's address in ebx.
    "mov edi, ebx",
    "call {enter}",
    "ud2",
    pae = const 1 << 5,
    osfxsr = const 1 << 9,
    osxmmexcpt = const 1 << 10,
    efer = const 0xc000_0080_u32,
    long_mode = const 1 << 8,
    monitor_fpu = const 1 << 1,
    emulate_fpu = const 1 << 2,
    paging = const 1_u32 << 31,
    enter = sym enter,
);

// One code segment, and the first GiB mapped to itself in pages of 2 MiB, all present and writable.
// A kernel in earnest would also leave a page unmapped on either side of its secrets.
global_asm!(
    ".section .data.tables, \"aw\"",
    "gdt: .quad 0, 0x00209a0000000000",
    "gdt_pointer: .word 15",
    ".quad gdt",
    ".balign 4096",
    "level_4: .quad level_3 + 3",
    ".balign 4096",
    "level_3: .quad level_2 + 3",
    ".balign 4096",
    "level_2:",
    ".set page, 0x83",
    ".rept 512",
    ".quad page",
    ".set page, page + 0x200000",
    ".endr",
    ".section .bss.stack, \"aw\", @nobits",
    ".balign 16",
    ".skip 512 * 1024",
    "stack_end:",
);
