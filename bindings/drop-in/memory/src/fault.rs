//! Damage: there is nobody to answer to, and the libraries that are replaced end the process too.

use std::process::abort;

use strongroom::{Fault, wipe_all};

/// Says why on the standard error, wipes all locked memory, and aborts.
pub fn end(why: &str) -> ! {
    say(why);
    wipe_all();
    abort()
}

/// The fault handler of the vault. The text begins with the library's name.
pub(crate) fn on_fault(fault: Fault) {
    end(fault.kind.message().trim_start_matches("strongroom: "))
}

/// A line on the standard error, without a lock or an allocation: the program may be in any state.
pub(crate) fn say(text: &str) {
    for part in ["strongroom: ", text, "\n"] {
        // SAFETY: the bytes are those of a text that is borrowed meanwhile.
        // There is nothing to be done where nobody listens.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}
