//! A store's open secret together with the store.

use std::mem::{self, MaybeUninit};
use std::sync::Arc;

use strongroom::{SharedOpened, Store, StoreError};

/// Names as bytes, the first of which says whether it is a `str` or `bytes`.
pub(crate) type Names = Store<Vec<u8>>;

/// A secret that is open for all who ask the store for it.
pub(crate) struct Kept {
    /// Always there but while it is being dropped. It borrows from the store, which may go in the middle of
    /// a drop: as uninitialised memory nothing promises that it stays for longer.
    opened: MaybeUninit<SharedOpened<'static>>,
    /// Goes after the secret.
    _store: Arc<Names>,
}

impl Kept {
    /// Waits until the name's secret is open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn open(store: Arc<Names>, name: Vec<u8>) -> Result<Self, StoreError> {
        let opened = store.open(&*name).await?;
        // SAFETY: only the lifetime changes. What the secret borrows is the store, which is shared here and
        // stays where it is; and nothing of that lifetime is handed out.
        let opened = unsafe { mem::transmute::<SharedOpened<'_>, SharedOpened<'static>>(opened) };
        Ok(Self { opened: MaybeUninit::new(opened), _store: store })
    }

    /// Opens the name's secret, or says at once why not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn try_open(store: &Arc<Names>, name: &[u8]) -> Result<Self, StoreError> {
        let opened = store.try_open(name)?;
        // SAFETY: as in `open`: the secret borrows the store, which is kept beside it.
        let opened = unsafe { mem::transmute::<SharedOpened<'_>, SharedOpened<'static>>(opened) };
        Ok(Self { opened: MaybeUninit::new(opened), _store: Arc::clone(store) })
    }

    pub(crate) fn opened(&self) -> &SharedOpened<'_> {
        // SAFETY: it is there until the drop.
        unsafe { self.opened.assume_init_ref() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: it is there, and nobody looks at it any more.
        unsafe { self.opened.assume_init_drop() }
    }
}
