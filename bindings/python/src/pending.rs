//! A task of asyncio's waits for a future.
//!
//! ```text
//! somebody drops a secret ── wake ──> number into a queue, one byte into a pipe
//!                                                     │
//! event loop: the pipe is readable ── drain ──> numbers ──> their tasks go on ── poll
//! ```
//! Whoever wakes a task may be any thread, at any time: one of the library's own, in the middle of another
//! task's `with` block, or while the interpreter is shutting down. So waking touches nothing of Python's.
//! There is one bell for each event loop (`strongroom/_opening.py`).

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll, Wake, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use strongroom::Vault;

use crate::errors::IntoPython;
use crate::opened::{Opened, Secret};

/// What wakes the tasks of one event loop.
#[pyclass(frozen, module = "strongroom")]
pub(crate) struct Bell {
    rope: Rope,
    woken: Mutex<Receiver<u64>>,
}

#[derive(Clone)]
struct Rope {
    woken: Sender<u64>,
    pipe: Arc<Pipe>,
}

struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    /// A byte is in the pipe, or is about to be. There is never more than one, so nobody waits to write.
    rung: AtomicBool,
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = pipe()?;
        let pipe = Arc::new(Pipe { reader, writer, rung: AtomicBool::new(false) });
        let (sender, woken) = channel();
        Ok(Self { rope: Rope { woken: sender, pipe }, woken: Mutex::new(woken) })
    }

    /// What the event loop watches.
    fn fileno(&self) -> i32 {
        self.rope.pipe.reader.as_raw_fd()
    }

    /// The numbers of those who were woken. Not before the descriptor is readable, unless it does not block.
    fn drain(&self) -> PyResult<Vec<u64>> {
        match (&self.rope.pipe.reader).read(&mut [0]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
        // From here on who wakes writes again, so that nobody is missed below.
        self.rope.pipe.rung.store(false, Ordering::SeqCst);
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(woken.try_iter().collect())
    }
}

/// Wakes one task.
struct Ringer {
    number: u64,
    rope: Rope,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Nobody is there any more if this fails, or the next.
        let _ = self.rope.woken.send(self.number);
        if !self.rope.pipe.rung.swap(true, Ordering::SeqCst) {
            let _ = (&self.rope.pipe.writer).write(&[1]);
        }
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Vec<Secret>, Failure>> + Send>>;
type Failure = Box<dyn FnOnce(Python<'_>) -> PyErr + Send>;

/// A place in line, or one that will be taken when it is polled.
#[pyclass(frozen, module = "strongroom")]
pub(crate) struct Pending {
    vault: Arc<Vault>,
    writable: bool,
    opening: Mutex<Option<Opening>>,
}

impl Pending {
    pub(crate) fn new<E: IntoPython + Send + 'static>(
        vault: &Arc<Vault>,
        writable: bool,
        opening: impl Future<Output = Result<Vec<Secret>, E>> + Send + 'static,
    ) -> Self {
        let opening = async {
            let raise = |error: E| -> Failure { Box::new(|python| error.into_python(python)) };
            opening.await.map_err(raise)
        };
        let opening: Opening = Box::pin(opening);
        Self { vault: Arc::clone(vault), writable, opening: Mutex::new(Some(opening)) }
    }
}

#[pymethods]
impl Pending {
    /// What is open now, or `None`: then the bell rings with this number when it is time to poll again.
    fn poll(&self, py: Python<'_>, bell: &Bell, number: u64) -> PyResult<Option<Vec<Opened>>> {
        let rope = bell.rope.clone();
        let waker = Waker::from(Arc::new(Ringer { number, rope }));
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = opening.as_mut() else {
            return Err(PyRuntimeError::new_err("this was waited for already: open again"));
        };
        let Poll::Ready(done) = future.as_mut().poll(&mut task::Context::from_waker(&waker)) else {
            return Ok(None);
        };
        let over = opening.take();
        drop(opening);
        drop(over);
        let secrets = done.map_err(|raise| raise(py))?.into_iter();
        let opened = secrets.map(|secret| Opened::new(&self.vault, secret, self.writable));
        Ok(Some(opened.collect()))
    }

    /// Gives up the place in line.
    fn cancel(&self) {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(opening);
    }
}
