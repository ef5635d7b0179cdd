//! The line of those who wait for room: first come, first served.
//!
//! Only the first in line tries. Whoever leaves the line, served or not, wakes the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

/// Threads that wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    line: Mutex<VecDeque<Arc<Thread>>>,
    /// The line's length, for those who would rather not lock it.
    len: AtomicUsize,
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
        // Pairs with the one in `wait`: either this sees the waiter, or the waiter sees the room.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.wake_first();
        }
    }

    /// Waits in line until `attempt` gives something, or until the deadline (`None`: without end).
    pub(super) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let place = Place::take(self);
        loop {
            // Pairs with the one in `wake`.
            fence(Ordering::SeqCst);
            if place.is_first()
                && let Some(found) = attempt()
            {
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
        if let Some(first) = self.line().front() {
            first.unpark();
        }
    }

    /// The line. A panic elsewhere leaves it whole: it is only pushed to and removed from.
    fn line(&self) -> MutexGuard<'_, VecDeque<Arc<Thread>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given up when dropped.
struct Place<'q> {
    queue: &'q Queue,
    thread: Arc<Thread>,
}

impl<'q> Place<'q> {
    fn take(queue: &'q Queue) -> Self {
        let thread = Arc::new(thread::current());
        let mut line = queue.line();
        line.push_back(Arc::clone(&thread));
        queue.len.store(line.len(), Ordering::SeqCst);
        drop(line);
        Self { queue, thread }
    }

    fn is_first(&self) -> bool {
        self.queue.line().front().is_some_and(|first| Arc::ptr_eq(first, &self.thread))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.retain(|thread| !Arc::ptr_eq(thread, &self.thread));
        self.queue.len.store(line.len(), Ordering::SeqCst);
        drop(line);
        // There may be room for the next one too.
        self.queue.wake_first();
    }
}
