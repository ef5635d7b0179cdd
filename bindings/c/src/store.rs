//! A store: names to sealed secrets, opened together by those who ask for the same.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self_cell::self_cell;
use strongroom::{Exposed, OpeningShared, SharedOpened, Store, StoreError, Vault};

use crate::opened::OpenedHandle;
use crate::pointers::{Place, bytes, handle_place, place, shared, take_back};
use crate::status::{Failure, Status, border};
use crate::vault::{VaultHandle, time};

/// Names to secrets: sealed in ordinary memory, side by side, and opened in a vault.
pub struct StoreHandle {
    pub(crate) store: Arc<Store<Vec<u8>>>,
}

/// What a secret that is open for all stands on: its store, and the name it is asked for by.
pub(crate) struct Asked {
    store: Arc<Store<Vec<u8>>>,
    name: Box<[u8]>,
}

pub(crate) enum Asking<'a> {
    Waiting(OpeningShared<'a, 'a, Vec<u8>>),
    Open(SharedOpened<'a>),
    /// It failed, or is being opened.
    Over,
}

self_cell!(
    /// A secret that is open for all who ask for it, or will be, with its store.
    pub(crate) struct Together {
        owner: Asked,

        #[not_covariant]
        dependent: Asking,
    }
);

impl Together {
    fn open(
        store: &StoreHandle,
        name: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Self, StoreError> {
        Self::try_new(Asked::new(store, name), |Asked { store, name }| {
            let opened = match timeout {
                None => store.try_open(&**name),
                Some(timeout) => store.open_timeout(&**name, timeout),
            };
            opened.map(Asking::Open)
        })
    }

    pub(crate) fn waiting(store: &StoreHandle, name: &[u8]) -> Self {
        Self::new(Asked::new(store, name), |Asked { store, name }| {
            Asking::Waiting(store.open(&**name))
        })
    }

    /// Whether it is open now; if not, the task is woken.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        self.with_dependent_mut(|_, asking| {
            let Asking::Waiting(waiting) = asking else { return Poll::Ready(Ok(())) };
            let polled = Pin::new(waiting).poll(task);
            polled.map(|opened| {
                *asking = Asking::Over;
                *asking = Asking::Open(opened?);
                Ok(())
            })
        })
    }

    pub(crate) fn vault(&self) -> &Arc<Vault> {
        self.borrow_owner().store.vault()
    }

    /// # Panics
    /// If it is not open yet, before which nobody is given it.
    pub(crate) fn expose_secret(&self) -> Exposed<'_> {
        self.with_dependent(|_, asking| match asking {
            Asking::Open(opened) => opened.expose_secret(),
            Asking::Waiting(_) | Asking::Over => unreachable!("it is given out when it is open"),
        })
    }

    pub(crate) fn version(&self) -> u32 {
        self.with_dependent(|_, asking| match asking {
            Asking::Open(opened) => opened.version(),
            Asking::Waiting(_) | Asking::Over => 0,
        })
    }
}

impl Asked {
    fn new(store: &StoreHandle, name: &[u8]) -> Self {
        Self { store: Arc::clone(&store.store), name: name.into() }
    }
}

/// What a store holds and has seen. Later versions add fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StoreMetricsOut {
    /// Names that stand for a secret.
    pub secrets: u64,
    /// Bytes of ordinary memory for records.
    pub record_bytes: u64,
    /// Secrets that are open now, each counted once however many read it.
    pub open: u64,
    /// Of these, those that nobody reads and that linger.
    pub lingering: u64,
    /// How often a secret was decrypted to be read by whoever asks.
    pub decryptions: u64,
    /// How often one that lingered was given up because room was needed.
    pub given_up: u64,
}

/// Is called with each name and the version of its secret.
pub type NameVisitor = Option<
    unsafe extern "C" fn(
        name: *const c_void,
        name_len: usize,
        version: u32,
        user_data: *mut c_void,
    ),
>;

/// Makes an empty store, whose secrets are sealed and opened in the vault, or in a reserve of it.
///
/// It refuses more than `most` secrets; 0 for as many as memory holds. A secret stays open for
/// `linger_ms` milliseconds after its last reader has closed it, for whoever asks for it next, unless its
/// room is needed; 0 for not at all.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_new(
    vault: *const VaultHandle,
    most: usize,
    linger_ms: u64,
    store: *mut *mut StoreHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(store, "store") }?;
        // SAFETY: as above.
        let vault = unsafe { shared(vault, "vault") }?;
        let mut store = Store::new(vault.share.clone());
        if most > 0 {
            store = store.with_most(most);
        }
        if let Some(linger) = time(linger_ms) {
            store = store.with_lingering(linger);
        }
        place.give(StoreHandle { store: Arc::new(store) });
        Ok(())
    })
}

/// Takes a store back. Its records go when what is open of it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_store_free(store: *mut *mut StoreHandle) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(store, "store") }.map(drop)
    });
}

/// What calls have in common that put a secret under a name.
///
/// # Safety
/// What the header says of pointers.
unsafe fn put_in(
    store: *const StoreHandle,
    name: (*const c_void, usize),
    secret: (*const c_void, usize),
    version: *mut u32,
    put: impl FnOnce(&Store<Vec<u8>>, &[u8], &[u8]) -> Result<u32, StoreError>,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let version = unsafe { optional(version) };
        // SAFETY: as above.
        let store = unsafe { shared(store, "store") }?;
        // SAFETY: as above.
        let name = unsafe { bytes(name.0, name.1, "name") }?;
        // SAFETY: as above.
        let secret = unsafe { bytes(secret.0, secret.1, "secret") }?;
        let put = put(&store.store, name, secret)?;
        if let Some(version) = version {
            version.put(put);
        }
        Ok(())
    })
}

/// A place for an answer that need not be wanted.
///
/// # Safety
/// If it is not NULL, a `T` may be written there.
unsafe fn optional<T: Copy>(pointer: *mut T) -> Option<Place<T>> {
    // SAFETY: the contract is the same.
    unsafe { place(pointer, "") }.ok()
}

/// Seals a secret under a name that stands for none; else STRONGROOM_EXISTS. After `expires_ms`
/// milliseconds the name stands for nothing again; 0 for never. The version, which is 1, is stored in
/// `version` unless that is NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_insert(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    secret: *const c_void,
    secret_len: usize,
    expires_ms: u64,
    version: *mut u32,
) -> Status {
    let put = |store: &Store<_>, name: &[u8], secret: &[u8]| match time(expires_ms) {
        None => store.insert(name.to_vec(), secret),
        Some(time) => store.insert_for(name.to_vec(), secret, time),
    };
    // SAFETY: the caller promises what the header says of pointers.
    unsafe { put_in(store, (name, name_len), (secret, secret_len), version, put) }
}

/// Puts another secret in the place of a name's, or STRONGROOM_NOT_FOUND. At every moment the name opens
/// as one of the two; what is open stays what it was. Otherwise as strongroom_store_insert.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_replace(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    secret: *const c_void,
    secret_len: usize,
    expires_ms: u64,
    version: *mut u32,
) -> Status {
    let put = |store: &Store<_>, name: &[u8], secret: &[u8]| match time(expires_ms) {
        None => store.replace(name, secret),
        Some(time) => store.replace_for(name, secret, time),
    };
    // SAFETY: the caller promises what the header says of pointers.
    unsafe { put_in(store, (name, name_len), (secret, secret_len), version, put) }
}

/// Seals a secret under a name, in the place of another or of none. Otherwise as strongroom_store_insert.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_put(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    secret: *const c_void,
    secret_len: usize,
    expires_ms: u64,
    version: *mut u32,
) -> Status {
    let put = |store: &Store<_>, name: &[u8], secret: &[u8]| match time(expires_ms) {
        None => store.put(name, secret),
        Some(time) => store.put_for(name, secret, time),
    };
    // SAFETY: the caller promises what the header says of pointers.
    unsafe { put_in(store, (name, name_len), (secret, secret_len), version, put) }
}

/// Puts another secret in the place of a name's if that has the version `old` still, else
/// STRONGROOM_OTHER_VERSION: for those who have read it and made the new one of it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_replace_version(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    old: u32,
    secret: *const c_void,
    secret_len: usize,
    version: *mut u32,
) -> Status {
    let put =
        |store: &Store<_>, name: &[u8], secret: &[u8]| store.replace_version(name, old, secret);
    // SAFETY: the caller promises what the header says of pointers.
    unsafe { put_in(store, (name, name_len), (secret, secret_len), version, put) }
}

/// What calls have in common that ask of a name.
///
/// # Safety
/// What the header says of pointers.
unsafe fn ask(
    store: *const StoreHandle,
    name: (*const c_void, usize),
    ask: impl FnOnce(&StoreHandle, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // SAFETY: the caller promises what the header says of pointers.
    let store = unsafe { shared(store, "store") }?;
    // SAFETY: as above.
    let name = unsafe { bytes(name.0, name.1, "name") }?;
    store.store.vault().check()?;
    ask(store, name)
}

/// Removes a name and its secret, or STRONGROOM_NOT_FOUND. What is open of it stays open for those who
/// have it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_remove(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
) -> Status {
    border(|| {
        let remove = |store: &StoreHandle, name: &[u8]| {
            if store.store.remove(name) { Ok(()) } else { Err(StoreError::NotFound.into()) }
        };
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { ask(store, (name, name_len), remove) }
    })
}

/// Removes all whose time is over, and stores how many those were in `removed`, unless that is NULL: for
/// names that nobody asks for any more. It walks over all names.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_remove_expired(
    store: *const StoreHandle,
    removed: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let removed = unsafe { optional(removed) };
        // SAFETY: as above.
        let store = unsafe { shared(store, "store") }?;
        store.store.vault().check()?;
        let count = store.store.remove_expired();
        if let Some(removed) = removed {
            removed.put(count);
        }
        Ok(())
    })
}

/// Whether a name stands for a secret, stored in `contains`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_contains(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    contains: *mut bool,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let contains = unsafe { place(contains, "contains") }?;
        let look = |store: &StoreHandle, name: &[u8]| {
            contains.put(store.store.contains(name));
            Ok(())
        };
        // SAFETY: as above.
        unsafe { ask(store, (name, name_len), look) }
    })
}

/// The version of a name's secret, stored in `version`, or STRONGROOM_NOT_FOUND.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_version(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    version: *mut u32,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let version = unsafe { place(version, "version") }?;
        let look = |store: &StoreHandle, name: &[u8]| {
            version.put(store.store.version(name).ok_or(StoreError::NotFound)?);
            Ok(())
        };
        // SAFETY: as above.
        unsafe { ask(store, (name, name_len), look) }
    })
}

/// How many names stand for a secret, stored in `len`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_len(
    store: *const StoreHandle,
    len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let len = unsafe { place(len, "len") }?;
        // SAFETY: as above.
        len.put(unsafe { shared(store, "store") }?.store.len());
        Ok(())
    })
}

/// Calls `visit` with each name, in no order and under no lock. What is put in or removed meanwhile, by
/// `visit` too, may be missed or not.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_for_each_name(
    store: *const StoreHandle,
    visit: NameVisitor,
    user_data: *mut c_void,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let store = unsafe { shared(store, "store") }?;
        let visit = visit.ok_or(Failure::Null("visit"))?;
        store.store.for_each_name(|name, version| {
            // SAFETY: the program gave it to be called so.
            unsafe { visit(name.as_ptr().cast(), name.len(), version, user_data) };
        });
        Ok(())
    })
}

/// Opens a name's secret for all who ask for it, waiting as strongroom_open does. Those who open the same
/// name at the same time read the same memory: a thousand threads that use one password take one place in
/// the vault, and it is decrypted once. It can be read, not changed.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_open(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    timeout_ms: u64,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(opened, "opened") }?;
        let open = |store: &StoreHandle, name: &[u8]| {
            let opened = Together::open(store, name, time(timeout_ms))?;
            place.give(OpenedHandle::together(opened));
            Ok(())
        };
        // SAFETY: as above.
        unsafe { ask(store, (name, name_len), open) }
    })
}

/// Opens a name's secret for the caller alone, who may change what is open; that changes no record. It
/// may outlive the store. Otherwise as strongroom_open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_open_alone(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    timeout_ms: u64,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(opened, "opened") }?;
        let open = |store: &StoreHandle, name: &[u8]| {
            let secret = match time(timeout_ms) {
                None => store.store.try_open_alone(name),
                Some(timeout) => store.store.open_alone_timeout(name, timeout),
            }?;
            place.give(OpenedHandle::alone(secret));
            Ok(())
        };
        // SAFETY: as above.
        unsafe { ask(store, (name, name_len), open) }
    })
}

/// Counts what the store holds and has seen. `size` is sizeof *metrics: what this library counts beyond
/// that is left out, and what it does not count is 0.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_metrics_read(
    store: *const StoreHandle,
    metrics: *mut StoreMetricsOut,
    size: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let store = unsafe { shared(store, "store") }?;
        let seen = store.store.metrics();
        let seen = [
            seen.secrets as u64,
            seen.record_bytes as u64,
            seen.open as u64,
            seen.lingering as u64,
            seen.decryptions,
            seen.given_up,
        ];
        // SAFETY: as above.
        unsafe { crate::report::put_numbers(metrics.cast(), size, &seen) }
    })
}
