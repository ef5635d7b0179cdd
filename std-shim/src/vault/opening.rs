//! Opening as a future.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use strongroom_core::Sealed;

use super::admission::{Party, Waiting};
use super::error::OpenError;
use super::opened::Opened;
use super::request::Request;

/// The future of [`Vault::open`](crate::Vault::open) and [`Reserve::open`](crate::Reserve::open). It
/// can be dropped at any point: its place in line goes to the next.
#[must_use = "a future does nothing until it is polled"]
pub struct Opening<'v, 's, S>(OpeningAll<'v, 's, S, 1>);

/// The future of [`Vault::open_all`](crate::Vault::open_all) and
/// [`Reserve::open_all`](crate::Reserve::open_all). It can be dropped at any point: its place in line
/// goes to the next.
#[must_use = "a future does nothing until it is polled"]
pub struct OpeningAll<'v, 's, S, const N: usize> {
    party: Party<'v>,
    sealed: [(&'s Sealed<S>, &'s [u8]); N],
    /// The place in line, once there is one.
    waiting: Option<Waiting<'v>>,
}

/// The future of [`Vault::allocate`](crate::Vault::allocate) and
/// [`Reserve::allocate`](crate::Reserve::allocate). It can be dropped at any point: its place in line
/// goes to the next.
#[must_use = "a future does nothing until it is polled"]
pub struct Allocating<'v> {
    party: Party<'v>,
    len: usize,
    /// The place in line, once there is one.
    waiting: Option<Waiting<'v>>,
}

impl<'v> Allocating<'v> {
    pub(super) fn new(party: Party<'v>, len: usize) -> Self {
        Self { party, len, waiting: None }
    }
}

impl<'v> Future for Allocating<'v> {
    type Output = Result<Opened<'v>, OpenError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let party = this.party;
        let request = Request::allocate(this.len);
        let polled = party.poll(&request, &mut this.waiting, task.waker());
        polled.map_ok(|lease| party.opened::<Request<'_>>(lease))
    }
}

impl Debug for Allocating<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let waits = self.waiting.is_some();
        f.debug_struct("Allocating")
            .field("len", &self.len)
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}

impl<'v, 's, S> Opening<'v, 's, S> {
    pub(super) fn new(party: Party<'v>, sealed: &'s Sealed<S>, context: &'s [u8]) -> Self {
        Self(OpeningAll::new(party, [(sealed, context)]))
    }
}

impl<'v, 's, S, const N: usize> OpeningAll<'v, 's, S, N> {
    pub(super) fn new(party: Party<'v>, sealed: [(&'s Sealed<S>, &'s [u8]); N]) -> Self {
        Self { party, sealed, waiting: None }
    }
}

impl<'v, S: AsRef<[u8]>> Future for Opening<'v, '_, S> {
    type Output = Result<Opened<'v>, OpenError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task).map_ok(|[opened]| opened)
    }
}

impl<'v, S: AsRef<[u8]>, const N: usize> Future for OpeningAll<'v, '_, S, N> {
    type Output = Result<[Opened<'v>; N], OpenError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let requests = this.sealed.map(|(sealed, context)| Request::open(sealed, context));
        let party = this.party;
        let polled = party.poll(&requests, &mut this.waiting, task.waker());
        polled.map_ok(|leases| party.opened::<[_; N]>(leases))
    }
}

impl<S> Debug for Opening<'_, '_, S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let waits = self.0.waiting.is_some();
        f.debug_struct("Opening").field("waits", &waits).finish_non_exhaustive()
    }
}

impl<S, const N: usize> Debug for OpeningAll<'_, '_, S, N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let waits = self.waiting.is_some();
        f.debug_struct("OpeningAll")
            .field("secrets", &N)
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}
