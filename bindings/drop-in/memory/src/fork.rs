//! Forked children. A program that goes into the background forks and goes on using its keys, so a child
//! inherits what was allocated, as it does from the libraries that are replaced; there it is not locked any
//! more, here it is.

use crate::locks;
use crate::pages::Pages;
use crate::settings::Settings;
use crate::table;

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
    for given in table::all() {
        if let Some(pages) = Pages::of(given.pointer.as_ptr(), given.layout.size()) {
            let _ = pages.lock_on_fault();
        }
    }
}
