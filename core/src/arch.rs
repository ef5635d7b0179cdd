//! What depends on the processor: instructions that not every compiler's default has, and registers
//! that only assembly can name.

#[cfg_attr(
    not(all(target_arch = "x86_64", target_feature = "sse2", not(chacha20_backend = "soft"))),
    path = "arch/no_chacha20.rs"
)]
#[allow(unsafe_code, reason = "uses vectors of x86-64, where they are")]
pub(crate) mod chacha20;
#[cfg_attr(
    not(all(target_arch = "x86_64", target_feature = "sse2", not(poly1305_backend = "soft"))),
    path = "arch/no_poly1305.rs"
)]
#[allow(unsafe_code, reason = "uses vectors of x86-64, where they are")]
pub(crate) mod poly1305;
#[allow(unsafe_code, reason = "uses instructions of x86-64, where they are")]
pub(crate) mod processor;
#[allow(
    unsafe_code,
    reason = "names the registers that a cipher leaves its state in, where there are any"
)]
pub(crate) mod registers;
