//! A fault handler that remembers what it was called with, thread by thread.

use std::cell::RefCell;

use strongroom_core::Fault;

/// The handler for [`Arena::with_fault_handler`](strongroom_core::Arena::with_fault_handler).
pub fn remember(fault: Fault) {
    SEEN.with_borrow_mut(|seen| seen.push(fault));
}

/// What this thread has remembered since it last asked.
#[must_use]
pub fn take() -> Vec<Fault> {
    SEEN.take()
}

thread_local! {
    static SEEN: RefCell<Vec<Fault>> = const { RefCell::new(Vec::new()) };
}
