//! What Python's arguments mean.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::lent::Lent;

/// What a secret is for: bytes, which are no secret.
#[derive(Default)]
pub(crate) struct Context(pub(crate) Vec<u8>);

impl FromPyObject<'_, '_> for Context {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(bytes.as_bytes().to_vec()));
        }
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("a context is bytes, not str: encode it"));
        }
        Ok(Self(Lent::of(&object)?.bytes(object.py()).to_vec()))
    }
}

/// The name of a secret in a store: `str` or `bytes`, which are different names.
pub(crate) struct Name(pub(crate) Vec<u8>);

impl Name {
    /// As Python has it.
    pub(crate) fn show<'py>(python: Python<'py>, name: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match name.split_first() {
            Some((&TEXT, text)) => {
                Ok(PyString::new(python, &String::from_utf8_lossy(text)).into_any())
            }
            Some((_, bytes)) => Ok(PyBytes::new(python, bytes).into_any()),
            None => Ok(PyBytes::new(python, &[]).into_any()),
        }
    }

    fn of(kind: u8, name: &[u8]) -> Self {
        Self([&[kind], name].concat())
    }
}

impl FromPyObject<'_, '_> for Name {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self::of(TEXT, text.to_str()?.as_bytes()));
        }
        match object.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self::of(BYTES, bytes.as_bytes())),
            Err(_) => Err(PyTypeError::new_err("the name of a secret is str or bytes")),
        }
    }
}

/// A time in seconds; `None` for one that has no end.
///
/// # Errors
/// `ValueError` if it is negative or no number.
pub(crate) fn time(what: &str, seconds: f64) -> PyResult<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "{what} is a time in seconds, which {seconds} is not"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// How long to wait; `None` for without end.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map_or(Ok(None), |seconds| time("timeout", seconds))
}

/// One of several words.
///
/// # Errors
/// `ValueError` that lists them.
pub(crate) fn word<T: Copy>(what: &str, given: &str, words: &[(&str, T)]) -> PyResult<T> {
    let found = words.iter().find(|(word, _)| *word == given);
    found.map(|&(_, meaning)| meaning).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        PyValueError::new_err(format!("{what} is one of {}, not {given:?}", words.join(", ")))
    })
}

const TEXT: u8 = b's';
const BYTES: u8 = b'b';
