//! What a call came to: a status for the program, and a sentence for a person.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char};
use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use strongroom::{
    CloneWatchError, Fault, InstallError, NotInstalled, OpenError, SealError, StoreError,
    StreamError, VaultError,
};

use crate::report::put_numbers;

/// What a call came to. Values stay as they are; new ones may be added.
/// cbindgen:rename-all=prefix:STRONGROOM_
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "C's names for them, without the prefix")]
pub enum Status {
    /// It was done.
    OK = 0,
    /// A pointer is NULL that must not be.
    NULL_ARGUMENT = 1,
    /// An argument is none that could be meant: the message says which, and what could.
    INVALID_ARGUMENT = 2,
    /// There is no room now: close an open secret, wait, or give the vault a larger budget.
    FULL = 3,
    /// There was no room in time.
    TIMED_OUT = 4,
    /// It would not fit even if nothing else were open.
    TOO_LARGE = 5,
    /// What was asked for together could not be open together even if nothing else were.
    NEVER_TOGETHER = 6,
    /// The record was changed, is another's, or belongs to another vault or context.
    TAMPERED = 7,
    /// The vault was destroyed, or all memory was wiped.
    DESTROYED = 8,
    /// This process was forked from the one that made the vault, and sees nothing of it.
    FORKED = 9,
    /// The operating system gives no random bytes.
    NO_ENTROPY = 10,
    /// A share of the key cannot rest in the kernel's keyring, or is not there any more.
    KEY_SHARE = 11,
    /// The memory could not be locked.
    NOT_LOCKED = 12,
    /// The budget is too small, or ends below its start.
    BUDGET = 13,
    /// So much was sealed that the vault must be renewed, or another be made.
    EXHAUSTED = 14,
    /// The buffer for the answer is too small; how long it must be was stored where the length goes.
    BUFFER_TOO_SMALL = 15,
    /// Not yet: the callback is called when it may be tried again; a stream wants more bytes first.
    PENDING = 16,
    /// Bytes of the secret are out: end the exposure first.
    EXPOSED = 17,
    /// There is no exposure to end.
    NOT_EXPOSED = 18,
    /// The secret is open for others too and cannot be changed: open it alone.
    SHARED = 19,
    /// The store has no secret of that name, or the vault no reserve.
    NOT_FOUND = 20,
    /// The name has a secret already.
    EXISTS = 21,
    /// The secret was replaced meanwhile.
    OTHER_VERSION = 22,
    /// The store holds as many secrets as it may.
    STORE_FULL = 23,
    /// The name's secret was replaced as often as can be counted.
    VERSIONS_USED_UP = 24,
    /// This is no sealed stream.
    NOT_A_STREAM = 25,
    /// The stream's chunks are longer than the room for one.
    CHUNK_TOO_LONG = 26,
    /// The stream ends before its last chunk.
    TRUNCATED = 27,
    /// Something follows the end of the stream.
    FOLLOWED = 28,
    /// The stream was ended.
    ENDED = 29,
    /// A vault is installed for strongroom_malloc already.
    ALREADY_INSTALLED = 30,
    /// Damage was found: something wrote past an end of a secret, or into free memory.
    DAMAGED = 31,
    /// A fault inside this library. Please report it, with the message.
    INTERNAL = 32,
    /// The memory cannot have the windows that were asked for; or it would have to hand out plain pointers,
    /// which memory with windows does not.
    WINDOWS_REFUSED = 33,
    /// Nothing tells this process that its machine was cloned: the message says why, and what would.
    CLONES_UNSEEN = 34,
}

/// Why a call was not done.
pub(crate) enum Failure {
    Null(&'static str),
    Invalid(String),
    Vault(VaultError),
    Open(OpenError),
    Seal(SealError),
    Store(StoreError),
    Stream(StreamError),
    Install(InstallError),
    Clones(CloneWatchError),
    Damage(Fault),
    TooSmall {
        needed: usize,
        given: usize,
    },
    Exposed {
        exposures: usize,
    },
    NotExposed,
    /// All of them are other threads', which have the windows.
    OtherThreads {
        exposures: usize,
    },
    Shared,
    NotYet,
    /// A stream wants more bytes.
    Wanting,
    NoReserve,
    Panic(String),
}

impl Failure {
    fn status(&self) -> Status {
        match self {
            Self::Null(_) => Status::NULL_ARGUMENT,
            Self::Invalid(_) => Status::INVALID_ARGUMENT,
            Self::Vault(error) | Self::Install(InstallError::Vault(error)) => of_vault(error),
            Self::Open(error) => of_open(error),
            Self::Seal(error) => of_seal(error),
            Self::Store(error) => of_store(error),
            Self::Stream(error) => of_stream(error),
            Self::Install(InstallError::AlreadyInstalled) => Status::ALREADY_INSTALLED,
            Self::Clones(_) => Status::CLONES_UNSEEN,
            Self::Damage(_) => Status::DAMAGED,
            Self::TooSmall { .. } => Status::BUFFER_TOO_SMALL,
            Self::Exposed { .. } => Status::EXPOSED,
            Self::NotExposed | Self::OtherThreads { .. } => Status::NOT_EXPOSED,
            Self::Shared => Status::SHARED,
            Self::NotYet | Self::Wanting => Status::PENDING,
            Self::NoReserve => Status::NOT_FOUND,
            Self::Install(_) | Self::Panic(_) => Status::INTERNAL,
        }
    }

    /// In the order of [`NumbersOut`].
    fn numbers(&self) -> [u64; 7] {
        let error = match self {
            Self::Open(error)
            | Self::Store(StoreError::Open(error))
            | Self::Stream(StreamError::Open(error)) => error,
            Self::TooSmall { needed, .. } => return [*needed as u64, 0, 0, 0, 0, 0, 0],
            _ => return [0; 7],
        };
        let (shortage, waited) = match error {
            OpenError::Full(shortage) => (shortage, Duration::ZERO),
            OpenError::TimedOut { waited, shortage } => (shortage, *waited),
            OpenError::TooLarge { requested, largest } => {
                return [*requested as u64, *largest as u64, 0, 0, 0, 0, 0];
            }
            OpenError::NeverTogether { requested, .. } => {
                return [*requested as u64, 0, 0, 0, 0, 0, 0];
            }
            _ => return [0; 7],
        };
        [
            shortage.requested as u64,
            0,
            shortage.held as u64,
            shortage.capacity as u64,
            shortage.waiters as u64,
            u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX),
            u64::from(shortage.growth_refused),
        ]
    }

    /// What unwound: a fault on its way from where it was found, or a fault of the library's own.
    pub(crate) fn of_panic(payload: Box<dyn Any + Send>) -> Self {
        let payload = match payload.downcast::<Fault>() {
            Ok(fault) => return Self::Damage(*fault),
            Err(payload) => payload,
        };
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        // Its drop could unwind too.
        std::mem::forget(payload);
        Self::Panic(text.unwrap_or_default())
    }
}

fn of_vault(error: &VaultError) -> Status {
    match error {
        VaultError::Lock(_) => Status::NOT_LOCKED,
        VaultError::Arena(_)
        | VaultError::NoRoomForKey(_)
        | VaultError::CeilingBelowFloor { .. } => Status::BUDGET,
        VaultError::NoEntropy => Status::NO_ENTROPY,
        VaultError::KeyShare(_) => Status::KEY_SHARE,
        VaultError::Windows(_) => Status::WINDOWS_REFUSED,
        VaultError::Wiped => Status::DESTROYED,
        _ => Status::INTERNAL,
    }
}

fn of_open(error: &OpenError) -> Status {
    match error {
        OpenError::Full(_) => Status::FULL,
        OpenError::TimedOut { .. } => Status::TIMED_OUT,
        OpenError::TooLarge { .. } => Status::TOO_LARGE,
        OpenError::NeverTogether { .. } => Status::NEVER_TOGETHER,
        OpenError::Tampered => Status::TAMPERED,
        OpenError::Destroyed => Status::DESTROYED,
        OpenError::Forked => Status::FORKED,
        OpenError::NoEntropy => Status::NO_ENTROPY,
        OpenError::KeyShare(_) => Status::KEY_SHARE,
        OpenError::NotUtf8 => Status::INVALID_ARGUMENT,
        _ => Status::INTERNAL,
    }
}

fn of_seal(error: &SealError) -> Status {
    use strongroom::strongroom_core::SealError as Core;
    match error {
        SealError::Destroyed => Status::DESTROYED,
        SealError::Forked => Status::FORKED,
        SealError::NoEntropy => Status::NO_ENTROPY,
        SealError::KeyShare(_) => Status::KEY_SHARE,
        SealError::Enclave(Core::TooLong { .. }) => Status::TOO_LARGE,
        SealError::Enclave(Core::Exhausted) => Status::EXHAUSTED,
        _ => Status::INTERNAL,
    }
}

fn of_store(error: &StoreError) -> Status {
    match error {
        StoreError::NotFound => Status::NOT_FOUND,
        StoreError::Exists { .. } => Status::EXISTS,
        StoreError::OtherVersion { .. } => Status::OTHER_VERSION,
        StoreError::Full { .. } => Status::STORE_FULL,
        StoreError::VersionsUsedUp => Status::VERSIONS_USED_UP,
        StoreError::Seal(error) => of_seal(error),
        StoreError::Open(error) => of_open(error),
        _ => Status::INTERNAL,
    }
}

fn of_stream(error: &StreamError) -> Status {
    match error {
        StreamError::NotAStream => Status::NOT_A_STREAM,
        StreamError::ChunkTooLong { .. } => Status::CHUNK_TOO_LONG,
        StreamError::Tampered { .. } => Status::TAMPERED,
        StreamError::Truncated { .. } => Status::TRUNCATED,
        StreamError::Followed => Status::FOLLOWED,
        StreamError::Ended => Status::ENDED,
        StreamError::NoRoom => Status::INVALID_ARGUMENT,
        StreamError::Open(error) => of_open(error),
        StreamError::Seal(error) => of_seal(error),
        _ => Status::INTERNAL,
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null(name) => {
                write!(f, "the argument `{name}` is NULL: give a pointer to what it says")
            }
            Self::Invalid(text) => f.write_str(text),
            Self::Vault(error) => Display::fmt(error, f),
            Self::Open(error) => Display::fmt(error, f),
            Self::Seal(error) => Display::fmt(error, f),
            Self::Store(error) => Display::fmt(error, f),
            Self::Stream(error) => Display::fmt(error, f),
            Self::Install(InstallError::AlreadyInstalled) => f.write_str(
                "a vault is installed for strongroom_malloc already: install one before the first call",
            ),
            Self::Install(error) => Display::fmt(error, f),
            Self::Clones(error) => Display::fmt(error, f),
            Self::Damage(fault) => write!(
                f,
                "{fault}: look for what writes past an end of a secret, or uses one that was closed; the \
                 memory was wiped and is not used again"
            ),
            Self::TooSmall { needed, given } => {
                write!(f, "the answer takes {needed} bytes, and there is room for {given}")
            }
            Self::Exposed { exposures } => write!(
                f,
                "{exposures} exposures of the secret have not ended: call strongroom_opened_end for each"
            ),
            Self::NotExposed => f.write_str(
                "the secret is not exposed: strongroom_opened_end ends what strongroom_opened_read or \
                 strongroom_opened_write began, once",
            ),
            Self::OtherThreads { exposures } => write!(
                f,
                "{exposures} exposures of the secret are other threads', none is this one's: a window ends in \
                 the thread that began it, so call strongroom_opened_end there"
            ),
            Self::Shared => f.write_str(
                "the secret is open for others too and cannot be changed: open it with \
                 strongroom_store_open_alone",
            ),
            Self::NotYet => f.write_str("not yet: wait until the callback is called"),
            Self::Wanting => f.write_str(
                "the stream's next chunk is not here yet: push more of it, or no bytes at its end",
            ),
            Self::NoReserve => f.write_str(
                "the vault has no reserve of that name: name one in its options with \
                 strongroom_options_reserve",
            ),
            Self::Panic(text) => {
                write!(f, "a fault inside strongroom, which is none of yours; please report it: {text}")
            }
        }
    }
}

macro_rules! failures {
    ($($error:ty => $variant:ident),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

failures!(
    VaultError => Vault, OpenError => Open, SealError => Seal, StoreError => Store,
    StreamError => Stream, InstallError => Install, CloneWatchError => Clones, Fault => Damage
);

impl From<NotInstalled> for Failure {
    fn from(_: NotInstalled) -> Self {
        Self::Open(OpenError::Forked)
    }
}

/// Calls what an exported function does, and answers with a status: nothing unwinds over the border.
pub(crate) fn border(call: impl FnOnce() -> Result<(), Failure>) -> Status {
    match caught(call) {
        Ok(()) => Status::OK,
        Err(failure) => note(failure),
    }
}

/// Calls it, and has what unwinds as a value.
pub(crate) fn caught<R>(call: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    let within = Within::enter();
    let settled = catch_unwind(AssertUnwindSafe(call));
    drop(within);
    settled.unwrap_or_else(|payload| Err(Failure::of_panic(payload)))
}

/// Keeps a failure as the thread's last.
pub(crate) fn note(failure: Failure) -> Status {
    let status = failure.status();
    // At a thread's very end there is nobody to read it.
    let _ = LAST.try_with(|last| last.borrow_mut().failure = Some(failure));
    status
}

/// Whether the thread is in a call, which catches what unwinds.
pub(crate) fn is_within() -> bool {
    WITHIN.try_with(|within| within.get() > 0).unwrap_or(false)
}

struct Within;

impl Within {
    fn enter() -> Self {
        let _ = WITHIN.try_with(|within| within.set(within.get() + 1));
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let _ = WITHIN.try_with(|within| within.set(within.get() - 1));
    }
}

#[derive(Default)]
struct Last {
    failure: Option<Failure>,
    text: CString,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
    static WITHIN: Cell<usize> = const { Cell::new(0) };
}

/// Why the calling thread's last call that failed did: the cause, the numbers, and what to change. An
/// empty text if none did. It stays until the thread calls this function again, or ends.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_error_message() -> *const c_char {
    LAST.try_with(|last| {
        let Last { failure, text } = &mut *last.borrow_mut();
        let message = failure.as_ref().map(ToString::to_string).unwrap_or_default();
        *text = CString::new(message.replace('\0', " ")).unwrap_or_default();
        text.as_ptr()
    })
    .unwrap_or(c"".as_ptr())
}

/// The numbers behind a failure; 0 for what is not about it. Later versions add fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NumbersOut {
    /// The bytes that were asked for.
    pub requested: u64,
    /// The most bytes that a secret can have in this vault, if those were more.
    pub largest: u64,
    /// Secrets that were open when there was no room.
    pub held: u64,
    /// The bytes that open secrets can share.
    pub capacity: u64,
    /// Callers that were waiting.
    pub waiters: u64,
    /// How long it was waited for, in nanoseconds.
    pub waited_ns: u64,
    /// 1 if the budget allows more, but the system would not lock it.
    pub growth_refused: u64,
}

/// The numbers behind what strongroom_error_message tells of the calling thread's last failure. `size` is
/// sizeof *numbers: what this library knows beyond that is left out, and what it does not know is 0.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_error_numbers_read(
    numbers: *mut NumbersOut,
    size: usize,
) -> Status {
    let known =
        LAST.try_with(|last| last.borrow().failure.as_ref().map_or([0; 7], Failure::numbers));
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { put_numbers(numbers.cast(), size, &known.unwrap_or_default()) }
    })
}

/// The library's version, as in "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
