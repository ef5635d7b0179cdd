//! What depends on the processor: instructions that not every compiler's default has, and registers
//! that only assembly can name.

#[allow(unsafe_code, reason = "uses instructions of x86-64, where they are")]
pub(crate) mod processor;
#[allow(
    unsafe_code,
    reason = "names the registers that a cipher leaves its state in, where there are any"
)]
pub(crate) mod registers;
