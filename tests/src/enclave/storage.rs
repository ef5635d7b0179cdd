//! The two kinds of ordinary memory that records lie in here.

use strongroom_core::{Bulk, BulkBox};

/// Memory for one record.
#[derive(Debug)]
pub(super) enum Storage<'b> {
    Heap(Vec<u8>),
    Bulk(BulkBox<'b>),
}

impl<'b> Storage<'b> {
    /// Every other record goes to the bulk heap, as long as it has room.
    pub(super) fn new(bulk: &'b Bulk<'_>, len: usize) -> Self {
        let boxed = if len.is_multiple_of(2) { bulk.allocate(len).ok() } else { None };
        boxed.map_or_else(|| Self::Heap(vec![0; len]), Self::Bulk)
    }
}

impl AsRef<[u8]> for Storage<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Bulk(bytes) => bytes.as_ref(),
        }
    }
}

impl AsMut<[u8]> for Storage<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Bulk(bytes) => bytes.as_mut(),
        }
    }
}
