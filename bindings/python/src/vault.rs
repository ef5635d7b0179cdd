//! A vault, or the share of it that uses a reserve.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use strongroom::{
    Backing, CloneNotice, KeyShare, Keyring, OpenError, Opener, OwnedOpened, Policy, Share,
    SourceError, Windows,
};

use crate::arguments::{Context, time, timeout as parse_timeout, word};
use crate::errors::{OrRaise, python};
use crate::facts::{Metrics, Protections};
use crate::lent::{Lent, duplicate};
use crate::opened::{Opened, Secret, tuple};
use crate::pending::Pending;
use crate::reading::{Part, read};
use crate::sealed::Sealed;
use crate::wait::wait;

/// Seals any number of secrets into ordinary memory, and opens them into locked memory under a budget.
#[pyclass(frozen, weakref, module = "strongroom")]
pub(crate) struct Vault {
    pub(crate) share: Share,
}

#[pymethods]
impl Vault {
    /// Locks `floor` bytes (all of `budget` unless said otherwise), and up to `budget` under load.
    #[new]
    #[pyo3(signature = (
        budget = 65_536, floor = None, *, reserves = None, policy = "require",
        backing = "anonymous", windows = "none", key_share = "memory", key_share_kept = 0.0, linger = 10.0
    ))]
    #[expect(clippy::too_many_arguments, reason = "they have names in Python")]
    fn new(
        py: Python<'_>,
        budget: usize,
        floor: Option<usize>,
        reserves: Option<HashMap<String, usize>>,
        policy: &str,
        backing: &str,
        windows: &str,
        key_share: &str,
        key_share_kept: f64,
        linger: f64,
    ) -> PyResult<Self> {
        let mut builder = strongroom::Vault::builder()
            .budget(floor.unwrap_or(budget)..=budget)
            .policy(word("policy", policy, &POLICIES)?)
            .backing(word("backing", backing, &BACKINGS)?)
            .windows(word("windows", windows, &WINDOWS)?)
            .key_share(word("key_share", key_share, &KEY_SHARES)?)
            .key_share_kept(time("key_share_kept", key_share_kept)?.unwrap_or(Duration::MAX))
            .linger(time("linger", linger)?.unwrap_or(Duration::MAX))
            .on_fault(|_| {
                FAULTS.fetch_add(1, Ordering::Relaxed);
            });
        for (name, bytes) in reserves.unwrap_or_default() {
            builder = builder.reserve(name, bytes);
        }
        let vault = py.detach(|| builder.build()).or_raise(py)?;
        Ok(Self { share: Arc::new(vault).share() })
    }

    /// The vault's memory for those who name this reserve: sealed secrets are the same.
    fn reserve(&self, name: &str) -> PyResult<Self> {
        let share = self.share.reserve(name).ok_or_else(|| {
            python::NotFound::new_err(format!(
                "the vault has no reserve {name:?}: name it when the vault is made (reserves={{…}})"
            ))
        })?;
        Ok(Self { share })
    }

    /// Seals bytes of any buffer. `context` says what they are for; opening takes the same again.
    #[pyo3(signature = (data, context = Context::default()))]
    fn seal(&self, py: Python<'_>, data: &Bound<'_, PyAny>, context: Context) -> PyResult<Sealed> {
        let data = Lent::of(data)?;
        let record = self.share.vault().seal(data.bytes(py), &context.0).or_raise(py)?;
        Ok(Sealed { record })
    }

    /// Seals bytes, and overwrites the buffer that they were in with zeros.
    #[pyo3(signature = (data, context = Context::default()))]
    fn seal_and_wipe(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        context: Context,
    ) -> PyResult<Sealed> {
        let mut data = Lent::writable(data)?;
        let vault = self.share.vault();
        let record = vault.seal_and_wipe(data.bytes_mut(py), &context.0).or_raise(py)?;
        Ok(Sealed { record })
    }

    /// Seals fresh random bytes, which are made in locked memory.
    #[pyo3(signature = (length, context = Context::default(), timeout = None))]
    fn random(
        &self,
        py: Python<'_>,
        length: usize,
        context: Context,
        timeout: Option<f64>,
    ) -> PyResult<Sealed> {
        let mut memory = self.allocated(py, length, timeout)?;
        memory.fill_random().or_raise(py)?;
        let record = memory.seal(&context.0).or_raise(py)?;
        Ok(Sealed { record })
    }

    /// Opens a secret, waiting for room: without end, or up to `timeout` seconds.
    #[pyo3(signature = (sealed, context = Context::default(), timeout = None, *, writable = false))]
    fn open(
        &self,
        py: Python<'_>,
        sealed: &Bound<'_, Sealed>,
        context: Context,
        timeout: Option<f64>,
        writable: bool,
    ) -> PyResult<Opened> {
        let (sealed, context) = (sealed.get().lent(), &*context.0);
        let opening = self.share.open(sealed, context);
        let opened = self.wait(py, opening, timeout, || self.share.try_open(&sealed, context))?;
        self.opened(py, opened, writable)
    }

    /// Opens a secret, or raises `Full` at once.
    #[pyo3(signature = (sealed, context = Context::default(), *, writable = false))]
    fn try_open(
        &self,
        py: Python<'_>,
        sealed: &Bound<'_, Sealed>,
        context: Context,
        writable: bool,
    ) -> PyResult<Opened> {
        let opened = self.share.try_open(&sealed.get().lent(), &context.0).or_raise(py)?;
        self.opened(py, opened, writable)
    }

    /// Opens a secret in a task: `async with vault.open_async(sealed) as view:`.
    #[pyo3(signature = (sealed, context = Context::default(), *, writable = false))]
    fn open_async<'py>(
        &self,
        py: Python<'py>,
        sealed: &Bound<'py, Sealed>,
        context: Context,
        writable: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (share, sealed) = (self.share.clone(), sealed.clone().unbind());
        let opening = async move {
            let opened = share.open(sealed.get().lent(), &*context.0).await?;
            Ok::<_, OpenError>(vec![Secret::Alone(opened)])
        };
        in_task(py, "AsyncOpening", Pending::new(self.share.vault(), writable, opening))
    }

    /// Opens several secrets, all or none, waiting for room for all.
    #[pyo3(signature = (sealed, timeout = None))]
    fn open_all<'py>(
        &self,
        py: Python<'py>,
        sealed: Vec<Wanted>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at_once = || try_all(&self.share, &sealed);
        let opened = self.wait(py, all(self.share.clone(), &sealed), timeout, at_once)?;
        self.together(py, opened)
    }

    /// Opens several secrets, all or none, or raises `Full` at once.
    fn try_open_all<'py>(
        &self,
        py: Python<'py>,
        sealed: Vec<Wanted>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = try_all(&self.share, &sealed).or_raise(py)?;
        self.together(py, opened)
    }

    /// Opens several secrets, all or none, in a task.
    fn open_all_async<'py>(
        &self,
        py: Python<'py>,
        sealed: Vec<Wanted>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let share = self.share.clone();
        let opening = async move {
            let opened = all(share, &sealed).await?;
            Ok::<_, OpenError>(opened.into_iter().map(Secret::Alone).collect())
        };
        in_task(py, "AsyncOpeningAll", Pending::new(self.share.vault(), false, opening))
    }

    /// Room for a new secret, all zeros, to be written to in place and then sealed (`Opened.seal`).
    #[pyo3(signature = (length, timeout = None))]
    fn allocate(&self, py: Python<'_>, length: usize, timeout: Option<f64>) -> PyResult<Opened> {
        let memory = self.allocated(py, length, timeout)?;
        self.opened(py, memory, true)
    }

    /// Seals what a file holds, with no copy in ordinary memory.
    #[pyo3(signature = (
        path, context = Context::default(), *, limit = 65_536, text = false, timeout = None
    ))]
    fn read_file(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        context: Context,
        limit: usize,
        text: bool,
        timeout: Option<f64>,
    ) -> PyResult<Sealed> {
        // Python's own can be interrupted, where the path is a pipe's.
        let os = py.import("os")?;
        let flags = os.getattr("O_RDONLY")?.bitor(os.getattr("O_CLOEXEC")?)?;
        let number = os.call_method1("open", (path, flags))?;
        let descriptor = duplicate(number.extract()?);
        os.call_method1("close", (number,))?;
        let part = if text { Part::Text } else { Part::Whole };
        let timeout = parse_timeout(timeout)?;
        let read = read(py, &self.share, descriptor?, part, limit, &context.0, timeout)?;
        read.map(|record| Sealed { record }).ok_or_else(nothing)
    }

    /// Seals what can be read from a descriptor, which stays open.
    #[pyo3(signature = (
        fd, context = Context::default(), *, limit = 65_536, text = false, timeout = None
    ))]
    fn read_fd(
        &self,
        py: Python<'_>,
        fd: i32,
        context: Context,
        limit: usize,
        text: bool,
        timeout: Option<f64>,
    ) -> PyResult<Sealed> {
        let part = if text { Part::Text } else { Part::Whole };
        let timeout = parse_timeout(timeout)?;
        let read = read(py, &self.share, duplicate(fd)?, part, limit, &context.0, timeout)?;
        read.map(|record| Sealed { record }).ok_or_else(nothing)
    }

    /// Seals a line that can be read from a terminal; `None` at its end. From anything else up to 512 bytes
    /// behind the line are read too, and lost.
    #[pyo3(signature = (fd, context = Context::default(), *, limit = 1024, timeout = None))]
    fn read_line(
        &self,
        py: Python<'_>,
        fd: i32,
        context: Context,
        limit: usize,
        timeout: Option<f64>,
    ) -> PyResult<Option<Sealed>> {
        let timeout = parse_timeout(timeout)?;
        let read = read(py, &self.share, duplicate(fd)?, Part::Line, limit, &context.0, timeout)?;
        Ok(read.map(|record| Sealed { record }))
    }

    /// Asks a person for a secret, without showing what is typed and without making a `str`.
    #[pyo3(signature = (prompt = "Password: ", context = Context::default(), *, limit = 1024))]
    fn read_password<'py>(
        slf: &Bound<'py, Self>,
        prompt: &str,
        context: Context,
        limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let terminal = slf.py().import("strongroom._terminal")?;
        terminal.call_method1("read_password", (slf, prompt, &*context.0, limit))
    }

    /// Seals an environment variable's value: a poor place for a secret, which stays there and, if
    /// `os.environ` was read, in Python's own copies.
    #[pyo3(signature = (name, context = Context::default(), *, limit = 65_536))]
    fn read_env(
        &self,
        py: Python<'_>,
        name: &str,
        context: Context,
        limit: usize,
    ) -> PyResult<Sealed> {
        let vault = self.share.vault();
        let value = vault.read_environment(name, limit).or_raise(py)?.ok_or_else(|| {
            let not_set = SourceError::NotSet { name: name.to_owned() };
            python::NotFound::new_err(not_set.to_string())
        })?;
        Ok(Sealed { record: value.seal(&context.0).or_raise(py)? })
    }

    /// Draws new shares of the key.
    fn refresh(&self, py: Python<'_>) {
        py.detach(|| self.share.vault().refresh());
    }

    /// Goes on sealing under numbers that no copy of this machine uses: after a snapshot was resumed.
    fn renew(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.share.vault().renew()).or_raise(py)
    }

    /// Wipes the key: all that was sealed is unreadable for good. What is open stays open.
    fn destroy(&self, py: Python<'_>) {
        py.detach(|| self.share.vault().destroy());
    }

    /// Gives back memory beyond the floor that nothing is open in.
    fn trim(&self, py: Python<'_>) {
        py.detach(|| self.share.vault().trim());
    }

    /// Checks every canary and every free byte.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.share.vault().verify()).or_raise(py)
    }

    /// Numbers about the vault.
    fn metrics(&self, py: Python<'_>) -> Metrics {
        py.detach(|| self.share.vault().metrics()).into()
    }

    /// What the operating system has granted for the vault's memory.
    fn protections(&self) -> Protections {
        self.share.vault().protections().into()
    }

    /// The most bytes that the vault locks, reserves not counted.
    #[getter]
    fn budget(&self) -> usize {
        self.share.vault().budget()
    }

    /// How many secrets are open now.
    #[getter]
    fn held(&self) -> usize {
        self.share.vault().held()
    }

    /// How many callers wait for room now.
    #[getter]
    fn waiters(&self) -> usize {
        self.share.vault().waiters()
    }

    /// Why some of the memory is not locked, and what to change; `None` if all is.
    #[getter]
    fn lock_refusal(&self) -> Option<String> {
        self.share.vault().lock_refusal().map(|error| error.to_string())
    }

    /// Why the system would not lock more within the budget, and what to change.
    #[getter]
    fn growth_refusal(&self) -> Option<String> {
        self.share.vault().growth_refusal().map(|error| error.to_string())
    }

    /// Why a share of the key is in no keyring though one was preferred, and what to change.
    #[getter]
    fn key_share_refusal(&self) -> Option<String> {
        self.share.vault().key_share_refusal().map(|error| error.to_string())
    }

    fn __repr__(&self) -> String {
        format!("<strongroom.Vault: budget {} bytes, {} open>", self.budget(), self.held())
    }
}

impl Vault {
    /// Waits; when the time is over, `at_once` says how things stand, or has luck.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        opening: impl Future<Output = Result<T, OpenError>> + Send,
        timeout: Option<f64>,
        at_once: impl FnOnce() -> Result<T, OpenError>,
    ) -> PyResult<T> {
        let timeout = parse_timeout(timeout)?;
        let opened = wait(py, opening, timeout)?;
        opened.unwrap_or_else(|| at_once().map_err(|error| timed_out(error, timeout))).or_raise(py)
    }

    fn allocated(
        &self,
        py: Python<'_>,
        length: usize,
        timeout: Option<f64>,
    ) -> PyResult<OwnedOpened> {
        let opening = self.share.allocate(length);
        self.wait(py, opening, timeout, || self.share.try_allocate(length))
    }

    fn opened(&self, py: Python<'_>, opened: OwnedOpened, writable: bool) -> PyResult<Opened> {
        warn_of_faults(py)?;
        Ok(Opened::new(self.share.vault(), Secret::Alone(opened), writable))
    }

    fn together<'py>(
        &self,
        py: Python<'py>,
        opened: Vec<OwnedOpened>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        warn_of_faults(py)?;
        let class = CLASS.import(py, "strongroom._opening", "OpenedAll")?;
        class.call1((tuple(py, self.share.vault(), opened)?,))
    }
}

/// What was waited for in vain.
pub(crate) fn timed_out(error: OpenError, waited: Option<Duration>) -> OpenError {
    match (error, waited) {
        (OpenError::Full(shortage), Some(waited)) => OpenError::TimedOut { waited, shortage },
        (error, _) => error,
    }
}

/// What a task waits for, as a class of `strongroom/_opening.py`.
pub(crate) fn in_task<'py>(
    py: Python<'py>,
    class: &str,
    pending: Pending,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("strongroom._opening")?.getattr(class)?.call1((pending,))
}

/// Has every vault of this process renew itself before it seals next: for the hook that is run when a machine
/// was resumed from a snapshot.
#[pyfunction]
pub(crate) fn renew_all() {
    strongroom::renew_all();
}

/// Has every vault of this process renew itself when Linux tells that the machine was resumed as a copy, and
/// when somebody sets the clock. Whether Linux would tell; if not, the clock alone tells.
#[pyfunction]
pub(crate) fn renew_when_cloned(py: Python<'_>) -> PyResult<bool> {
    let notice = py.detach(strongroom::renew_when_cloned).or_raise(py)?;
    Ok(notice == CloneNotice::KernelLog)
}

/// Overwrites the locked memory of every vault of this process with zeros, keys included. For a process that
/// is about to end: afterwards every call on every vault raises `Destroyed`.
#[pyfunction]
pub(crate) fn wipe_all() {
    strongroom::wipe_all();
}

/// A sealed secret, or a pair of one with its context.
pub(crate) struct Wanted {
    sealed: Py<Sealed>,
    context: Context,
}

impl Wanted {
    fn lent(&self) -> (strongroom::Sealed<&[u8]>, &[u8]) {
        (self.sealed.get().lent(), &self.context.0)
    }
}

impl FromPyObject<'_, '_> for Wanted {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyTuple>() {
            let (sealed, context) = object.extract()?;
            return Ok(Self { sealed, context });
        }
        Ok(Self { sealed: object.extract()?, context: Context::default() })
    }
}

async fn all(share: Share, wanted: &[Wanted]) -> Result<Vec<OwnedOpened>, OpenError> {
    share.open_many(wanted.iter().map(Wanted::lent).collect()).await
}

fn try_all(share: &Share, wanted: &[Wanted]) -> Result<Vec<OwnedOpened>, OpenError> {
    let lent: Vec<_> = wanted.iter().map(Wanted::lent).collect();
    share.try_open_many(lent.iter().map(|(sealed, context)| (sealed, *context)))
}

fn nothing() -> PyErr {
    python::Error::new_err("nothing was read")
}

/// Says, to whoever opens next, that damage was found where nobody could be told: when a secret was dropped,
/// or memory was looked for.
fn warn_of_faults(py: Python<'_>) -> PyResult<()> {
    if FAULTS.load(Ordering::Relaxed) == 0 || FAULTS.swap(0, Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let category = py.get_type::<pyo3::exceptions::PyRuntimeWarning>();
    PyErr::warn(
        py,
        &category,
        c"strongroom found damage in locked memory: native code of this process wrote where it must not \
          (Vault.metrics().faults); what was damaged is not used again",
        1,
    )
}

/// Found since somebody was told.
static FAULTS: AtomicUsize = AtomicUsize::new(0);

const POLICIES: [(&str, Policy); 2] = [("require", Policy::Require), ("prefer", Policy::Prefer)];

const BACKINGS: [(&str, Backing); 3] = [
    ("anonymous", Backing::Anonymous),
    ("secret-memory", Backing::SecretMemory),
    ("prefer-secret-memory", Backing::PreferSecretMemory),
];

const WINDOWS: [(&str, Windows); 5] = [
    ("none", Windows::None),
    ("pages", Windows::Pages),
    ("keys", Windows::Keys),
    ("keys-or-pages", Windows::KeysOrPages),
    ("keys-or-none", Windows::KeysOrNone),
];

const KEY_SHARES: [(&str, KeyShare); 5] = [
    ("memory", KeyShare::LockedMemory),
    ("process-keyring", KeyShare::Keyring(Keyring::Process)),
    ("prefer-process-keyring", KeyShare::PreferKeyring(Keyring::Process)),
    ("session-keyring", KeyShare::Keyring(Keyring::Session)),
    ("prefer-session-keyring", KeyShare::PreferKeyring(Keyring::Session)),
];
