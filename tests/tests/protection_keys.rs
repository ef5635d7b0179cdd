//! Memory protection keys as the kernel has them (`pkeys(7)`), without a line of this repository's: what
//! windows stand on. `tests/guest/run keys` runs this where there are keys.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::env;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};

#[test]
fn a_key_can_be_had() {
    if let Some(key) = key(OPEN) {
        // 0 is what all memory has.
        assert!((1..16).contains(&key), "{key}");
    }
}

#[test]
fn memory_with_an_open_key_is_read() {
    let Some(key) = key(OPEN) else { return };
    let page = page_with(key);
    assert_eq!(died_reading(page), None);
}

#[test]
fn a_read_with_the_key_closed_is_a_fault_with_its_reason() {
    let Some(key) = key(DISABLE_ACCESS) else { return };
    let page = page_with(key);
    assert_eq!(died_reading(page), Some(SEGV_PKUERR));
}

/// The reason is told from others.
#[test]
fn a_read_of_memory_without_access_has_another_reason() {
    let page = page();
    // SAFETY: nobody uses the page.
    let status = unsafe { libc::mprotect(page.as_ptr().cast(), PAGE, libc::PROT_NONE) };
    assert_eq!(status, 0);
    assert_eq!(died_reading(page), Some(SEGV_ACCERR));
}

#[test]
fn nor_does_the_kernel_read_for_a_thread_whose_key_is_closed() {
    let Some(key) = key(DISABLE_ACCESS) else { return };
    let page = page_with(key);
    let (_reader, writer) = io::pipe().unwrap();
    let writer = std::os::fd::AsRawFd::as_raw_fd(&writer);
    // SAFETY: the page is mapped; that it cannot be read is the kernel's to say.
    let written = unsafe { libc::write(writer, page.as_ptr().cast(), 8) };
    let error = io::Error::last_os_error();
    assert_eq!((written, error.raw_os_error()), (-1, Some(libc::EFAULT)));
}

#[test]
fn memory_with_a_key_can_be_locked() {
    let Some(key) = key(OPEN) else { return };
    let page = page_with(key);
    // SAFETY: locking changes no byte.
    assert_eq!(unsafe { libc::mlock(page.as_ptr().cast(), PAGE) }, 0);
}

/// A key with these rights for this thread; or says why there is none, which in the guest is a failure.
fn key(rights: libc::c_uint) -> Option<i32> {
    // SAFETY: makes a key and changes this thread's rights to it alone.
    let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0_usize, libc::c_ulong::from(rights)) };
    if key < 0 {
        let why = io::Error::last_os_error();
        assert!(env::var_os("STRONGROOM_GUEST").is_none(), "no key in the guest: {why}");
        eprintln!("skipped: memory protection keys: {why}");
        return None;
    }
    Some(key.try_into().unwrap())
}

fn page() -> NonNull<u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: with a null hint and without MAP_FIXED no existing mapping is touched.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, rights, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    NonNull::new(page.cast()).unwrap()
}

/// A page that is under a key. It is never given back.
fn page_with(key: i32) -> NonNull<u8> {
    let page = page();
    // The system reads whole words.
    let (rights, key) = (
        usize::try_from(libc::PROT_READ | libc::PROT_WRITE).unwrap(),
        usize::try_from(key).unwrap(),
    );
    // SAFETY: nobody uses the page yet.
    let status =
        unsafe { libc::syscall(libc::SYS_pkey_mprotect, page.as_ptr(), PAGE, rights, key) };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
    page
}

/// Reads a byte in a child process, which has this thread's rights. If it dies of SIGSEGV, the signal's
/// code.
fn died_reading(page: NonNull<u8>) -> Option<i32> {
    // SAFETY: the child makes system calls and reads a byte, and ends without returning.
    let child = unsafe { libc::fork() };
    if child == 0 {
        end_with_the_reason();
        // SAFETY: the page is mapped; if it cannot be read, the handler ends this process.
        let byte = unsafe { page.as_ptr().read_volatile() };
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(READ + i32::from(byte)) };
    }
    let mut status = 0;
    // SAFETY: the place is valid for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "{status:x}");
    Some(libc::WEXITSTATUS(status)).filter(|&code| code != READ)
}

/// From now on a fault ends this process with the signal's code as its status.
fn end_with_the_reason() {
    extern "C" fn handle(_: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
        // SAFETY: the kernel hands over a valid one.
        let code = unsafe { (*info).si_code };
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(code) };
    }
    // SAFETY: all bytes of this type may be zero.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action is valid during the call; its handler makes a system call only.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) }, 0);
}

const PAGE: usize = 4096;
const OPEN: libc::c_uint = 0;
/// `PKEY_DISABLE_ACCESS`.
const DISABLE_ACCESS: libc::c_uint = 1;
const READ: i32 = 100;
/// `siginfo.h`: access that the page's rights forbid, and that the thread's rights to its key forbid.
const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
