//! The first serial port, COM1: what is said goes out there, a byte at a time.

use core::arch::asm;
use core::fmt::{self, Write};

/// Says a line, formatted as by `format_args!`.
macro_rules! say {
    ($($words:tt)*) => { $crate::serial::line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Writes a line.
pub fn line(words: fmt::Arguments<'_>) {
    // The port takes every byte.
    let _ = writeln!(Port, "{words}");
}

struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {}
            write(DATA, byte);
        }
        Ok(())
    }
}

fn read(port: u16) -> u8 {
    let byte: u8;
    // SAFETY: a 16550's line status register, which may be read at any time.
    unsafe { asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack)) };
    byte
}

fn write(port: u16, byte: u8) {
    // SAFETY: a 16550's transmit register, which takes a byte and touches no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) };
}

/// Registers of the 16550 at the address of COM1, as the firmware set it up.
const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = DATA + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
