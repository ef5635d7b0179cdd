//! Ordinary memory in which is tried what fits locked memory.

use std::mem::MaybeUninit;

use crate::sys::page_size;

/// As many bytes from the beginning of a page, like locked ones: elsewhere an arena loses some. `None`
/// if there is no memory for that.
pub(crate) fn pages(memory: &mut Vec<u8>, bytes: usize) -> Option<&mut [MaybeUninit<u8>]> {
    memory.try_reserve_exact(bytes.checked_add(page_size())?).ok()?;
    let memory = memory.spare_capacity_mut();
    let start = memory.as_ptr().align_offset(page_size());
    memory.get_mut(start..start.checked_add(bytes)?)
}
