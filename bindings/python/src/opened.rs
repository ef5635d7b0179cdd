//! An open secret, and the view that is given of it.
//!
//! A view is Python's `memoryview`; others may be made of it (slices, arrays), and Python says when the last
//! is gone (`__releasebuffer__`). The secret's memory is given back when it is closed *and* no view is left,
//! so none ever shows what somebody else opens there. If a view is left when it is closed, the memory is
//! wiped at once and the caller is told.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use strongroom::{Fault, OpenError, OwnedOpened, SealError, Vault, WindowKind};
use zeroize::Zeroize;

use crate::arguments::Context;
use crate::errors::{OrRaise, python};
use crate::kept::Kept;
use crate::lent::{Lent, fill};
use crate::sealed::Sealed;
use crate::window::Window;

/// A secret that is open in locked memory.
///
/// `with opened as view:` gives a memoryview of it, which is dead after the block.
#[pyclass(frozen, weakref, module = "strongroom")]
pub(crate) struct Opened {
    vault: Arc<Vault>,
    writable: bool,
    len: usize,
    version: Option<u32>,
    state: Mutex<State>,
}

struct State {
    /// What keeps the memory open for views, where the vault has windows: the first one's, which goes with the
    /// last, and before the secret.
    window: Option<Window>,
    /// There until it is closed and no view is left.
    secret: Option<Secret>,
    closed: bool,
    /// How many buffers Python has been given and has not released.
    views: usize,
    /// The view that `__enter__` has given. It is held by whoever uses it, not from here.
    given: Option<Py<PyWeakrefReference>>,
}

/// What is open.
pub(crate) enum Secret {
    /// For one alone.
    Alone(OwnedOpened),
    /// For all who ask a store for it.
    Shared(Kept),
}

impl Secret {
    fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Alone(opened) => opened.with_secret(look),
            Self::Shared(kept) => kept.opened().with_secret(look),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Alone(opened) => opened.len(),
            Self::Shared(kept) => kept.opened().len(),
        }
    }

    fn equals(&self, other: &[u8]) -> bool {
        match self {
            Self::Alone(opened) => opened.constant_time_eq(other),
            Self::Shared(kept) => kept.opened().constant_time_eq(other),
        }
    }

    fn seal(&self, context: &[u8]) -> Result<strongroom::Sealed, SealError> {
        match self {
            Self::Alone(opened) => opened.seal(context),
            Self::Shared(kept) => kept.opened().seal(context),
        }
    }

    /// Where it is, for Python to read and, if it is one's alone, to write; with the window that it is seen by.
    ///
    /// # Safety
    /// The secret stays where it is until the window is dropped, in a vault whose windows are of this kind.
    unsafe fn start(&mut self, kind: WindowKind, writable: bool) -> (*mut u8, Window) {
        let exposed = match self {
            Self::Alone(opened) if writable => {
                let mut exposed = opened.expose_secret_mut();
                let start = exposed.as_mut_ptr();
                // SAFETY: the contract is the same.
                return (start, unsafe { Window::writing(kind, exposed) });
            }
            Self::Alone(opened) => opened.expose_secret(),
            Self::Shared(kept) => kept.opened().expose_secret(),
        };
        let start = exposed.as_ptr().cast_mut();
        // SAFETY: the contract is the same.
        (start, unsafe { Window::reading(kind, exposed) })
    }

    /// Overwrites it; whether it is one's alone and that could be done.
    fn wipe(&mut self) -> bool {
        match self {
            Self::Alone(opened) => {
                opened.expose_secret_mut().zeroize();
                true
            }
            Self::Shared(_) => false,
        }
    }

    fn release(self) -> Result<(), Fault> {
        match self {
            Self::Alone(opened) => opened.release(),
            Self::Shared(_) => Ok(()),
        }
    }
}

impl Opened {
    pub(crate) fn new(vault: &Arc<Vault>, secret: Secret, writable: bool) -> Self {
        let version = match &secret {
            Secret::Alone(_) => None,
            Secret::Shared(kept) => Some(kept.opened().version()),
        };
        let len = secret.len();
        let state =
            State { window: None, secret: Some(secret), closed: false, views: 0, given: None };
        Self { vault: Arc::clone(vault), writable, len, version, state: Mutex::new(state) }
    }

    /// No Python code runs while it is locked: see the head of `lib.rs`.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` with the secret.
    ///
    /// # Errors
    /// `Closed`; `Forked` and `Destroyed`, when nothing is left of it but zeros.
    fn look<R>(&self, py: Python<'_>, look: impl FnOnce(&mut State) -> R) -> PyResult<R> {
        self.check().or_raise(py)?;
        let mut state = self.state();
        if state.closed {
            return Err(python::Closed::new_err(CLOSED));
        }
        Ok(look(&mut state))
    }

    fn check(&self) -> Result<(), OpenError> {
        self.vault.fill_random(&mut [])
    }

    fn secret<R>(&self, py: Python<'_>, look: impl FnOnce(&Secret) -> R) -> PyResult<R> {
        let looked = self.look(py, |state| state.secret.as_ref().map(look))?;
        looked.ok_or_else(|| python::Closed::new_err(CLOSED))
    }

    /// Ends the exposure.
    ///
    /// # Errors
    /// `ViewsRemain`, `Damaged`.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let given = self.state().given.take();
        if let Some(view) = given.and_then(|given| given.bind(py).upgrade()) {
            match view.call_method0("release") {
                // A view of the view is left; it is counted below.
                Err(error) if error.is_instance_of::<PyBufferError>(py) => {}
                released => drop(released?),
            }
        }
        let mut state = self.state();
        state.closed = true;
        if state.views == 0 {
            let secret = state.secret.take();
            drop(state);
            // Room for others, who are woken now.
            return secret.map_or(Ok(()), Secret::release).or_raise(py);
        }
        let is_wiped = state.secret.as_mut().is_none_or(Secret::wipe);
        drop(state);
        Err(python::ViewsRemain::new_err(if is_wiped { VIEWS_REMAIN } else { SHARED_VIEWS_REMAIN }))
    }
}

#[pymethods]
impl Opened {
    /// A memoryview of the secret, until the block ends.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        let before = slf.get().state().given.as_ref().map(|before| before.clone_ref(slf.py()));
        if before.is_some_and(|before| before.bind(slf.py()).upgrade().is_some()) {
            return Err(python::Error::new_err(ENTERED));
        }
        let view = PyMemoryView::from(slf.as_any())?;
        let given = PyWeakrefReference::new(&view)?.unbind();
        slf.get().state().given = Some(given);
        Ok(view)
    }

    /// Ends the exposure. An exception that is on its way out of the block goes on; what would have been
    /// raised here is a note on it.
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: Option<&Bound<'_, PyType>>,
        raised: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        match (self.end(py), raised) {
            (Err(error), Some(raised)) => {
                raised.call_method1("add_note", (error.value(py).str()?,))?;
                Ok(())
            }
            (ended, _) => ended,
        }
    }

    /// Wipes the secret and makes room for others, as the end of a `with` block does.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py)
    }

    /// Whether the exposure has ended.
    #[getter]
    fn closed(&self) -> bool {
        self.state().closed
    }

    /// Whether views of it can be written to.
    #[getter]
    fn writable(&self) -> bool {
        self.writable
    }

    /// The version of a store's secret; `None` of another.
    #[getter]
    fn version(&self) -> Option<u32> {
        self.version
    }

    /// Whether the secret equals other bytes, in a time that depends on the lengths alone.
    fn equals(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let other = Lent::of(other)?;
        self.secret(py, |secret| secret.equals(other.bytes(py)))
    }

    /// A copy as `bytes`: in ordinary memory, where nothing wipes it.
    fn copy_to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.secret(py, |secret| secret.with(|bytes| PyBytes::new(py, bytes)))
    }

    /// Seals the secret as it is now, from where it is open. It stays open.
    #[pyo3(signature = (context = Context::default()))]
    fn seal(&self, py: Python<'_>, context: Context) -> PyResult<Sealed> {
        let record = self.secret(py, |secret| secret.seal(&context.0))?.or_raise(py)?;
        Ok(Sealed { record })
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// A secret may be empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() { "closed" } else { "open" };
        format!("<strongroom.Opened: {} bytes, {state}>", self.len)
    }

    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_COPIED))
    }

    /// What is made of it instead is made by name: `copy_to_bytes`.
    fn __bytes__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(NO_BYTES))
    }

    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let opened = slf.get();
        let start = opened.look(slf.py(), |state| {
            state.secret.as_mut().map(|secret| {
                // A secret's memory stays while there are views of it, and so does the first one's window.
                state.views += 1;
                let kind = opened.vault.windows();
                // SAFETY: the secret is dropped when no view is left, after the window.
                let (start, window) = unsafe { secret.start(kind, opened.writable) };
                state.window.get_or_insert(window);
                start
            })
        })?;
        let start = start.ok_or_else(|| python::Closed::new_err(CLOSED))?;
        // SAFETY: the view is Python's. The secret stays where it is and is dropped when no view is left,
        // and `start` was writable if it is to be.
        let filled =
            unsafe { fill(view, slf.as_any(), (start, opened.len), !opened.writable, flags) };
        if filled.is_err() {
            opened.view_is_gone();
        }
        filled
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.view_is_gone();
    }
}

impl Opened {
    fn view_is_gone(&self) {
        let mut state = self.state();
        state.views -= 1;
        let window = (state.views == 0).then(|| state.window.take());
        let last = (state.closed && state.views == 0).then(|| state.secret.take());
        drop(state);
        drop(window);
        drop(last);
    }
}

/// Several secrets of one request, in its order.
pub(crate) fn tuple<'py>(
    py: Python<'py>,
    vault: &Arc<Vault>,
    opened: Vec<OwnedOpened>,
) -> PyResult<Bound<'py, PyTuple>> {
    let opened = opened.into_iter().map(|opened| Opened::new(vault, Secret::Alone(opened), false));
    PyTuple::new(py, opened.map(|opened| Py::new(py, opened)).collect::<PyResult<Vec<_>>>()?)
}

const CLOSED: &str = "the secret is closed: open it again, and use it inside the `with` block";

const ENTERED: &str = "a `with` block has this secret already: open it again for another";

const VIEWS_REMAIN: &str = "views of the secret outlive its `with` block (a slice, an array, another \
                            memoryview): they read as zeros from now on, and the memory is given back when the \
                            last is gone; release or delete them inside the block, or copy what you need by \
                            name (Opened.copy_to_bytes)";

const SHARED_VIEWS_REMAIN: &str = "views of a store's secret outlive their `with` block (a slice, an array, \
                                   another memoryview): others may be reading the same memory, so it is not \
                                   wiped, and it is given back when the last view is gone; release or delete \
                                   them inside the block, or open the secret alone";

const NOT_COPIED: &str = "an open secret is neither copied nor pickled: seal it, or copy it by name \
                          (Opened.copy_to_bytes)";

const NO_BYTES: &str = "bytes() would leave a copy that nothing wipes: use the view, or ask for the copy by \
                        name (Opened.copy_to_bytes)";
