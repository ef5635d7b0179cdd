//! The part of the Python package `strongroom` that is written in Rust: classes over the crate of that
//! name. What is plain Python about it stands in `python/strongroom`.
//!
//! # How it is built
//!
//! | file | what it is |
//! |---|---|
//! | `lent` | memory and descriptors that Python lends, and a buffer that is lent to Python |
//! | `kept` | a store's open secret together with the store |
//! | `errors` | the crate's errors as exceptions of `strongroom._errors` |
//! | `arguments` | what Python's arguments mean |
//! | `wait` | a thread waits for a future, without the interpreter's lock and not deaf to signals |
//! | `opened` | an open secret, and the view that is given of it |
//! | `window` | what keeps a secret's memory open while there are views of it; the C library's |
//! | `pending` | a task of asyncio's waits for a future |
//! | `reading` | secrets read from descriptors, line by line or whole |
//! | `sealed` `vault` `store` `facts` | the other classes |
//!
//! # Locks
//! A `Mutex` of this crate is locked by a thread that has the interpreter's lock and keeps it, and no
//! Python code runs meanwhile: so nobody ever waits for one, and a forked child finds none taken. What the
//! library calls from other threads, wakers and fault handlers, never touches the interpreter.
#![deny(unsafe_code)]

mod arguments;
mod errors;
mod facts;
#[expect(unsafe_code, reason = "keeps a store's secret together with the store that it borrows")]
mod kept;
#[expect(unsafe_code, reason = "reads and fills in what Python describes by pointers and numbers")]
mod lent;
#[expect(
    unsafe_code,
    reason = "is a buffer of Python's, whose two functions are unsafe by contract"
)]
mod opened;
mod pending;
mod reading;
mod sealed;
mod store;
mod vault;
mod wait;
#[expect(unsafe_code, reason = "keeps a window that borrows from what it shows")]
#[path = "../../c/src/window.rs"]
mod window;

/// The classes and functions that `strongroom/__init__.py` shows.
// Views of locked memory are read and written without a lock but the interpreter's.
#[pyo3::pymodule(gil_used = true)]
mod _strongroom {
    use std::sync::OnceLock;

    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::facts::{Limits, Metrics, Protections, StoreMetrics, raise_soft_limit, read_limits};
    #[pymodule_export]
    use crate::lent::wipe;
    #[pymodule_export]
    use crate::opened::Opened;
    #[pymodule_export]
    use crate::pending::{Bell, Pending};
    #[pymodule_export]
    use crate::sealed::Sealed;
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::vault::{Vault, renew_all, renew_when_cloned, wipe_all};

    /// Classes belong to the interpreter that was first. Python 3.12 and later see to that themselves.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        static FIRST: OnceLock<i64> = OnceLock::new();
        let this = crate::lent::interpreter(module.py());
        if *FIRST.get_or_init(|| this) == this {
            return Ok(());
        }
        Err(PyImportError::new_err("strongroom is used by one interpreter of a process alone"))
    }
}
