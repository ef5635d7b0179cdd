//! Forked children. A program that goes into the background forks and goes on using its keys, so a child
//! inherits what was allocated, as it does from the libraries that are replaced; there it is not locked any
//! more, here it is.

use crate::fault::say;
use crate::locks;
use crate::pages::Pages;
use crate::settings::Settings;
use crate::table::{self, Given};

/// To be called once when the library is loaded, while there is one thread.
pub extern "C" fn at_load() {
    let _ = Settings::current();
    locks::forget();
    // SAFETY: the function stays, and expects nothing of the moment. Where there is no memory to enter it
    // children are as those of the libraries that are replaced.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// In a child, in the thread that forked.
extern "C" fn in_child() {
    locks::forget();
    // The same pages as long as neither process writes, so nothing is copied for it.
    let is_locked = |given: Given| {
        let pages = Pages::of(given.pointer.as_ptr(), given.layout.size());
        pages.is_none_or(|pages| pages.lock_on_fault().is_ok())
    };
    let unlocked = table::all().filter(|given| !is_locked(*given)).count();
    if unlocked > 0 && Settings::current().explains {
        // fork(3) has no answer for it, and to take the program's keys away is worse.
        say(
            "a forked child may lock less than its parent did, and what it inherited is not locked",
        );
    }
}
