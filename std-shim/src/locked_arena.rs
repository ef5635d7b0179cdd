//! Locked pages and the arena in them as one value, for those who want no vault.

mod error;
#[expect(unsafe_code, reason = "keeps a secret beside the arena that it borrows")]
mod owned;
mod owner;

use std::fmt::{self, Debug, Formatter};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;
use strongroom_core::{AllocateError, Arena, Fault, Region};

pub use self::error::{LockedArenaError, LostArena};
pub use self::owned::OwnedBuffer;
pub use self::owner::LockedOwner;

use crate::emergency::Registration;
use crate::entropy::OsEntropy;
use crate::pages::LockedPages;
use crate::windows::{Role, Windows};

/// Locked pages and an [`Arena`] in them, together: a value without a lifetime, that stands in a
/// struct, an [`Arc`] or a static.
///
/// It is for those who want neither the line nor the sealing of a [`Vault`](crate::Vault). What is made
/// in its arena ([`Buffer`](strongroom_core::Buffer), [`Secret`](strongroom_core::Secret), an
/// [`Enclave`](strongroom_core::Enclave)) borrows it; an [`OwnedBuffer`] owns a share of it.
///
/// ```
/// use std::sync::OnceLock;
///
/// use strongroom::strongroom_core::Buffer;
/// use strongroom::{LockedArena, LockedOwner};
///
/// static ARENA: OnceLock<LockedArena> = OnceLock::new();
///
/// /// What holds secrets names the owner.
/// struct Session {
///     key: Buffer<'static, LockedOwner>,
/// }
///
/// let locked = LockedArena::new(16 * 1024)?;
/// let arena = ARENA.get_or_init(|| locked).arena()?;
/// let session = Session { key: Buffer::random(arena, 32)? };
/// assert_eq!(session.key.len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Forked children and emergencies
/// A forked child sees nothing of the secrets, and [`wipe_all`](crate::wipe_all) wipes them. From then
/// on [`arena`](Self::arena) is an error, and what was made before touches no memory that is not there,
/// waits for no lock and reports no damage: a `Buffer` reads as zeros, or is empty in a child that has
/// no such memory; a `Secret` panics when it is exposed; an enclave says that it was destroyed; and
/// nothing more is allocated. All of it can be dropped; a value in a `Secret` is not dropped then. What
/// a guard shows at the time of the wipe is zeros: a value that cannot be all zeros must not be exposed
/// meanwhile.
///
/// With pages that a child gets a copy of ([`ForkView::Copied`](crate::ForkView::Copied)) that copy is
/// wiped in the child when this value is dropped there, and no sooner.
pub struct LockedArena {
    /// Its place stays while secrets point to it. It is not dropped: all it would do is to wipe what is
    /// wiped with the pages.
    arena: Box<ManuallyDrop<Arena<'static, LockedOwner>>>,
    registration: Registration,
    /// Goes after all that names it.
    pages: LockedPages,
}

impl LockedArena {
    /// Locks `bytes` bytes, rounded up to whole pages, and makes an arena in them. Its bookkeeping takes
    /// a part of them.
    ///
    /// # Errors
    /// [`LockedArenaError`], with the numbers and what to change. Nothing stays locked.
    pub fn new(bytes: usize) -> Result<Self, LockedArenaError> {
        Self::of_pages(LockedPages::new(bytes)?)
    }

    /// Makes an arena in pages that the caller has made, under another policy, say. They are zeroed.
    ///
    /// # Errors
    /// [`LockedArenaError`]; the pages are given back.
    pub fn of_pages(pages: LockedPages) -> Result<Self, LockedArenaError> {
        Self::with_windows(pages, Windows::WHERE_NOT_ASKED_FOR)
    }

    /// Makes an arena in pages that are shut but for the moments in which somebody uses what is in them; see
    /// [`Windows`], and SECURITY.md for whom that stops. Whoever reads a [`Buffer`](strongroom_core::Buffer)
    /// or a [`Secret`](strongroom_core::Secret) has a window as long as the guard lives; everything there is
    /// shut by one key, an enclave's key too.
    ///
    /// What [`Arena::allocate`] hands out is a plain pointer: to use it, open a window by
    /// [`Owner::open`](strongroom_core::Owner::open) of [`Arena::owner`].
    ///
    /// ```
    /// use strongroom::strongroom_core::Buffer;
    /// use strongroom::{LockedArena, LockedPages, WindowKind, Windows};
    ///
    /// let pages = LockedPages::new(16 * 1024)?;
    /// let locked = LockedArena::with_windows(pages, Windows::KeysOrPages)?;
    /// assert!(locked.pages().protections().windows != WindowKind::None);
    /// let key = Buffer::random(locked.arena()?, 32)?;
    /// assert_eq!(key.expose_secret().len(), 32); // Here it can be read, and nowhere else.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LockedArenaError`]; the pages are given back.
    pub fn with_windows(
        mut pages: LockedPages,
        windows: Windows,
    ) -> Result<Self, LockedArenaError> {
        if pages.is_inherited() {
            return Err(LostArena::Forked.into());
        }
        let gate = pages.shut(windows.shuts()?, Role::Secrets)?;
        let shut = gate.shut();
        let owner = LockedOwner::of(&pages, gate);
        owner.check()?;
        let data = pages.as_non_null();
        // SAFETY: the pages are this process's and valid until they are dropped, after which the arena is
        // not used; nobody else gets at them but the wipe of an emergency.
        let region = unsafe { Region::from_raw(data.cast(), data.len()) };
        let arena = Arena::with_owner(region, &mut OsEntropy, owner)?;
        let registration = Registration::new(data, shut);
        Ok(Self { arena: Box::new(ManuallyDrop::new(arena)), registration, pages })
    }

    /// Sets what is called when damage is found where it cannot be returned as a value, as
    /// [`Arena::with_fault_handler`] does. The default panics.
    #[must_use]
    pub fn with_fault_handler(mut self, on_fault: fn(Fault)) -> Self {
        self.arena.set_fault_handler(on_fault);
        self
    }

    /// The arena.
    ///
    /// A few nanoseconds; takes no lock and touches no page.
    ///
    /// # Errors
    /// [`LostArena`]: this is a forked child, or all was wiped.
    pub fn arena(&self) -> Result<&Arena<'_, LockedOwner>, LostArena> {
        self.arena.owner().check()?;
        Ok(&self.arena)
    }

    /// The pages: their length, and what the system granted for them.
    #[must_use]
    pub fn pages(&self) -> &LockedPages {
        &self.pages
    }

    /// A secret of `len` values, all bytes zero, that owns a share of this.
    ///
    /// # Errors
    /// [`AllocateError`] if the arena has no room for it, or is lost.
    pub fn buffer<T: Pod>(self: &Arc<Self>, len: usize) -> Result<OwnedBuffer<T>, AllocateError> {
        OwnedBuffer::zeroed(Arc::clone(self), len)
    }

    /// The arena, lost or not, which is good as long as this.
    fn pointer(&self) -> NonNull<Arena<'static, LockedOwner>> {
        NonNull::from(&**self.arena)
    }
}

impl Drop for LockedArena {
    fn drop(&mut self) {
        // The list is a copy in a forked child, where what is entered in it is another process's.
        if !self.pages.is_inherited() {
            self.registration.end();
        }
    }
}

impl Debug for LockedArena {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedArena").field("bytes", &self.pages.bytes()).finish_non_exhaustive()
    }
}
