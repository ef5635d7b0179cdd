//! secmem-alloc: a bump allocator in one locked page; as many of them as the region has pages.

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use secmem_alloc::sec_alloc::SecStackSinglePageAlloc;
use strongroom::page_size;

use super::{Raw, Store};

/// Pages that are filled one after another; a page is used again when it is empty.
pub(crate) struct Secmem {
    pages: RefCell<Vec<SecStackSinglePageAlloc>>,
    most: usize,
}

impl Secmem {
    pub(crate) fn new(bytes: usize) -> Result<Self, String> {
        let first = SecStackSinglePageAlloc::new().map_err(|error| error.to_string())?;
        Ok(Self { pages: RefCell::new(vec![first]), most: bytes / page_size() })
    }
}

impl Store for Secmem {
    /// The number of its page, and the secret.
    type Secret<'s> = (usize, Raw);

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<(usize, Raw)> {
        let mut pages = self.pages.borrow_mut();
        let last = pages.len() - 1;
        let raw = |start: NonNull<[u8]>| Raw { start: start.cast(), len };
        if let Ok(start) = pages[last].allocate(layout(len)) {
            return Some((last, raw(start)));
        }
        if pages.len() == self.most {
            return None;
        }
        let page = SecStackSinglePageAlloc::new().ok()?;
        let start = page.allocate(layout(len)).ok()?;
        pages.push(page);
        Some((last + 1, raw(start)))
    }

    #[inline(always)]
    fn write(&self, secret: &mut (usize, Raw), bytes: &[u8]) {
        // SAFETY: the secret is live and its owner's; `bytes` is as long (contract of `Store`).
        unsafe { secret.1.fill(bytes) };
    }

    #[inline(always)]
    fn release(&self, (page, secret): (usize, Raw)) {
        let pages = self.pages.borrow();
        // SAFETY: it was allocated from this page for this layout and is given up.
        unsafe { pages[page].deallocate(secret.start, layout(secret.len)) };
    }
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: 8 is a power of two, and what is measured is far from `isize::MAX` bytes long.
    unsafe { Layout::from_size_align_unchecked(len, 8) }
}
