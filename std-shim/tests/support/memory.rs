//! What may be done with memory, tried.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use strongroom::{Vault, Windows};

use super::forked;

/// The kinds of windows that this machine has.
pub(crate) fn kinds() -> Vec<Windows> {
    let has_keys = Vault::builder().windows(Windows::Keys).build().is_ok();
    if !has_keys {
        assert!(std::env::var_os("STRONGROOM_KEYS").is_none(), "there are no keys");
        println!("skipped, for keys: this machine has none; tests/guest/run has");
    }
    [Windows::Pages, Windows::Keys].into_iter().take(if has_keys { 2 } else { 1 }).collect()
}

/// Why a load ended a process: what the signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `SEGV_ACCERR`.
    Access,
    /// `SEGV_PKUERR`.
    Key,
    /// Another signal or code.
    Other(i32),
}

/// Whether the calling thread may read a byte: the kernel reads it for the thread, and has its rights.
pub(crate) fn is_readable(place: *const u8) -> bool {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the kernel looks whether the byte may be read.
    let written = unsafe { libc::write(ends[1], place.cast(), 1) };
    for end in ends {
        // SAFETY: the descriptor was made above.
        unsafe { libc::close(end) };
    }
    written == 1
}

/// Runs `act` in a forked child: what it ends of, `None` if it comes to its end.
pub(crate) fn fault_of(act: impl FnOnce()) -> Option<Fault> {
    let child = || {
        IN_CHILD.store(true, Ordering::Relaxed);
        report_faults();
        act();
        true
    };
    match forked(child).code() {
        Some(0) => None,
        Some(code) if code == FAULT + SEGV_ACCERR => Some(Fault::Access),
        Some(code) if code == FAULT + SEGV_PKUERR => Some(Fault::Key),
        other => Some(Fault::Other(other.unwrap_or(-1))),
    }
}

/// Runs `act` in a handler of a signal that this thread raises, in a forked child; and what that ends of.
///
/// In the very process, not a child of it, if it is called in one already.
pub(crate) fn fault_of_handler(act: impl Fn()) -> Option<Fault> {
    static TURN: Mutex<()> = Mutex::new(());
    static ACT: Mutex<Option<usize>> = Mutex::new(None);
    extern "C" fn handler(_: i32) {
        let act = ACT.try_lock().ok().and_then(|act| *act);
        if let Some(act) = act {
            let act = std::ptr::with_exposed_provenance::<&dyn Fn()>(act);
            // SAFETY: whoever raises the signal keeps it there.
            (unsafe { &*act })();
        }
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let raise = || {
        let act: &dyn Fn() = &act;
        *ACT.lock().unwrap() = Some((&raw const act).expose_provenance());
        install(libc::SIGUSR2, handler as *const () as usize, 0);
        // SAFETY: raises a signal that has a handler.
        unsafe { libc::raise(libc::SIGUSR2) };
    };
    if IN_CHILD.load(Ordering::Relaxed) {
        raise();
        return None;
    }
    fault_of(raise)
}

/// Takes all protection keys that are left, and says how many those were.
pub(crate) fn take_all_keys() -> usize {
    // SAFETY: takes keys that are never used.
    let take = || unsafe { libc::syscall(libc::SYS_pkey_alloc, 0_usize, 0_usize) };
    std::iter::from_fn(|| (take() > 0).then_some(())).count()
}

/// Returns from a handler whose frame says that the thread may use what has whichever key.
#[cfg(target_arch = "x86_64")]
pub(crate) fn forge_register() {
    extern "C" fn handler(_: i32, _: *const libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: every processor of 64 bits has the instruction; of one without keys it says 0.
        #[allow(unused_unsafe, reason = "the instruction has become safe since Rust 1.89")]
        let offset = unsafe { std::arch::x86_64::__cpuid_count(0xd, PKRU) }.ebx as usize;
        if offset == 0 {
            return;
        }
        // SAFETY: the frame has so many bytes before that pointer (`struct sigcontext`).
        let saved = unsafe { context.byte_add(FRAME_TO_SAVED) };
        // SAFETY: the kernel put a pointer there.
        let saved = unsafe { saved.cast::<*mut u8>().read() };
        // SAFETY: it is to what the processor saved, which is longer and nobody else's.
        let saved = unsafe { std::slice::from_raw_parts_mut(saved, offset + 4) };
        // Which registers are there is said by bits (Intel's manual, volume 1, section 13.4.2).
        saved[512 + PKRU as usize / 8] |= 1 << (PKRU % 8);
        saved[offset..].fill(0);
    }
    /// Of `struct ucontext`: flags, a link, the stack, and 23 registers.
    const FRAME_TO_SAVED: usize = 8 + 8 + 24 + 23 * 8;
    const PKRU: u32 = 9;
    install(libc::SIGUSR1, handler as *const () as usize, libc::SA_SIGINFO);
    // SAFETY: raises a signal that has a handler.
    unsafe { libc::raise(libc::SIGUSR1) };
}

/// Has the process end with a status that says why it was not allowed to touch memory.
fn report_faults() {
    extern "C" fn handler(_: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
        // SAFETY: the kernel gives the handler what it has to say.
        let code = unsafe { (*info).si_code };
        // SAFETY: ends the process.
        unsafe { libc::_exit(FAULT + code) };
    }
    install(libc::SIGSEGV, handler as *const () as usize, libc::SA_SIGINFO);
}

fn install(signal: i32, handler: usize, flags: i32) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros is a valid action.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the action is valid during the call.
    assert_eq!(unsafe { libc::sigaction(signal, action, null_mut()) }, 0);
}

/// A byte as `/proc/self/mem` has it.
pub(crate) fn through_proc(place: *const u8) -> Option<u8> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut byte = [0];
    memory.read_exact_at(&mut byte, place.addr() as u64).ok().map(|()| byte[0])
}

/// A byte as `process_vm_readv(2)` has it.
pub(crate) fn through_the_kernel(place: *const u8) -> Option<u8> {
    let mut byte = 0_u8;
    let to = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let from = libc::iovec { iov_base: place.cast_mut().cast(), iov_len: 1 };
    let process = i32::try_from(std::process::id()).unwrap();
    // SAFETY: the kernel writes a byte where there is room for one.
    let read = unsafe { libc::process_vm_readv(process, &raw const to, 1, &raw const from, 1, 0) };
    (read == 1).then_some(byte)
}

/// Moves the page of a byte elsewhere, and says where the byte is then; where it was if nobody may move it.
pub(crate) fn moved(place: *const u8) -> *const u8 {
    let page = strongroom::page_size();
    let offset = place.addr() % page;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    let start = place.wrapping_sub(offset).cast_mut().cast();
    // SAFETY: the page is this process's, a forked child's, in which nobody uses it.
    let to = unsafe { libc::mremap(start, page, page, flags, null_mut::<libc::c_void>()) };
    if to == libc::MAP_FAILED { place } else { to.cast::<u8>().wrapping_add(offset) }
}

/// Says something about the page of a byte, `madvise(2)`.
pub(crate) fn advise(place: *const u8, advice: i32) -> io::Result<()> {
    let page = strongroom::page_size();
    let start = place.wrapping_sub(place.addr() % page).cast_mut();
    // SAFETY: that is what is tried.
    let advised = unsafe { libc::madvise(start.cast(), page, advice) };
    if advised == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A byte as another process has it that traces the calling thread, `ptrace(2)`: `Err` if it may not.
pub(crate) fn through_a_tracer(place: *const u8) -> io::Result<Option<u8>> {
    // SAFETY: says who may trace this process.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    // SAFETY: asks for a number.
    let thread = unsafe { libc::gettid() };
    let nothing = null_mut::<libc::c_void>();
    let trace = || {
        // SAFETY: stops the thread, which waits for this child.
        if unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, nothing, nothing) } != 0 {
            // SAFETY: ends the child.
            unsafe { libc::_exit(REFUSED) };
        }
        // SAFETY: nobody wants to know the status.
        unsafe { libc::waitpid(thread, null_mut(), libc::__WALL) };
        // SAFETY: the kernel reads for this child what it may.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, thread, place, nothing) };
        // SAFETY: lets the thread go on.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, thread, nothing, nothing) };
        let byte = word.to_ne_bytes()[0];
        // SAFETY: ends the child.
        unsafe { libc::_exit(if word == -1 { NOTHING } else { i32::from(byte) }) };
    };
    match forked(trace).code() {
        Some(REFUSED) => Err(io::ErrorKind::PermissionDenied.into()),
        Some(NOTHING) => Ok(None),
        code => Ok(code.and_then(|code| u8::try_from(code).ok())),
    }
}

/// Gives all threads access to the page of a byte, by page protection.
pub(crate) fn reprotect(place: *const u8) {
    let page = strongroom::page_size();
    let start = place.wrapping_sub(place.addr() % page).cast_mut();
    // SAFETY: that is what is tried.
    unsafe { libc::mprotect(start.cast(), page, libc::PROT_READ | libc::PROT_WRITE) };
}

/// Gives all threads access to the page of a byte, with the key that all other memory has; without one where
/// there are no keys.
pub(crate) fn take_key_off(place: *const u8) {
    let page = strongroom::page_size();
    let start = place.wrapping_sub(place.addr() % page).cast_mut();
    let access = libc::c_long::from(libc::PROT_READ | libc::PROT_WRITE);
    for key in [0, -1 as libc::c_long] {
        // SAFETY: that is what is tried.
        unsafe { libc::syscall(libc::SYS_pkey_mprotect, start, page, access, key) };
    }
}

static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// No byte that is read has these.
const REFUSED: i32 = 1;
const NOTHING: i32 = 2;

const FAULT: i32 = 50;
const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
