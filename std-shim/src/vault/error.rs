//! What a vault answers when it cannot do what it was asked for.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use strongroom_core::{AllocateError, ArenaError};

use super::key_share::KeyShareError;
use crate::debug::debug_as_displayed;
use crate::pages::{LockError, SealedMappingError};
use crate::windows::WindowError;

debug_as_displayed!(VaultError, OpenError, SealError);

/// A vault could not be made. Nothing stays locked.
#[non_exhaustive]
pub enum VaultError {
    /// The memory could not be locked.
    Lock(LockError),
    /// The arena could not be made in it.
    Arena(ArenaError),
    /// The operating system gives no random bytes: a filter forbids `getrandom(2)`, say.
    NoEntropy,
    /// The arena is too small for the key.
    NoRoomForKey(AllocateError),
    /// A share of the key cannot rest where it was asked to.
    KeyShare(KeyShareError),
    /// The memory cannot have the windows that were asked for.
    Windows(WindowError),
    /// The mappings cannot be sealed, as was asked for.
    SealedMapping(SealedMappingError),
    /// All memory of this process was wiped ([`wipe_all`](crate::wipe_all)): it is about to end.
    Wiped,
    /// The budget's end is below its start.
    CeilingBelowFloor {
        /// The bytes to lock from the start.
        floor: usize,
        /// The bytes to lock at most.
        ceiling: usize,
    },
}

impl Display for VaultError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => Display::fmt(error, f),
            Self::Arena(error) => Display::fmt(error, f),
            Self::NoEntropy => Display::fmt(&OpenError::NoEntropy, f),
            Self::NoRoomForKey(error) => write!(f, "the budget is too small for the key: {error}"),
            Self::KeyShare(error) => Display::fmt(error, f),
            Self::Windows(error) => Display::fmt(error, f),
            Self::SealedMapping(error) => Display::fmt(error, f),
            Self::Wiped => f.write_str(
                "wipe_all was called: this process is about to end and makes no vault any more",
            ),
            Self::CeilingBelowFloor { floor, ceiling } => write!(
                f,
                "a budget that begins at {floor} bytes cannot end at {ceiling}: raise the ceiling or \
                 lower the floor"
            ),
        }
    }
}

impl Error for VaultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lock(error) => Some(error),
            Self::Arena(error) => Some(error),
            Self::NoRoomForKey(error) => Some(error),
            Self::KeyShare(error) => Some(error),
            Self::Windows(error) => Some(error),
            Self::SealedMapping(error) => Some(error),
            Self::NoEntropy | Self::Wiped | Self::CeilingBelowFloor { .. } => None,
        }
    }
}

impl From<LockError> for VaultError {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<KeyShareError> for VaultError {
    fn from(error: KeyShareError) -> Self {
        Self::KeyShare(error)
    }
}

impl From<SealedMappingError> for VaultError {
    fn from(error: SealedMappingError) -> Self {
        Self::SealedMapping(error)
    }
}

impl From<WindowError> for VaultError {
    fn from(error: WindowError) -> Self {
        Self::Windows(error)
    }
}

impl From<ArenaError> for VaultError {
    fn from(error: ArenaError) -> Self {
        match error {
            ArenaError::Entropy(_) => Self::NoEntropy,
            error => Self::Arena(error),
        }
    }
}

/// A secret was not opened. Everything else is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no room now.
    Full(Shortage),
    /// There was no room in time.
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
        /// How things stood at the end.
        shortage: Shortage,
    },
    /// The secret would not fit even if nothing else were open.
    TooLarge {
        /// Its length in bytes.
        requested: usize,
        /// The longest secret in bytes that fits the budget.
        largest: usize,
    },
    /// The secrets that were asked for together could not be open together even if nothing else were.
    NeverTogether {
        /// How many they are.
        secrets: usize,
        /// Their length in bytes, all together.
        requested: usize,
    },
    /// The record was changed, is another's, or belongs to another vault or context. Which of
    /// these, cannot be told.
    Tampered,
    /// What was to be opened as text is none.
    NotUtf8,
    /// The vault was destroyed.
    Destroyed,
    /// This process was forked from the one that made the vault, and sees nothing of it.
    Forked,
    /// The operating system gives no random bytes.
    NoEntropy,
    /// The share of the key in the kernel's keyring could not be had.
    KeyShare(KeyShareError),
    /// The enclave refused for a reason of its own.
    Enclave(strongroom_core::OpenError),
}

/// Why something was not opened, as the vault's parts tell each other.
#[derive(Debug)]
pub(super) enum Denied {
    /// There is no room, but there may be when somebody drops an open secret.
    NotNow,
    /// Somebody else is asking the system for room, or giving some back, and says when it is over.
    NotYet,
    /// No room would help.
    Never(OpenError),
}

impl From<OpenError> for Denied {
    fn from(error: OpenError) -> Self {
        Self::Never(error)
    }
}

impl From<AllocateError> for Denied {
    fn from(error: AllocateError) -> Self {
        match error {
            // What is too large for one segment may fit another.
            AllocateError::Full { .. } | AllocateError::TooLarge { .. } => Self::NotNow,
            AllocateError::Lost => Self::Never(OpenError::Destroyed),
            error => Self::Never(OpenError::Enclave(error.into())),
        }
    }
}

impl From<strongroom_core::OpenError> for Denied {
    fn from(error: strongroom_core::OpenError) -> Self {
        match error {
            strongroom_core::OpenError::Allocate(error) => error.into(),
            error => Self::Never(error.into()),
        }
    }
}

/// A secret was not sealed. It is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The vault was destroyed.
    Destroyed,
    /// This process was forked from the one that made the vault, and sees nothing of it.
    Forked,
    /// The machine may have been cloned, and the operating system gives no random bytes to go on with under
    /// other numbers.
    NoEntropy,
    /// The share of the key in the kernel's keyring could not be had.
    KeyShare(KeyShareError),
    /// The enclave refused for a reason of its own.
    Enclave(strongroom_core::SealError),
}

impl Display for SealError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destroyed => Display::fmt(&strongroom_core::SealError::Destroyed, f),
            Self::Forked => Display::fmt(&OpenError::Forked, f),
            Self::NoEntropy => Display::fmt(&OpenError::NoEntropy, f),
            Self::KeyShare(error) => Display::fmt(error, f),
            Self::Enclave(error) => Display::fmt(error, f),
        }
    }
}

impl Error for SealError {}

/// What keeps a vault from opening keeps it from sealing.
impl From<OpenError> for SealError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Forked => Self::Forked,
            OpenError::NoEntropy => Self::NoEntropy,
            _ => Self::Destroyed,
        }
    }
}

impl From<strongroom_core::SealError> for SealError {
    fn from(error: strongroom_core::SealError) -> Self {
        match error {
            strongroom_core::SealError::Destroyed => Self::Destroyed,
            strongroom_core::SealError::Share(error) => Self::KeyShare(error.into()),
            error => Self::Enclave(error),
        }
    }
}

/// How things stood when there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// The bytes that were asked for.
    pub requested: usize,
    /// Secrets that were open.
    pub held: usize,
    /// The bytes that open secrets can share: the budget less the bookkeeping so far.
    pub capacity: usize,
    /// Callers that were waiting.
    pub waiters: usize,
    /// The budget allows more, but the system refused to lock it:
    /// [`Vault::growth_refusal`](super::Vault::growth_refusal) says why.
    pub growth_refused: bool,
}

impl Shortage {
    /// What would give more room.
    fn remedy(&self) -> &'static str {
        if self.growth_refused {
            "let the process lock more, as the budget allows (Vault::growth_refusal says what is in \
             the way)"
        } else {
            "give the vault a larger budget"
        }
    }
}

impl Display for Shortage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { requested, held, capacity, waiters, .. } = self;
        write!(
            f,
            "no room for {requested} bytes: {held} secrets are open in {capacity} bytes, {waiters} \
             callers wait"
        )
    }
}

impl Display for OpenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(shortage) => {
                write!(f, "{shortage}; drop an open secret, wait, or {}", shortage.remedy())
            }
            Self::TimedOut { waited, shortage } => {
                let seconds = waited.as_secs_f64();
                write!(
                    f,
                    "{shortage}; gave up after {seconds:.3} seconds: hold secrets for a shorter \
                     time, wait longer, or {}",
                    shortage.remedy()
                )
            }
            Self::TooLarge { requested, largest } => write!(
                f,
                "{requested} bytes can never be opened: this budget holds secrets of at most \
                 {largest} bytes; give the vault a larger one"
            ),
            Self::NeverTogether { secrets, requested } => write!(
                f,
                "{secrets} secrets of {requested} bytes in all can never be open together under this \
                 budget: open fewer at once, or give the vault a larger one"
            ),
            Self::Tampered => Display::fmt(&strongroom_core::OpenError::Tampered, f),
            Self::NotUtf8 => f.write_str(
                "the secret is not UTF-8, and so no text: open it as bytes, or look at what seals it",
            ),
            Self::Destroyed => Display::fmt(&strongroom_core::OpenError::Destroyed, f),
            Self::Forked => f.write_str(
                "this process was forked from the one that made the vault and sees nothing of it: \
                 make a vault of its own here",
            ),
            Self::NoEntropy => Display::fmt(&strongroom_core::EntropyError, f),
            Self::KeyShare(error) => Display::fmt(error, f),
            Self::Enclave(error) => Display::fmt(error, f),
        }
    }
}

impl Error for OpenError {}

impl From<strongroom_core::OpenError> for OpenError {
    fn from(error: strongroom_core::OpenError) -> Self {
        use strongroom_core::OpenError as Core;
        match error {
            Core::Tampered => Self::Tampered,
            Core::Destroyed => Self::Destroyed,
            Core::Share(error) => Self::KeyShare(error.into()),
            error => Self::Enclave(error),
        }
    }
}
