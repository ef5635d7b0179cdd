//! Where one share of a vault's key rests, as it is asked for, and why it does not rest there.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use strongroom_core::ShareError;

use crate::debug::debug_as_displayed;

/// Where the second of the two shares of a vault's key rests; see
/// [`Builder::key_share`](crate::Builder::key_share).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyShare {
    /// In locked memory, like the first.
    #[default]
    LockedMemory,
    /// In a keyring of the kernel's, or an error. Under [`Policy::Prefer`](crate::Policy::Prefer) the
    /// same as [`PreferKeyring`](Self::PreferKeyring).
    Keyring(Keyring),
    /// In a keyring where the system gives one, else in locked memory:
    /// [`Vault::key_share_refusal`](crate::Vault::key_share_refusal) says why.
    PreferKeyring(Keyring),
}

/// A keyring of the Linux kernel's, `keyrings(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keyring {
    /// `process-keyring(7)`. However the process ends, by SIGKILL too, the kernel wipes the share.
    ///
    /// All threads use the vault, whether they were started before it or after. For that the share can be
    /// read by every process of the user who made the vault, as long as this one runs. A thread that
    /// changes its user afterwards can use the vault if it descends from the thread that made it.
    Process,
    /// `session-keyring(7)`. The processes of the session can read the share, and others of the same user
    /// cannot: a systemd service has a session of its own unless `KeyringMode=` says otherwise. Without one
    /// it is the session that all processes of the user share who have none (`user-session-keyring(7)`).
    ///
    /// The share goes with the vault, with [`wipe_all`](crate::wipe_all) and with an exit; after SIGKILL
    /// it stays until the session ends.
    Session,
}

/// Why a share of the key is not stored in the kernel's keyring, or not loaded from there.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyShareError {
    /// The system has no keyrings, or a sandbox hides them (`ENOSYS`).
    NotOffered,
    /// A sandbox forbids the calls (`EPERM`).
    Forbidden,
    /// The user has as many keys as a user may have (`EDQUOT`).
    QuotaReached,
    /// The calling thread has no right to the share (`EACCES`): it runs as another user than the one who
    /// made the vault, or in another session.
    NoAccess,
    /// The share is not in the keyring any more: revoked, expired, or changed by somebody. What was sealed
    /// is unreadable.
    Lost,
    /// No thread can be started, which is needed to keep the keyring or to wipe a share that is kept near.
    NoThread,
    /// The system refuses for another reason.
    Other {
        /// Its error number, `errno(3)`.
        code: i32,
    },
}

debug_as_displayed!(KeyShareError);

impl KeyShareError {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Self::of_code(code),
            None => Self::NotOffered,
        }
    }

    fn of_code(code: i32) -> Self {
        match code {
            libc::ENOSYS => Self::NotOffered,
            libc::EPERM => Self::Forbidden,
            libc::EDQUOT => Self::QuotaReached,
            libc::EACCES => Self::NoAccess,
            #[cfg(target_os = "linux")]
            libc::ENOKEY | libc::EKEYREVOKED | libc::EKEYEXPIRED => Self::Lost,
            code => Self::Other { code },
        }
    }
}

impl From<ShareError> for KeyShareError {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Refused(code) => Self::of_code(code),
            _ => Self::Lost,
        }
    }
}

impl Display for KeyShareError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered if cfg!(target_os = "macos") => f.write_str(
                "macOS has no kernel keyring for a share of the key: leave it in locked memory, or ask for \
                 KeyShare::PreferKeyring",
            ),
            Self::NotOffered => f.write_str(
                "no keyring for a share of the key (ENOSYS): the kernel is built without CONFIG_KEYS, or a \
                 sandbox hides add_key(2) and keyctl(2); allow them in its filter, leave the share in locked \
                 memory, or ask for KeyShare::PreferKeyring",
            ),
            Self::Forbidden => f.write_str(
                "no keyring for a share of the key: a sandbox forbids add_key(2) and keyctl(2) (EPERM), as \
                 Docker's default profile does; allow both in its filter (`--security-opt seccomp=PROFILE` of \
                 `docker run`, `SystemCallFilter=@keyring` in a systemd unit), leave the share in locked \
                 memory, or ask for KeyShare::PreferKeyring",
            ),
            Self::QuotaReached => f.write_str(
                "no room in the keyring for a share of the key: the user has as many keys as it may, see \
                 /proc/key-users (EDQUOT); raise it with `sudo sysctl kernel.keys.maxkeys=2000`",
            ),
            Self::NoAccess => f.write_str(
                "this thread may not read the share of the key in the keyring (EACCES): it runs as another \
                 user than the thread that made the vault, or in another session; make the vault after that \
                 change, or use it in threads that the maker has started",
            ),
            Self::Lost => f.write_str(
                "the share of the key is not in the keyring any more: it was revoked, has expired with its \
                 session, or was changed; what this vault sealed is unreadable, make another one",
            ),
            Self::NoThread => f.write_str(
                "no thread can be started that looks after the share of the key: raise RLIMIT_NPROC or the \
                 pids limit of the control group, or leave the share in locked memory",
            ),
            Self::Other { code } => write!(
                f,
                "the kernel's keyring refuses the share of the key ({}): leave it in locked memory, or ask for \
                 KeyShare::PreferKeyring",
                io::Error::from_raw_os_error(*code)
            ),
        }
    }
}

impl Error for KeyShareError {}
