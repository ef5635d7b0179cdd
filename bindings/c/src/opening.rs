//! Waiting for room without a thread: a callback says when to ask again.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use strongroom::{OpenError, Opener, OwnedOpened, Sealed};

use crate::opened::OpenedHandle;
use crate::pointers::{Place, Places, alone, bytes, handle_place, shared, take_back};
use crate::status::{Failure, Status, border};
use crate::store::{StoreHandle, Together};
use crate::vault::{RequestIn, VaultHandle, opened_places, records};

/// A secret that is waited for: see strongroom_open_begin.
pub struct OpeningHandle {
    waiting: Waiting,
    bell: Arc<Bell>,
    waker: Waker,
}

enum Waiting {
    Alone(Pin<Box<dyn Future<Output = Result<OwnedOpened, OpenError>> + Send>>),
    Together(Together),
    Several(usize, Pin<Box<dyn Future<Output = Result<Vec<OwnedOpened>, OpenError>> + Send>>),
}

/// What is open when the waiting is over.
enum Secrets {
    One(OwnedOpened),
    Several(Vec<OwnedOpened>),
    /// It is in what waited for it.
    Within,
}

/// Who is called when it is worth asking again.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WakerIn {
    /// Is called, from whatever thread made room and under no lock, at most once after each
    /// STRONGROOM_PENDING. It must not wait; it may call this library. It may be called before the call
    /// that answers STRONGROOM_PENDING has returned, and now and then without need.
    pub wake: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    /// Is called once, from whatever thread, when `user_data` will not be used any more: to free it, say.
    /// Until then it may be, even after strongroom_opening_cancel; and it is called after a failure too,
    /// whichever that is. May be NULL.
    pub release: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    /// Is given to both.
    pub user_data: *mut c_void,
}

/// A program's callback, which rings once for each time that it is set.
struct Bell {
    is_set: AtomicBool,
    wake: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    release: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    user_data: *mut c_void,
}

impl Bell {
    /// The first thing a call does, so that the program's data is released whatever becomes of it.
    fn new(WakerIn { wake, release, user_data }: WakerIn) -> Arc<Self> {
        Arc::new(Self { is_set: AtomicBool::new(false), wake, release, user_data })
    }
}

// SAFETY: the pointer is not looked at here, and the program promises that its callbacks may be called
// from any thread.
unsafe impl Send for Bell {}
// SAFETY: as above.
unsafe impl Sync for Bell {}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_set.swap(false, Ordering::AcqRel)
            && let Some(wake) = self.wake
        {
            // SAFETY: the program gave it to be called so.
            unsafe { wake(self.user_data) };
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the program gave it to be called so; nobody rings any more.
            unsafe { release(self.user_data) };
        }
    }
}

impl OpeningHandle {
    fn new(bell: Arc<Bell>, waiting: Waiting) -> Result<Self, Failure> {
        bell.wake.ok_or(Failure::Null("waker.wake"))?;
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Self { waiting, bell, waker })
    }

    /// Looks whether it is there now; if not, the bell is set.
    fn poll(&mut self) -> Poll<Result<Secrets, Failure>> {
        self.bell.is_set.store(true, Ordering::Release);
        let task = &mut Context::from_waker(&self.waker);
        let polled = match &mut self.waiting {
            Waiting::Alone(opening) => {
                opening.as_mut().poll(task).map_ok(Secrets::One).map_err(Failure::from)
            }
            Waiting::Together(opening) => {
                opening.poll(task).map_ok(|()| Secrets::Within).map_err(Failure::from)
            }
            Waiting::Several(_, opening) => {
                opening.as_mut().poll(task).map_ok(Secrets::Several).map_err(Failure::from)
            }
        };
        if polled.is_ready() {
            self.bell.is_set.store(false, Ordering::Release);
        }
        polled
    }

    /// How many handles it comes to.
    fn count(&self) -> usize {
        if let Waiting::Several(count, _) = self.waiting { count } else { 1 }
    }

    fn opened(self, secrets: Secrets) -> Vec<OpenedHandle> {
        match (secrets, self.waiting) {
            (Secrets::One(secret), _) => vec![OpenedHandle::alone(secret)],
            (Secrets::Several(secrets), _) => {
                secrets.into_iter().map(OpenedHandle::alone).collect()
            }
            (Secrets::Within, Waiting::Together(secret)) => vec![OpenedHandle::together(secret)],
            (Secrets::Within, _) => Vec::new(),
        }
    }

    /// Gives out what came of it: the secret, or the opening itself as long as it waits.
    fn settle(
        mut self,
        opening: Place<*mut Self>,
        opened: &Places<OpenedHandle>,
    ) -> Result<(), Failure> {
        match self.poll() {
            Poll::Pending => {
                opening.give(self);
                Err(Failure::NotYet)
            }
            Poll::Ready(secrets) => {
                opened.give(self.opened(secrets?));
                Ok(())
            }
        }
    }
}

/// Opens a record without a thread that waits. STRONGROOM_OK: it is open, in `opened`. STRONGROOM_PENDING:
/// it waits in line, as `opening`, and `waker` is called when it is worth asking again
/// (strongroom_opening_finish). Anything else: it failed, and nothing waits.
///
/// The record and the context are copied. Who is woken and does not come within 50 milliseconds is passed
/// by others, and keeps the place in line.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_begin(
    vault: *const VaultHandle,
    record: *const c_void,
    record_len: usize,
    context: *const c_void,
    context_len: usize,
    waker: WakerIn,
    opening: *mut *mut OpeningHandle,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        let bell = Bell::new(waker);
        // SAFETY: the caller promises what the header says of pointers.
        let opening = unsafe { handle_place(opening, "opening") }?;
        // SAFETY: as above.
        let opened = unsafe { opened_places(opened, 1) }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: as above.
        let record: Box<[u8]> = unsafe { bytes(record, record_len, "record") }?.into();
        // SAFETY: as above.
        let context: Box<[u8]> = unsafe { bytes(context, context_len, "context") }?.into();
        let waiting = Waiting::Alone(Box::pin(share.open(Sealed::from_record(record), context)));
        OpeningHandle::new(bell, waiting)?.settle(opening, &opened)
    })
}

/// Opens `count` records, all or none (strongroom_open_all), without a thread that waits; otherwise as
/// strongroom_open_begin. `opened` has room for `count` handles, and so has that of
/// strongroom_opening_finish.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_all_begin(
    vault: *const VaultHandle,
    requests: *const RequestIn,
    count: usize,
    waker: WakerIn,
    opening: *mut *mut OpeningHandle,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        let bell = Bell::new(waker);
        // SAFETY: the caller promises what the header says of pointers.
        let opening = unsafe { handle_place(opening, "opening") }?;
        // SAFETY: the caller promises room for as many handles.
        let opened = unsafe { opened_places(opened, count) }?;
        // SAFETY: the caller promises what the header says of pointers.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: the caller promises as many requests.
        let records = unsafe { records(requests, count) }?;
        let owned = records.into_iter().map(|(record, context)| {
            (Sealed::from_record(Box::from(record.record())), Box::from(context))
        });
        let (share, owned) = (share.clone(), owned.collect());
        let opening_all = async move { share.open_many::<Box<[u8]>, Box<[u8]>>(owned).await };
        let waiting = Waiting::Several(count, Box::pin(opening_all));
        OpeningHandle::new(bell, waiting)?.settle(opening, &opened)
    })
}

/// Opens a name's secret for all who ask for it (strongroom_store_open) without a thread that waits;
/// otherwise as strongroom_open_begin.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_store_open_begin(
    store: *const StoreHandle,
    name: *const c_void,
    name_len: usize,
    waker: WakerIn,
    opening: *mut *mut OpeningHandle,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        let bell = Bell::new(waker);
        // SAFETY: the caller promises what the header says of pointers.
        let opening = unsafe { handle_place(opening, "opening") }?;
        // SAFETY: as above.
        let opened = unsafe { opened_places(opened, 1) }?;
        // SAFETY: as above.
        let store = unsafe { shared(store, "store") }?;
        // SAFETY: as above.
        let name = unsafe { bytes(name, name_len, "name") }?;
        let waiting = Waiting::Together(Together::waiting(store, name));
        OpeningHandle::new(bell, waiting)?.settle(opening, &opened)
    })
}

/// Room for a new secret of `len` bytes (strongroom_allocate) without a thread that waits; otherwise as
/// strongroom_open_begin.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_allocate_begin(
    vault: *const VaultHandle,
    len: usize,
    waker: WakerIn,
    opening: *mut *mut OpeningHandle,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        let bell = Bell::new(waker);
        // SAFETY: the caller promises what the header says of pointers.
        let opening = unsafe { handle_place(opening, "opening") }?;
        // SAFETY: as above.
        let opened = unsafe { opened_places(opened, 1) }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        let waiting = Waiting::Alone(Box::pin(share.allocate(len)));
        OpeningHandle::new(bell, waiting)?.settle(opening, &opened)
    })
}

/// Asks again. STRONGROOM_PENDING: not yet, and the waker is called anew. Anything else ends the opening
/// and takes it back: STRONGROOM_OK with the secret in `opened`, or why it failed.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_opening_finish(
    opening: *mut *mut OpeningHandle,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let _ = unsafe { handle_place(opened, "opened") }?;
        // SAFETY: as above.
        let handle = *unsafe { alone(opening, "opening") }?;
        // SAFETY: as above.
        let waiting = unsafe { alone(handle, "opening") }?;
        // SAFETY: the caller promises room for as many handles as were asked for.
        let opened = unsafe { opened_places(opened, waiting.count()) }?;
        let polled = waiting.poll();
        let Poll::Ready(secrets) = polled else { return Err(Failure::NotYet) };
        // SAFETY: as above; nothing else refers to it any more.
        let waiting = unsafe { take_back(opening, "opening") }?;
        let secrets = secrets?;
        if let Some(waiting) = waiting {
            opened.give(waiting.opened(secrets));
        }
        Ok(())
    })
}

/// Ends the waiting, gives the place in line to the next, and takes the opening back. A callback may be
/// running in another thread still, or just about to: `release` says when there is none any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_opening_cancel(opening: *mut *mut OpeningHandle) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(opening, "opening") }.map(drop)
    });
}
