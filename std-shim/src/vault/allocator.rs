//! A vault as an allocator of the crate `allocator-api2`: collections that lie in it whole.

use std::alloc::Layout;
use std::fmt::{self, Debug, Formatter};
use std::num::NonZero;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::Vault;
use super::admission::Party;
use super::error::OpenError;
use super::lease::Lease;
use super::request::Request;
use super::reserve::Reserve;
use super::segment::User;
use super::share::Share;
use crate::windows::{WindowError, WindowKind};

impl Vault {
    /// With the feature `allocator-api2-0_2`: what a collection of `allocator-api2`, `hashbrown` and others
    /// keeps in memory lies in the vault, keys and all, each allocation between canaries, and is wiped when
    /// it is released.
    ///
    /// - It never waits: where there is no room, what returns an error (`try_reserve`) does; other methods
    ///   call `handle_alloc_error`, which ends most programs. To grow and to shrink is to allocate, copy,
    ///   and release: for a moment there are both.
    /// - Damage goes to the fault handler. If that panics while a collection grows, what it was growing into
    ///   stays allocated, and the collection is what it was before, but in wiped memory.
    /// - What is pushed is moved: it was somewhere before. A collection shows its values to anybody, by
    ///   `Debug` for one.
    ///
    /// ```
    /// use allocator_api2::vec::Vec; // with the feature `alloc` of that crate
    /// use strongroom::Vault;
    ///
    /// let vault = Vault::new(64 * 1024)?;
    /// // SAFETY: this program neither forks nor wipes.
    /// let mut line = Vec::new_in(unsafe { vault.allocator() }?);
    /// assert!(line.try_reserve(7).is_ok(), "there was no room");
    /// line.extend_from_slice(b"hunter2");
    /// assert_eq!(vault.held(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Safety
    /// What lies there is zeros after [`wipe_all`](crate::wipe_all), and zeros or no memory at all in a
    /// forked child, whatever type it has. Nobody reads, changes or drops a value there, nor a collection
    /// of them, in a forked child or after an emergency.
    ///
    /// # Errors
    /// [`WindowError::PlainPointers`] if the vault has windows.
    pub unsafe fn allocator(&self) -> Result<VaultAllocator<'_>, WindowError> {
        VaultAllocator::of(self.admission.everybody())
    }
}

impl<'v> Reserve<'v> {
    /// The same in the memory of those who name the reserve; see [`Vault::allocator`].
    ///
    /// # Safety
    /// As for [`Vault::allocator`].
    ///
    /// # Errors
    /// As for [`Vault::allocator`].
    pub unsafe fn allocator(self) -> Result<VaultAllocator<'v>, WindowError> {
        VaultAllocator::of(self.party)
    }
}

impl Share {
    /// The same for collections that own a share of the vault; see [`Vault::allocator`].
    ///
    /// # Safety
    /// As for [`Vault::allocator`].
    ///
    /// # Errors
    /// As for [`Vault::allocator`].
    pub unsafe fn allocator(&self) -> Result<OwnedAllocator, WindowError> {
        VaultAllocator::of(self.party()).map(|_| OwnedAllocator(self.clone()))
    }
}

/// A vault's locked memory, for collections that borrow the vault; see [`Vault::allocator`].
#[derive(Clone, Copy)]
pub struct VaultAllocator<'v>(Party<'v>);

impl<'v> VaultAllocator<'v> {
    fn of(party: Party<'v>) -> Result<Self, WindowError> {
        if party.admission.windows() == WindowKind::None {
            Ok(Self(party))
        } else {
            Err(WindowError::PlainPointers)
        }
    }
}

/// A vault's locked memory, for collections that own a share of it; see [`Share::allocator`].
#[derive(Clone)]
pub struct OwnedAllocator(Share);

// SAFETY: memory stays where it is until it is released: whoever has some is counted, so the segment it
// lies in stays, and nothing ends a vault that is borrowed. Copies are the same vault.
unsafe impl Allocator for VaultAllocator<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let start = if layout.size() == 0 {
            NonNull::without_provenance(NonZero::new(layout.align()).ok_or(AllocError)?)
        } else {
            let request = Request::Allocate { len: layout.size(), align: layout.align() };
            let lease = self.0.now(&request).map_err(|_| AllocError)?;
            lease.part()
        };
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // It always is.
        self.allocate(layout)
    }

    unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        let admission = self.0.admission;
        if layout.size() == 0 || admission.check_process() == Err(OpenError::Forked) {
            return;
        }
        let holder = admission.users().find(|user: &User<'_>| user.pages().contains(pointer));
        let Some(user) = holder else { return };
        // SAFETY: the memory is the caller's, who gives it up, and was parted from when it was allocated.
        let released = unsafe { Lease::release_parted(&user, pointer, layout) };
        drop(user);
        admission.released();
        if let Err(fault) = released {
            admission.common.pool.on_fault()(fault);
        }
    }
}

// SAFETY: as above; the share keeps the vault.
unsafe impl Allocator for OwnedAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        VaultAllocator(self.0.party()).allocate(layout)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate(layout)
    }

    unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { VaultAllocator(self.0.party()).deallocate(pointer, layout) };
    }
}

impl Debug for VaultAllocator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultAllocator").finish_non_exhaustive()
    }
}

impl Debug for OwnedAllocator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedAllocator").finish_non_exhaustive()
    }
}
