//! The crate's errors as exceptions of `strongroom._errors`. Each says what the crate says.

use std::fmt::Display;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use strongroom::{
    CloneWatchError, Fault, LockError, OpenError, ReadError, SealError, Shortage, StoreError,
    VaultError,
};

/// The exceptions, as `strongroom/_errors.py` has them.
pub(crate) mod python {
    #![allow(missing_docs, reason = "documented where they are")]
    use pyo3::import_exception;

    import_exception!(strongroom._errors, BudgetError);
    import_exception!(strongroom._errors, ClonesUnseen);
    import_exception!(strongroom._errors, Closed);
    import_exception!(strongroom._errors, Damaged);
    import_exception!(strongroom._errors, Destroyed);
    import_exception!(strongroom._errors, Error);
    import_exception!(strongroom._errors, Exists);
    import_exception!(strongroom._errors, Forked);
    import_exception!(strongroom._errors, Full);
    import_exception!(strongroom._errors, KeyShareError);
    import_exception!(strongroom._errors, LimitError);
    import_exception!(strongroom._errors, NoEntropy);
    import_exception!(strongroom._errors, NotFound);
    import_exception!(strongroom._errors, OtherVersion);
    import_exception!(strongroom._errors, StoreFull);
    import_exception!(strongroom._errors, Tampered);
    import_exception!(strongroom._errors, Timeout);
    import_exception!(strongroom._errors, TooLarge);
    import_exception!(strongroom._errors, ViewsRemain);
    import_exception!(strongroom._errors, WindowsRefused);
}

use python as py;

/// What went wrong, in words that an exception takes over.
pub(crate) trait IntoPython {
    fn into_python(self, python: Python<'_>) -> PyErr;
}

impl IntoPython for OpenError {
    fn into_python(self, python: Python<'_>) -> PyErr {
        let said = self.to_string();
        match self {
            Self::Full(shortage) => told(python, py::Full::new_err(said), &numbers(shortage)),
            Self::TimedOut { shortage, .. } => {
                told(python, py::Timeout::new_err(said), &numbers(shortage))
            }
            Self::TooLarge { requested, largest } => told(
                python,
                py::TooLarge::new_err(said),
                &[("requested", requested), ("largest", largest)],
            ),
            Self::NeverTogether { requested, .. } => {
                told(python, py::TooLarge::new_err(said), &[("requested", requested)])
            }
            Self::Tampered => py::Tampered::new_err(said),
            Self::Destroyed => py::Destroyed::new_err(said),
            Self::Forked => py::Forked::new_err(said),
            Self::NoEntropy => py::NoEntropy::new_err(said),
            Self::KeyShare(_) => py::KeyShareError::new_err(said),
            _ => py::Error::new_err(said),
        }
    }
}

impl IntoPython for SealError {
    fn into_python(self, _: Python<'_>) -> PyErr {
        let said = self.to_string();
        match self {
            Self::Destroyed => py::Destroyed::new_err(said),
            Self::Forked => py::Forked::new_err(said),
            Self::NoEntropy => py::NoEntropy::new_err(said),
            Self::KeyShare(_) => py::KeyShareError::new_err(said),
            _ => py::Error::new_err(said),
        }
    }
}

impl IntoPython for StoreError {
    fn into_python(self, python: Python<'_>) -> PyErr {
        let said = self.to_string();
        let version = |error, version: u32| {
            let version = usize::try_from(version).unwrap_or(usize::MAX);
            told(python, error, &[("version", version)])
        };
        match self {
            Self::NotFound => py::NotFound::new_err(said),
            Self::Exists { version: has } => version(py::Exists::new_err(said), has),
            Self::OtherVersion { version: has } => version(py::OtherVersion::new_err(said), has),
            Self::Full { most } => told(python, py::StoreFull::new_err(said), &[("most", most)]),
            Self::Seal(error) => error.into_python(python),
            Self::Open(error) => error.into_python(python),
            _ => py::Error::new_err(said),
        }
    }
}

impl IntoPython for VaultError {
    fn into_python(self, python: Python<'_>) -> PyErr {
        let said = self.to_string();
        match self {
            Self::Lock(error) => error.into_python(python),
            Self::NoEntropy => py::NoEntropy::new_err(said),
            Self::KeyShare(_) => py::KeyShareError::new_err(said),
            Self::Windows(_) => py::WindowsRefused::new_err(said),
            Self::Wiped => py::Destroyed::new_err(said),
            Self::Arena(_) | Self::NoRoomForKey(_) | Self::CeilingBelowFloor { .. } => {
                py::BudgetError::new_err(said)
            }
            _ => py::Error::new_err(said),
        }
    }
}

impl IntoPython for LockError {
    fn into_python(self, _: Python<'_>) -> PyErr {
        let said = self.to_string();
        match self {
            Self::Zero | Self::TooLarge { .. } => py::BudgetError::new_err(said),
            _ => py::LimitError::new_err(said),
        }
    }
}

impl IntoPython for ReadError {
    fn into_python(self, python: Python<'_>) -> PyErr {
        let said = self.to_string();
        match self {
            // What a reader of ours was interrupted by.
            Self::Io(error) => match error.downcast::<PyErr>() {
                Ok(interrupt) => interrupt,
                Err(error) => error.into(),
            },
            Self::TooLong { limit } => {
                told(python, py::TooLarge::new_err(said), &[("largest", limit)])
            }
            Self::Open(error) => error.into_python(python),
            Self::Seal(error) => error.into_python(python),
            _ => py::Error::new_err(said),
        }
    }
}

impl IntoPython for CloneWatchError {
    fn into_python(self, _: Python<'_>) -> PyErr {
        py::ClonesUnseen::new_err(self.to_string())
    }
}

impl IntoPython for Fault {
    fn into_python(self, _: Python<'_>) -> PyErr {
        damaged(self.kind.message())
    }
}

/// For a `Result` of the crate's.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, python: Python<'_>) -> PyResult<T>;
}

impl<T, E: IntoPython> OrRaise<T> for Result<T, E> {
    fn or_raise(self, python: Python<'_>) -> PyResult<T> {
        self.map_err(|error| error.into_python(python))
    }
}

pub(crate) fn damaged(what: impl Display) -> PyErr {
    py::Damaged::new_err(format!(
        "{what}: native code of this process wrote where it must not; the memory is not used again"
    ))
}

fn numbers(shortage: Shortage) -> [(&'static str, usize); 4] {
    let Shortage { requested, held, capacity, waiters, .. } = shortage;
    [("requested", requested), ("held", held), ("capacity", capacity), ("waiters", waiters)]
}

/// The exception with numbers as attributes.
fn told(python: Python<'_>, error: PyErr, numbers: &[(&str, usize)]) -> PyErr {
    let value = error.value(python).cast::<PyException>();
    if let Ok(value) = value {
        for (name, number) in numbers {
            if let Err(error) = value.setattr(*name, *number) {
                return error;
            }
        }
    }
    error
}
