//! An open secret: to be read and written between a call that exposes it and one that ends that.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom::{Exposed, OwnedOpened, Vault, WindowKind};

use crate::fault;
use crate::pointers::{Place, bytes, place, shared, take_back};
use crate::status::{Failure, Status, border};
use crate::store::Together;
use crate::vault::RecordRoom;
use crate::window::Window;
use crate::windows::Windows;

/// An open secret, in locked memory between canaries. Close it as soon as it was used.
pub struct OpenedHandle {
    secret: UnsafeCell<Secret>,
    /// How many read it; [`WRITTEN`] if one writes.
    exposures: AtomicUsize,
    /// What those of them have open that last beyond a call, where the vault has windows.
    windows: Option<Windows>,
}

enum Secret {
    Alone(OwnedOpened),
    Together(Together),
}

const WRITTEN: usize = usize::MAX;

/// What is shared between threads is shared by these.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<OwnedOpened>();
    is_shared::<strongroom::SharedOpened<'static>>();
};

impl OpenedHandle {
    pub(crate) fn alone(secret: OwnedOpened) -> Self {
        Self::new(Secret::Alone(secret))
    }

    pub(crate) fn together(secret: Together) -> Self {
        Self::new(Secret::Together(secret))
    }

    fn new(secret: Secret) -> Self {
        let windows = Windows::of(secret.vault());
        Self { secret: UnsafeCell::new(secret), exposures: AtomicUsize::new(0), windows }
    }

    /// Calls `look` with the secret, which nobody writes meanwhile.
    fn look<R>(&self, look: impl FnOnce(&[u8]) -> Result<R, Failure>) -> Result<R, Failure> {
        let reading = Exposure::begin(self)?;
        let vault = reading.secret().vault();
        vault.check()?;
        let looked = look(&reading.secret().expose());
        // What was wiped meanwhile is not what was open.
        vault.check()?;
        looked
    }

    /// Calls `change` with the secret, which nobody else reads or writes meanwhile.
    fn change<R>(
        &self,
        change: impl FnOnce(&mut OwnedOpened) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let writing = Exposure::begin_writing(self)?;
        change(writing.secret_mut()?)
    }

    /// Ends an exposure that was kept.
    fn end_kept(&self) -> Result<(), Failure> {
        self.windows.as_ref().map_or(Ok(()), Windows::end)?;
        self.end()
    }

    fn end(&self) -> Result<(), Failure> {
        let ended =
            self.exposures.fetch_update(Ordering::Release, Ordering::Relaxed, |exposures| {
                if exposures == WRITTEN { Some(0) } else { exposures.checked_sub(1) }
            });
        ended.map(drop).map_err(|_| Failure::NotExposed)
    }
}

/// How many that are, for a person.
fn count(exposures: usize) -> usize {
    if exposures == WRITTEN { 1 } else { exposures }
}

/// One exposure, which ends when dropped, or is kept beyond the call: by its count, and with its window if
/// it has one.
struct Exposure<'o>(&'o OpenedHandle);

impl<'o> Exposure<'o> {
    fn begin(opened: &'o OpenedHandle) -> Result<Self, Failure> {
        let begun =
            opened.exposures.fetch_update(Ordering::Acquire, Ordering::Relaxed, |exposures| {
                exposures.checked_add(1).filter(|&exposures| exposures != WRITTEN)
            });
        begun.map_err(|_| Failure::Exposed { exposures: 1 })?;
        Ok(Self(opened))
    }

    fn begin_writing(opened: &'o OpenedHandle) -> Result<Self, Failure> {
        let begun =
            opened.exposures.compare_exchange(0, WRITTEN, Ordering::Acquire, Ordering::Relaxed);
        begun.map_err(|exposures| Failure::Exposed { exposures: count(exposures) })?;
        Ok(Self(opened))
    }

    /// Of one that was begun to write.
    fn secret_mut(&self) -> Result<&'o mut OwnedOpened, Failure> {
        // SAFETY: no other exposure is there, and none begins until this one has ended.
        match unsafe { &mut *self.0.secret.get() } {
            Secret::Together(_) => Err(Failure::Shared),
            Secret::Alone(secret) => {
                secret.vault().check()?;
                Ok(secret)
            }
        }
    }

    fn secret(&self) -> &'o Secret {
        // SAFETY: this exposure keeps those who would write from beginning.
        unsafe { &*self.0.secret.get() }
    }

    fn keep(self, window: impl FnOnce(WindowKind) -> Window) {
        if let Some(windows) = &self.0.windows {
            windows.keep(window(windows.kind()));
        }
        mem::forget(self);
    }
}

impl Drop for Exposure<'_> {
    fn drop(&mut self) {
        // It has begun, so it ends.
        let _ = self.0.end();
    }
}

impl Secret {
    fn vault(&self) -> &Arc<Vault> {
        match self {
            Self::Alone(secret) => secret.vault(),
            Self::Together(secret) => secret.vault(),
        }
    }

    fn expose(&self) -> Exposed<'_> {
        match self {
            Self::Alone(secret) => secret.expose_secret(),
            Self::Together(secret) => secret.expose_secret(),
        }
    }
}

/// The secret's length in bytes, stored in `len`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_len(
    opened: *const OpenedHandle,
    len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let len = unsafe { place(len, "len") }?;
        // SAFETY: as above.
        let opened = unsafe { shared(opened, "opened") }?;
        len.put(opened.look(|secret| Ok(secret.len()))?);
        Ok(())
    })
}

/// Which version of its name's secret it is, stored in `version`; 0 if it was not opened by
/// strongroom_store_open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_version(
    opened: *const OpenedHandle,
    version: *mut u32,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let version = unsafe { place(version, "version") }?;
        // SAFETY: as above.
        let reading = Exposure::begin(unsafe { shared(opened, "opened") }?)?;
        version.put(match reading.secret() {
            Secret::Alone(_) => 0,
            Secret::Together(secret) => secret.version(),
        });
        Ok(())
    })
}

/// Exposes the secret to be read: its bytes stay where `bytes` points to until strongroom_opened_end,
/// which the same thread calls once for each exposure. Several may read at once.
///
/// Where the vault has windows (strongroom_options_windows) its memory is open from here to there, and whoever
/// touches it before or afterwards ends the process.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_read(
    opened: *const OpenedHandle,
    bytes: *mut *const u8,
    len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let first = unsafe { place(bytes, "bytes") }?;
        // SAFETY: as above.
        let len = unsafe { place(len, "len") }?;
        // SAFETY: as above.
        let reading = Exposure::begin(unsafe { shared(opened, "opened") }?)?;
        reading.secret().vault().check()?;
        let exposed = reading.secret().expose();
        show(exposed.as_ptr(), exposed.len(), first, len);
        // SAFETY: the secret stays where it is until it is closed, which is refused while it is exposed.
        reading.keep(|kind| unsafe { Window::reading(kind, exposed) });
        Ok(())
    })
}

/// Exposes the secret to be changed, by nobody else, until strongroom_opened_end. One that is open for
/// others too (strongroom_store_open) is refused with STRONGROOM_SHARED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_write(
    opened: *const OpenedHandle,
    bytes: *mut *mut u8,
    len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let first = unsafe { place(bytes, "bytes") }?;
        // SAFETY: as above.
        let len = unsafe { place(len, "len") }?;
        // SAFETY: as above.
        let writing = Exposure::begin_writing(unsafe { shared(opened, "opened") }?)?;
        let mut exposed = writing.secret_mut()?.expose_secret_mut();
        show(exposed.as_mut_ptr(), exposed.len(), first, len);
        // SAFETY: as for what is exposed to be read.
        writing.keep(|kind| unsafe { Window::writing(kind, exposed) });
        Ok(())
    })
}

fn show<P>(first: P, count: usize, bytes: Place<P>, len: Place<usize>) {
    bytes.put(first);
    len.put(count);
}

/// Ends what strongroom_opened_read or strongroom_opened_write began; the bytes must not be used any more.
/// STRONGROOM_NOT_EXPOSED if nothing was begun, or, where the vault has windows, not by this thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_end(opened: *const OpenedHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { shared(opened, "opened") }?.end_kept()
    })
}

/// What shuts the memory that the secret is in, stored in `windows`: STRONGROOM_WINDOWS_NONE,
/// STRONGROOM_WINDOWS_PAGES or STRONGROOM_WINDOWS_KEYS. For whoever would keep its bytes exposed for long.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_windows(
    opened: *const OpenedHandle,
    windows: *mut u32,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let windows = unsafe { place(windows, "windows") }?;
        // SAFETY: as above.
        let reading = Exposure::begin(unsafe { shared(opened, "opened") }?)?;
        windows.put(match reading.secret().vault().windows() {
            WindowKind::Pages => 1,
            WindowKind::Keys => 2,
            _ => 0,
        });
        Ok(())
    })
}

/// Whether the secret equals `other`, stored in `equal`, in a time that depends on the lengths alone.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_equals(
    opened: *const OpenedHandle,
    other: *const c_void,
    other_len: usize,
    equal: *mut bool,
) -> Status {
    use subtle::ConstantTimeEq;
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let equal = unsafe { place(equal, "equal") }?;
        // SAFETY: as above.
        let other = unsafe { bytes(other, other_len, "other") }?;
        // SAFETY: as above.
        let opened = unsafe { shared(opened, "opened") }?;
        equal.put(opened.look(|secret| Ok(secret.ct_eq(other).into()))?);
        Ok(())
    })
}

/// Fills the secret with random bytes, from the vault's generator: a new key.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_fill_random(opened: *const OpenedHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let opened = unsafe { shared(opened, "opened") }?;
        opened.change(|secret| Ok(secret.fill_random()?))
    })
}

/// Seals the secret from where it is open, as strongroom_seal does. It stays open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_seal(
    opened: *const OpenedHandle,
    context: *const c_void,
    context_len: usize,
    record: *mut c_void,
    record_capacity: usize,
    record_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let opened = unsafe { shared(opened, "opened") }?;
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        opened.look(|secret| {
            // SAFETY: as above.
            let record =
                unsafe { RecordRoom::new(secret.len(), record, record_capacity, record_len) }?;
            record.seal(Exposure::begin(opened)?.secret().vault(), secret, context)
        })
    })
}

/// Closes an open secret: wipes it and makes room for those who wait. STRONGROOM_DAMAGED if something
/// wrote past an end of it; it is closed all the same. STRONGROOM_EXPOSED if an exposure has not ended;
/// it is then as it was. A forked child may close what its parent opened.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opened_close(opened: *mut *mut OpenedHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let handle = *unsafe { shared(opened.cast_const(), "opened") }?;
        // SAFETY: as above; it may be NULL.
        if let Some(handle) = unsafe { handle.as_ref() } {
            let exposures = handle.exposures.load(Ordering::Acquire);
            if exposures > 0 {
                return Err(Failure::Exposed { exposures: count(exposures) });
            }
        }
        // SAFETY: as above.
        let Some(opened) = unsafe { take_back(opened, "opened") }? else { return Ok(()) };
        close(*opened)
    })
}

pub(crate) fn close(opened: OpenedHandle) -> Result<(), Failure> {
    match opened.secret.into_inner() {
        Secret::Alone(secret) => secret.release().map_err(|fault| {
            fault::tell(fault);
            Failure::Damage(fault)
        }),
        // What is damaged is told to the handler, or unwinds to where the call is caught.
        Secret::Together(secret) => {
            drop(secret);
            Ok(())
        }
    }
}
