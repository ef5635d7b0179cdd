//! Memory in the shape of malloc(3).

use std::alloc::Layout;
use std::fmt::Display;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocator_api2::alloc::Allocator;
use strongroom::Vault;

use crate::fault::say;
use crate::pages::Pages;
use crate::settings::Settings;
use crate::table::{self, Given};
use crate::vault::{is_inherited, vault};
use crate::wipe;

/// `len` bytes of locked memory, all zero, between canaries, at an address that is a multiple of 16; 0 are
/// as good as 1. `None` if there is no room: it never waits.
#[must_use]
pub fn allocate(len: usize) -> Option<NonNull<u8>> {
    let vault = vault().map_err(|error| explain(&error)).ok()?;
    let layout = Layout::from_size_align(len.max(1), ALIGN).ok()?;
    // SAFETY: what lies there is the program's bytes, of no type of Rust's.
    let allocator = unsafe { vault.allocator() }.ok()?;
    let Ok(memory) = allocator.allocate(layout) else {
        refused(vault, len);
        return None;
    };
    let pointer = memory.cast::<u8>();
    // As those of the library that is replaced: a program that goes into the background has keys there.
    if let Some(pages) = Pages::of(pointer.as_ptr(), layout.size()) {
        pages.show_to_children();
    }
    USED.fetch_add(layout.size(), Ordering::Relaxed);
    table::insert(Given { pointer, layout, vault });
    Some(pointer)
}

/// Wipes memory and gives it back; whether it was any of [`allocate`]'s. Damage ends the process.
#[must_use]
pub fn release(pointer: NonNull<u8>) -> bool {
    let Some(Given { layout, vault, .. }) = table::remove(pointer) else { return false };
    USED.fetch_sub(layout.size(), Ordering::Relaxed);
    if is_inherited(vault) {
        // A copy of the parent's, which has no bookkeeping here.
        // SAFETY: it was handed out with this size, was not released, and stays mapped in the child.
        unsafe { wipe(pointer.as_ptr(), layout.size()) };
        return true;
    }
    // SAFETY: as for `allocate`.
    let Ok(allocator) = (unsafe { vault.allocator() }) else { return false };
    // SAFETY: it was allocated there with this layout, and as it was in the table it was not released.
    unsafe { allocator.deallocate(pointer, layout) };
    true
}

/// How many bytes were asked for at that address; `None` if it is none of [`allocate`]'s.
#[must_use]
pub fn size(pointer: NonNull<u8>) -> Option<usize> {
    table::find(pointer).map(|given| given.layout.size())
}

/// How many bytes are handed out.
#[must_use]
pub fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// Whether these bytes lie in an allocation. It looks at all that were handed out.
#[must_use]
pub fn is_within(addresses: &Range<usize>) -> bool {
    table::all().any(|given| {
        let first = given.pointer.addr().get();
        first <= addresses.start && addresses.end <= first + given.layout.size()
    })
}

/// Says why there is no memory, where that was asked for.
pub(crate) fn explain(why: &dyn Display) {
    if Settings::current().explains {
        say(&why.to_string());
    }
}

/// The allocator does not say why. The system does, if it was asked for more; else whoever asks for the same
/// again is told, unless there is room by now.
fn refused(vault: &Vault, len: usize) {
    if !Settings::current().explains {
        return;
    }
    let refusal = vault.try_allocate(len.saturating_add(ALIGN)).err();
    match (vault.growth_refusal(), refusal) {
        (Some(why), _) => explain(&why),
        (None, Some(why)) => explain(&why),
        (None, None) => {}
    }
}

static USED: AtomicUsize = AtomicUsize::new(0);

/// What malloc(3) promises for any object.
const ALIGN: usize = 16;
