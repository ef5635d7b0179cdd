//! A sealed secret.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::lent::Lent;

/// A sealed secret: a record in ordinary memory, which only the vault that sealed it can open.
///
/// Its length is that of the secret. It is not copied or pickled: in another process, or after this one,
/// nothing could open it.
#[pyclass(frozen, weakref, module = "strongroom")]
pub(crate) struct Sealed {
    pub(crate) record: strongroom::Sealed,
}

impl Sealed {
    pub(crate) fn lent(&self) -> strongroom::Sealed<&[u8]> {
        strongroom::Sealed::from_record(self.record.record())
    }
}

#[pymethods]
impl Sealed {
    /// Takes bytes for a record that `to_record` has given. Whether they are one shows when it is opened.
    #[staticmethod]
    fn from_record(py: Python<'_>, record: &Bound<'_, PyAny>) -> PyResult<Self> {
        let record = Lent::of(record)?.bytes(py).into();
        Ok(Self { record: strongroom::Sealed::from_record(record) })
    }

    /// The record as bytes: ciphertext, of use to the vault that sealed it, for as long as that lives.
    fn to_record<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.record.record())
    }

    fn __len__(&self) -> usize {
        self.record.secret_len()
    }

    /// A secret may be empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        format!("<strongroom.Sealed: {} bytes>", self.record.secret_len())
    }

    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_PICKLED))
    }

    fn __copy__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_COPIED))
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_COPIED))
    }
}

const NOT_PICKLED: &str = "a sealed secret is not pickled: only the vault that sealed it can open it, and no \
                           other process has that; send the secret itself over a channel that protects it";

const NOT_COPIED: &str = "a sealed secret is not copied: share this object, which never changes";
