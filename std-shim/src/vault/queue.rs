//! The line of those who wait for room: first come, first served.
//!
//! Only the first in line tries. Whoever leaves the line, served or not, wakes the next. Threads and
//! tasks stand in one line: both are woken through a [`Waker`].

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::sync::{AtomicUsize, Mutex, MutexGuard, fence, thread};

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    /// Only those who wait and who wakes them take it, for a moment: they sleep, but lend no priority.
    line: Mutex<Line>,
    /// The line's length, for those who would rather not lock it.
    len: AtomicUsize,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<(u64, Waker)>,
    next_ticket: u64,
}

impl Line {
    /// Where a ticket stands: they are in the order in which they were given out.
    fn place_of(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |&(ticket, _)| ticket).ok()
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// Says that there may be room. Called after the room was made.
    pub(super) fn wake(&self) {
        // Pairs with the one in `Place::try_first`: either this sees the waiter, or the waiter sees
        // the room.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.wake_first();
        }
    }

    /// Takes the last place in line.
    pub(super) fn join(&self, waker: &Waker) -> Place<'_> {
        let mut line = self.line();
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiting.push_back((ticket, waker.clone()));
        self.len.store(line.waiting.len(), Ordering::SeqCst);
        Place { queue: self, ticket }
    }

    /// Waits in line until `attempt` gives something, or until the deadline (`None`: without end).
    pub(super) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let place = self.join(&Waker::from(Arc::new(Unpark(thread::current()))));
        loop {
            if let Some(found) = place.try_first(&mut attempt) {
                return Some(found);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    fn wake_first(&self) {
        let first = self.line().waiting.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// The line. A panic elsewhere leaves it whole: it is only pushed to and removed from.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given up when dropped.
pub(super) struct Place<'q> {
    queue: &'q Queue,
    ticket: u64,
}

impl Place<'_> {
    /// Tries if it is this place's turn.
    pub(super) fn try_first<T>(&self, attempt: impl FnOnce() -> Option<T>) -> Option<T> {
        // Pairs with the one in `Queue::wake`.
        fence(Ordering::SeqCst);
        let first = self.queue.line().waiting.front().map(|&(ticket, _)| ticket);
        if first == Some(self.ticket) { attempt() } else { None }
    }

    /// Changes who is woken.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut line = self.queue.line();
        if let Some(place) = line.place_of(self.ticket) {
            line.waiting[place].1.clone_from(waker);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        if let Some(place) = line.place_of(self.ticket) {
            line.waiting.remove(place);
        }
        self.queue.len.store(line.waiting.len(), Ordering::SeqCst);
        drop(line);
        // There may be room for the next one too.
        self.queue.wake_first();
    }
}

/// Wakes a thread that parks itself.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
