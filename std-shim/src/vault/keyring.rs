//! Keeps one share of the key in the kernel's keyring, and near for a time, if that is asked for.
//!
//! ```text
//! keyring   the share; loaded for each call
//! near      a locked page with a copy, for `kept` from when it was loaded; a thread wipes it then. It is shut
//!           as the key's own page is, if the vault has windows.
//! ```
//! A process keyring lasts as long as a thread that was started with it. Whoever makes a vault may end
//! before it: so the thread is there for a process keyring in any case.

use std::ffi::CString;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_core::{Entropy, SHARE_BYTES, ShareError, ShareKeeper};

use super::error::VaultError;
use super::key_share::{KeyShareError, Keyring};
use super::options::Options;
use crate::emergency::{self, Registration};
use crate::entropy::OsEntropy;
use crate::fork::Generation;
use crate::pages::LockedPages;
use crate::sys::{self, KernelKey, Ring};
use crate::windows::{Gate, Role};

/// The owner of a share in the keyring.
pub(super) struct KeyringShare {
    held: Arc<Held>,
    registration: Registration,
    pub(super) keyring: Keyring,
}

/// What the calls need, and the thread.
pub(super) struct Held {
    key: KernelKey,
    owner: Generation,
    kept: Duration,
    near: Mutex<Near>,
    changed: Condvar,
}

/// The copy of the share, if there is to be any.
#[derive(Default)]
struct Near {
    page: Option<Page>,
    /// When the copy is to be wiped; `None` if there is none.
    until: Option<Instant>,
    is_over: bool,
}

struct Page {
    registration: Registration,
    gate: Gate,
    pages: LockedPages,
}

impl KeyringShare {
    /// A key without a share yet.
    pub(super) fn new(keyring: Keyring, options: &Options) -> Result<Self, VaultError> {
        let kept = options.key_share_kept;
        let key = add(keyring).map_err(|error| KeyShareError::of(&error))?;
        let near = Mutex::default();
        let owner = Generation::current();
        let held = Arc::new(Held { key, owner, kept, near, changed: Condvar::new() });
        let share = Self { held, registration: Registration::of_key(key), keyring };
        if !kept.is_zero() {
            let mut pages = options.pages(SHARE_BYTES, None)?;
            let gate = pages.shut(options.shuts, Role::Key)?;
            let registration = Registration::new(pages.as_non_null(), gate.shut());
            share.held.near().page = Some(Page { registration, gate, pages });
        }
        match keyring {
            Keyring::Process => {
                key.allow_user().map_err(|error| KeyShareError::of(&error))?;
                share.look_after()?;
            }
            Keyring::Session => {
                AT_EXIT.call_once(|| sys::at_exit(revoke_at_exit));
                if !kept.is_zero() {
                    share.look_after()?;
                }
            }
        }
        Ok(share)
    }

    /// What keeps the share, where it stays as long as this lives.
    pub(super) fn keeper(&self) -> &Held {
        &self.held
    }

    fn look_after(&self) -> Result<(), KeyShareError> {
        let held = Arc::clone(&self.held);
        let thread = thread::Builder::new().name("strongroom-share".into());
        thread.spawn(move || held.look_after()).map(drop).map_err(|_| KeyShareError::NoThread)
    }
}

impl Drop for KeyringShare {
    fn drop(&mut self) {
        if self.held.owner != Generation::current() {
            // It is the parent's share, and the lock may be held for good.
            return;
        }
        self.held.forget();
        self.registration.end();
        let mut near = self.held.near();
        near.is_over = true;
        if let Some(page) = near.page.take() {
            page.registration.end();
            drop(page.pages);
        }
        self.held.changed.notify_all();
    }
}

impl Held {
    fn near(&self) -> MutexGuard<'_, Near> {
        self.near.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wipes what was kept long enough, until all is over.
    fn look_after(&self) {
        let mut near = self.near();
        while !near.is_over {
            let left = near.until.map(|until| until.saturating_duration_since(Instant::now()));
            near = match left {
                None => self.changed.wait(near).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    near.wipe();
                    near
                }
                Some(left) => {
                    let woken = self.changed.wait_timeout(near, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn load_from_keyring(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError> {
        match self.key.read(share) {
            Ok(SHARE_BYTES) => Ok(()),
            Ok(_) => Err(ShareError::Changed),
            Err(error) => Err(refused(&error)),
        }
    }
}

impl ShareKeeper for Held {
    fn store(&self, share: &[u8; SHARE_BYTES]) -> Result<(), ShareError> {
        let update = || self.key.update(share).map_err(|error| refused(&error));
        if self.kept.is_zero() {
            return update();
        }
        let mut near = self.near();
        near.wipe();
        update()
    }

    fn load(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError> {
        if self.kept.is_zero() {
            return self.load_from_keyring(share);
        }
        let mut near = self.near();
        let now = Instant::now();
        if near.until.is_some_and(|until| now < until) && near.copy_to(share) {
            return Ok(());
        }
        // Under the lock, so that no older share comes near after a newer one was stored.
        self.load_from_keyring(share)?;
        let is_idle = near.until.is_none();
        near.until = now.checked_add(self.kept).filter(|_| near.copy_from(share));
        if emergency::is_wiped() {
            near.wipe();
        }
        if is_idle {
            self.changed.notify_all();
        }
        Ok(())
    }

    fn forget(&self) {
        self.key.revoke();
        if !self.kept.is_zero() {
            self.near().wipe();
        }
    }
}

impl Near {
    fn copy_from(&mut self, share: &[u8; SHARE_BYTES]) -> bool {
        let Some(Page { gate, pages, .. }) = &mut self.page else { return false };
        let _window = gate.open();
        let place = pages.as_region();
        place.iter_mut().zip(share).for_each(|(place, byte)| _ = place.write(*byte));
        true
    }

    fn copy_to(&mut self, share: &mut [u8; SHARE_BYTES]) -> bool {
        let Some(Page { gate, pages, .. }) = &mut self.page else { return false };
        let _window = gate.open();
        for (byte, place) in share.iter_mut().zip(pages.as_region()) {
            // SAFETY: locked pages are zero at first, so there is no byte that was never written.
            *byte = unsafe { place.assume_init() };
        }
        true
    }

    fn wipe(&mut self) {
        self.until = None;
        if let Some(Page { gate, pages, .. }) = &self.page {
            let _window = gate.open();
            // SAFETY: the page is longer than a share, and nobody has it but this value.
            unsafe { sys::wipe_raw(pages.as_non_null().cast(), SHARE_BYTES) };
        }
    }
}

/// Adds a key under a name that no other has: one of the same name would be replaced.
fn add(keyring: Keyring) -> io::Result<KernelKey> {
    let mut name = [0; 8];
    OsEntropy.fill(&mut name).map_err(io::Error::other)?;
    let description = CString::new(format!("strongroom:{:016x}", u64::from_ne_bytes(name)))?;
    let ring = match keyring {
        Keyring::Process => Ring::Process,
        Keyring::Session => Ring::Session,
    };
    KernelKey::add(ring, &description, &[0; SHARE_BYTES])
}

fn refused(error: &io::Error) -> ShareError {
    ShareError::Refused(error.raw_os_error().unwrap_or_default())
}

extern "C" fn revoke_at_exit() {
    emergency::revoke_keys();
}

static AT_EXIT: Once = Once::new();
