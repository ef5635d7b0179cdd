//! Mappings that nobody can unmap, move or give another protection, `mseal(2)`.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use super::LockedPages;
use crate::debug::debug_as_displayed;
use crate::windows::WindowKind;

debug_as_displayed!(SealedMappingError);

/// Mappings cannot be sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealedMappingError {
    /// The kernel cannot: Linux before 6.10, or of 32 bits, and macOS.
    NotHere,
    /// Windows by pages change the protection, which a seal forbids.
    WindowsByPages,
    /// The system would not, with this error number.
    Refused(i32),
}

impl LockedPages {
    /// Seals the mappings, guard pages included. What shuts the pages must be settled before.
    pub(crate) fn seal_mapping(&mut self) -> Result<(), SealedMappingError> {
        if self.protections.windows == WindowKind::Pages {
            return Err(SealedMappingError::WindowsByPages);
        }
        self.mapping.seal()?;
        self.protections.sealed_mapping = true;
        Ok(())
    }

    /// Does at the end of pages whose mapping is sealed what can be done: wipes and unlocks them, and gives
    /// back the memory, but not the addresses.
    pub(super) fn leave(&mut self) {
        let key = self.key.filter(|key| !key.is_open());
        if let Some(key) = key {
            key.set_open(true);
        }
        self.mapping.wipe();
        let _ = self.mapping.unlock();
        // By whoever may not write to it nothing is given back.
        self.mapping.leave();
        if let Some(key) = key {
            key.set_open(false);
        }
    }
}

impl From<io::Error> for SealedMappingError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) | None => Self::NotHere,
            Some(number) => Self::Refused(number),
        }
    }
}

impl Display for SealedMappingError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => f.write_str(
                "this kernel cannot seal mappings (mseal: Linux 6.10, 64 bits); run it where it can, or \
                 leave out Builder::sealed_mapping, or ask for Policy::Prefer",
            ),
            Self::WindowsByPages => f.write_str(
                "a sealed mapping's protection cannot be changed, as windows by pages do; ask for \
                 Windows::Keys or Windows::KeysOrNone, or leave out Builder::sealed_mapping",
            ),
            Self::Refused(number) => write!(
                f,
                "the mapping could not be sealed: {}; allow mseal where a filter forbids it, or leave out \
                 Builder::sealed_mapping",
                io::Error::from_raw_os_error(*number)
            ),
        }
    }
}

impl Error for SealedMappingError {}
