//! A vault: sealing, opening, allocating.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use strongroom::strongroom_core::Enclave;
use strongroom::{CloneNotice, OpenError, Opener, OwnedOpened, Sealed, Share, Vault};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::opened::OpenedHandle;
use crate::options::Options;
use crate::pointers::{
    Place, Places, bytes, bytes_mut, handle_place, handle_places, place, shared, take_back, text,
};
use crate::status::{Failure, Status, border};

/// A vault, or the part of its memory that a reserve names.
pub struct VaultHandle {
    pub(crate) share: Share,
}

impl VaultHandle {
    fn new(builder: strongroom::Builder) -> Result<Self, Failure> {
        Ok(Self { share: Arc::new(builder.build()?).share() })
    }

    pub(crate) fn vault(&self) -> &Vault {
        self.share.vault()
    }
}

/// One of several records that are opened together.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequestIn {
    /// The record.
    pub record: *const c_void,
    /// Its length in bytes.
    pub record_len: usize,
    /// What it was sealed for.
    pub context: *const c_void,
    /// The length of that in bytes.
    pub context_len: usize,
}

/// The bytes by which a record is longer than its secret.
pub const STRONGROOM_RECORD_OVERHEAD: usize = 24;

/// A time in milliseconds that does not end.
pub const STRONGROOM_FOREVER: u64 = u64::MAX;

/// Makes a vault that locks `budget` bytes, rounded up to whole pages, no less and no more: 65536, say.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_new(
    budget: usize,
    vault: *mut *mut VaultHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(vault, "vault") }?;
        place.give(VaultHandle::new(Options::new().builder.budget(budget..=budget))?);
        Ok(())
    })
}

/// Makes a vault of options, or of their defaults if `options` is NULL. They may be used again.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_build(
    options: *const Options,
    vault: *mut *mut VaultHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(vault, "vault") }?;
        // SAFETY: as above.
        let builder = unsafe { options.as_ref() }.map(|options| options.builder.clone());
        place.give(VaultHandle::new(builder.unwrap_or_else(|| Options::new().builder))?);
        Ok(())
    })
}

/// A second handle of the vault, to be taken back by itself.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_share(
    vault: *const VaultHandle,
    other: *mut *mut VaultHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(other, "other") }?;
        // SAFETY: as above.
        let vault = unsafe { shared(vault, "vault") }?;
        place.give(VaultHandle { share: vault.share.clone() });
        Ok(())
    })
}

/// A handle for those who may use the reserve of that name too, which the vault's options have named. It
/// is used like the vault's: they use the common memory while there is room and nobody waits for it, and
/// the reserve when not.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_reserve(
    vault: *const VaultHandle,
    name: *const c_char,
    reserve: *mut *mut VaultHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(reserve, "reserve") }?;
        // SAFETY: as above.
        let vault = unsafe { shared(vault, "vault") }?;
        // SAFETY: as above.
        let name = unsafe { text(name, "name") }?;
        place.give(VaultHandle { share: vault.share.reserve(name).ok_or(Failure::NoReserve)? });
        Ok(())
    })
}

/// Takes a handle back. The vault goes with the last of its handles, open secrets, openings, streams and
/// stores; what it sealed is then unreadable for good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_vault_free(vault: *mut *mut VaultHandle) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(vault, "vault") }.map(drop)
    });
}

/// Wipes the key: all that was sealed is unreadable for good, and those who wait to open it are told at
/// once. What is open stays open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_destroy(vault: *const VaultHandle) -> Status {
    // SAFETY: the caller promises what the header says of pointers.
    with_vault(unsafe { shared(vault, "vault") }, Vault::destroy)
}

/// Gives back at once all memory beyond the floor that nothing is open in.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_trim(vault: *const VaultHandle) -> Status {
    // SAFETY: the caller promises what the header says of pointers.
    with_vault(unsafe { shared(vault, "vault") }, Vault::trim)
}

/// Draws new shares of the key: what was seen of one share before is of no use afterwards.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_refresh(vault: *const VaultHandle) -> Status {
    // SAFETY: the caller promises what the header says of pointers.
    with_vault(unsafe { shared(vault, "vault") }, Vault::refresh)
}

/// Goes on sealing under numbers that no copy of this machine uses: for a virtual machine that is resumed
/// from a snapshot. What was sealed stays readable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_renew(vault: *const VaultHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        Ok(unsafe { shared(vault, "vault") }?.vault().renew()?)
    })
}

/// Checks every canary and every free byte: STRONGROOM_DAMAGED if one was overwritten.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_verify(vault: *const VaultHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let vault = unsafe { shared(vault, "vault") }?.vault();
        vault.check()?;
        Ok(vault.verify()?)
    })
}

fn with_vault(vault: Result<&VaultHandle, Failure>, call: impl FnOnce(&Vault)) -> Status {
    border(|| {
        let vault = vault?.vault();
        vault.check()?;
        call(vault);
        Ok(())
    })
}

/// Fills `bytes` with random bytes, from the vault's generator.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_fill_random(
    vault: *const VaultHandle,
    bytes: *mut c_void,
    len: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let vault = unsafe { shared(vault, "vault") }?;
        // SAFETY: as above.
        Ok(vault.vault().fill_random(unsafe { bytes_mut(bytes, len, "bytes") }?)?)
    })
}

/// The bytes that the record of a secret of so many bytes takes.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_record_len(secret_len: usize) -> usize {
    Enclave::record_len(secret_len)
}

/// Seals a secret into a record, which may lie anywhere. `context` says what it is for; opening takes the
/// same again.
///
/// `record` has room for `record_capacity` bytes; how many the record takes, which is 24 more than the
/// secret, is stored in `record_len`, also if the room is too small. The record does not overlap the
/// secret.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal(
    vault: *const VaultHandle,
    secret: *const c_void,
    secret_len: usize,
    context: *const c_void,
    context_len: usize,
    record: *mut c_void,
    record_capacity: usize,
    record_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let vault = unsafe { shared(vault, "vault") }?.vault();
        // SAFETY: as above.
        let secret = unsafe { bytes(secret, secret_len, "secret") }?;
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        // SAFETY: as above.
        let record = unsafe { RecordRoom::new(secret_len, record, record_capacity, record_len) }?;
        record.seal(vault, secret, context)
    })
}

/// Seals a secret like strongroom_seal, and wipes it where it was. After a failure it is as it was.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_and_wipe(
    vault: *const VaultHandle,
    secret: *mut c_void,
    secret_len: usize,
    context: *const c_void,
    context_len: usize,
    record: *mut c_void,
    record_capacity: usize,
    record_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let vault = unsafe { shared(vault, "vault") }?.vault();
        // SAFETY: as above.
        let secret = unsafe { bytes_mut(secret, secret_len, "secret") }?;
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        // SAFETY: as above.
        let record = unsafe { RecordRoom::new(secret_len, record, record_capacity, record_len) }?;
        record.seal(vault, secret, context)?;
        secret.zeroize();
        Ok(())
    })
}

/// Room for a record that is just as long as that, and where its length goes.
pub(crate) struct RecordRoom<'c> {
    record: &'c mut [u8],
    len: Place<usize>,
}

impl RecordRoom<'_> {
    /// # Safety
    /// What the header says of pointers.
    pub(crate) unsafe fn new(
        secret_len: usize,
        record: *mut c_void,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Self, Failure> {
        let needed = Enclave::record_len(secret_len);
        // SAFETY: the contract is the same.
        let len = unsafe { place(len, "record_len") }?;
        if capacity < needed {
            len.put(needed);
            return Err(Failure::TooSmall { needed, given: capacity });
        }
        // SAFETY: as above; it is no more than there is room for.
        let record = unsafe { bytes_mut(record, needed, "record") }?;
        Ok(Self { record, len })
    }

    pub(crate) fn seal(self, vault: &Vault, secret: &[u8], context: &[u8]) -> Result<(), Failure> {
        let len = self.record.len();
        vault.seal_into(secret, context, self.record)?;
        self.len.put(len);
        Ok(())
    }
}

/// Opens a record into locked memory, waiting up to `timeout_ms` milliseconds for room: 0 to be told at
/// once, STRONGROOM_FOREVER to wait without end. Those who wait are served in the order in which they
/// came. What no room would help is said at once.
///
/// A thread that holds an open secret and waits for another may wait for ever, together with others that
/// do the same: open together what is needed at the same time (strongroom_open_all).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open(
    vault: *const VaultHandle,
    record: *const c_void,
    record_len: usize,
    context: *const c_void,
    context_len: usize,
    timeout_ms: u64,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(opened, "opened") }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: as above.
        let record = Sealed::from_record(unsafe { bytes(record, record_len, "record") }?);
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        let secret = match time(timeout_ms) {
            None => share.try_open(&record, context),
            Some(timeout) => share.open_timeout(&record, context, timeout),
        }?;
        place.give(OpenedHandle::alone(secret));
        Ok(())
    })
}

/// Opens `count` records, all or none, waiting as strongroom_open does: one place in line, and one wait.
/// `opened` has room for as many handles. STRONGROOM_NEVER_TOGETHER, at once, if the budget is too small for
/// all of them.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_all(
    vault: *const VaultHandle,
    requests: *const RequestIn,
    count: usize,
    timeout_ms: u64,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises room for as many handles.
        let places = unsafe { opened_places(opened, count) }?;
        // SAFETY: the caller promises what the header says of pointers.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: the caller promises as many requests.
        let records = unsafe { records(requests, count) }?;
        let secrets = open_all(share, &records, time(timeout_ms))?;
        places.give(secrets.into_iter().map(OpenedHandle::alone));
        Ok(())
    })
}

/// Places for as many handles, each of which is NULL until there is one.
///
/// # Safety
/// If it is not NULL, so many pointers may be written there.
pub(crate) unsafe fn opened_places(
    opened: *mut *mut OpenedHandle,
    count: usize,
) -> Result<Places<OpenedHandle>, Failure> {
    if count == 0 {
        return Err(Failure::Invalid("`count` is 0: give how many records to open".to_owned()));
    }
    // SAFETY: the contract is the same.
    unsafe { handle_places(opened, count, "opened") }
}

/// What several requests ask for.
///
/// # Safety
/// If it is not NULL, there are so many, each of which is what the header says of pointers.
pub(crate) unsafe fn records<'c>(
    requests: *const RequestIn,
    count: usize,
) -> Result<Vec<Record<'c>>, Failure> {
    let mut records = Vec::with_capacity(count);
    for number in 0..count {
        let request = if requests.is_null() { requests } else { requests.wrapping_add(number) };
        // SAFETY: the caller promises as many requests.
        let request = unsafe { shared(request, "requests") }?;
        // SAFETY: as above, of what is in it.
        let record = unsafe { bytes(request.record, request.record_len, "record") }?;
        // SAFETY: as above.
        let context = unsafe { bytes(request.context, request.context_len, "context") }?;
        records.push((Sealed::from_record(record), context));
    }
    Ok(records)
}

pub(crate) type Record<'c> = (Sealed<&'c [u8]>, &'c [u8]);

fn open_all(
    share: &Share,
    records: &[Record<'_>],
    timeout: Option<Duration>,
) -> Result<Vec<OwnedOpened>, OpenError> {
    let lent = records.iter().map(|(record, context)| (record, *context));
    match timeout {
        None => share.try_open_many(lent),
        Some(timeout) => share.open_many_timeout(lent, timeout),
    }
}

/// Room for a new secret of `len` bytes, all zero, waiting as strongroom_open does. Write it in place
/// (strongroom_opened_write, strongroom_opened_fill_random), then seal it (strongroom_opened_seal).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_allocate(
    vault: *const VaultHandle,
    len: usize,
    timeout_ms: u64,
    opened: *mut *mut OpenedHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(opened, "opened") }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        place.give(OpenedHandle::alone(allocate(share, len, timeout_ms)?));
        Ok(())
    })
}

pub(crate) fn allocate(
    share: &Share,
    len: usize,
    timeout_ms: u64,
) -> Result<OwnedOpened, OpenError> {
    match time(timeout_ms) {
        None => share.try_allocate(len),
        Some(timeout) => share.allocate_timeout(len, timeout),
    }
}

/// How long to wait; `None` for not at all.
pub(crate) fn time(timeout_ms: u64) -> Option<Duration> {
    match timeout_ms {
        0 => None,
        STRONGROOM_FOREVER => Some(Duration::MAX),
        millis => Some(Duration::from_millis(millis)),
    }
}

/// Whether two byte strings are equal, stored in `equal`, in a time that depends on the lengths alone.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_constant_time_equal(
    one: *const c_void,
    one_len: usize,
    other: *const c_void,
    other_len: usize,
    equal: *mut bool,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let equal = unsafe { place(equal, "equal") }?;
        // SAFETY: as above.
        let one = unsafe { bytes(one, one_len, "one") }?;
        // SAFETY: as above.
        let other = unsafe { bytes(other, other_len, "other") }?;
        equal.put(one.ct_eq(other).into());
        Ok(())
    })
}

/// Overwrites bytes with zeros, which no compiler leaves out.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_wipe(bytes: *mut c_void, len: usize) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { bytes_mut(bytes, len, "bytes") }?.zeroize();
        Ok(())
    })
}

/// Has every vault of this process renew itself, as strongroom_vault_renew does, before it seals next or draws
/// random bytes: for the hook that is run when a machine was resumed from a snapshot. It takes no lock,
/// allocates nothing and may be called in a signal handler. A vault that cannot renew itself then seals
/// nothing: STRONGROOM_NO_ENTROPY.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_renew_all() {
    strongroom::renew_all();
}

/// Has every vault of this process renew itself, as by strongroom_renew_all, when Linux tells that the machine
/// was resumed as a copy, and when somebody sets the clock. Call it when the process starts, and again in a
/// forked child that makes vaults of its own. Whether Linux would tell, in its log, is stored in `kernel_log`;
/// if not, the clock alone tells. What is sealed before the notice has come is not protected: where a hook runs
/// before that, call strongroom_renew_all in it. A thread waits for each notice and does nothing else.
/// STRONGROOM_CLONES_UNSEEN if none would come.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_renew_when_cloned(kernel_log: *mut bool) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let kernel_log = unsafe { place(kernel_log, "kernel_log") }?;
        kernel_log.put(strongroom::renew_when_cloned()? == CloneNotice::KernelLog);
        Ok(())
    })
}

/// Overwrites the locked memory of every vault of this process with zeros, keys included, and revokes the
/// shares of keys that the kernel keeps. It takes no lock, allocates nothing and may be called in a signal
/// handler. It is for a process that ends: afterwards every call answers STRONGROOM_DESTROYED.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_wipe_all() {
    strongroom::wipe_all();
}
