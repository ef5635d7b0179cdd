//! What a vault holds and has seen, and what the host allows.

use std::ffi::{CString, c_char, c_void};

use serde::Serialize;
use strongroom::{ForkView, Vault, WindowKind};

use crate::pointers::{bytes_mut, handle_place, shared};
use crate::status::{Failure, Status, border};
use crate::vault::VaultHandle;

/// What a vault holds and has seen; sizes are in bytes. All 0 in a forked child. Later versions add
/// fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MetricsOut {
    /// The most that the vault locks, reserves included.
    pub budget: u64,
    /// What it has locked now, less what the kernel says is not locked any more.
    pub locked: u64,
    /// What the kernel says is not locked; UINT64_MAX if it does not say.
    pub unlocked: u64,
    /// What lies in runs and blocks with a live secret, the shares of the key included.
    pub used: u64,
    /// Secrets that are open now.
    pub live: u64,
    /// The most that were seen open at once.
    pub peak: u64,
    /// Callers that are waiting now.
    pub waiters: u64,
    /// Calls that waited.
    pub waits: u64,
    /// The longest of those waits, in nanoseconds.
    pub longest_wait_ns: u64,
    /// Calls that were told that there is no room.
    pub refusals: u64,
    /// Faults found.
    pub faults: u64,
    /// Stretches of locked memory now.
    pub rooms: u64,
    /// Stretches that were added.
    pub grown: u64,
    /// Stretches that were given back.
    pub given_back: u64,
    /// Times the system would not lock more.
    pub growth_refusals: u64,
}

/// Counts what the vault holds and has seen. `size` is sizeof *metrics: what this library counts beyond
/// that is left out, and what it does not count is 0.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_metrics_read(
    vault: *const VaultHandle,
    metrics: *mut MetricsOut,
    size: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let seen = unsafe { shared(vault, "vault") }?.vault().metrics();
        let seen = [
            seen.budget as u64,
            seen.locked as u64,
            seen.unlocked.map_or(u64::MAX, |bytes| bytes as u64),
            seen.used as u64,
            seen.live as u64,
            seen.peak as u64,
            seen.waiters as u64,
            seen.waits as u64,
            u64::try_from(seen.longest_wait.as_nanos()).unwrap_or(u64::MAX),
            seen.refusals as u64,
            seen.faults as u64,
            seen.rooms as u64,
            seen.grown as u64,
            seen.given_back as u64,
            seen.growth_refusals as u64,
        ];
        // SAFETY: as above.
        unsafe { put_numbers(metrics.cast(), size, &seen) }
    })
}

/// Puts numbers into a program's struct of so many bytes, as many as it has room for, and zeros beyond.
///
/// # Safety
/// If it is not NULL, so many bytes may be written there.
pub(crate) unsafe fn put_numbers(
    place: *mut c_void,
    size: usize,
    numbers: &[u64],
) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Failure::Null("metrics"));
    }
    // SAFETY: the contract is the same.
    let place = unsafe { bytes_mut(place, size, "metrics") }?;
    place.fill(0);
    for (place, number) in place.chunks_exact_mut(size_of::<u64>()).zip(numbers) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    Ok(())
}

/// What the system has granted for a vault's memory, and why not more.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is granted or not by itself")]
struct ProtectionsReport {
    locked: bool,
    dump_excluded: bool,
    fork_hidden: bool,
    fork_view: &'static str,
    guarded: bool,
    secret_memory: bool,
    windows: &'static str,
    /// The sentences have the cause, the numbers and the remedy.
    lock_refusal: Option<String>,
    growth_refusal: Option<String>,
    key_share_refusal: Option<String>,
}

impl ProtectionsReport {
    fn of(vault: &Vault) -> Self {
        let granted = vault.protections();
        Self {
            locked: granted.locked,
            dump_excluded: granted.dump_excluded,
            fork_hidden: granted.fork_hidden(),
            fork_view: match granted.fork_view {
                ForkView::Zeroed => "zeroed",
                ForkView::Absent => "absent",
                _ => "copied",
            },
            guarded: granted.guarded,
            secret_memory: granted.secret_memory,
            windows: match granted.windows {
                WindowKind::Pages => "pages",
                WindowKind::Keys => "keys",
                _ => "none",
            },
            lock_refusal: vault.lock_refusal().map(|refusal| refusal.to_string()),
            growth_refusal: vault.growth_refusal().map(|refusal| refusal.to_string()),
            key_share_refusal: vault.key_share_refusal().map(|refusal| refusal.to_string()),
        }
    }
}

/// What the system has granted for all of the vault's memory, and why it did not grant more, as a JSON
/// object. Take the text back with strongroom_text_free.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_vault_protections_json(
    vault: *const VaultHandle,
    json: *mut *mut c_char,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let vault = unsafe { shared(vault, "vault") }?.vault();
        vault.check()?;
        // SAFETY: as above.
        unsafe { put_json(json, &ProtectionsReport::of(vault)) }
    })
}

/// How much memory this process may lock, how many secrets fit, and what came of trying, as a JSON object:
/// what `strongroom-doctor --json` says. If `open` and `size` are not 0, it says too whether so many
/// secrets of so many bytes can be open at one time. It locks what it tries for a moment, in a child
/// process. Take the text back with strongroom_text_free.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_doctor_json(
    open: u64,
    size: u64,
    json: *mut *mut c_char,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(json, "json") }?;
        let need = (open > 0 && size > 0).then_some((open, size));
        place.put(c_text(&strongroom_doctor::json(need)?).into_raw());
        Ok(())
    })
}

/// The sentence that says what to change so that `bytes` more bytes can be locked; NULL if they can be
/// already, or if that cannot be told. Take it back with strongroom_text_free.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_limits_remedy(bytes: u64, remedy: *mut *mut c_char) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(remedy, "remedy") }?;
        if let Some(remedy) = strongroom::Limits::read().remedy(bytes) {
            place.put(c_text(&remedy.to_string()).into_raw());
        }
        Ok(())
    })
}

/// # Safety
/// What the header says of pointers.
unsafe fn put_json(json: *mut *mut c_char, report: &impl Serialize) -> Result<(), Failure> {
    // SAFETY: the contract is the same.
    let place = unsafe { handle_place(json, "json") }?;
    let text = serde_json::to_string_pretty(report);
    place.put(c_text(&text.map_err(|error| Failure::Panic(error.to_string()))?).into_raw());
    Ok(())
}

fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Takes a text back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_text_free(text: *mut *mut c_char) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let text = unsafe { crate::pointers::alone(text, "text") }?;
        let text = std::mem::replace(text, std::ptr::null_mut());
        if !text.is_null() {
            // SAFETY: it was given out as one, and as it is NULL now it is taken back once.
            drop(unsafe { CString::from_raw(text) });
        }
        Ok(())
    });
}
