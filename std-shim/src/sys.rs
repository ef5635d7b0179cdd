//! The system calls, one thin function each.

mod backoff;
mod fork_view;
mod terminal;
mod wipe;

pub(crate) use backoff::Backoff;
pub use fork_view::ForkView;
#[cfg(test)]
pub(crate) use terminal::pseudo_terminal;
pub(crate) use terminal::{Echo, echo_off};
pub(crate) use wipe::{at_exit, wipe_bytes, wipe_raw};

#[cfg(target_os = "linux")]
mod futex;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
mod secret;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod unix;

#[cfg(target_os = "linux")]
pub(crate) use futex::{OWNER_DIED, WAITERS, has_thread, lock_pi, thread_id, unlock_pi};
#[cfg(target_os = "linux")]
use linux::wipe;
#[cfg(target_os = "linux")]
pub(crate) use linux::{fill_random, fork_word};
#[cfg(target_os = "macos")]
use macos::wipe;
#[cfg(target_os = "macos")]
pub(crate) use macos::{UnfairLock, fill_random, fork_word, read_control, wired_bytes};
#[cfg(target_os = "linux")]
pub(crate) use secret::has_secret_memory;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) use unix::{Mapping, core_limit, memlock_limit, page_size, raise_memlock_limit};

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "strongroom supports Linux and macOS; on other systems use strongroom-core with a region you \
     lock yourself"
);
