//! How a vault is made.

use std::ops::RangeInclusive;
use std::time::Duration;

use strongroom_core::Fault;

use super::key_share::KeyShare;
use super::options::Options;
use crate::pages::{Backing, Policy};
use crate::windows::Windows;

/// Makes a [`Vault`](crate::Vault); see [`Vault::builder`](crate::Vault::builder).
///
/// ```
/// use std::time::Duration;
/// use strongroom::{Policy, Vault};
///
/// let vault = Vault::builder()
///     .budget(16 * 1024..=1024 * 1024)
///     .reserve("signer", 8 * 1024)
///     .policy(Policy::Require)
///     .linger(Duration::from_secs(30))
///     .build()?;
/// assert_eq!(vault.metrics().locked, 24 * 1024);
/// # Ok::<(), strongroom::VaultError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct Builder {
    pub(super) options: Options,
}

impl Builder {
    /// How many bytes the vault locks: so many from the start and always, rounded up to whole pages;
    /// and so many at most, rounded down, but no less than from the start. The default is 64 KiB, no
    /// less and no more.
    ///
    /// The range does not count what is [reserved](Self::reserve).
    pub fn budget(mut self, bytes: RangeInclusive<usize>) -> Self {
        (self.options.floor, self.options.ceiling) = bytes.into_inner();
        self
    }

    /// Locks `bytes` more that only openers who name this reserve can use: see
    /// [`Vault::reserve`](crate::Vault::reserve).
    pub fn reserve(mut self, name: impl Into<String>, bytes: usize) -> Self {
        self.options.reserves.insert(name.into(), bytes);
        self
    }

    /// What to do when memory cannot be locked. The default is [`Policy::Require`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options.policy = policy;
        self
    }

    /// What kind of memory to lock: `memfd_secret(2)` hides it from the kernel too. The default is
    /// [`Backing::Anonymous`].
    pub fn backing(mut self, backing: Backing) -> Self {
        self.options.backing = backing;
        self
    }

    /// Whether the memory is shut but for the moments in which somebody uses it; SECURITY.md says against
    /// whom that is of use. The default is [`Windows::None`].
    ///
    /// With windows the vault's own key lies in a page of its own, and the budget begins at two pages.
    ///
    /// ```
    /// use strongroom::{Vault, WindowKind, Windows};
    ///
    /// let vault = Vault::builder().windows(Windows::KeysOrPages).build()?;
    /// assert!(vault.protections().windows != WindowKind::None);
    /// let sealed = vault.seal(b"hunter2", b"")?;
    /// let password = vault.try_open(&sealed, b"")?;
    /// assert_eq!(password.expose_secret(), b"hunter2"); // Here it can be read, and nowhere else.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn windows(mut self, windows: Windows) -> Self {
        self.options.windows = windows;
        self
    }

    /// Whether the kernel is to refuse everybody, this process included, to unmap or move the memory that stays
    /// locked (the floor, the reserves and the key's page), to map something else there, or to change its
    /// protection: `mseal(2)`, Linux 6.10. So it is not taken away or opened behind the vault's back; with
    /// [windows](Self::windows) by keys not by a call of `pkey_mprotect(2)` either. The default is not.
    ///
    /// It is for a vault that lives as long as the process, an [installed](Self::install) one say: the vault
    /// itself cannot unmap the memory either. At its end that is wiped, unlocked and given back, **but its
    /// addresses stay taken**, as many bytes as the floor has, and so they are if the vault cannot be made for
    /// another reason. Secret memory stays locked until the process ends, and wiped. Memory beyond the floor
    /// comes and goes, and is not sealed; [`Protections::sealed_mapping`](crate::Protections::sealed_mapping)
    /// says whether all is.
    ///
    /// Windows by pages need to change the protection: with them it is an error, or under
    /// [`Policy::Prefer`] not done, as where the kernel cannot.
    ///
    /// ```
    /// use strongroom::{Policy, Vault};
    ///
    /// let vault = Vault::builder().sealed_mapping(true).policy(Policy::Prefer).build()?;
    /// if !vault.protections().sealed_mapping {
    ///     eprintln!("whoever may call munmap may take the vault's memory away");
    /// }
    /// # Ok::<(), strongroom::VaultError>(())
    /// ```
    pub fn sealed_mapping(mut self, is_sealed: bool) -> Self {
        self.options.sealed_mapping = is_sealed;
        self
    }

    /// Where one of the two shares of the vault's key rests: in the kernel's keyring, a dump of the process
    /// alone opens nothing. The default is [`KeyShare::LockedMemory`]. SECURITY.md says against which reader
    /// that is of use.
    ///
    /// Each seal and each open then loads the share, a system call; see
    /// [`key_share_kept`](Self::key_share_kept).
    ///
    /// ```
    /// use strongroom::{KeyShare, Keyring, Vault};
    ///
    /// let share = KeyShare::PreferKeyring(Keyring::Process);
    /// let vault = Vault::builder().key_share(share).build()?;
    /// if let Some(refusal) = vault.key_share_refusal() {
    ///     eprintln!("the whole key is in this process: {refusal}");
    /// }
    /// # Ok::<(), strongroom::VaultError>(())
    /// ```
    pub fn key_share(mut self, share: KeyShare) -> Self {
        self.options.key_share = share;
        self
    }

    /// How long a share of the key that was loaded from the keyring is kept in locked memory, for those who
    /// seal or open next: another locked page, in which a thread (`strongroom-share`) wipes it when the time
    /// is up. **Meanwhile a dump of the process has the whole key.** The default is not at all.
    pub fn key_share_kept(mut self, time: Duration) -> Self {
        self.options.key_share_kept = time;
        self
    }

    /// How long memory beyond the floor that nothing is open in is kept. The default is 10 seconds.
    ///
    /// It is given back when the vault is used after that time, or by [`Vault::trim`](crate::Vault::trim).
    pub fn linger(mut self, time: Duration) -> Self {
        self.options.linger = time;
        self
    }

    /// What is called when damage is found while an open secret is dropped or memory is allocated.
    /// The default panics with the fault's fixed text, unless the thread is panicking already.
    pub fn on_fault(mut self, handler: fn(Fault)) -> Self {
        self.options.on_fault = handler;
        self
    }
}
