//! Violations on purpose: what a faulty program does to a secret's memory, and who notices.

use core::alloc::Layout;
use core::ptr::NonNull;

use strongroom_core::{Arena, Fault, FaultKind};

use crate::error::KernelError;
use crate::serial::say;

/// What a faulty program does to a secret, or to the memory that was one.
pub enum Violation {
    /// Writes one byte past its end; the arena is asked for the fault as a value.
    Reported,
    /// Writes one byte past its end.
    Overflow,
    /// Writes one byte below its start.
    Underflow,
    /// Writes to it after its release.
    WriteAfterFree,
    /// Releases it twice.
    DoubleFree,
}

impl Violation {
    /// Reads the kernel's command line.
    pub fn named(name: &str) -> Result<Self, KernelError> {
        match name {
            "" => Ok(Self::Reported),
            "overflow" => Ok(Self::Overflow),
            "underflow" => Ok(Self::Underflow),
            "write-after-free" => Ok(Self::WriteAfterFree),
            "double-free" => Ok(Self::DoubleFree),
            _ => Err(KernelError::UnknownViolation),
        }
    }

    /// Commits it. Only a fault that was asked for comes back as a value; of the others, the arena's
    /// fault handler hears, or `verify`.
    pub fn commit(self, arena: &Arena<'_>) -> Result<(), KernelError> {
        let secret = arena.allocate(LAYOUT)?.cast::<u8>();
        match self {
            Self::Reported => {
                flip(secret, BEHIND);
                return expect_fault(try_release(arena, secret));
            }
            Self::Overflow => flip(secret, BEHIND),
            Self::Underflow => flip(secret, -1),
            Self::WriteAfterFree => {
                release(arena, secret);
                flip(secret, 0);
                return Ok(arena.verify()?);
            }
            Self::DoubleFree => release(arena, secret),
        }
        release(arena, secret);
        Err(KernelError::Unexpected("the fault handler was not called"))
    }
}

fn expect_fault(released: Result<(), Fault>) -> Result<(), KernelError> {
    match released {
        Err(fault) if fault.kind == FaultKind::CanaryAfter => {
            say!("found: {fault}");
            Ok(())
        }
        Err(fault) => Err(fault.into()),
        Ok(()) => Err(KernelError::Unexpected("an overflow by one byte was not found")),
    }
}

/// Damage goes to the arena's fault handler.
fn release(arena: &Arena<'_>, secret: NonNull<u8>) {
    // SAFETY: allocated by this arena with this layout. If it was released before, that is the
    // violation, which the arena's bookkeeping is to find.
    unsafe { arena.deallocate(secret, LAYOUT) };
}

/// Damage comes back as a value.
fn try_release(arena: &Arena<'_>, secret: NonNull<u8>) -> Result<(), Fault> {
    // SAFETY: allocated by this arena with this layout, and released here alone.
    unsafe { arena.try_deallocate(secret, LAYOUT) }
}

/// Flips one bit `offset` bytes from the start of a secret.
fn flip(secret: NonNull<u8>, offset: isize) {
    // SAFETY: a canary lies on either side of a secret, so this is within the region.
    let place = unsafe { secret.offset(offset) };
    // SAFETY: within the region, all of which is initialised; nobody else uses it now.
    let byte = unsafe { place.read_volatile() };
    // SAFETY: within the region; nobody else uses it now, and the arena checks what it finds.
    unsafe { place.write_volatile(byte ^ 1) };
}

/// Thirty-two bytes, which fill a cell: the next byte is a canary's.
const LAYOUT: Layout = Layout::new::<[u8; 32]>();
/// The first byte behind the secret.
const BEHIND: isize = 32;
