//! What a vault is to be.

use std::ffi::c_char;
use std::time::Duration;

use strongroom::{Builder, Keyring, Vault, Windows};

use crate::fault::on_fault;
use crate::pointers::{alone, handle_place, take_back, text};
use crate::status::{Failure, Status, border};

/// What a vault is to be: see strongroom_options_new.
pub struct Options {
    pub(crate) builder: Builder,
    /// As in the builder, which does not tell.
    pub(crate) windows: Windows,
}

/// What to do when memory cannot be locked.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// It fails, or does not grow. The default.
    Require = 0,
    /// It goes on in unlocked memory, which can be written to the swap device, and says so: see
    /// strongroom_vault_protections_json.
    Prefer = 1,
}

/// What kind of memory to lock.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum Backing {
    /// Anonymous memory, locked by mlock(2). The default.
    Anonymous = 0,
    /// Secret memory, memfd_secret(2), or an error.
    SecretMemory = 1,
    /// Secret memory where the system gives it, else anonymous memory.
    PreferSecretMemory = 2,
}

/// Whether a vault's memory is shut but for the moments in which somebody uses it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum WindowsIn {
    /// The memory is always open. The default.
    None = 0,
    /// By page protection, mprotect(2), on every machine: while any thread has a window on any secret, all
    /// threads can read all of them, and the first window and the end of the last one are a system call
    /// each.
    Pages = 1,
    /// By memory protection keys, pkeys(7), or an error: a window is the thread's own and costs no system
    /// call.
    Keys = 2,
    /// By keys where the machine has them, else by pages.
    KeysOrPages = 3,
    /// By keys where the machine has them, else not at all.
    KeysOrNone = 4,
}

/// Where one of the two shares of the vault's key rests.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum KeyShare {
    /// In locked memory, like the other. The default.
    LockedMemory = 0,
    /// In process-keyring(7), or an error.
    ProcessKeyring = 1,
    /// In session-keyring(7), or an error.
    SessionKeyring = 2,
    /// In process-keyring(7) where the system gives one, else in locked memory.
    PreferProcessKeyring = 3,
    /// In session-keyring(7) where the system gives one, else in locked memory.
    PreferSessionKeyring = 4,
}

impl Options {
    pub(crate) fn new() -> Self {
        let windows = Windows::None;
        Self { builder: Vault::builder().windows(windows).on_fault(on_fault), windows }
    }

    fn change(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }
}

/// Options of their defaults: 64 KiB, no less and no more, of memory that must be locked. Take them back
/// with strongroom_options_free.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_new(options: *mut *mut Options) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(options, "options") }?;
        place.give(Options::new());
        Ok(())
    })
}

/// How many bytes the vault locks: `floor` from the start and always, rounded up to whole pages, and
/// `ceiling` at most, what is reserved not counted.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_budget(
    options: *mut Options,
    floor: usize,
    ceiling: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        options.change(|builder| builder.budget(floor..=ceiling));
        Ok(())
    })
}

/// Locks `bytes` more that only those can use who name this reserve: see strongroom_vault_reserve.
/// `name` is a text of UTF-8.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_reserve(
    options: *mut Options,
    name: *const c_char,
    bytes: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        // SAFETY: as above.
        let name = unsafe { text(name, "name") }?;
        options.change(|builder| builder.reserve(name, bytes));
        Ok(())
    })
}

/// What to do when memory cannot be locked: a strongroom_policy.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_policy(options: *mut Options, policy: u32) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        let policy = match policy {
            0 => strongroom::Policy::Require,
            1 => strongroom::Policy::Prefer,
            other => return Err(unknown("policy", other)),
        };
        options.change(|builder| builder.policy(policy));
        Ok(())
    })
}

/// What kind of memory to lock: a strongroom_backing.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_backing(options: *mut Options, backing: u32) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        let backing = match backing {
            0 => strongroom::Backing::Anonymous,
            1 => strongroom::Backing::SecretMemory,
            2 => strongroom::Backing::PreferSecretMemory,
            other => return Err(unknown("backing", other)),
        };
        options.change(|builder| builder.backing(backing));
        Ok(())
    })
}

/// Whether the memory is shut but for the moments in which somebody uses it: a strongroom_windows. A window is
/// open from strongroom_opened_read, strongroom_opened_write or strongroom_open_stream_read to the call that
/// ends the exposure, which must be the same thread's; whoever touches the memory otherwise ends the process
/// (SIGSEGV). The budget then begins at two pages.
///
/// Where there can be none it is an error, STRONGROOM_WINDOWS_REFUSED; with STRONGROOM_POLICY_PREFER the vault
/// has none, and says so: see strongroom_vault_protections_json. strongroom_malloc hands out plain pointers and
/// takes no options with windows.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_windows(options: *mut Options, windows: u32) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        options.windows = match windows {
            0 => Windows::None,
            1 => Windows::Pages,
            2 => Windows::Keys,
            3 => Windows::KeysOrPages,
            4 => Windows::KeysOrNone,
            other => return Err(unknown("windows", other)),
        };
        let windows = options.windows;
        options.change(|builder| builder.windows(windows));
        Ok(())
    })
}

/// Where one of the two shares of the key rests: a strongroom_key_share. One that was loaded from a
/// keyring is kept in locked memory for `kept_ms` milliseconds, for those who seal or open next.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_key_share(
    options: *mut Options,
    key_share: u32,
    kept_ms: u64,
) -> Status {
    use strongroom::KeyShare as Share;
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        let share = match key_share {
            0 => Share::LockedMemory,
            1 => Share::Keyring(Keyring::Process),
            2 => Share::Keyring(Keyring::Session),
            3 => Share::PreferKeyring(Keyring::Process),
            4 => Share::PreferKeyring(Keyring::Session),
            other => return Err(unknown("key_share", other)),
        };
        let kept = Duration::from_millis(kept_ms);
        options.change(|builder| builder.key_share(share).key_share_kept(kept));
        Ok(())
    })
}

/// How long memory beyond the floor that nothing is open in is kept, in milliseconds. The default is
/// 10,000.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_options_linger(
    options: *mut Options,
    linger_ms: u64,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { alone(options, "options") }?;
        options.change(|builder| builder.linger(Duration::from_millis(linger_ms)));
        Ok(())
    })
}

/// Takes options back. Vaults that were made of them stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_options_free(options: *mut *mut Options) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(options, "options") }.map(drop)
    });
}

fn unknown(name: &str, value: u32) -> Failure {
    Failure::Invalid(format!(
        "{value} is no strongroom_{name}: take one of the values in strongroom.h, or a later library"
    ))
}
