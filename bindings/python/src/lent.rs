//! Memory and descriptors that Python lends, and a buffer that is lent to Python.

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::slice;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use zeroize::Zeroize;

/// The memory of an object that has the buffer protocol, which stays where it is until this is dropped.
pub(crate) struct Lent(PyUntypedBuffer);

impl Lent {
    /// # Errors
    /// `TypeError` if the object has no buffer, or is a `str`; `BufferError` if its bytes are not in a row.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(NO_STR));
        }
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the bytes of this buffer do not lie in a row"));
        }
        Ok(Self(buffer))
    }

    /// # Errors
    /// As for [`of`](Self::of); and `TypeError` if the memory may not be changed.
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let lent = Self::of(object)?;
        if lent.0.readonly() {
            return Err(PyTypeError::new_err(NOT_WRITABLE));
        }
        Ok(lent)
    }

    pub(crate) fn bytes<'l>(&'l self, _: Python<'l>) -> &'l [u8] {
        let len = self.0.len_bytes();
        if len == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps so many bytes there until the buffer is released, which dropping it
        // does. Others change them while they have the interpreter's lock, which the caller has.
        unsafe { slice::from_raw_parts(self.0.buf_ptr().cast(), len) }
    }

    /// None if the memory is not writable.
    pub(crate) fn bytes_mut<'l>(&'l mut self, _: Python<'l>) -> &'l mut [u8] {
        let len = self.0.len_bytes();
        if len == 0 || self.0.readonly() {
            return &mut [];
        }
        // SAFETY: as for `bytes`, and the exporter says that they may be written to. Nobody else looks at
        // them while the caller has the interpreter's lock.
        unsafe { slice::from_raw_parts_mut(self.0.buf_ptr().cast(), len) }
    }
}

/// Overwrites a writable buffer with zeros.
///
/// It reaches the memory that the buffer has now: a `bytearray` that has grown may have left copies where
/// it was before.
#[pyfunction]
pub(crate) fn wipe(py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
    Lent::writable(buffer)?.bytes_mut(py).zeroize();
    Ok(())
}

/// A descriptor of its own for what the number stands for.
///
/// # Errors
/// `ValueError` for a negative number, `OSError` from `dup(2)`.
pub(crate) fn duplicate(number: c_int) -> PyResult<OwnedFd> {
    if number < 0 {
        return Err(PyValueError::new_err(format!("{number} is no file descriptor")));
    }
    // SAFETY: it is not -1, and is used for one call of dup(2) alone, which says if it is not open.
    let lent = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(lent.try_clone_to_owned()?)
}

/// The number of the interpreter that the caller runs in; a process may have several.
pub(crate) fn interpreter(_: Python<'_>) -> i64 {
    // SAFETY: the caller is attached to an interpreter.
    let current = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: it is the caller's own, which does not end meanwhile.
    unsafe { ffi::PyInterpreterState_GetID(current) }
}

/// Fills in what Python asks about a buffer of `len` bytes.
///
/// # Safety
/// - `view` is what Python gave to `__getbuffer__` of `owner`.
/// - The `len` bytes at `start` stay readable, and writable unless `readonly`, until as many calls of
///   `__releasebuffer__` have followed.
///
/// # Errors
/// `BufferError` if more is asked for than there is.
pub(crate) unsafe fn fill(
    view: *mut ffi::Py_buffer,
    owner: &Bound<'_, PyAny>,
    (start, len): (*mut u8, usize),
    readonly: bool,
    flags: c_int,
) -> PyResult<()> {
    let len = isize::try_from(len)?;
    let (owner_pointer, readonly) = (owner.as_ptr(), c_int::from(readonly));
    // SAFETY: Python's own function for this; the view is Python's, and the rest is the caller's promise.
    let filled =
        unsafe { ffi::PyBuffer_FillInfo(view, owner_pointer, start.cast(), len, readonly, flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}

const NO_STR: &str = "a str cannot be wiped, and Python may keep copies of it: a buffer is needed here, such \
                      as a bytearray, read without making a str (Vault.read_password, read_file, read_fd)";

const NOT_WRITABLE: &str = "this buffer cannot be overwritten: give a bytearray or another writable buffer, or \
                            seal without wiping";
