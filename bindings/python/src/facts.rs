//! Numbers and facts about vaults, stores and this host, as classes that are read only.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyFloat;
use strongroom::limits::{self, Fit, Limit};
use strongroom::{ForkView, WindowKind};

/// Numbers about a vault. Sizes are in bytes, times in seconds.
#[pyclass(frozen, get_all, module = "strongroom")]
pub(crate) struct Metrics {
    /// The most that the vault locks, reserves included.
    budget: usize,
    /// What it has locked now, less what the kernel says is not locked any more.
    locked: usize,
    /// What the kernel says is not locked; `None` if it does not say.
    unlocked: Option<usize>,
    /// What is taken by open secrets and the key, with what lies around them.
    used: usize,
    /// Secrets that are open now.
    live: usize,
    /// The most that were seen open at once.
    peak: usize,
    /// Callers that are waiting now.
    waiters: usize,
    /// Calls that waited.
    waits: usize,
    /// The longest of those waits.
    longest_wait: f64,
    /// Calls that were told that there is no room.
    refusals: usize,
    /// Faults found.
    faults: usize,
    /// Stretches of locked memory now.
    rooms: usize,
    /// Stretches that were added.
    grown: usize,
    /// Stretches that were given back.
    given_back: usize,
    /// Times the system would not lock more.
    growth_refusals: usize,
}

impl From<strongroom::Metrics> for Metrics {
    fn from(metrics: strongroom::Metrics) -> Self {
        Self {
            budget: metrics.budget,
            locked: metrics.locked,
            unlocked: metrics.unlocked,
            used: metrics.used,
            live: metrics.live,
            peak: metrics.peak,
            waiters: metrics.waiters,
            waits: metrics.waits,
            longest_wait: Duration::as_secs_f64(&metrics.longest_wait),
            refusals: metrics.refusals,
            faults: metrics.faults,
            rooms: metrics.rooms,
            grown: metrics.grown,
            given_back: metrics.given_back,
            growth_refusals: metrics.growth_refusals,
        }
    }
}

#[pymethods]
impl Metrics {
    fn __repr__(&self) -> String {
        format!(
            "<strongroom.Metrics: {} open in {} of {} bytes, {} wait>",
            self.live, self.locked, self.budget, self.waiters
        )
    }
}

/// Numbers about a store.
#[pyclass(frozen, get_all, module = "strongroom")]
pub(crate) struct StoreMetrics {
    /// Names that stand for a secret; those that have expired count until they are found to have.
    secrets: usize,
    /// Bytes of ordinary memory for records.
    record_bytes: usize,
    /// Secrets that are open now, each counted once however many read it.
    open: usize,
    /// Of these, those that nobody reads and that linger.
    lingering: usize,
    /// How often a secret was decrypted to be read by whoever asks.
    decryptions: u64,
    /// How often one that lingered was given up because room was needed.
    given_up: u64,
}

impl From<strongroom::StoreMetrics> for StoreMetrics {
    fn from(metrics: strongroom::StoreMetrics) -> Self {
        Self {
            secrets: metrics.secrets,
            record_bytes: metrics.record_bytes,
            open: metrics.open,
            lingering: metrics.lingering,
            decryptions: metrics.decryptions,
            given_up: metrics.given_up,
        }
    }
}

#[pymethods]
impl StoreMetrics {
    fn __repr__(&self) -> String {
        format!("<strongroom.StoreMetrics: {} secrets, {} open>", self.secrets, self.open)
    }
}

/// What the operating system has granted for a vault's memory.
#[pyclass(frozen, get_all, module = "strongroom")]
#[expect(clippy::struct_excessive_bools, reason = "each is granted or not by itself")]
pub(crate) struct Protections {
    /// The pages are never written to the swap device.
    locked: bool,
    /// The kernel leaves the pages out of core dumps.
    dump_excluded: bool,
    /// What a forked child finds in place of the pages: "zeroed", "absent" or "copied".
    fork_view: &'static str,
    /// Touching the page before or the page after ends the process.
    guarded: bool,
    /// No other process reads the pages through the kernel.
    secret_memory: bool,
    /// What shuts the memory while nobody looks at a secret: "none", "pages" or "keys".
    windows: &'static str,
}

impl From<strongroom::Protections> for Protections {
    fn from(protections: strongroom::Protections) -> Self {
        Self {
            locked: protections.locked,
            dump_excluded: protections.dump_excluded,
            fork_view: match protections.fork_view {
                ForkView::Zeroed => "zeroed",
                ForkView::Absent => "absent",
                _ => "copied",
            },
            guarded: protections.guarded,
            secret_memory: protections.secret_memory,
            windows: match protections.windows {
                WindowKind::Pages => "pages",
                WindowKind::Keys => "keys",
                _ => "none",
            },
        }
    }
}

#[pymethods]
impl Protections {
    fn __repr__(&self) -> String {
        let Self { locked, dump_excluded, fork_view, guarded, secret_memory, windows } = self;
        let granted = [
            (*locked, "locked"),
            (*dump_excluded, "dump_excluded"),
            (*guarded, "guarded"),
            (*secret_memory, "secret_memory"),
        ];
        let granted = granted.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| *what);
        let granted = granted.collect::<Vec<_>>().join(", ");
        format!(
            "<strongroom.Protections: {granted}, windows: {windows}; children find it {fork_view}>"
        )
    }
}

/// What bounds locked memory for this process. Bytes; infinity where there is no limit, `None` where the
/// system does not say.
#[pyclass(frozen, module = "strongroom")]
pub(crate) struct Limits(strongroom::Limits);

/// The limits of this moment.
#[pyfunction(name = "limits")]
pub(crate) fn read_limits(py: Python<'_>) -> Limits {
    Limits(py.detach(strongroom::Limits::read))
}

/// Raises the soft limit on locked memory to the hard one, for the whole process, and says what it is now.
#[pyfunction]
pub(crate) fn raise_soft_limit(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    number(py, limits::raise_soft_limit()?)
}

#[pymethods]
impl Limits {
    /// The soft limit, which counts.
    #[getter]
    fn soft<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        number(py, self.0.soft)
    }

    /// The hard limit, up to which the process may raise the soft one.
    #[getter]
    fn hard<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        number(py, self.0.hard)
    }

    /// What can be locked beyond what is locked now.
    #[getter]
    fn available<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        number(py, self.0.available())
    }

    /// What this process has locked already.
    #[getter]
    fn locked(&self) -> Option<u64> {
        self.0.locked
    }

    /// The size of a page: locks are charged in whole pages.
    #[getter]
    fn page_size(&self) -> usize {
        self.0.page_size
    }

    /// What to change so that so many bytes more can be locked; `None` if they can be, or it cannot be told.
    fn remedy(&self, bytes: u64) -> Option<String> {
        self.0.remedy(bytes).map(|remedy| remedy.to_string())
    }

    /// How many secrets of so many bytes can be open at one time.
    fn fits<'py>(&self, py: Python<'py>, bytes: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.0.fits(bytes) {
            Fit::Secrets(secrets) => Ok(Some(secrets.into_pyobject(py)?.into_any())),
            Fit::Unlimited => number(py, Limit::Unlimited),
            _ => Ok(None),
        }
    }

    /// A table of them all.
    fn __str__(&self) -> String {
        self.0.to_string()
    }
}

fn number(py: Python<'_>, limit: Limit) -> PyResult<Option<Bound<'_, PyAny>>> {
    Ok(match limit {
        Limit::Bytes(bytes) => Some(bytes.into_pyobject(py)?.into_any()),
        Limit::Unlimited => Some(PyFloat::new(py, f64::INFINITY).into_any()),
        _ => None,
    })
}
