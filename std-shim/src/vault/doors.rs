//! What is built on a vault: it may ask for more than a record, and keep open what nobody uses.

use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Sealed;
use super::admission::{Chance, Waiting, Wish};
use super::error::OpenError;
use super::lingering::Keeper;
use super::opened::Opened;
use super::owned::OwnedOpened;
use super::queue::Topic;
use super::request::Request;
use super::share::Share;

impl Share {
    /// Grants what is wished, or says at once why not.
    #[inline]
    pub(crate) fn at_once<'v, W: Wish<'v>>(&'v self, wish: W) -> Result<W::Granted, W::Error> {
        self.party().at_once(wish)
    }

    /// The same, waiting up to `timeout` for room.
    pub(crate) fn in_time<'v, W: Wish<'v>>(
        &'v self,
        wish: W,
        timeout: Duration,
    ) -> Result<W::Granted, W::Error> {
        self.party().within(wish, timeout)
    }

    /// The same, as a task that waits in line.
    pub(crate) fn in_turn<'v, W: Wish<'v>>(
        &'v self,
        wish: &mut W,
        waiting: &mut Option<Waiting<'v>>,
        task: &Context<'_>,
    ) -> Poll<Result<W::Granted, W::Error>> {
        self.party().poll(wish, waiting, task.waker())
    }

    /// Opens a record for others, who will read it; `None` if there is no room now.
    #[inline]
    pub(crate) fn open_for_others(
        &self,
        chance: Chance<'_>,
        record: &Sealed<&[u8]>,
        context: &[u8],
    ) -> Option<Result<OwnedOpened, OpenError>> {
        let lease = chance.take(&Request::open(record, context))?;
        let admission = &self.vault.admission;
        Some(lease.map(|lease| self.own(Opened::kept(lease, admission))))
    }

    /// Tells those who wait for what this topic names that they can have it without room.
    #[inline]
    pub(crate) fn tell(&self, topic: Topic) {
        self.party().queue().opened(topic);
    }

    /// Whether anybody waits for room.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.vault.admission.is_waited_for()
    }

    /// Why nothing can be opened any more, if so.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        self.vault.admission.check()
    }

    /// Has somebody give up what it keeps open when there is no room.
    pub(crate) fn add_keeper(&self, keeper: Weak<dyn Keeper>) {
        self.vault.admission.lingering.add(keeper);
    }
}
