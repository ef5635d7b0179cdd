//! An open secret's memory together with the right to the segment it lies in.

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use strongroom_core::{Door, Enclave, Exposed, ExposedMut, Fault, Owner};

use super::error::Denied;
use super::request::Request;
use super::segment::{User, VaultOwner};
use crate::emergency;
use crate::windows::Balance;

/// A secret's memory, and the right to the segment it lies in.
pub(crate) struct Lease<'v> {
    memory: NonNull<u8>,
    layout: Layout,
    /// Goes after the memory was given back.
    user: User<'v>,
}

// SAFETY: the memory belongs to this value alone, and an arena may be used from any thread.
unsafe impl Send for Lease<'_> {}
// SAFETY: a shared lease gives out shared references to its bytes and nothing else.
unsafe impl Sync for Lease<'_> {}

impl<'v> Lease<'v> {
    /// Does what is requested in the user's memory.
    #[inline]
    pub(super) fn new(
        user: User<'v>,
        enclave: &Enclave<'_, VaultOwner>,
        request: &Request<'_>,
    ) -> Result<Self, Denied> {
        request.check(enclave)?;
        let layout = request.layout().ok_or(Denied::NotNow)?;
        let memory = user.arena().allocate(layout)?.cast();
        let lease = Self { memory, layout, user };
        let window = lease.owner().open(Door::Expose);
        let mut bytes = NonNull::slice_from_raw_parts(lease.memory, lease.len());
        // SAFETY: it was just allocated, all zero, and is this lease's alone.
        request.fulfil(enclave, unsafe { bytes.as_mut() })?;
        drop(window);
        lease.user.note_use();
        Ok(lease)
    }

    #[inline]
    pub(super) fn user(&self) -> &User<'v> {
        &self.user
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.layout.size()
    }

    /// The bytes that this process has: none, where they would be, in a forked child that has no such
    /// memory. There, too, they are as aligned as the values that they are.
    #[inline]
    fn present(&self) -> NonNull<[u8]> {
        let len = if self.is_absent() { 0 } else { self.len() };
        NonNull::slice_from_raw_parts(self.memory, len)
    }

    /// The first byte, unless there is nothing of the secret left: in a forked child, and after an
    /// emergency.
    #[inline]
    pub(super) fn intact(&self) -> Option<NonNull<u8>> {
        let is_gone = self.user.pages().is_inherited() || emergency::is_wiped();
        (!is_gone).then_some(self.memory)
    }

    /// Whether this is a forked child that has no such memory.
    #[inline]
    pub(super) fn is_absent(&self) -> bool {
        self.user.pages().is_absent()
    }

    /// Has the gate before the memory.
    #[inline]
    pub(super) fn owner(&self) -> &VaultOwner {
        self.user.arena().owner()
    }

    /// Empty in a forked child that has no such memory.
    #[inline]
    pub(super) fn expose(&self) -> Exposed<'_, [u8], VaultOwner> {
        // SAFETY: the bytes are this lease's alone, were zeroed, and are borrowed with it; or they are none.
        Exposed::new(self.owner(), unsafe { self.present().as_ref() })
    }

    /// As [`expose`](Self::expose), to be changed.
    #[inline]
    pub(super) fn expose_mut(&mut self) -> ExposedMut<'_, [u8], VaultOwner> {
        // SAFETY: the bytes are this lease's alone, were zeroed, and are borrowed mutably with it; or they
        // are none.
        let bytes = unsafe { self.present().as_mut() };
        ExposedMut::new(self.owner(), bytes)
    }

    pub(super) fn constant_time_eq(&self, other: &[u8]) -> bool {
        let _balance = Balance::new();
        !self.is_absent() && self.expose() == *other
    }

    /// Wipes the secret, and returns damage as a value.
    pub(super) fn release(self) -> Result<(), Fault> {
        let _balance = Balance::new();
        let lease = ManuallyDrop::new(self);
        // SAFETY: the lease is never dropped, so its user is moved out just once.
        let user = unsafe { ptr::read(&raw const lease.user) };
        let Some(memory) = lease.intact() else { return Ok(()) };
        // SAFETY: the memory was allocated there with this layout, and ends here.
        unsafe { user.arena().try_deallocate(memory, lease.layout) }
    }
}

#[cfg(feature = "allocator-api2-0_2")]
impl Lease<'_> {
    /// The memory, whose user stays counted until [`release_parted`](Self::release_parted).
    pub(super) fn part(self) -> NonNull<u8> {
        let lease = ManuallyDrop::new(self);
        // SAFETY: the lease is never dropped, so its user is moved out just once.
        unsafe { ptr::read(&raw const lease.user) }.part();
        lease.memory
    }

    /// Wipes memory that was parted from, makes room, and returns damage as a value.
    ///
    /// # Safety
    /// The memory is that of a lease of this layout in this user's memory, which was parted from, and
    /// nobody uses it any more; or it was released before, and found damaged then: a collection whose
    /// growth ended in a fault handler's panic releases what it grew from again.
    pub(super) unsafe fn release_parted(
        user: &User<'_>,
        memory: NonNull<u8>,
        layout: Layout,
    ) -> Result<(), Fault> {
        let _balance = Balance::new();
        // SAFETY: the memory is the caller's; or quarantined, which is nobody's and stays so.
        let released = unsafe { user.arena().try_deallocate(memory, layout) };
        if matches!(&released, Err(fault) if !fault.kind.is_damage()) {
            // It was released before.
            return Ok(());
        }
        // SAFETY: it was counted when it was parted from, and it is released for the first time.
        unsafe { user.rejoin_parted() };
        released
    }
}

impl Drop for Lease<'_> {
    #[inline]
    fn drop(&mut self) {
        let _balance = Balance::new();
        if let Some(memory) = self.intact() {
            // SAFETY: the memory was allocated there with this layout, and ends here.
            unsafe { self.user.arena().deallocate(memory, self.layout) };
        }
    }
}
