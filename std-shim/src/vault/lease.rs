//! An open secret together with the segment it lies in.

use std::mem;

use strongroom_core::{Buffer, Enclave, Exposed, ExposedMut, Fault};

use super::error::Denied;
use super::request::Request;
use super::segment::{User, VaultOwner};
use crate::emergency;

/// A secret's buffer, and the right to the memory it lies in.
pub(super) struct Lease<'v> {
    /// `None` only while it is being dropped. It ends before the user does.
    buffer: Option<Buffer<'v, VaultOwner>>,
    user: User<'v>,
}

impl<'v> Lease<'v> {
    /// Does what is requested in the user's memory.
    #[inline]
    pub(super) fn new(
        user: User<'v>,
        enclave: &Enclave<'_, VaultOwner>,
        request: &Request<'_>,
    ) -> Result<Self, Denied> {
        // SAFETY: the buffer is kept together with the user, and ends first.
        let arena = unsafe { user.arena_for_lease() };
        let buffer = request.fulfil(enclave, arena)?;
        user.note_use();
        Ok(Self { buffer: Some(buffer), user })
    }

    pub(super) fn user(&self) -> &User<'v> {
        &self.user
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.as_ref().map_or(0, Buffer::len)
    }

    /// Empty in a forked child that has no such memory.
    #[inline]
    pub(super) fn expose(&self) -> Exposed<'_, [u8], VaultOwner> {
        match &self.buffer {
            Some(buffer) if !self.user.pages().is_absent() => buffer.expose_secret(),
            _ => Exposed::new(&VaultOwner, &[]),
        }
    }

    /// As [`expose`](Self::expose), to be changed.
    #[inline]
    pub(super) fn expose_mut(&mut self) -> ExposedMut<'_, [u8], VaultOwner> {
        match &mut self.buffer {
            Some(buffer) if !self.user.pages().is_absent() => buffer.expose_secret_mut(),
            _ => ExposedMut::new(&VaultOwner, &mut []),
        }
    }

    pub(super) fn constant_time_eq(&self, other: &[u8]) -> bool {
        let is_here = !self.user.pages().is_absent();
        is_here && self.buffer.as_ref().is_some_and(|buffer| buffer.constant_time_eq(other))
    }

    /// Wipes the secret, and returns damage as a value.
    pub(super) fn release(mut self) -> Result<(), Fault> {
        let released = self.take().map_or(Ok(()), Buffer::release);
        // What an emergency has wiped meanwhile looks like damage.
        if emergency::is_wiped() { Ok(()) } else { released }
    }

    /// The buffer, if there is anything to give back: not in a forked child, nor after an emergency.
    #[inline]
    fn take(&mut self) -> Option<Buffer<'v, VaultOwner>> {
        let buffer = self.buffer.take();
        if self.user.pages().is_inherited() || emergency::is_wiped() {
            mem::forget(buffer);
            return None;
        }
        buffer
    }
}

impl Drop for Lease<'_> {
    #[inline]
    fn drop(&mut self) {
        drop(self.take());
    }
}
