//! A thread waits for a future, without the interpreter's lock and not deaf to signals.
//!
//! The future keeps its place in line until it is done or given up, however often a signal is looked for.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Waits for the future, up to `timeout` if there is one; `None` if the time is over.
///
/// # Errors
/// What a handler of a signal has raised (`KeyboardInterrupt`).
pub(crate) fn wait<F>(
    python: Python<'_>,
    future: F,
    timeout: Option<Duration>,
) -> PyResult<Option<F::Output>>
where
    F: Future<Output: Send> + Send,
{
    let mut future = pin!(future);
    // What need not wait keeps the interpreter's lock, which may be hard to get again.
    if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Ok(Some(done));
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        let end = Instant::now() + SLICE;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        let done = python.detach(|| {
            loop {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                let left = end.saturating_duration_since(Instant::now());
                match polled {
                    Poll::Ready(done) => break Some(done),
                    Poll::Pending if left.is_zero() => break None,
                    Poll::Pending => thread::park_timeout(left),
                }
            }
        });
        if done.is_some() {
            return Ok(done);
        }
        python.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How long a signal may go unnoticed.
pub(crate) const SLICE: Duration = Duration::from_millis(50);
