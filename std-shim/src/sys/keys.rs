//! Memory protection keys, `pkeys(7)`: pages that a thread opens and shuts for itself alone, by a register.
//!
//! Linux on x86-64 (PKU) and on arm64 (permission overlays). The arm64 part follows the kernel's own tests
//! (`tools/testing/selftests/mm/pkey-arm64.h`); it was compiled, and never run.
//!
//! What keys cost is counted by a program that knows neither instruction of x86-64's, on a machine that may
//! have no keys. Under the flag `strongroom_counted_keys` a word in memory takes the register's place, with
//! one instruction for one. Nothing is shut then.

use std::io;

use super::Mapping;

/// One of the fifteen keys of this process, shut for every thread until that opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtectionKey(u32);

/// Why there is no key.
#[cfg_attr(
    any(
        strongroom_counted_keys,
        not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))
    ),
    expect(dead_code, reason = "there is one reason where there are none at all")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The processor or the kernel has none.
    NotHere,
    /// Others in this process have all of them.
    NoneLeft,
    /// The system said so otherwise.
    Refused(i32),
}

impl ProtectionKey {
    /// Whether the processor and the kernel have keys.
    #[cfg(target_os = "linux")]
    pub(crate) fn are_here() -> bool {
        register::is_there()
    }

    /// Takes a key, `pkey_alloc(2)`. It is never given back: pages that still had it would become those
    /// of whoever gets it next.
    pub(crate) fn take() -> Result<Self, NoKey> {
        if register::is_there() { calls::allocate().map(Self) } else { Err(NoKey::NotHere) }
    }

    /// Whether this thread may use what has this key.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        register::is_open(self.0)
    }

    /// Lets this thread use what has this key, or not.
    #[inline]
    pub(crate) fn set_open(self, is_open: bool) {
        register::set_open(self.0, is_open);
    }

    /// For keeping in an atomic; above 0, for 0 is the key of all other memory.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl Mapping {
    /// Has the data opened and shut by a key, `pkey_mprotect(2)`; by none if that is `None`.
    pub(crate) fn set_key(&mut self, key: Option<ProtectionKey>) -> io::Result<()> {
        calls::protect(self, key.map_or(0, |ProtectionKey(key)| key))
    }
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(strongroom_counted_keys)
))]
mod calls {
    use std::ffi::c_long;
    use std::io;

    use super::{Mapping, NoKey};

    pub(super) fn allocate() -> Result<u32, NoKey> {
        // The system reads whole words.
        let (flags, rights): (c_long, c_long) = (0, PKEY_DISABLE_ACCESS);
        // SAFETY: the call takes two numbers, and changes nothing but which keys are taken and what this
        // thread may do with this one.
        let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, flags, rights) };
        u32::try_from(key).map_err(|_| match io::Error::last_os_error().raw_os_error() {
            Some(libc::ENOSPC) => NoKey::NoneLeft,
            Some(libc::ENOSYS | libc::EINVAL) => NoKey::NotHere,
            other => NoKey::Refused(other.unwrap_or(0)),
        })
    }

    pub(super) fn protect(mapping: &mut Mapping, key: u32) -> io::Result<()> {
        let data = mapping.data();
        let start = data.cast::<u8>().as_ptr();
        let (access, key) = (c_long::from(libc::PROT_READ | libc::PROT_WRITE), c_long::from(key));
        // SAFETY: the data is this mapping's, and stays readable and writable for whoever has the key.
        let set = unsafe { libc::syscall(libc::SYS_pkey_mprotect, start, data.len(), access, key) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    const PKEY_DISABLE_ACCESS: c_long = 1;
}

/// The register PKRU: two bits for each key, of which the lower one forbids all access and the upper one
/// writing (Intel's manual, volume 3, section 5.6.2).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod register {
    #[cfg(not(strongroom_counted_keys))]
    use std::arch::{asm, x86_64::__cpuid_count};

    #[cfg(strongroom_counted_keys)]
    pub(super) use super::counted::is_there;
    #[cfg(strongroom_counted_keys)]
    use super::counted::{read, write};

    /// Whether the system lets programs use the register.
    #[cfg(not(strongroom_counted_keys))]
    #[allow(unused_unsafe, reason = "the instruction has become safe since Rust 1.89")]
    pub(super) fn is_there() -> bool {
        // Leaf 7 says by bit 4 of ECX that the system has switched it on. Leaf 0 says how many there are.
        // SAFETY: every processor of 64 bits has the instruction.
        let leaves = unsafe { __cpuid_count(0, 0) }.eax;
        // SAFETY: as above.
        leaves >= 7 && unsafe { __cpuid_count(7, 0) }.ecx & (1 << 4) != 0
    }

    #[inline]
    pub(super) fn is_open(key: u32) -> bool {
        let bits = read() >> (2 * key);
        bits & FORBIDDEN == 0
    }

    #[inline]
    pub(super) fn set_open(key: u32, is_open: bool) {
        let bits = FORBIDDEN << (2 * key);
        write(if is_open { read() & !bits } else { read() | bits });
    }

    #[cfg(not(strongroom_counted_keys))]
    #[inline]
    fn read() -> u32 {
        let rights: u32;
        // SAFETY: the register is there, or there would be no key; it is only read.
        unsafe {
            asm!("rdpkru", in("ecx") 0, out("eax") rights, out("edx") _,
                options(nomem, nostack, preserves_flags));
        }
        rights
    }

    /// No access to memory is moved across it: it is not `nomem`.
    #[cfg(not(strongroom_counted_keys))]
    #[inline]
    fn write(rights: u32) {
        // SAFETY: the register is there. What the thread may touch is changed for a key of this library's
        // alone, whose memory it opens and shuts.
        unsafe {
            asm!("wrpkru", in("eax") rights, in("ecx") 0, in("edx") 0,
                options(nostack, preserves_flags));
        }
    }

    const FORBIDDEN: u32 = 0b11;
}

/// The register POR_EL0: four bits for each key: read, execute, write (Arm ARM, D8.4.2).
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
mod register {
    use std::arch::asm;

    /// Whether the kernel lets programs use the register.
    pub(super) fn is_there() -> bool {
        // SAFETY: the call takes a number and reads what the kernel gave the process.
        let features = unsafe { libc::getauxval(libc::AT_HWCAP2) };
        features & HWCAP2_POE != 0
    }

    #[inline]
    pub(super) fn is_open(key: u32) -> bool {
        read() >> (4 * key) & READ_WRITE == READ_WRITE
    }

    #[inline]
    pub(super) fn set_open(key: u32, is_open: bool) {
        let others = read() & !(0xf << (4 * key));
        write(if is_open { others | READ_WRITE << (4 * key) } else { others });
    }

    #[inline]
    fn read() -> u64 {
        let rights: u64;
        // SAFETY: the register is there, or there would be no key; it is only read.
        unsafe {
            asm!("mrs {}, s3_3_c10_c2_4", out(reg) rights, options(nomem, nostack, preserves_flags));
        }
        rights
    }

    /// No access to memory is moved across it: it is not `nomem`.
    #[inline]
    fn write(rights: u64) {
        // SAFETY: the register is there. What the thread may touch is changed for a key of this library's
        // alone, whose memory it opens and shuts.
        unsafe {
            asm!("msr s3_3_c10_c2_4, {}", "isb", in(reg) rights, options(nostack, preserves_flags));
        }
    }

    const READ_WRITE: u64 = 0b0101;
    const HWCAP2_POE: u64 = 1 << 63;
}

/// A word in place of the register, and of the system's answers.
#[cfg(strongroom_counted_keys)]
mod counted {
    use std::arch::asm;
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Mapping, NoKey};

    pub(super) fn is_there() -> bool {
        true
    }

    pub(super) fn allocate() -> Result<u32, NoKey> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Ok(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the call that it stands for")]
    pub(super) fn protect(_: &mut Mapping, _: u32) -> io::Result<()> {
        Ok(())
    }

    /// With what `rdpkru` takes and gives.
    #[inline]
    pub(super) fn read() -> u32 {
        let rights: u32;
        // SAFETY: the word is there, and is changed by nobody else: there is one thread.
        unsafe {
            asm!("mov eax, dword ptr [rip + {register}]", register = sym REGISTER,
                in("ecx") 0, out("eax") rights, out("edx") _,
                options(nostack, preserves_flags, readonly));
        }
        rights
    }

    /// With what `wrpkru` takes.
    #[inline]
    pub(super) fn write(rights: u32) {
        // SAFETY: as above.
        unsafe {
            asm!("mov dword ptr [rip + {register}], eax", register = sym REGISTER,
                in("eax") rights, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
        }
    }

    /// All keys shut but the one of all other memory, as the kernel begins.
    static REGISTER: AtomicU32 = AtomicU32::new(0x5555_5554);
}
#[cfg(strongroom_counted_keys)]
use counted as calls;

/// Where no key can be had, so that of these nothing but `is_there` is ever called.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod register {
    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn is_open(_: u32) -> bool {
        true
    }

    pub(super) fn set_open(_: u32, _: bool) {}
}

#[cfg(not(any(
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")),
    strongroom_counted_keys
)))]
mod calls {
    use std::io;

    use super::{Mapping, NoKey};

    pub(super) fn allocate() -> Result<u32, NoKey> {
        Err(NoKey::NotHere)
    }

    pub(super) fn protect(_: &mut Mapping, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
