//! A keeper of key shares.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::error::ShareError;
use crate::keeper::{SHARE_BYTES, ShareKeeper};
use crate::sync::{AtomicBool, AtomicUsize};

/// Keeps a share in the test, and can be told to refuse.
#[derive(Default)]
pub(crate) struct Shelf {
    kept: Mutex<Option<[u8; SHARE_BYTES]>>,
    pub(crate) refuses: AtomicBool,
    pub(crate) stores: AtomicUsize,
    /// How long it takes to answer once a share is stored.
    delay: Duration,
}

pub(crate) const REFUSED: ShareError = ShareError::Refused(5);

impl Shelf {
    pub(crate) fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.lock().unwrap().is_none()
    }

    pub(crate) fn kept(&self) -> [u8; SHARE_BYTES] {
        self.kept.lock().unwrap().unwrap()
    }

    fn check(&self) -> Result<(), ShareError> {
        if self.refuses.load(Relaxed) { Err(REFUSED) } else { Ok(()) }
    }
}

impl ShareKeeper for Shelf {
    fn store(&self, share: &[u8; SHARE_BYTES]) -> Result<(), ShareError> {
        self.check()?;
        self.stores.fetch_add(1, Relaxed);
        *self.kept.lock().unwrap() = Some(*share);
        thread::sleep(self.delay);
        Ok(())
    }

    fn load(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError> {
        self.check()?;
        // In place, with no copy on the stack.
        let kept = self.kept.lock().unwrap();
        share.copy_from_slice(kept.as_ref().ok_or(ShareError::Refused(0))?);
        Ok(())
    }

    fn forget(&self) {
        *self.kept.lock().unwrap() = None;
    }
}
