//! What is tried beside what is read.

use strongroom::{LockedPages, Trial};

/// What was tried, in child processes: nobody tells of filters.
pub(crate) struct Tried {
    /// To lock a page for a moment.
    pub(crate) page: Trial,
    /// To ask for secret memory.
    pub(crate) secret_memory: Trial,
}

impl Tried {
    pub(crate) fn now() -> Self {
        Self { page: LockedPages::try_lock(1), secret_memory: LockedPages::try_secret_memory() }
    }
}
