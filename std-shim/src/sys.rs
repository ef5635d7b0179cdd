//! The system calls, one thin function each.

mod backoff;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod child;
mod descriptor;
mod fork_view;
mod keyring;
mod keys;
mod processor;
mod terminal;
mod wipe;

pub(crate) use backoff::Backoff;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) use child::{Ended, in_child};
pub(crate) use descriptor::duplicate;
pub use fork_view::ForkView;
pub(crate) use keyring::{KernelKey, Ring};
pub(crate) use keys::{NoKey, ProtectionKey};
pub(crate) use processor::random_word;
#[cfg(test)]
pub(crate) use terminal::pseudo_terminal;
pub(crate) use terminal::{Echo, echo_off};
use wipe::wipe;
pub(crate) use wipe::{Wiped, at_exit, wipe_bytes};

#[cfg(target_os = "linux")]
mod clock_set;
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
pub(crate) use clock_set::clock_set;
#[cfg(target_os = "linux")]
pub(crate) use futex::{OWNER_DIED, WAITERS, has_thread, lock_pi, thread_id, unlock_pi};
#[cfg(target_os = "linux")]
pub(crate) use linux::{effective_capabilities, fill_random, fork_word, is_dumpable, wipe_raw};
#[cfg(target_os = "macos")]
pub(crate) use macos::{
    UnfairLock, ask_for_secret_memory, fill_random, fork_word, read_control, wipe_raw, wired_bytes,
};
#[cfg(target_os = "linux")]
pub(crate) use secret::ask_for_secret_memory;
#[cfg(target_os = "linux")]
pub(crate) use unix::descriptor_limit;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) use unix::{
    Mapping, ResourceLimit, Shutter, address_space_limit, core_limit, data_limit, memlock_limit,
    page_size, raise_memlock_limit,
};

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "strongroom supports Linux and macOS; on other systems use strongroom-core with a region you \
     lock yourself"
);
