//! What a vault is asked for: a record to open, or a length to allocate.

use strongroom_core::{Arena, Buffer, Enclave, Sealed};

use super::error::{Denied, OpenError};
use super::segment::VaultOwner;

/// One secret to be opened or allocated.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    Open { record: Sealed<&'r [u8]>, context: &'r [u8] },
    Allocate { len: usize },
}

impl<'r> Request<'r> {
    pub(super) fn open<S: AsRef<[u8]>>(sealed: &'r Sealed<S>, context: &'r [u8]) -> Self {
        Self::Open { record: Sealed::from_record(sealed.record()), context }
    }

    /// The secret's length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Open { record, .. } => record.secret_len(),
            Self::Allocate { len } => *len,
        }
    }

    /// Does it in `arena`.
    #[inline]
    pub(super) fn fulfil<'a>(
        &self,
        enclave: &Enclave<'_, VaultOwner>,
        arena: &'a Arena<'_, VaultOwner>,
    ) -> Result<Buffer<'a, VaultOwner>, Denied> {
        match self {
            Self::Open { record, context } => Ok(enclave.open_in(arena, record, context)?),
            Self::Allocate { len } => Ok(Buffer::new(arena, *len)?),
        }
    }

    /// Whether it could be done if there were room.
    pub(super) fn authenticate(&self, enclave: &Enclave<'_, VaultOwner>) -> Result<(), OpenError> {
        match self {
            Self::Open { record, context } => Ok(enclave.authenticate(record, context)?),
            Self::Allocate { .. } => Ok(()),
        }
    }
}
