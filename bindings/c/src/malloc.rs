//! The vault of the whole process in the shape of malloc(3).
//!
//! What was handed out is kept in a table, out of band: a pointer has no header that could be overwritten,
//! and one that is not in the table was never given, or was released already.

use std::alloc::Layout;
use std::ffi::c_void;
use std::io::Write;
use std::process::abort;
use std::ptr::{self, NonNull};

use allocator_api2::alloc::Allocator;
use errno::{Errno, set_errno};
use strongroom::strongroom_core::wiping_stack;
use strongroom::{Fault, InstallError, Vault, VaultError, WindowError, Windows, global};

use crate::fault;
use crate::options::Options;
use crate::status::{Failure, Status, border, caught, note};
use crate::table::{self, Given};

/// Makes the vault that strongroom_malloc takes memory of: once, before its first call, which else makes one
/// that locks 16 KiB from the start and as much as the system allows at most. `options` may be NULL, for
/// their defaults; those with windows are refused with STRONGROOM_WINDOWS_REFUSED. When the process exits, all memory is wiped as by strongroom_wipe_all.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_malloc_install(options: *const Options) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let options = unsafe { options.as_ref() };
        if options.is_some_and(|options| options.windows != Windows::None) {
            return Err(Failure::Vault(WindowError::PlainPointers.into()));
        }
        let builder = options.map(|options| options.builder.clone());
        builder.unwrap_or_else(|| Options::new().builder).install()?;
        Ok(())
    })
}

/// `size` bytes of locked memory, all zero, between canaries, at an address that is a multiple of 16. NULL
/// with errno ENOMEM if there is no room, and strongroom_error_message says why: it never waits. 0 bytes
/// are as good as 1.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_malloc(size: usize) -> *mut c_void {
    answered(|| allocate(size))
}

/// Room for `count` objects of `size` bytes each, as strongroom_malloc. NULL with errno ENOMEM too if that
/// is more than there are addresses.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_calloc(count: usize, size: usize) -> *mut c_void {
    answered(|| {
        let too_many = || Failure::Invalid(format!("{count} times {size} bytes are too many"));
        allocate(count.checked_mul(size).ok_or_else(too_many)?)
    })
}

/// Memory of another size with the contents of `pointer`, as many as fit, which is wiped and released. On
/// failure it is NULL, and `pointer` stays as it was: for a moment there are both. A `pointer` that is NULL
/// is as strongroom_malloc. What is no memory of strongroom_malloc's is a fault, see strongroom_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    answered(|| {
        let Some(old) = NonNull::new(pointer.cast::<u8>()) else { return allocate(size) };
        let Some(given) = table::find(old) else {
            foreign();
            return Err(Failure::Invalid("the memory is none of strongroom_malloc's".to_owned()));
        };
        given.vault.check()?;
        let new = allocate(size)?;
        let count = given.layout.size().min(size);
        // memcpy(3) leaves in vector registers what it has copied, and who calls a function for the first time
        // has the dynamic linker put those on the stack.
        wiping_stack::<STACK, _>(|| {
            // SAFETY: the old memory has so many bytes, which are the caller's, and the new one too, which is
            // nobody else's.
            unsafe { ptr::copy_nonoverlapping(old.as_ptr(), new.as_ptr(), count) };
        });
        release(old);
        Ok(new)
    })
}

/// Wipes memory of strongroom_malloc's and releases it; nothing if it is NULL.
///
/// If something wrote past an end of it, or if it was released already or never given, the handler of
/// strongroom_on_fault is called. **Without one the process is aborted**, after a line to the standard
/// error, as free(3) does it: this function has no answer that anybody could look at. A forked child may
/// release what its parent allocated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_free(pointer: *mut c_void) {
    if let Some(pointer) = NonNull::new(pointer.cast::<u8>()) {
        let settled = caught(|| {
            release(pointer);
            Ok(())
        });
        if let Err(failure) = settled {
            end(&failure);
        }
    }
}

/// How many bytes were asked for when this memory was allocated: there are no more to be used, what follows
/// is a canary. 0 for NULL, and for what is no memory of strongroom_malloc's.
#[unsafe(no_mangle)]
pub extern "C" fn strongroom_usable_size(pointer: *const c_void) -> usize {
    let pointer = NonNull::new(pointer.cast_mut().cast::<u8>());
    let size = || Ok(pointer.and_then(table::find).map_or(0, |given| given.layout.size()));
    caught(size).unwrap_or(0)
}

fn allocate(size: usize) -> Result<NonNull<u8>, Failure> {
    let vault = vault()?;
    let too_large = |_| Failure::Invalid(format!("{size} bytes are more than there are addresses"));
    let layout = Layout::from_size_align(size.max(1), ALIGN).map_err(too_large)?;
    // SAFETY: what lies there is the program's bytes, of no type of Rust's.
    let allocator = unsafe { vault.allocator() };
    let allocator = allocator.map_err(|error| Failure::Invalid(error.to_string()))?;
    let Ok(memory) = allocator.allocate(layout) else { return Err(refusal(vault, size)) };
    let pointer = memory.cast();
    table::insert(Given { pointer, layout, vault });
    Ok(pointer)
}

/// Why there was no room. The allocator does not say; who asks for the same again is told, unless there
/// is room by now.
fn refusal(vault: &Vault, size: usize) -> Failure {
    match vault.try_allocate(size.saturating_add(ALIGN)) {
        Err(error) => error.into(),
        Ok(_) => Failure::Invalid(format!("there was no room for {size} bytes; there is now")),
    }
}

fn release(pointer: NonNull<u8>) {
    let Some(Given { layout, vault, .. }) = table::remove(pointer) else { return foreign() };
    // SAFETY: as for `allocate`.
    let Ok(allocator) = (unsafe { vault.allocator() }) else { return };
    // SAFETY: it was allocated there with this layout, and as it was in the table it was not released.
    unsafe { allocator.deallocate(pointer, layout) };
}

/// Something that was never given, or was released already; the table does not say which.
fn foreign() {
    let kind = strongroom::FaultKind::ForeignFree;
    fault::on_fault(Fault { kind, offset: None });
}

/// The vault of the process, which is made if there is none.
fn vault() -> Result<&'static Vault, Failure> {
    if let Ok(vault) = global() {
        return Ok(vault);
    }
    match Options::new().builder.budget(FLOOR..=CEILING).install() {
        Ok(vault) => Ok(vault),
        // Another thread was quicker.
        Err(InstallError::AlreadyInstalled) => Ok(global()?),
        Err(InstallError::Vault(VaultError::Wiped)) => Err(strongroom::OpenError::Destroyed.into()),
        Err(error) => Err(error.into()),
    }
}

fn answered(call: impl FnOnce() -> Result<NonNull<u8>, Failure>) -> *mut c_void {
    match caught(call) {
        Ok(memory) => memory.as_ptr().cast(),
        Err(failure @ Failure::Damage(_)) => end(&failure),
        Err(failure) => {
            note(failure);
            set_errno(Errno(libc::ENOMEM));
            ptr::null_mut()
        }
    }
}

/// There is nobody to answer to.
fn end(failure: &Failure) -> ! {
    let _ = writeln!(std::io::stderr(), "{failure}");
    abort()
}

/// What memcpy(3) uses of the stack, and more.
const STACK: usize = 256;

/// What malloc(3) promises for any object.
const ALIGN: usize = 16;

/// The bytes that are locked if nobody has said how many.
const FLOOR: usize = 16 * 1024;
const CEILING: usize = 1 << 30;
