//! Damage: who is told.

use std::ffi::{c_char, c_void};
use std::panic::resume_unwind;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use strongroom::Fault;

use crate::status::{Status, border, is_within};

/// The kinds of damage.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Something wrote below the start of a secret.
    CanaryBefore = 0,
    /// Something wrote past the end of a secret.
    CanaryAfter = 1,
    /// Something wrote to free memory: somebody kept a pointer.
    WriteAfterFree = 2,
    /// strongroom_free was given what it was given before.
    DoubleFree = 3,
    /// strongroom_free was given what strongroom_malloc never gave.
    ForeignFree = 4,
    /// Memory was released with another size than it was allocated with.
    WrongLayout = 5,
    /// Another kind, of a later version.
    Other = 6,
}

/// Is told of damage, with the fixed text of its kind. It may end the process; if it returns, the damaged
/// memory is wiped and not used again, and the call in which it was found goes on. It is called in
/// whatever thread found it, and under no lock.
pub type FaultHandler =
    Option<unsafe extern "C" fn(kind: FaultKind, message: *const c_char, user_data: *mut c_void)>;

struct Handler {
    call: FaultHandler,
    user_data: *mut c_void,
    /// The one before, which a thread may be about to call: it stays.
    _previous: *mut Handler,
}

/// Has `handler` told of damage, in the vaults that were made and those that will be. NULL for none: then
/// the call that finds it answers STRONGROOM_DAMAGED, and does not do what it was to do; what is found
/// by a thread of the library's own is only counted (strongroom_metrics). Closing a secret answers so in
/// any case. Set it once, at the start: each one that was set stays in memory.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_on_fault(
    handler: FaultHandler,
    user_data: *mut c_void,
) -> Status {
    border(|| {
        let previous = HANDLER.load(Ordering::Acquire);
        let handler = Handler { call: handler, user_data, _previous: previous };
        HANDLER.store(Box::into_raw(Box::new(handler)), Ordering::Release);
        Ok(())
    })
}

/// Tells the program's handler, if there is one; whether there is.
pub(crate) fn tell(fault: Fault) -> bool {
    // SAFETY: the pointer is null, or that of a handler that is never dropped and only read.
    let Some(handler) = (unsafe { HANDLER.load(Ordering::Acquire).as_ref() }) else { return false };
    let Some(call) = handler.call else { return false };
    let (kind, message) = named(fault.kind);
    // SAFETY: the program gave it to be called so.
    unsafe { call(kind, message, handler.user_data) };
    true
}

/// The fault handler of all vaults of this library's.
pub(crate) fn on_fault(fault: Fault) {
    if !tell(fault) && is_within() && !thread::panicking() {
        // Without the panic hook, which prints. The call catches it.
        resume_unwind(Box::new(fault));
    }
}

fn named(kind: strongroom::FaultKind) -> (FaultKind, *const c_char) {
    use strongroom::FaultKind as Core;
    let (kind, text) = match kind {
        Core::CanaryBefore => {
            (FaultKind::CanaryBefore, c"strongroom: canary before a secret overwritten")
        }
        Core::CanaryAfter => {
            (FaultKind::CanaryAfter, c"strongroom: canary behind a secret overwritten")
        }
        Core::WriteAfterFree => (FaultKind::WriteAfterFree, c"strongroom: free memory written to"),
        Core::DoubleFree => (FaultKind::DoubleFree, c"strongroom: secret released twice"),
        Core::ForeignFree => (FaultKind::ForeignFree, c"strongroom: foreign pointer released"),
        Core::WrongLayout => {
            (FaultKind::WrongLayout, c"strongroom: secret released with another layout")
        }
        _ => (FaultKind::Other, c"strongroom: damage"),
    };
    (kind, text.as_ptr())
}

static HANDLER: AtomicPtr<Handler> = AtomicPtr::new(ptr::null_mut());

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn the_texts_are_those_of_the_core() {
        use strongroom::FaultKind as Core;
        for kind in [
            Core::CanaryBefore,
            Core::CanaryAfter,
            Core::WriteAfterFree,
            Core::DoubleFree,
            Core::ForeignFree,
            Core::WrongLayout,
        ] {
            // SAFETY: it is a constant text.
            let text = unsafe { CStr::from_ptr(named(kind).1) };
            assert_eq!(text.to_str(), Ok(kind.message()));
        }
    }
}
