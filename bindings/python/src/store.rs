//! A store: names to sealed secrets.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};
use strongroom::{OpenError, OwnedOpened, StoreError};
use zeroize::Zeroize;

use crate::arguments::{Name, time, timeout as parse_timeout};
use crate::errors::{OrRaise, python};
use crate::facts::StoreMetrics;
use crate::kept::{Kept, Names};
use crate::lent::Lent;
use crate::opened::{Opened, Secret};
use crate::pending::Pending;
use crate::vault::{Vault, in_task, timed_out};
use crate::wait::wait;

/// Names to secrets: sealed in ordinary memory, and opened in a vault, together by those who ask for the same.
#[pyclass(frozen, weakref, module = "strongroom")]
pub(crate) struct Store {
    names: Arc<Names>,
    vault: Py<Vault>,
}

#[pymethods]
impl Store {
    /// An empty store, whose secrets are sealed and opened in the vault.
    ///
    /// With `lingering`, a secret stays open for so many seconds after its last reader.
    #[new]
    #[pyo3(signature = (vault, *, lingering = None, most = None))]
    fn new(
        vault: &Bound<'_, Vault>,
        lingering: Option<f64>,
        most: Option<usize>,
    ) -> PyResult<Self> {
        let mut names = Names::new(vault.get().share.clone());
        if let Some(seconds) = lingering {
            let endless = Duration::MAX;
            names = names.with_lingering(time("lingering", seconds)?.unwrap_or(endless));
        }
        if let Some(most) = most {
            names = names.with_most(most);
        }
        Ok(Self { names: Arc::new(names), vault: vault.clone().unbind() })
    }

    /// The vault.
    #[getter]
    fn vault(&self, py: Python<'_>) -> Py<Vault> {
        self.vault.clone_ref(py)
    }

    /// Seals a secret under a name that stands for none; with `expires`, for so many seconds.
    #[pyo3(signature = (name, data, *, expires = None, wipe = false))]
    fn insert(
        &self,
        py: Python<'_>,
        name: Name,
        data: &Bound<'_, PyAny>,
        expires: Option<f64>,
        wipe: bool,
    ) -> PyResult<u32> {
        let expires = expiry(expires)?;
        put_in(py, data, wipe, |secret| match expires {
            None => self.names.insert(name.0, secret),
            Some(time) => self.names.insert_for(name.0, secret, time),
        })
    }

    /// Seals a secret under a name, in the place of another or of none, and says which version it is.
    #[pyo3(signature = (name, data, *, expires = None, wipe = false))]
    fn put(
        &self,
        py: Python<'_>,
        name: Name,
        data: &Bound<'_, PyAny>,
        expires: Option<f64>,
        wipe: bool,
    ) -> PyResult<u32> {
        let expires = expiry(expires)?;
        put_in(py, data, wipe, |secret| match expires {
            None => self.names.put(&*name.0, secret),
            Some(time) => self.names.put_for(&*name.0, secret, time),
        })
    }

    /// Puts another secret in the place of a name's, and says which version that is; with `version`, only if
    /// the name has that version still.
    #[pyo3(signature = (name, data, *, version = None, expires = None, wipe = false))]
    fn replace(
        &self,
        py: Python<'_>,
        name: Name,
        data: &Bound<'_, PyAny>,
        version: Option<u32>,
        expires: Option<f64>,
        wipe: bool,
    ) -> PyResult<u32> {
        let expires = expiry(expires)?;
        if version.is_some() && expires.is_some() {
            return Err(PyValueError::new_err(
                "one version is replaced for good: give version= or expires=, not both",
            ));
        }
        put_in(py, data, wipe, |secret| match (version, expires) {
            (Some(version), _) => self.names.replace_version(&*name.0, version, secret),
            (None, Some(time)) => self.names.replace_for(&*name.0, secret, time),
            (None, None) => self.names.replace(&*name.0, secret),
        })
    }

    /// Removes a name and its secret; whether there was one.
    fn remove(&self, name: Name) -> bool {
        self.names.remove(&*name.0)
    }

    /// Removes all whose time is over, and says how many those were.
    fn remove_expired(&self, py: Python<'_>) -> usize {
        py.detach(|| self.names.remove_expired())
    }

    /// The version of a name's secret; `None` if it stands for none.
    fn version(&self, name: Name) -> Option<u32> {
        self.names.version(&*name.0)
    }

    fn __contains__(&self, name: Name) -> bool {
        self.names.contains(&*name.0)
    }

    fn __len__(&self) -> usize {
        self.names.len()
    }

    /// An empty store is one all the same.
    fn __bool__(&self) -> bool {
        true
    }

    /// The names, in no order. What is put in or removed meanwhile may be missed or not.
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut names = Vec::with_capacity(self.names.len());
        self.names.for_each_name(|name, _| names.push(name.clone()));
        let shown = names.iter().map(|name| Name::show(py, name));
        PyList::new(py, shown.collect::<PyResult<Vec<_>>>()?)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.names(py)?.try_iter()
    }

    /// Opens a name's secret, waiting for room: without end, or up to `timeout` seconds. Who opens the same
    /// name meanwhile reads the same memory; with `alone`, which `writable` needs, it is opened for one.
    #[pyo3(signature = (name, timeout = None, *, alone = false, writable = false))]
    fn open(
        &self,
        py: Python<'_>,
        name: Name,
        timeout: Option<f64>,
        alone: bool,
        writable: bool,
    ) -> PyResult<Opened> {
        let (name, timeout) = (name.0, parse_timeout(timeout)?);
        let secret = if is_alone(alone, writable)? {
            let opened = wait(py, self.names.open_alone(&*name), timeout)?;
            let at_once = || self.names.try_open_alone(&*name);
            Secret::Alone(in_time(py, opened, timeout, at_once)?)
        } else {
            let opened = wait(py, Kept::open(Arc::clone(&self.names), name.clone()), timeout)?;
            let at_once = || Kept::try_open(&self.names, &name);
            Secret::Shared(in_time(py, opened, timeout, at_once)?)
        };
        Ok(Opened::new(self.names.vault(), secret, writable))
    }

    /// Opens a name's secret, or raises `Full` at once.
    #[pyo3(signature = (name, *, alone = false, writable = false))]
    fn try_open(
        &self,
        py: Python<'_>,
        name: Name,
        alone: bool,
        writable: bool,
    ) -> PyResult<Opened> {
        let secret = if is_alone(alone, writable)? {
            Secret::Alone(self.names.try_open_alone(&*name.0).or_raise(py)?)
        } else {
            Secret::Shared(Kept::try_open(&self.names, &name.0).or_raise(py)?)
        };
        Ok(Opened::new(self.names.vault(), secret, writable))
    }

    /// Opens a name's secret in a task: `async with store.open_async(name) as view:`.
    #[pyo3(signature = (name, *, alone = false, writable = false))]
    fn open_async<'py>(
        &self,
        py: Python<'py>,
        name: Name,
        alone: bool,
        writable: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (names, vault) = (Arc::clone(&self.names), self.names.vault());
        let pending = if is_alone(alone, writable)? {
            Pending::new(vault, writable, async move {
                let opened: OwnedOpened = names.open_alone(&*name.0).await?;
                Ok::<_, StoreError>(vec![Secret::Alone(opened)])
            })
        } else {
            Pending::new(vault, writable, async move {
                Ok::<_, StoreError>(vec![Secret::Shared(Kept::open(names, name.0).await?)])
            })
        };
        in_task(py, "AsyncOpening", pending)
    }

    /// Numbers about the store.
    fn metrics(&self) -> StoreMetrics {
        self.names.metrics().into()
    }

    fn __repr__(&self) -> String {
        format!("<strongroom.Store: {} secrets>", self.names.len())
    }
}

/// Puts what a buffer holds somewhere, and wipes it there if it was.
fn put_in(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    wipe: bool,
    put: impl FnOnce(&[u8]) -> Result<u32, StoreError>,
) -> PyResult<u32> {
    let mut data = if wipe { Lent::writable(data)? } else { Lent::of(data)? };
    let version = put(data.bytes(py)).or_raise(py)?;
    if wipe {
        data.bytes_mut(py).zeroize();
    }
    Ok(version)
}

fn expiry(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map_or(Ok(None), |seconds| time("expires", seconds))
}

/// # Errors
/// If it is to be written to, and shared.
fn is_alone(alone: bool, writable: bool) -> PyResult<bool> {
    if writable && !alone {
        return Err(python::Error::new_err(
            "what others read too is not written to: open it alone (alone=True)",
        ));
    }
    Ok(alone)
}

fn in_time<T>(
    py: Python<'_>,
    opened: Option<Result<T, StoreError>>,
    timeout: Option<Duration>,
    at_once: impl FnOnce() -> Result<T, StoreError>,
) -> PyResult<T> {
    let late = |error| match error {
        StoreError::Open(error @ OpenError::Full(_)) => timed_out(error, timeout).into(),
        error => error,
    };
    opened.unwrap_or_else(|| at_once().map_err(late)).or_raise(py)
}
