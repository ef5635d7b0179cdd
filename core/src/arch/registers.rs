//! Emptying the vector registers that a cipher leaves its state in.
//!
//! The compiler treats them as scratch, so the key and the last keystream stay there until somebody
//! else's work overwrites them; a signal would write them to an ordinary stack. x86-64 and aarch64 are
//! done, unless the compiler was told to do without vectors: elsewhere this does nothing.

/// Zeroes the vector registers.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
pub(crate) fn wipe_vectors() {
    // The interpreter has no registers, and no assembly.
    if cfg!(miri) {
        return;
    }
    if avx512::get() {
        // SAFETY: the processor and the operating system support the instructions, and all registers
        // they change are named.
        unsafe { wipe_high() };
    }
    if avx::get() {
        // SAFETY: the processor and the operating system support AVX, and all registers it changes
        // are named.
        unsafe { wipe_low() };
    } else {
        wipe_short();
    }
}

/// Zeroes the vector registers.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
#[inline]
pub(crate) fn wipe_vectors() {
    // The interpreter has no registers, and no assembly.
    if cfg!(miri) {
        return;
    }
    // SAFETY: the compiler was told that the registers exist; all 32 are named, nothing else changes.
    unsafe {
        asm!(
            "movi v0.2d, #0", "movi v1.2d, #0", "movi v2.2d, #0", "movi v3.2d, #0",
            "movi v4.2d, #0", "movi v5.2d, #0", "movi v6.2d, #0", "movi v7.2d, #0",
            "movi v8.2d, #0", "movi v9.2d, #0", "movi v10.2d, #0", "movi v11.2d, #0",
            "movi v12.2d, #0", "movi v13.2d, #0", "movi v14.2d, #0", "movi v15.2d, #0",
            "movi v16.2d, #0", "movi v17.2d, #0", "movi v18.2d, #0", "movi v19.2d, #0",
            "movi v20.2d, #0", "movi v21.2d, #0", "movi v22.2d, #0", "movi v23.2d, #0",
            "movi v24.2d, #0", "movi v25.2d, #0", "movi v26.2d, #0", "movi v27.2d, #0",
            "movi v28.2d, #0", "movi v29.2d, #0", "movi v30.2d, #0", "movi v31.2d, #0",
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nomem, nostack, preserves_flags));
    }
}

#[cfg(not(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "aarch64", target_feature = "neon"),
)))]
#[inline]
pub(crate) fn wipe_vectors() {}

/// All of registers 0 to 15.
///
/// # Safety
/// The processor has AVX, and the operating system lets it be used.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
unsafe fn wipe_low() {
    // SAFETY: the contract; the instruction changes registers 0 to 15, all named, and nothing else.
    unsafe {
        asm!("vzeroall",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nomem, nostack, preserves_flags));
    }
}

/// The 128 bits of registers 0 to 15 that every x86-64 processor has.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
fn wipe_short() {
    // SAFETY: SSE2 is part of x86-64; registers 0 to 15 are all named, and nothing else changes.
    unsafe {
        asm!(
            "pxor xmm0, xmm0", "pxor xmm1, xmm1", "pxor xmm2, xmm2", "pxor xmm3, xmm3",
            "pxor xmm4, xmm4", "pxor xmm5, xmm5", "pxor xmm6, xmm6", "pxor xmm7, xmm7",
            "pxor xmm8, xmm8", "pxor xmm9, xmm9", "pxor xmm10, xmm10", "pxor xmm11, xmm11",
            "pxor xmm12, xmm12", "pxor xmm13, xmm13", "pxor xmm14, xmm14", "pxor xmm15, xmm15",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nomem, nostack, preserves_flags));
    }
}

/// Registers 16 to 31, which the compiler uses only where it was told that they exist.
///
/// # Safety
/// The processor has AVX-512, and the operating system lets it be used.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[target_feature(enable = "avx512f")]
unsafe fn wipe_high() {
    // SAFETY: the contract; registers 16 to 31 are all named, and nothing else changes.
    unsafe {
        asm!(
            "vpxord zmm16, zmm16, zmm16", "vpxord zmm17, zmm17, zmm17",
            "vpxord zmm18, zmm18, zmm18", "vpxord zmm19, zmm19, zmm19",
            "vpxord zmm20, zmm20, zmm20", "vpxord zmm21, zmm21, zmm21",
            "vpxord zmm22, zmm22, zmm22", "vpxord zmm23, zmm23, zmm23",
            "vpxord zmm24, zmm24, zmm24", "vpxord zmm25, zmm25, zmm25",
            "vpxord zmm26, zmm26, zmm26", "vpxord zmm27, zmm27, zmm27",
            "vpxord zmm28, zmm28, zmm28", "vpxord zmm29, zmm29, zmm29",
            "vpxord zmm30, zmm30, zmm30", "vpxord zmm31, zmm31, zmm31",
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
            out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
            options(nomem, nostack, preserves_flags));
    }
}

#[cfg(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "aarch64", target_feature = "neon"),
))]
use core::arch::asm;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
cpufeatures::new!(avx, "avx");
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
cpufeatures::new!(avx512, "avx512f");

#[cfg(test)]
mod tests {
    /// Plants ones in two registers of `$bytes` bytes, calls a function and finds zeros there.
    #[cfg(any(
        all(target_arch = "x86_64", target_feature = "sse2"),
        all(target_arch = "aarch64", target_feature = "neon"),
    ))]
    macro_rules! empties {
        ($wipe:expr, $bytes:literal, $plant:literal, $store:literal, $($register:tt)+) => {{
            let mut left = [[0xa5_u8; $bytes]; 2];
            // SAFETY: the caller has looked whether the registers exist; those that change are named.
            unsafe {
                core::arch::asm!($plant, $(out($register) _,)+ options(nomem, nostack));
            }
            $wipe();
            // SAFETY: the registers exist, and there is room for what is stored.
            unsafe {
                core::arch::asm!($store, to = in(reg) left.as_mut_ptr(), options(nostack));
            }
            assert_eq!(left, [[0; $bytes]; 2], "{:?}", [$($register),+]);
        }};
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[test]
    #[cfg_attr(miri, ignore = "the interpreter has no registers")]
    fn nothing_is_left() {
        empties!(
            super::wipe_short, 16,
            "pcmpeqd xmm0, xmm0; pcmpeqd xmm15, xmm15",
            "movups [{to}], xmm0; movups [{to} + 16], xmm15",
            "xmm0" "xmm15"
        );
        if super::avx::get() {
            empties!(
                super::wipe_vectors, 32,
                "vxorps ymm0, ymm0, ymm0; vcmpps ymm0, ymm0, ymm0, 0; vmovaps ymm15, ymm0",
                "vmovups [{to}], ymm0; vmovups [{to} + 32], ymm15",
                "xmm0" "xmm15"
            );
        }
        if super::avx512::get() {
            empties!(
                super::wipe_vectors, 64,
                "vpternlogd zmm16, zmm16, zmm16, 255; vpternlogd zmm31, zmm31, zmm31, 255",
                "vmovdqu64 [{to}], zmm16; vmovdqu64 [{to} + 64], zmm31",
                "xmm16" "xmm31"
            );
        }
    }

    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    #[test]
    #[cfg_attr(miri, ignore = "the interpreter has no registers")]
    fn nothing_is_left() {
        // Of each eight one, both of those that calls preserve in part and of those they do not.
        empties!(
            super::wipe_vectors, 16,
            "movi v0.16b, #255; movi v7.16b, #255",
            "stp q0, q7, [{to}]",
            "v0" "v7"
        );
        empties!(
            super::wipe_vectors, 16,
            "movi v16.16b, #255; movi v31.16b, #255",
            "stp q16, q31, [{to}]",
            "v16" "v31"
        );
    }
}
