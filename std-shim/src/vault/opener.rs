//! How secrets are opened: at once, after a wait, or as a future; by everybody, or from a reserve.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use strongroom_core::{Arena, Buffer, Sealed};

use super::queue::{Place, Queue};
use super::room::Room;
use super::rooms::{Held, open_in_any};
use super::{OpenError, Opened, Vault};
use crate::park::Park;

/// A part of a vault's locked memory that only those who name it can use; see [`Vault::reserve`].
///
/// Its openers use the common memory while there is room and nobody waits for it, and the reserve
/// when not.
#[derive(Clone, Copy)]
pub struct Reserve<'v> {
    pub(super) vault: &'v Vault,
    pub(super) own: &'v Reserved,
}

/// The room and the line of one reserve.
pub(super) struct Reserved {
    pub(super) room: Arc<Room>,
    /// The longest secret in bytes that fits the room.
    pub(super) longest: usize,
    pub(super) queue: Queue,
}

/// Who opens: everybody, or the openers of a reserve.
#[derive(Clone, Copy)]
pub(super) struct Opener<'v> {
    pub(super) vault: &'v Vault,
    pub(super) own: Option<&'v Reserved>,
    /// What has to hold of the vault.
    pub(super) check: fn(&Vault) -> Result<(), OpenError>,
}

impl<'v> Opener<'v> {
    pub(super) fn now(
        self,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Result<Opened<'v>, OpenError> {
        (self.check)(self.vault)?;
        let largest = self.own.map_or(0, |own| own.longest).max(self.vault.longest);
        if len > largest {
            return Err(OpenError::TooLarge { requested: len, largest });
        }
        if !self.queue().is_empty() {
            return Err(self.full(len));
        }
        self.attempt(len, open)
            .map(|held| self.vault.opened(held))
            .map_err(|error| if error.is_shortage() { self.full(len) } else { error })
    }

    pub(super) fn within(
        self,
        timeout: Duration,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Result<Opened<'v>, OpenError> {
        let begun = Instant::now();
        let settled = self.now(len, open);
        if !matches!(settled, Err(OpenError::Full(_))) {
            return settled;
        }
        let deadline = begun.checked_add(timeout);
        let opened = self.queue().wait(deadline, || self.attempt_settled(len, open));
        self.vault.counts.waited(begun.elapsed());
        if let Some(settled) = opened {
            return settled.map(|held| self.vault.opened(held));
        }
        self.vault.counts.refusals.fetch_add(1, Ordering::Relaxed);
        let shortage = self.vault.shortage(len, self.queue());
        Err(OpenError::TimedOut { waited: begun.elapsed(), shortage })
    }

    fn queue(self) -> &'v Queue {
        self.own.map_or(&self.vault.queue, |reserved| &reserved.queue)
    }

    fn full(self, len: usize) -> OpenError {
        self.vault.counts.refusals.fetch_add(1, Ordering::Relaxed);
        OpenError::Full(self.vault.shortage(len, self.queue()))
    }

    /// `None` if it could be otherwise once somebody drops a secret.
    fn attempt_settled(
        self,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Option<Result<Held, OpenError>> {
        match (self.check)(self.vault).and_then(|()| self.attempt(len, open)) {
            Err(error) if error.is_shortage() => None,
            settled => Some(settled),
        }
    }

    fn attempt(
        self,
        len: usize,
        open: &impl Fn(&'static Arena<'static, Park>) -> Result<Buffer<'static, Park>, OpenError>,
    ) -> Result<Held, OpenError> {
        let Some(own) = self.own else {
            return self.vault.rooms.open(len, open);
        };
        let common = if self.vault.queue.is_empty() {
            self.vault.rooms.open(len, open)
        } else {
            Err(OpenError::no_room(len))
        };
        match common {
            Err(error) if error.is_about_room() => {
                let reserved = open_in_any(std::slice::from_ref(&own.room), len, open);
                // What does not fit the reserve may fit the common memory later.
                reserved.map_err(|own| {
                    if error.is_shortage() && own.is_about_room() { error } else { own }
                })
            }
            settled => settled,
        }
    }
}

impl<'v> Reserve<'v> {
    /// Opens a sealed secret, or says at once why not; see [`Vault::try_open`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_open<S: AsRef<[u8]>>(
        self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Opened<'v>, OpenError> {
        let open = self.vault.opening(sealed, context);
        self.opener(Vault::check_key).now(sealed.secret_len(), &open)
    }

    /// Opens a sealed secret, waiting up to `timeout` for room; see [`Vault::open_timeout`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_timeout<S: AsRef<[u8]>>(
        self,
        sealed: &Sealed<S>,
        context: &[u8],
        timeout: Duration,
    ) -> Result<Opened<'v>, OpenError> {
        let open = self.vault.opening(sealed, context);
        self.opener(Vault::check_key).within(timeout, sealed.secret_len(), &open)
    }

    /// Room for a new secret, or says at once why there is none; see [`Vault::try_allocate`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn try_allocate(self, len: usize) -> Result<Opened<'v>, OpenError> {
        self.opener(Vault::check_process).now(len, &|arena| Ok(Buffer::new(arena, len)?))
    }

    fn opener(self, check: fn(&Vault) -> Result<(), OpenError>) -> Opener<'v> {
        Opener { vault: self.vault, own: Some(self.own), check }
    }
}

impl std::fmt::Debug for Reserve<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserve").field("bytes", &self.own.room.pages().bytes()).finish()
    }
}

/// The future of [`Vault::open`]. It can be dropped at any point: its place in line goes to the next.
#[must_use = "a future does nothing until it is polled"]
pub struct Opening<'v, 's, S> {
    vault: &'v Vault,
    sealed: &'s Sealed<S>,
    context: &'s [u8],
    /// The place in line, once there is one, and since when.
    waiting: Option<(Place<'v>, Instant)>,
}

impl<'v, 's, S> Opening<'v, 's, S> {
    pub(super) fn new(vault: &'v Vault, sealed: &'s Sealed<S>, context: &'s [u8]) -> Self {
        Self { vault, sealed, context, waiting: None }
    }
}

impl<'v, S: AsRef<[u8]>> Future for Opening<'v, '_, S> {
    type Output = Result<Opened<'v>, OpenError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (vault, len) = (this.vault, this.sealed.secret_len());
        let open = vault.opening(this.sealed, this.context);
        let opener = vault.everybody(Vault::check_key);
        if let Err(error) = (opener.check)(vault) {
            return Poll::Ready(Err(error));
        }
        if this.waiting.is_none() {
            let settled = opener.now(len, &open);
            if !matches!(settled, Err(OpenError::Full(_))) {
                return Poll::Ready(settled);
            }
            this.waiting = Some((opener.queue().join(task.waker()), Instant::now()));
        }
        let Some((place, begun)) = &this.waiting else {
            return Poll::Pending;
        };
        // Who is to be woken is said before it is tried, so no waking in between is lost.
        place.set_waker(task.waker());
        let Some(settled) = place.try_first(|| opener.attempt_settled(len, &open)) else {
            return Poll::Pending;
        };
        vault.counts.waited(begun.elapsed());
        this.waiting = None;
        Poll::Ready(settled.map(|held| vault.opened(held)))
    }
}

impl<S> Drop for Opening<'_, '_, S> {
    fn drop(&mut self) {
        if self.vault.check_process() == Err(OpenError::Forked) {
            // The line of a forked child is not its own, and may be locked for good.
            std::mem::forget(self.waiting.take());
        }
    }
}

impl<S> std::fmt::Debug for Opening<'_, '_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("waits", &self.waiting.is_some()).finish_non_exhaustive()
    }
}
